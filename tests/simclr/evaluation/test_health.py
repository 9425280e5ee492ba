"""What a pre-training tells of its health, and the verdict: closed forms, made-up courses, and real runs gone wrong."""

import contextlib
import itertools
import json
import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_PRETRAIN

from simclr import config as cfg
from simclr import runs
from simclr.evaluation import health
from simclr.evaluation.health import records
from simclr.lifecycle.train import train
from simclr.objectives import metrics
from simclr.runs import health_log
from simclr.training import modules, progress

NAN = float("nan")
OPTIONS = {"batch_size": 64, "temperature": 0.5, "epochs": 20}
# The quick recipe on fewer and smaller images: an epoch takes half a second.
QUICK = {
    "dataset": "shapes",
    "limit_images": 512,
    "image_size": 16,
    "backbone": "resnet_tiny",
    "epochs": 4,
    "batch_size": 64,
    "temperature": 0.2,
    "hidden_dim": 256,
    "projection_dim": 128,
    "optimizer": "adamw",
    "learning_rate": 0.002,
    "warmup_epochs": 1,
    "weight_decay": 1e-4,
    "num_threads": 1,
    "accelerator": "cpu",
    "precision": "32-true",
    "evaluate": False,
    "knn_every_epochs": 1,
    "film_frames": 0,
    "augmentation": {"crop_scale_min": 0.3, "jitter_probability": 0.9, "hue": 0.5},
}
NO_AUGMENTATION = {f"{name}_probability": 0.0 for name in ("crop", "flip", "jitter", "grayscale", "blur")}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- formulas -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (12, 12)])
def test_singular_values_are_those_of_an_svd(shape):
    features = randn(*shape).double() @ torch.diag(torch.linspace(0.1, 3, shape[1])).double() + 5
    expected = torch.linalg.svdvals(features - features.mean(dim=0))
    assert torch.allclose(metrics.singular_values(features), expected, atol=1e-6)
    deviations = metrics.singular_values(features)[:5] / shape[0] ** 0.5
    covariance = torch.cov(features.T, correction=0)
    assert torch.allclose(deviations**2, torch.linalg.eigvalsh(covariance).flip(0)[:5], atol=1e-6)


def test_singular_values_of_equal_rows_are_zero_and_of_broken_ones_not_a_number():
    assert metrics.singular_values(torch.full((9, 4), 0.3)).tolist() == [0.0] * 4
    assert metrics.singular_values(torch.full((9, 4), NAN)).isnan().all()
    assert metrics.effective_rank(torch.full((9, 4), 0.3)) == 1.0


def test_feature_std_is_one_over_root_d_on_the_sphere_and_zero_in_collapse():
    assert float(metrics.feature_std(randn(20_000, 64))) == pytest.approx(1 / 8, rel=0.01)
    assert float(metrics.feature_std(torch.full((50, 64), 2.0))) == pytest.approx(0, abs=1e-7)
    rows = F.normalize(randn(30, 5) + 1, dim=1).tolist()
    by_hand = []
    for column in zip(*rows, strict=True):
        mean = sum(column) / len(column)
        by_hand.append(math.sqrt(sum((value - mean) ** 2 for value in column) / len(column)))
    assert float(metrics.feature_std(randn(30, 5) + 1)) == pytest.approx(sum(by_hand) / 5, rel=1e-5)


def test_histograms_count_pairs_as_by_hand():
    z1, z2 = randn(20, 6), randn(20, 6, seed=1)
    found = metrics.similarity_histograms(z1, z2, 8)
    positive, negative = [], []
    for i, j in itertools.product(range(20), range(20)):
        similarity = float(F.cosine_similarity(z1[i], z2[j], dim=0))
        (positive if i == j else negative).append(similarity)
    assert found.positive.tolist() == np.histogram(positive, 8, (-1, 1))[0].tolist()
    assert found.negative.tolist() == np.histogram(negative, 8, (-1, 1))[0].tolist()
    expected = (np.mean(positive) - np.mean(negative)) / math.sqrt((np.var(positive) + np.var(negative)) / 2)
    assert found.d_prime == pytest.approx(expected, abs=1e-5)


def test_histograms_take_negatives_of_some_images_where_there_are_many():
    z = randn(300, 6)
    found = metrics.similarity_histograms(z, z, 80, max_rows=50)
    assert found.positive.tolist() == [0.0] * 79 + [300.0]  # 1 lies in the last bin, however it is rounded
    assert int(found.negative.sum()) == 50 * 49


def test_a_collapsed_encoder_has_no_distance_of_means():
    found = metrics.similarity_histograms(torch.full((9, 3), 1.3), torch.full((9, 3), 1.3), 80)
    assert math.isnan(found.d_prime)


def test_overlap_is_the_shared_area():
    positive, negative = [0.0] * 80, [0.0] * 80
    positive[70], positive[71], negative[70] = 30, 10, 500
    assert row(positive=tuple(positive), negative=tuple(negative)).overlap == pytest.approx(0.75)
    assert row(positive=tuple(positive), negative=tuple(positive)).overlap == pytest.approx(1)
    assert row(positive=(), negative=()).overlap is None


@pytest.mark.parametrize("temperature", [0.05, 0.2, 0.5, 5.0])
@pytest.mark.parametrize("n", [2, 3, 16])
def test_the_range_of_the_loss_is_reached_and_never_left(n, temperature):
    from simclr.objectives.nt_xent import nt_xent

    low, high = health.loss_range(n, temperature)
    simplex = torch.eye(n, dtype=torch.float64) - 1 / n  # as far apart as n points can be
    assert float(nt_xent(simplex, simplex, temperature)) == pytest.approx(low, rel=1e-6)
    for seed in range(20):
        z1, z2 = randn(n, 4, seed=seed), randn(n, 4, seed=seed + 100)
        assert low <= float(nt_xent(z1, z2, temperature)) <= high


@pytest.mark.parametrize("count", [1, 5, 128, 129, 512, 2048])
def test_places_of_a_spectrum_are_few_rising_and_reach_both_ends(count):
    places = health_log.spectrum_indices(count)
    assert places[0] == 0 and places[-1] == count - 1
    assert (np.diff(places) > 0).all()
    assert len(places) <= health_log.MAX_SPECTRUM


# --- the file -------------------------------------------------------------------------------------------------------


def measured(epoch=1, step=10, candidates=127, n=40):
    h, z1, z2 = randn(n, 12, seed=epoch), randn(n, 6, seed=epoch + 1), randn(n, 6, seed=epoch + 2)
    found = modules.health_of(h, z1, z2, metrics.singular_values(h), metrics.singular_values(z1))
    return {"epoch": epoch, "step": step, "candidates": candidates, **found}


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "health.jsonl"
    log = health_log.HealthLog(path)
    for epoch in (1, 2, 3):
        log.append(measured(epoch, 10 * epoch))
    rows = health_log.read(path)
    assert [(item.epoch, item.step, item.candidates, item.images) for item in rows] == [
        (epoch, 10 * epoch, 127, 40) for epoch in (1, 2, 3)
    ]
    assert (rows[0].h.dim, rows[0].z.dim, len(rows[0].h.singular)) == (12, 6, 12)
    assert sum(rows[0].positive) == 40 and sum(rows[0].negative) == 40 * 39
    with path.open("ab") as stream:
        stream.write(json.dumps(measured(4)).encode()[:90])  # torn
    assert [item.epoch for item in health_log.read(path)] == [1, 2, 3]
    health_log.HealthLog(path, keep_steps=20)
    assert [item.epoch for item in health_log.read(path)] == [1, 2]
    assert path.read_bytes().endswith(b"}\n")
    health_log.HealthLog(path)
    assert path.read_bytes() == b""


def test_what_is_not_finite_is_left_out_and_still_a_line(tmp_path):
    broken = torch.full((9, 4), NAN)
    found = modules.health_of(broken, broken, broken, *[metrics.singular_values(broken)] * 2)
    log = health_log.HealthLog(tmp_path / "health.jsonl")
    log.append({"epoch": 1, "step": 1, "candidates": 17, **found})
    (item,) = health_log.read(log.path)
    assert item.h.effective_rank is None and not item.positive and item.overlap is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"3",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"epoch": 1}',
        b"[" * 100_000,
        *(
            json.dumps(measured() | change).encode()
            for change in (
                {"epoch": 0},
                {"epoch": True},
                {"epoch": "1"},
                {"epoch": 1.5},
                {"positive": [1, 2]},
                {"h": None},
                {"h": []},
                {"negative": [-1] * 80},
                {"negative": ["x"] * 80},
                {"d_prime": NAN},
                {"d_prime": "far"},
                {"images": -1},
            )
        ),
    ],
)
def test_a_line_that_is_none_of_ours_is_left_out(tmp_path, line):
    path = tmp_path / "health.jsonl"
    path.write_bytes(line + b"\n" + json.dumps(measured(7)).encode() + b"\n")
    assert [item.epoch for item in health_log.read(path)] == [7]


def test_no_file_has_no_rows(tmp_path):
    assert health_log.read(tmp_path / "health.jsonl") == []
    (tmp_path / "health.jsonl").mkdir()
    assert health_log.read(tmp_path / "health.jsonl") == []


# --- the verdict on made-up courses -----------------------------------------------------------------------------------


def row(epoch=1, **changes):
    layer = health_log.LayerStats(128, 1 / math.sqrt(128), 60.0, (), 128)
    values = {
        "epoch": epoch,
        "step": 10 * epoch,
        "images": 400,
        "candidates": 127,
        "h": layer,
        "z": layer,
        "positive": (),
        "negative": (),
        "d_prime": None,
    }
    return health_log.Row(**values | changes)


HEALTHY = {
    "train/loss": lambda e: 3 + 2 * math.exp(-e / 6),
    "val/loss": lambda e: 3 + 2 * math.exp(-e / 6),
    "train/mean_rank": lambda e: 10 + 30 * math.exp(-e / 3),
    "val/mean_rank": lambda e: 10 + 30 * math.exp(-e / 3),
    "val/knn_top1": lambda e: 0.8 - 0.6 * math.exp(-e / 3),
    "val/alignment": lambda e: 0.5,
    "val/uniformity": lambda e: -3,
    "val/negative_similarity": lambda e: 0.05,
    "val/effective_rank": lambda e: 60,
    "val/effective_rank_z": lambda e: 40,
    "lr": lambda e: 0.001,
}


def course(epochs=10, **changes):
    """Columns as in `metrics.csv`, a training row and a validation row per epoch; changes by metric name."""
    functions = HEALTHY | {name.replace("__", "/"): function for name, function in changes.items()}
    columns = {name: [] for name in ("epoch", *functions)}
    for epoch in range(1, epochs + 1):
        for prefix in ("train/", "val/"):
            columns["epoch"].append(epoch)
            for name, function in functions.items():
                is_training = name.startswith("train/") or name == "lr"
                columns[name].append(function(epoch) if is_training == (prefix == "train/") else NAN)
    return columns


def judge(columns, with_rows=True, reason="", ended=False, **options):
    last = int(max(columns["epoch"], default=0))
    rows = [row(epoch) for epoch in range(1, last + 1)] if with_rows else []
    return health.verdict(rows, columns, OPTIONS | options, reason, ended=ended)


@pytest.mark.parametrize("with_rows", [True, False])
def test_a_healthy_course_is_learning_from_the_third_epoch_on(with_rows):
    for epochs in range(1, 15):
        found = judge(course(epochs), with_rows)
        assert (found.state, found.severity) == (("early", "wait") if epochs < 3 else ("learning", "ok"))
    assert "127" in found.sentence and found.sentence.startswith("It learns: ")
    assert judge(course(10), with_rows, ended=True).sentence.startswith("It has learned: ")


def test_before_the_third_epoch_it_says_when_it_can_be_said():
    assert "first epoch is going on; whether it learns can be said after epoch 3" in judge({"epoch": []}).sentence
    assert judge(course(2)).sentence == "Whether it learns can be said after epoch 3; 2 is over."
    assert "1 epoch this run is too short" in judge(course(1), ended=True).sentence
    assert "2 epochs this run is too short" in judge(course(1), epochs=2).sentence


LEARNED = {  # ranks in training at the first steps, in the first epoch and now; whether that is learning
    "15 % below the first epoch, counted from 0": (21, 21, 18.1, False),
    "more than that": (21, 21, 17.9, True),
    "30 % below the first steps": (21, 16, 15.1, False),
    "more than these": (21, 16, 14.9, True),
}


@pytest.mark.parametrize("case", LEARNED)
def test_learning_is_said_where_the_rank_in_training_has_come_down(case):
    start, first, now, is_learning = LEARNED[case]
    columns = course(3, train__mean_rank=lambda e: (first, 30, now)[e - 1])
    before = dict.fromkeys(columns, NAN) | {"epoch": 1, "train/mean_rank": start}  # the first half of epoch 1
    columns = {name: [before[name], *values] for name, values in columns.items()}
    assert judge(columns).state == ("learning" if is_learning else "unproven")


def test_a_rank_on_the_probe_images_alone_is_no_learning():
    """It falls in a network that does not change, while BatchNorm gathers its statistics."""
    found = judge(course(6, train__mean_rank=lambda e: 50, val__mean_rank=lambda e: 50 - 5 * e))
    assert (found.state, found.severity) == ("unproven", "note")
    assert found.advice


def then(value, name=None):
    """Healthy up to epoch 4, and `value` from epoch 5 on."""
    return lambda e: value if e >= 5 else HEALTHY[name](e)


from_5 = lambda before, later: lambda e: before if e < 5 else later  # noqa: E731

BROKEN = {
    "chance": {"train__mean_rank": then(63, "train/mean_rank"), "val__mean_rank": then(62, "val/mean_rank")},
    "narrow h": {"val__effective_rank": from_5(60, 3)},
    "unlearned": {"train__mean_rank": then(45, "train/mean_rank"), "val__mean_rank": then(45, "val/mean_rank")},
    "same views": {
        "val__alignment": from_5(0.5, 0.001),
        "val__mean_rank": then(1, "val/mean_rank"),
        "train__mean_rank": then(1, "train/mean_rank"),
    },
    "not normalised": {"train__loss": from_5(4, 0.2)},
    "diverged": {"train__loss": from_5(4, math.inf)},
    "narrow z": {"val__effective_rank_z": from_5(60, 2)},
}


@pytest.mark.parametrize("state", BROKEN)
def test_what_breaks_at_an_epoch_is_said_within_two_and_dated(state):
    assert judge(course(4, **BROKEN[state])).severity == "ok"
    found = judge(course(6, **BROKEN[state]))
    assert (found.state, found.since) == (state, 5)
    assert found.severity == ("note" if state == "narrow z" else "alarm")
    assert found.rule.startswith("Said when")


def test_a_run_without_lines_of_its_own_is_judged_by_its_metrics():
    for state in ("chance", "unlearned", "same views", "not normalised", "diverged"):
        assert judge(course(6, **BROKEN[state]), with_rows=False).state == state
    narrow = course(6, val__negative_similarity=from_5(0.05, 0.999), val__alignment=from_5(0.5, 0.0005))
    assert judge(narrow, with_rows=False).state == "collapse"


def test_chance_is_judged_by_rank_and_never_by_loss():
    """At a low temperature the loss of a network that ranks well may lie far above ln(2N - 1)."""
    assert judge(course(4, train__loss=lambda e: 9, val__loss=lambda e: 9), temperature=0.05).state == "learning"


def test_one_epoch_at_chance_is_no_alarm_yet():
    found = judge(course(1, train__mean_rank=lambda e: 64, val__mean_rank=lambda e: 64))
    assert (found.state, found.severity) == ("early", "wait")


def test_a_collapse_needs_two_epochs_or_ranks_at_chance():
    point = health_log.LayerStats(128, 0.001, 1.0, (), 128)
    rows = [row(1), row(2, z=point)]
    assert health.verdict(rows, course(2), OPTIONS).state == "narrow cone"
    assert health.verdict([*rows, row(3, z=point)], course(3), OPTIONS).state == "collapse"
    at_chance = course(2, train__mean_rank=lambda e: 64, val__mean_rank=lambda e: 64)
    assert health.verdict(rows, at_chance, OPTIONS).state == "collapse"


def test_plateau_and_settled_differ_by_the_learning_rate():
    still = {"train__loss": lambda e: 3, "val__loss": lambda e: 3 + 2 * (e < 3), "val__knn_top1": lambda e: 0.5}
    assert judge(course(9, **still)).state == "plateau"
    found = judge(course(9, **still, lr=lambda e: 0.001 if e < 6 else 0.00001))
    assert (found.state, found.severity) == ("settled", "ok")


def test_overfitting_and_a_falling_knn_are_notes():
    found = judge(course(10, val__loss=lambda e: 3.5 + 0.1 * abs(e - 4)))
    assert (found.state, found.severity, found.since) == ("overfitting", "note", 5)
    found = judge(course(10, val__knn_top1=from_5(0.7, 0.4)))
    assert (found.state, found.severity, found.since) == ("forgetting", "note", 5)


def test_an_end_by_divergence_is_one_though_no_row_tells():
    found = judge(course(3), reason="diverged")
    assert (found.state, found.since) == ("diverged", 4)
    assert judge({"epoch": []}, reason="diverged").state == "diverged"


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"epoch": []},
        {"epoch": [1.0]},
        {"epoch": [NAN], "val/loss": [NAN]},
        {"epoch": [1.0, 2.0], "train/loss": [1.0]},
    ],
)
@pytest.mark.parametrize("options", [{}, {"batch_size": "many", "temperature": None, "epochs": -3}])
def test_little_or_nonsense_is_no_verdict_and_no_error(columns, options):
    assert health.verdict([], columns, options).severity == "wait"


def test_an_epoch_comes_to_its_last_value_and_in_training_to_the_mean_of_its_later_half():
    epochs = np.array([1, 1, 1, 2, 2, 1, 3])
    column = np.array([5.0, NAN, 1.0, 4.0, NAN, 3.0, NAN])
    known = np.array([1, 2, 3])
    assert records.per_epoch("val/loss", epochs, column, known) == pytest.approx([3, 4, NAN], nan_ok=True)
    assert records.per_epoch("train/loss", epochs, column, known) == pytest.approx([2, 4, NAN], nan_ok=True)


def test_a_thousand_epochs_are_judged_quickly():
    columns = course(1000)
    start = time.thread_time()  # others may have the processor meanwhile
    judge(columns)
    assert time.thread_time() - start < 1


def test_what_was_known_after_an_epoch():
    rows, columns = health.up_to([row(1), row(2), row(3)], course(3), 2)
    assert [item.epoch for item in rows] == [1, 2]
    assert columns["epoch"] == [1, 1, 2, 2] and len(columns["val/loss"]) == 4


# --- real runs ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def constant_encoder():
    """Every image is mapped to the same point."""
    with pytest.MonkeyPatch.context() as patch:
        original = modules.SimCLR._embed

        def constant(self, first, second):
            h, z = original(self, first, second)
            return h * 0 + 1, z * 0 + 1

        patch.setattr(modules.SimCLR, "_embed", constant)
        yield


@contextlib.contextmanager
def without_normalisation():
    """The loss takes scalar products for similarities."""

    def contrast(z1, z2, temperature):
        z = torch.cat([z1, z2]).float()
        similarities = z @ z.T
        ranks = metrics.positive_ranks(similarities.detach())
        others = similarities.masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
        return F.cross_entropy(others / temperature, torch.arange(len(z)).roll(len(z1))), ranks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules, "contrast", contrast)
        yield


def trained(folder, patch=contextlib.nullcontext, **options):
    """A run, and its verdict after every epoch by its own lines and by `metrics.csv` alone."""
    with patch():
        run = train(cfg.build(cfg.PretrainConfig, QUICK | options), runs_dir=folder)
    rows, columns = health_log.read(run.health_path), run.metrics()
    verdicts, old = [], []
    for epoch in range(1, run.status.epoch + 1):
        reason = run.status.reason if epoch == run.status.epoch else ""
        then, told = health.up_to(rows, columns, epoch)
        verdicts.append(health.verdict(then, told, run.config, reason))
        old.append(health.verdict([], told, run.config, reason))
    return SimpleNamespace(run=run, rows=rows, verdicts=verdicts, old=old, states=[item.state for item in verdicts])


def severities(verdicts):
    return {item.severity for item in verdicts}


def test_a_real_run_writes_its_health_and_learns(tmp_path):
    found = trained(tmp_path)
    assert found.run.status.state == "finished"
    assert "alarm" not in severities(found.verdicts) | severities(found.old), found.verdicts
    assert found.states[-1] == "learning"
    told = found.run.metrics()
    validated = [place for place, value in enumerate(told["val/loss"]) if value == value]
    assert [item.epoch for item in found.rows] == [1, 2, 3, 4]
    assert [item.step for item in found.rows] == [told["step"][place] for place in validated]
    for item, place in zip(found.rows, validated, strict=True):
        assert item.h.effective_rank == pytest.approx(told["val/effective_rank"][place], rel=1e-4)
        assert item.z.effective_rank == pytest.approx(told["val/effective_rank_z"][place], rel=1e-4)
        assert (item.h.dim, item.z.dim, item.images, item.candidates) == (128, 128, 51, 101)
        middles = np.linspace(-1, 1, 81)[:-1] + 0.0125
        mean = float(np.average(middles, weights=item.negative))
        assert mean == pytest.approx(told["val/negative_similarity"][place], abs=0.013)
        # what a run that kept no lines is judged by instead
        spread = math.sqrt(1 - told["val/negative_similarity"][place])
        assert item.z.std * math.sqrt(128) == pytest.approx(spread, abs=0.1)


@pytest.mark.slow
def test_a_network_that_does_not_change_is_never_said_to_learn(tmp_path):
    for seed in (0, 2):
        found = trained(tmp_path, seed=seed, learning_rate=1e-9, epochs=6)
        assert not {"learning", "settled"} & {item.state for item in [*found.verdicts, *found.old]}, found.verdicts


def test_a_constant_encoder_is_a_collapse_at_once(tmp_path):
    found = trained(tmp_path, constant_encoder, epochs=2)
    assert found.states == ["collapse", "collapse"]
    assert severities(found.verdicts) == severities(found.old) == {"alarm"}


def test_no_augmentation_is_told(tmp_path):
    found = trained(tmp_path, epochs=2, augmentation=NO_AUGMENTATION)
    assert found.states[-1] == "same views" == found.old[-1].state


def test_without_validation_images_the_ranks_of_training_tell(tmp_path):
    options = TINY_PRETRAIN | {"val_fraction": 0, "epochs": 3}
    run = train(cfg.build(cfg.PretrainConfig, options), runs_dir=tmp_path)
    assert health_log.read(run.health_path) == []
    found = health.verdict([], run.metrics(), run.config)
    assert found.severity != "alarm" and "in training" in found.sentence


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_quick_recipe_is_never_an_alarm(tmp_path, seed):
    found = trained(tmp_path, seed=seed, epochs=10, limit_images=1024, image_size=32, batch_size=128)
    assert "alarm" not in severities(found.verdicts) | severities(found.old), found.verdicts
    assert found.verdicts[-1].severity == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.1, 1.0, 30.0])
def test_a_learning_rate_far_too_high_is_an_alarm_by_the_second_epoch(tmp_path, learning_rate):
    found = trained(tmp_path, learning_rate=learning_rate)
    assert found.verdicts[0].severity != "ok"
    assert found.verdicts[1].severity == "alarm" == found.old[1].severity, found.verdicts[1]


@pytest.mark.slow
def test_weights_that_burst_are_a_divergence(tmp_path):
    def burst(self, trainer, module, *_):
        if trainer.global_step == 17:  # in the third epoch
            with torch.no_grad():
                next(module.head.parameters()).mul_(math.inf)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Progress, "on_train_batch_end", burst)
        found = trained(tmp_path)
    assert (found.run.status.state, found.run.status.reason) == ("failed", "diverged")
    assert found.states[:2] == ["early", "early"]
    assert (found.states[-1], found.verdicts[-1].severity, found.verdicts[-1].since) == ("diverged", "alarm", 3)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0, 5.0])
def test_an_extreme_temperature_that_learns_is_no_alarm(tmp_path, temperature):
    found = trained(tmp_path, temperature=temperature, epochs=6)
    assert found.run.metrics()["val/mean_rank"][-1] < 35  # of 101: it does learn
    assert "alarm" not in severities(found.verdicts) | severities(found.old), found.verdicts


@pytest.mark.slow
def test_embeddings_that_are_not_normalised_are_an_alarm_where_it_matters(tmp_path):
    """At a high temperature their lengths make up for it, and the loss falls below what cosines allow."""
    found = trained(tmp_path / "high", without_normalisation, temperature=5.0, epochs=6)
    assert found.states[-1] == "not normalised" == found.old[-1].state
    learns = trained(tmp_path / "low", without_normalisation, epochs=4)
    assert learns.run.metrics()["val/mean_rank"][-1] < 40
    assert learns.verdicts[-1].severity != "alarm"  # within the range, it ranks and spreads as any


def test_the_name_of_the_file_is_told_by_the_folder(tmp_path):
    assert runs.Run(tmp_path).health_path == tmp_path / "health.jsonl"
