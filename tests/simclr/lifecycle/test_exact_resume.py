"""Whatever ends a training, whatever kind it is, killed or stopped in any phase: resumed, it ends in the same bytes."""

import itertools
import random
import signal
from types import SimpleNamespace

import killable
import pytest
import torch
from conftest import TINY, TINY_PRETRAIN, flags, make_folder
from trainings import rows_of

from simclr import config as cfg
from simclr import runs
from simclr.data.loading import load_data
from simclr.runs import film_frames
from simclr.training.datamodule import PretrainData

# 144 images train, in nine steps an epoch; a checkpoint after nearly each step
COMMON = {"limit_images": 160, "epochs": 3, "checkpoint_every_minutes": 0.0005, "film_frames": 3}
ENDS = {
    "epochs": {},
    "max_steps": {"epochs": 10, "max_steps": 23},  # within the third epoch
    "max_steps at the end of an epoch": {"epochs": 10, "max_steps": 18},
    "patience": {"epochs": 10, "early_stopping_patience": 1, "learning_rate": 0.05},  # too large to improve for long
}
KINDS = {
    "pretrain": TINY_PRETRAIN | COMMON | {"version": 1},
    "words": TINY_PRETRAIN | COMMON | {"version": 1, "text_encoder": "transformer", "held_out": "red star,blue ring"},
    "full": {"batch_size": 16, "num_threads": 1, "accelerator": "cpu", "precision": "32-true"} | COMMON,
    "scratch": TINY | COMMON | {"backbone": "resnet_tiny", "random_weight_init": True},
    "frozen": {"batch_size": 16, "num_threads": 1, "accelerator": "cpu", "precision": "32-true", "freeze_encoder": True}
    | COMMON,
}
CONTRASTIVE = ("pretrain", "words")


def files_of(run):
    """Everything that has to be the same, whatever happened on the way."""
    film = {path.name: path.read_bytes() for path in film_frames.folder_of(run).glob("*.npy")}
    assert film or run.config["freeze_encoder"]  # which changes nothing that a film could show
    evaluation = run.evaluation
    for about in evaluation["protocols"].values():
        del about["seen_at"]
    health = run.health_path.read_bytes() if run.health_path.exists() else b""
    text = run.path / runs.TEXT_ENCODER
    assert text.is_file() == bool(run.config.get("text_encoder"))
    weights = run.model_path.read_bytes(), text.read_bytes() if text.is_file() else b""
    return weights, rows_of(run), health, evaluation, film, (run.status.step, run.status.epoch)


@pytest.fixture
def ended(tmp_path, finished_run):
    """A function that trains options to their end through moments of a signal each, and returns the run."""
    number = 0

    def train(kind, options, moments=()):
        nonlocal number
        number += 1
        folder = tmp_path / f"runs-{number}"
        folder.mkdir()
        more = {"experiment_version": str(finished_run.path)} if kind in ("full", "frozen") else {}
        log = tmp_path / f"{number}.log"
        arguments = [
            "pretrain" if kind in CONTRASTIVE else "finetune",
            *flags(options | more),
            "--runs_dir",
            str(folder),
        ]
        reached = []
        for moment, count, sign in moments:
            code = killable.run(arguments, log, moment, count, sign)
            if code == 0:  # it had ended before
                break
            assert code == (-signal.SIGKILL if sign == signal.SIGKILL else runs.STOPPED_EXIT_CODE), log.read_text()
            reached.append(moment)
            if found := runs.list_runs(folder):
                arguments = ["resume", str(found[0].path)]
        else:
            assert killable.run(arguments, log) == 0, log.read_text()
        (run,) = runs.list_runs(folder)
        assert run.status.state == "finished", log.read_text()
        return run, reached

    return train


KILLS = [
    ("reading", 1),
    ("a first checkpoint half written", 1),
    ("a step", 5),
    ("validating", 1),
    ("a row without its checkpoint", 1),
    ("between epochs", 1),
    ("a step", 3),
    ("the best without the last", 1),
    ("the weights half written", 1),
    ("testing", 1),
    ("after the test", 1),
    ("the evaluation written", 1),
    ("the last word", 1),
]
STOPS = [("reading", 1), ("a step", 4), ("validating", 1), ("a step", 3), ("between epochs", 1), ("testing", 1)]


def killed(moments=KILLS):
    return [(moment, count, signal.SIGKILL) for moment, count in moments]


def stopped(moments=STOPS):
    return [(moment, count, signal.SIGTERM) for moment, count in moments]


@pytest.mark.parametrize(
    ("kind", "end", "more"),
    [
        ("pretrain", "max_steps", {"initial_image_size": 12}),  # up to a step within the second epoch
        pytest.param(
            *("scratch", "max_steps at the end of an epoch", {"backbone": "mobilenet_v3_small"}),  # it has dropout
            marks=pytest.mark.slow,
        ),
        ("frozen", "max_steps", {}),
        ("words", "max_steps", {}),
    ],
)
def test_killed_in_every_phase(ended, kind, end, more):
    options = KINDS[kind] | ENDS[end] | more
    expected, _ = ended(kind, options)
    run, reached = ended(kind, options, killed())
    assert reached == [moment for moment, _ in KILLS]
    assert files_of(run) == files_of(expected)


@pytest.mark.parametrize(
    ("kind", "end"),
    [pytest.param("full", "patience", marks=pytest.mark.slow), ("frozen", "patience")],
)
def test_stopped_in_every_phase(ended, kind, end):
    options = KINDS[kind] | ENDS[end]
    expected, _ = ended(kind, options)
    run, reached = ended(kind, options, stopped())
    assert reached == [moment for moment, _ in STOPS]
    assert files_of(run) == files_of(expected)
    for clock in ("perf/seconds", "perf/cpu_seconds"):
        values = run.metrics()[clock].tolist()
        assert values == sorted(values) and values[0] > 0, clock


def test_a_transform_of_the_callers_own_draws_the_same_at_any_time():
    data = load_data("shapes", image_size=16, limit_images=64)

    def views(epoch, positions, before):
        torch.manual_seed(before)
        module = PretrainData(
            data,
            cfg.Augmentation(),
            transform=lambda x: x[..., :8, :8] * torch.rand(len(x), 1, 1, 1),
            batch_size=8,
            seed=0,
            size=8,
            num_workers=0,
        )
        module.trainer = SimpleNamespace(current_epoch=epoch, validating=False, sanity_checking=False)
        return module.transfer_batch_to_device(torch.tensor(positions), torch.device("cpu"), 0)

    first, again = views(1, [3, 1, 2], before=0), views(1, [3, 1, 2], before=7)
    assert first.first.equal(again.first) and first.second.equal(again.second)
    assert not first.first.equal(first.second)
    assert not first.first.equal(views(2, [3, 1, 2], before=0).first)


# --- all of it ------------------------------------------------------------------------------------------------------

# What else the way a run is resumed could depend on.
VARIANTS = {
    "plain": {},
    "without validation": {"val_fraction": 0},
    "one checkpoint an epoch": {"checkpoint_every_minutes": 0},
    "dropout": {"backbone": "mobilenet_v3_small"},
    "streamed": {"memory_share": 0, "num_workers": 1},
    "uneven": {"batch_size": 20, "knn_every_epochs": 2},
    "micro batches": {"micro_batch_size": 6},
    "small views first": {"initial_image_size": 12, "initial_size_share": 0.5},
    "bfloat16": {"precision": "bf16-mixed"},
    "muon": {"optimizer": "muon"},
    "two processes": {"devices": 2},
    "augmented": {
        "augmentation.crop_scale_min": 0.5,
        "augmentation.jitter_probability": 0.8,
        "augmentation.policy": "randaugment",
    },
    "several passes": {"images_per_epoch": 150, "label_fraction": 0.2},
    # with an augmentation a frozen encoder sees images, which can be mixed
    "mixed": {"mixup_alpha": 0.4, "cutmix_alpha": 1, "mix_probability": 0.8, "augmentation.crop_scale_min": 0.5},
    "mixed in two processes": {"mixup_alpha": 0.4, "cutmix_alpha": 1, "devices": 2},
}


def allowed(kind, end, variant):
    names = VARIANTS[variant]
    return not (
        ("early_stopping_patience" in ENDS[end] and (kind in CONTRASTIVE or "val_fraction" in names))
        or ("backbone" in names and kind in ("full", "frozen"))
        or ({"micro_batch_size", "knn_every_epochs", "initial_image_size"} & set(names) and kind not in CONTRASTIVE)
        or ("devices" in names and kind in ("frozen", "words"))
        or (({"micro_batch_size"} & set(names) or variant == "streamed") and kind == "words")
        or ({"images_per_epoch", "mixup_alpha"} & set(names) and kind in CONTRASTIVE)
    )


def pairwise():
    """Cases in which each kind meets each end, each end each variant, and each variant each kind."""
    everything = [case for case in itertools.product(KINDS, ENDS, VARIANTS) if allowed(*case)]
    left = {pair for case in everything for pair in itertools.combinations(case, 2)}
    while left:
        case = max(everything, key=lambda case: len(left & set(itertools.combinations(case, 2))))
        left -= set(itertools.combinations(case, 2))
        yield case


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "end", "variant"), list(pairwise()))
def test_killed_and_stopped_wherever_it_may_be(ended, tmp_path, kind, end, variant):
    generator = random.Random(f"{kind} {end} {variant}")
    options = KINDS[kind] | {"epochs": 5} | ENDS[end] | VARIANTS[variant]
    if "max_steps" in options:
        options["max_steps"] += 18  # two more epochs, so that no moment comes after the last step
    if variant == "streamed":
        options["dataset"] = str(make_folder(tmp_path / "images", {"a": 100, "b": 100}))
    moments = [
        (
            moment,
            generator.randint(1, 4) if moment == "a step" else 1,
            signal.SIGTERM if moment in dict(STOPS) and generator.random() < 0.3 else signal.SIGKILL,
        )
        for moment, _ in KILLS
        if moment != "validating" or "val_fraction" not in options
    ]
    expected, _ = ended(kind, options)
    run, reached = ended(kind, options, moments)
    print(f"{kind}, {end}, {variant}: ended {len(reached)} times")
    assert len(reached) > 5, reached  # early stopping may leave no step for a moment to come in
    assert files_of(run) == files_of(expected)


@pytest.mark.slow
def test_a_vision_transformer_is_killed(ended):
    options = (
        KINDS["scratch"]
        | ENDS["max_steps at the end of an epoch"]
        | {
            "backbone": "vit_b_32",
            "image_size": 32,
            "batch_size": 48,
            "max_steps": 6,
            "optimizer": "sgd",
            "checkpoint_every_minutes": 0,
        }
    )
    expected, _ = ended("scratch", options)
    run, _ = ended("scratch", options, killed([("a step", 2), ("between epochs", 1), ("a step", 1), ("testing", 1)]))
    assert files_of(run) == files_of(expected)
