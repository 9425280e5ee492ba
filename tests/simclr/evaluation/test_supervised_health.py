"""The verdict on supervised runs: generated logs at the boundaries of each rule, and small real trainings."""

import json
import math
from pathlib import Path

import pytest
from conftest import TINY

from simclr import config as cfg
from simclr import runs
from simclr.evaluation import health
from simclr.lifecycle.train import train

NAN = math.nan
OPTIONS = {"epochs": 20, "batch_size": 64}
META = {"num_classes": 10, "num_train_images": 1800, "num_val_images": 2000}
GUESS = math.log(10)
# 10 classes: the loss comes down from guessing, and validation follows
HEALTHY = {
    "train/loss": lambda e: 0.5 + 1.8 * math.exp(-e / 4),
    "val/loss": lambda e: 0.7 + 1.6 * math.exp(-e / 4),
    "train/top1": lambda e: 0.95 - 0.8 * math.exp(-e / 4),
    "val/top1": lambda e: 0.85 - 0.7 * math.exp(-e / 4),
    "lr": lambda e: 0.001,
}
SHIPPED = Path(__file__).resolve().parents[3] / "runs" / "examples"


def course(epochs, steps_per_epoch=30, **changes):
    """Columns as in `metrics.csv`, a training row and a validation row per epoch; changes by metric name."""
    functions = HEALTHY | {name.replace("__", "/"): function for name, function in changes.items()}
    functions = {name: function for name, function in functions.items() if function is not None}
    columns = {name: [] for name in ("epoch", "step", *functions)}
    for epoch in range(1, epochs + 1):
        for is_training in (True, False):
            columns["epoch"].append(epoch)
            columns["step"].append(epoch * steps_per_epoch)
            for name, function in functions.items():
                own = name.startswith("train/") or name == "lr"
                columns[name].append(function(epoch) if own == is_training else NAN)
    return columns


def judge(columns, ended=False, reason="", meta=META, **options):
    return health.supervised_verdict(columns, OPTIONS | options, meta, reason, ended=ended)


def constant(value):
    return lambda e: value


def test_a_healthy_course_is_learning_once_it_can_be_said():
    for epochs in range(1, 20):
        found = judge(course(epochs))
        assert (found.state, found.severity) == (("early", "wait") if epochs < 3 else ("learning", "ok"))
    assert (
        found.sentence
        == "It learns: 94.3 % of its training images and 84.4 ± 1.6 % of the validation images are right."
    )
    assert judge(course(40), ended=True).state == "trained"


def test_before_fifty_steps_nothing_is_said():
    assert judge(course(49, steps_per_epoch=1)).state == "early"
    assert judge(course(50, steps_per_epoch=1)).state == "learning"
    assert "5 epochs and 5 steps this run is too short" in judge(course(5, steps_per_epoch=1), ended=True).sentence
    assert judge({"epoch": []}).state == judge({}, ended=True).state == "waiting"


@pytest.mark.parametrize(("loss", "state"), [(0.96, "learning"), (0.98, "not learning"), (1.02, "not learning")])
def test_a_loss_that_stays_at_guessing_does_not_learn(loss, state):
    found = judge(course(5, train__loss=constant(loss * GUESS)))
    assert found.state == state
    if state != "learning":
        assert (found.severity, found.since) == ("alarm", 1)


def test_far_above_guessing_the_learning_rate_is_too_high():
    found = judge(course(5, train__loss=constant(2 * GUESS)))
    assert found.state == "not learning" and "too high" in found.sentence and "ten" in found.advice
    assert "far too low" in judge(course(5, train__loss=constant(GUESS))).sentence


@pytest.mark.parametrize(("back", "state"), [(0.24, "learning"), (0.26, "climbing")])
def test_a_training_loss_that_goes_back_is_an_alarm_after_two_epochs(back, state):
    def climbs(e):
        return 1.0 if e < 6 else 1.0 + back * (GUESS - 1.0)

    assert judge(course(6, train__loss=climbs)).state == "learning"
    found = judge(course(7, train__loss=climbs))
    assert found.state == state
    if state == "climbing":
        assert (found.severity, found.since) == ("alarm", 6)


def test_noise_of_a_loss_near_nothing_is_no_climb():
    assert judge(course(9, train__loss=lambda e: 0.001 if e % 2 else 0.05)).state == "learning"


def test_memorizing_takes_a_gap_of_twenty_points_for_three_epochs():
    gap = lambda size: lambda e: HEALTHY["train/top1"](e) - (size if e >= 6 else 0.05)  # noqa: E731
    assert judge(course(7, val__top1=gap(0.21))).state == "learning"
    found = judge(course(8, val__top1=gap(0.21)))
    assert (found.state, found.severity, found.since) == ("memorizes", "note", 6)
    assert "1,800 training images" in found.sentence and "lowest" not in found.sentence
    assert judge(course(8, val__top1=gap(0.19))).state == "learning"
    rising = judge(course(8, val__top1=gap(0.21), val__loss=lambda e: 1 + 0.1 * abs(e - 3)))
    assert "the validation loss was lowest at epoch 3" in rising.sentence


def test_what_helps_against_memorizing_depends_on_what_is_trained():
    columns = course(8, val__top1=constant(0.3), train__top1=constant(0.9))
    advice = {
        "frozen": judge(columns, freeze_encoder=True).advice,
        "full": judge(columns).advice,
        "scratch": judge(columns, random_weight_init=True).advice,
    }
    assert len(set(advice.values())) == 3
    assert "pre-trained encoder" in advice["scratch"] and "frozen encoder" in advice["full"]


def test_a_gap_within_twice_the_margin_is_no_claim():
    """40 validation images: +- 15 points at half right."""
    columns = course(8, val__top1=constant(0.5), train__top1=constant(0.75))
    assert judge(columns).state == "memorizes"
    found = judge(columns, meta=META | {"num_val_images": 40})
    assert found.state == "few images" and "within 15 points" in found.sentence


@pytest.mark.parametrize(("images", "state"), [(384, "few images"), (385, "learning")])
def test_validation_images_are_too_few_where_the_margin_is_over_five_points(images, state):
    """1.96 sqrt(0.25 / n) = 0.05 at n = 384.16."""
    columns = course(5, val__top1=constant(0.5), train__top1=constant(0.6))
    assert judge(columns, meta=META | {"num_val_images": images}).state == state


def test_validation_at_chance_is_told_from_just_above():
    """With 2,000 images of ten classes, guessing reaches 11.3 % one time in forty."""
    low = {"train__top1": constant(0.2)}
    assert judge(course(5, val__top1=constant(0.113), **low)).state == "chance"
    assert judge(course(5, val__top1=constant(0.114), **low)).state == "learning"
    assert judge(course(5, val__top1=constant(0.1), **low), meta={}).state == "learning"  # classes are not known


@pytest.mark.parametrize(("fall", "state"), [(0.029, "trained"), (0.031, "still falling")])
def test_a_loss_that_still_falls_at_the_end_had_not_converged(fall, state):
    columns = course(20, val__loss=lambda e: 1.0 if e <= 18 else 1.0 - fall)
    found = judge(columns, ended=True)
    assert found.state == state
    assert judge(columns).state == "learning"  # more is to come
    if state == "still falling":
        assert found.since == 19 and "last 2 epochs" in found.sentence


def test_underfitting_is_low_in_training_too_and_stands_still():
    still = {"train__loss": constant(1.5), "val__loss": constant(1.5), "train__top1": constant(0.6)}
    assert judge(course(20, val__top1=constant(0.56), **still), ended=True).state == "underfits"
    assert judge(course(20, val__top1=constant(0.54), **still), ended=True).state == "trained"  # 6 points below
    assert judge(course(20, val__top1=constant(0.56), **still)).state == "learning"
    falling = still | {"train__loss": lambda e: 2 - 0.05 * e}
    assert judge(course(20, val__top1=constant(0.56), **falling), ended=True).state == "trained"
    good = still | {"train__top1": constant(0.91)}
    assert judge(course(20, val__top1=constant(0.9), **good), ended=True).state == "trained"
    assert "mlp head" in judge(course(20, val__top1=constant(0.56), **still), ended=True, freeze_encoder=True).advice


@pytest.mark.parametrize("way", ["mixup_alpha", "cutmix_alpha"])
def test_accuracy_on_mixed_images_is_called_that_and_is_no_underfitting(way):
    still = {"train__loss": constant(1.5), "val__loss": constant(1.5), "train__top1": constant(0.6)}
    found = judge(course(20, val__top1=constant(0.56), **still), ended=True, **{way: 0.2})
    assert found.state == "trained"
    assert "60.0 % of its mixed training images" in found.sentence
    assert judge(course(20, val__top1=constant(0.56), **still), ended=True, **{way: 0.0}).state == "underfits"


def test_divergence_is_said_before_all_else():
    assert judge(course(3), reason="diverged").state == "diverged"
    assert judge(course(4, train__loss=lambda e: math.inf if e == 4 else 1)).since == 4
    assert "temperature" not in judge(course(3), reason="diverged").advice


def test_without_validation_images_it_says_what_it_does_not_know():
    columns = course(5, val__loss=None, val__top1=None)
    assert judge(columns).state == "unseen"


@pytest.mark.parametrize(
    "columns", [{}, {"epoch": [1.0]}, {"epoch": [NAN], "val/loss": [NAN]}, {"epoch": [1, 2], "val/loss": [1]}]
)
@pytest.mark.parametrize("meta", [{}, {"num_classes": "ten", "num_val_images": None, "num_train_images": -1}])
def test_little_or_nonsense_is_no_verdict_and_no_error(columns, meta):
    assert judge(columns, meta=meta).severity == "wait"


def test_each_rule_is_said_by_one_state_and_names_its_numbers():
    for rules in (health.PRETRAIN_RULES, health.SUPERVISED_RULES, health.SPEED_RULES):
        assert len({rule.state for rule in rules}) == len({rule.title for rule in rules}) == len(rules)
        assert all(rule.text.startswith("Said ") and rule.text.endswith(".") for rule in rules)


@pytest.mark.parametrize(
    ("folder", "states"),
    [
        ("20261125-151223-scratch-shapes-resnet_tiny-9g44", {"early", "memorizes"}),
        ("20261130-131921-finetune-cifar10_jpeg-cnn_tiny-7uhd", {"early", "learning"}),
    ],
)
def test_shipped_runs(folder, states):
    run = runs.Run(SHIPPED / folder)
    told = run.metrics()
    found = [judge(health.up_to([], told, epoch)[1], meta=run.meta) for epoch in range(1, run.status.epoch + 1)]
    assert {item.state for item in found} == states
    json.dumps([item.sentence for item in found])


# --- real trainings -------------------------------------------------------------------------------------------------


def trained(folder, **options):
    options = TINY | {"random_weight_init": True, "backbone": "resnet_tiny", "epochs": 20, "film_frames": 0} | options
    return train(cfg.build(cfg.FinetuneConfig, options), runs_dir=folder)


def verdict_of(run):
    status = run.status
    return health.supervised_verdict(run.metrics(), run.config, run.meta, status.reason, ended=True)


@pytest.mark.slow
def test_a_real_training_on_few_labels_memorizes(tmp_path):
    run = trained(tmp_path, limit_images=400, val_fraction=0.5, label_fraction=0.1, learning_rate=0.003, epochs=60)
    assert run.meta["num_val_images"] == 200
    found = verdict_of(run)
    assert found.state == "memorizes", found
    assert "20 training images" in found.sentence


@pytest.mark.parametrize("learning_rate", [1e-9, 50.0])
def test_a_real_learning_rate_far_off_is_an_alarm(tmp_path, learning_rate):
    run = trained(tmp_path, limit_images=160, learning_rate=learning_rate, epochs=8)
    assert verdict_of(run).severity == "alarm", verdict_of(run)
