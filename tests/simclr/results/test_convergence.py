"""Steps and seconds until 90 % of from scratch's final accuracy: against loops in plain Python, and case by case."""

import itertools
import math
import random
import statistics

import pytest

from simclr import config as cfg
from simclr import runs
from simclr.results import convergence
from simclr.results.convergence import Pair, Reach, Training, first_reach, over_seeds, pair, ratio, validations
from simclr.results.statistics import Spread, spread

NAN = math.nan


def columns(*rows, cpu=True):
    """Columns of a log from (step, validation accuracy, seconds, processor seconds) rows."""
    names = ("step", "val/top1", "perf/seconds", "perf/cpu_seconds")[: 4 if cpu else 3]
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def curve(*accuracies, per_epoch=10, **more):
    """A finished training with these validation accuracies, one an epoch of two seconds, three of the processor."""
    rows = [(per_epoch * n, value, 2.0 * n, 3.0 * n) for n, value in enumerate(accuracies, 1)]
    return Training(validations(columns(*rows)), **more)


# --- against slow references ----------------------------------------------------------------------------------------


def slow_clock(values):
    """What a clock shows at each row, carried on and never turned back."""
    shown, offset, last = [], 0.0, None
    for value in values:
        if math.isfinite(value):
            if last is not None and value < last:
                offset += last
            last = value
        shown.append(None if last is None else offset + last)
    return shown


def slow_reach(rows, level):
    """Step, accuracy, seconds and processor seconds of the first validation that is not below the level."""
    clocks = [slow_clock([row[place] for row in rows]) for place in (2, 3)]
    for number, (step, accuracy, *_) in enumerate(rows):
        if math.isfinite(step) and math.isfinite(accuracy) and accuracy >= level:
            return Reach(step, accuracy, clocks[0][number], clocks[1][number])
    return None


def random_rows(dice):
    """A log of training rows and validations, some with torn cells, some with clocks that begin again."""
    rows, seconds, cpu = [], 0.0, 0.0
    for step in range(dice.choice((0, 1, 5)), dice.randrange(1, 40)):
        seconds, cpu = seconds + dice.random(), cpu + dice.random()
        if dice.random() < 0.05:
            seconds = cpu = 0.0
        accuracy = dice.random() if dice.random() < 0.6 else NAN
        row = [float(step), accuracy, seconds, cpu]
        for place in range(4):
            if dice.random() < 0.08:
                row[place] = dice.choice((NAN, math.inf)) if place != 1 else NAN
        rows.append(tuple(row))
    return rows


@pytest.mark.parametrize("seed", range(300))
def test_the_first_reach_is_that_of_a_loop_over_the_rows(seed):
    dice = random.Random(seed)
    rows, level = random_rows(dice), dice.choice((0.0, 0.3, 0.9, 0.999, 1.1))
    found, expected = first_reach(validations(columns(*rows)), level), slow_reach(rows, level)
    if expected is None:
        assert found is None
        return
    assert (found.step, found.accuracy) == (expected.step, expected.accuracy)
    assert [found.seconds, found.cpu_seconds] == pytest.approx([expected.seconds, expected.cpu_seconds])


@pytest.mark.parametrize("seed", range(100))
def test_pairs_of_seeds_come_to_what_plain_lists_come_to(seed):
    dice = random.Random(seed)
    curves = [[[dice.random() for _ in range(dice.randrange(1, 6))] for _ in range(2)] for _ in range(4)]
    pairs = [pair(curve(*ours), curve(*scratch)) for ours, scratch in curves]
    found = over_seeds(pairs, "cpu")
    steps, ratios, seconds = [], [], []
    for ours, scratch in curves:
        level = 0.9 * scratch[-1]
        at = [next((10 * n for n, value in enumerate(each, 1) if value >= level), None) for each in (ours, scratch)]
        assert at[1] is not None  # it ends above its own level
        if at[0] is not None:
            steps, ratios, seconds = [*steps, at[0]], [*ratios, at[0] / at[1]], [*seconds, 0.3 * at[0]]
    assert (found.num_pairs, found.num_reached) == (4, len(steps))
    for mine, values in ((found.steps, steps), (found.step_ratio, ratios), (found.seconds, seconds)):
        if not values:
            assert mine is None
            continue
        assert (mine.num, mine.mean) == (len(values), pytest.approx(statistics.mean(values)))
        expected = statistics.stdev(values) if len(values) > 1 else None
        assert mine.deviation == (None if expected is None else pytest.approx(expected))
    assert found.second_ratio == (None if not ratios else spread(ratios))  # each step took as long


# --- properties -----------------------------------------------------------------------------------------------------


def test_it_does_not_matter_what_comes_after_the_reach_or_how_long_a_step_is():
    scratch = curve(0.1, 0.2, 0.4, 0.5)
    base = pair(curve(0.2, 0.46), scratch)
    later = pair(curve(0.2, 0.46, 0.1, 0.9), scratch)
    assert (base.ours, base.scratch, base.level) == (later.ours, later.scratch, later.level)
    coarse = pair(curve(0.2, 0.46, per_epoch=70), curve(0.1, 0.2, 0.4, 0.5, per_epoch=70))
    assert coarse.ours.step / coarse.scratch.step == base.ours.step / base.scratch.step


def test_a_training_beside_itself_takes_all_of_the_steps():
    own = curve(0.1, 0.3, 0.5, 0.51)
    found = over_seeds([pair(own, own)] * 2, "cpu")
    assert found.step_ratio == found.second_ratio == Spread(1.0, 0.0, 2)
    assert found.steps == Spread(30.0, 0.0, 2)


def test_a_lower_level_is_never_reached_later():
    dice = random.Random(0)
    measured = validations(columns(*random_rows(dice)))
    steps = [found.step for level in (0.1, 0.3, 0.5, 0.7) if (found := first_reach(measured, level))]
    assert steps == sorted(steps) and steps


# --- cases ----------------------------------------------------------------------------------------------------------


def test_four_tenths_of_the_steps():
    """As a reader would find it with a ruler: 0.9 x 0.5 = 0.45 is reached at step 20 instead of 50."""
    found = pair(curve(0.3, 0.46, 0.48), curve(0.1, 0.2, 0.3, 0.4, 0.45, 0.5))
    assert found.level == pytest.approx(0.45)
    assert (found.ours.step, found.scratch.step) == (20, 50)
    assert found.seconds("wall") == (4.0, 10.0)
    assert found.seconds("cpu") == (6.0, 15.0)
    assert over_seeds([found], "cpu").step_ratio == Spread(0.4)


def test_one_that_never_reaches_it_is_told_and_spoils_no_mean():
    scratch = curve(0.1, 0.5)
    found = over_seeds([pair(curve(0.1, 0.2, 0.3), scratch), pair(curve(0.5), scratch)], "cpu")
    assert (found.num_pairs, found.num_reached, found.num_going_on, found.num_steps) == (2, 1, 0, 30)
    assert found.steps == Spread(10.0) and found.step_ratio == Spread(0.5)
    going_on = over_seeds([pair(curve(0.1, is_finished=False, is_active=True), scratch)], "cpu")
    assert (going_on.num_reached, going_on.num_going_on, going_on.num_steps) == (0, 1, 10)
    assert going_on.steps is going_on.step_ratio is going_on.seconds is None


def test_there_is_no_level_where_from_scratch_has_not_ended_or_was_not_validated():
    ours = curve(0.9)
    assert pair(ours, curve(0.5, is_finished=False, is_active=True)).missing == "not finished"
    assert pair(ours, curve(0.5, is_finished=False)).missing == "not finished"  # stopped: not where it would end
    assert pair(ours, curve()).missing == "not validated"
    assert pair(curve(), curve(0.5)).missing == "not measured"
    assert pair(curve(is_finished=False, is_active=True), curve(0.5)).missing == ""  # its first is to come
    found = over_seeds([pair(ours, curve()), pair(ours, curve(0.5))], "cpu")
    assert (found.num_pairs, found.missing) == (1, ("not validated",))
    assert set(convergence.REASONS) == {"not finished", "not validated", "chance", "not measured"}


def test_a_level_that_guessing_has_is_none():
    assert pair(curve(0.2), curve(0.11, chance=0.1)).missing == "chance"
    assert pair(curve(0.2), curve(0.12, chance=0.1)).missing == ""
    assert pair(curve(0.2), curve(0.0)).missing == "chance"


def test_a_validation_before_the_first_step_counts():
    """An encoder may be good enough before it is trained; a share of nothing is none."""
    at_start = Training(validations(columns((0, 0.65, 0.0, 0.0), (10, 0.7, 2.0, 3.0))))
    found = over_seeds([pair(at_start, curve(0.1, 0.5))], "cpu")
    assert found.steps == Spread(0.0) and found.step_ratio == Spread(0.0) and found.second_ratio == Spread(0.0)
    turned = over_seeds([pair(curve(0.7), at_start)], "cpu")
    assert turned.steps == Spread(10.0) and turned.step_ratio is None and turned.second_ratio is None
    assert ratio(1.0, 0.0) is ratio(None, 1.0) is ratio(1.0, None) is None


def test_a_clock_that_goes_on_after_a_resume_is_taken_as_it_is_and_one_that_begins_again_is_added_to():
    goes_on = validations(columns((10, 0.1, 5.0, 6.0), (20, 0.2, 9.0, 11.0)))
    begins_again = validations(columns((10, 0.1, 5.0, 6.0), (20, 0.2, 4.0, 5.0)))
    assert goes_on.seconds.tolist() == begins_again.seconds.tolist() == [5.0, 9.0]
    assert goes_on.cpu_seconds.tolist() == begins_again.cpu_seconds.tolist() == [6.0, 11.0]


def test_a_validation_without_a_clock_has_that_of_the_row_before():
    found = validations(columns((10, NAN, 5.0, NAN), (10, 0.4, NAN, NAN)))
    assert found.seconds.tolist() == [5.0]
    assert first_reach(found, 0.3) == Reach(10, 0.4, 5.0, None)


def test_a_log_may_lack_any_column_and_be_torn():
    assert len(validations({})) == len(validations({"val/top1": [0.3]})) == len(validations({"step": [1.0]})) == 0
    torn = validations({"step": [1.0, 2.0], "val/top1": [0.3, 0.4, 0.5], "perf/seconds": [1.0]})
    assert torn.steps.tolist() == [1.0, 2.0] and torn.seconds.tolist() == [1.0, 1.0]


def test_processor_seconds_only_where_all_have_them():
    both, scratch = curve(0.5), curve(0.1, 0.5)
    old = Training(validations(columns((10, 0.5, 2.0), cpu=False)))
    on_gpu = curve(0.5, on_cpu=False)
    assert convergence.clock_of([pair(both, scratch)]) == "cpu"
    assert convergence.clock_of([pair(both, scratch), pair(old, scratch)]) == "wall"
    assert convergence.clock_of([pair(on_gpu, scratch)]) == "wall"  # its processor waited for the GPU
    assert convergence.clock_of([pair(both, curve())]) == convergence.clock_of([]) == "wall"
    assert convergence.clock_of([pair(curve(0.1), scratch), pair(both, scratch)]) == "cpu"  # one never reaches it
    waiting = Training(validations({}), is_finished=False, is_active=True, on_cpu=False)  # its device is not known yet
    assert convergence.clock_of([pair(waiting, scratch), pair(both, scratch)]) == "cpu"


def test_steps_of_other_sizes_are_told():
    found = over_seeds([pair(curve(0.5, batch_size=8), curve(0.5, batch_size=64))], "cpu")
    assert found.batch_sizes == (8, 64)
    for sizes in ((64, 64), (0, 64)):
        assert over_seeds([Pair(batch_sizes=sizes)], "cpu").batch_sizes is None


# --- from run folders -----------------------------------------------------------------------------------------------


def make(folder, rows, state="finished", names=runs.FINETUNE_METRICS, **options):
    config = cfg.build(
        cfg.FinetuneConfig, {"dataset": "shapes", "backbone": "resnet_tiny", "random_weight_init": True} | options
    )
    run = runs.create(config, folder, device="CPU", num_classes=10, num_train_images=37)
    log = runs.metrics_csv.MetricsLog(run.metrics_path, names)
    for step, accuracy, seconds, cpu in rows:
        row = {"epoch": step, "step": step, "val/top1": accuracy, "perf/seconds": seconds, "perf/cpu_seconds": cpu}
        log.append({name: value for name, value in row.items() if name in names})
    runs.update_status(run.path, state=state)
    return run


def test_a_run_folder_is_read_as_it_grows(tmp_path):
    run = make(tmp_path, [(1, 0.3, 2.0, 3.0)], batch_size=64)
    found = convergence.training(run)
    assert (found.is_finished, found.is_active, found.chance, found.on_cpu) == (True, False, 0.1, True)
    assert found.batch_size == 37  # a step cannot have more images than there are
    assert found.measured.cpu_seconds.tolist() == [3.0]
    with run.metrics_path.open("a") as stream:
        stream.write("2,2,,,,,,0.4,,,4.0,6.0\n3,3,,,,,,0.")
    assert convergence.training(run).measured.accuracies.tolist() == [0.3, 0.4]


@pytest.mark.parametrize(("counted", "augmented"), list(itertools.product((False, True), repeat=2)))
def test_a_head_whose_clock_left_out_its_features_has_no_seconds(tmp_path, counted, augmented):
    names = runs.FINETUNE_METRICS if counted else runs.FINETUNE_METRICS[:-1]
    more = {"freeze_encoder": True, "random_weight_init": False, "experiment_version": "some"}
    more |= {"augmentation": {"crop_scale_min": 0.6}} if augmented else {}
    found = convergence.training(make(tmp_path, [(1, 0.3, 2.0, 3.0)], names=names, **more)).measured
    assert math.isnan(found.seconds[0]) == (not counted and not augmented)


def test_a_damaged_folder_costs_only_its_numbers(tmp_path):
    run = make(tmp_path, [(1, 0.3, 2.0, 3.0)])
    run.metrics_path.write_bytes(b"\xff\x00,step\n1,2\n")
    (run.path / runs.META).write_text('{"num_classes": "many", "device": 3}')
    (run.path / runs.CONFIG).write_text("- not options")
    found = convergence.training(run)
    assert (len(found.measured), found.chance, found.on_cpu, found.batch_size) == (0, None, False, 0)
    run.metrics_path.unlink()
    assert len(convergence.training(run).measured) == 0
