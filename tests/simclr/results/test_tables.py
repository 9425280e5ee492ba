"""The table of results: which runs belong together, over which seeds, and what decides the verdict."""

import json
import math
import random
import shutil
import subprocess
import sys

import pytest
import scipy.stats
from dashboard_fixtures import make_experiment, make_run, write_evaluation

from simclr import runs
from simclr.results import arms, statistics, tables, trials, wording
from simclr.results.index import RunIndex
from simclr.results.statistics import Spread


def finder(folder):
    def find(run_id):
        path = folder / run_id
        return runs.Run(path) if path.is_dir() else None

    return find


def results_of(folder, run, **more):
    summaries = RunIndex(folder).summaries()
    own = next(item for item in summaries if item.id == run.id)
    return tables.results(own, summaries, finder(folder), **more)


def row_of(found, fraction, protocol):
    return next(row for row in found.rows if (row.fraction, row.protocol) == (fraction, protocol))


# --- one seed


def test_rows_and_verdicts_come_from_the_runs_that_stand_for_their_arms(tmp_path):
    pretraining, _ = make_experiment(tmp_path, (0.01, 1.0))
    found = results_of(tmp_path, pretraining)
    assert [(row.fraction, row.protocol) for row in found.rows] == [
        (fraction, arm) for fraction in (0.01, 1.0) for arm in arms.ARMS
    ]
    assert [row.accuracy.mean for row in found.rows] == pytest.approx([0.42, 0.48, 0.18, 0.5, 0.64, 0.74])
    assert [row.is_best for row in found.rows] == [False, True, False, False, False, True]
    assert [row.is_last for row in found.rows] == [False, False, True, False, False, True]
    assert found.rows[1].gain.mean == pytest.approx(0.3) and found.rows[2].gain is None
    first, second = found.verdicts
    assert (first.fraction, first.arm, second.fraction, second.arm) == (0.01, "full", 1.0, "full")
    assert (first.pretrained.mean, first.scratch.mean, first.gain.mean) == pytest.approx((0.48, 0.18, 0.3))
    assert first.gain.deviation is None and second.gain.mean == pytest.approx(-0.1)


def test_how_soon_each_arm_is_as_good_as_from_scratch_will_be(tmp_path):
    """Its curve is 0.65 (1 - exp(-4 speed epoch / 20)), read at the end of each epoch of 16 steps."""
    pretraining, _ = make_experiment(tmp_path)
    found = results_of(tmp_path, pretraining)
    level = 0.9 * (1 - math.exp(-4))
    for arm, speed in (("frozen", 4), ("full", 2), ("scratch", 1)):
        epoch = next(n for n in range(1, 21) if 1 - math.exp(-4 * speed * n / 20) >= level)
        reached = row_of(found, 0.01, arm).reached
        assert reached.steps == Spread(16.0 * epoch), arm
        assert (reached.num_pairs, reached.num_reached) == (1, 1)
        assert reached.seconds.mean == pytest.approx(0.3 * 16 * epoch)  # of the processor
    scratch = row_of(found, 0.01, "scratch").reached
    assert found.clock == "cpu" and scratch.step_ratio == scratch.second_ratio == Spread(1.0)
    full = row_of(found, 0.01, "full").reached
    assert full.step_ratio == Spread(full.steps.mean / scratch.steps.mean)


def test_an_arm_alone_has_no_gain_and_nothing_to_reach(tmp_path):
    pretraining, found = make_experiment(tmp_path)
    shutil.rmtree(found["scratch-0.01"].path)
    rows = results_of(tmp_path, pretraining).rows
    assert [row.protocol for row in rows] == ["frozen", "full"]
    assert all(row.gain is row.reached is None for row in rows)
    assert results_of(tmp_path, pretraining).verdicts == ()


def test_a_pre_training_without_anything_has_no_rows(tmp_path):
    found = results_of(tmp_path, make_run(tmp_path))
    assert (found.rows, found.verdicts, len(found.trials)) == ((), (), 1)


# --- several seeds


def test_seeds_are_paired_with_their_own_from_scratch(tmp_path):
    made = {seed: make_experiment(tmp_path, seed=seed, better=0.01 * seed) for seed in (1, 2, 4)}
    found = results_of(tmp_path, made[2][0])
    assert found.seeds[0] == 2 and sorted(found.seeds) == [1, 2, 4]  # its own first
    row = row_of(found, 0.01, "full")
    assert row.runs[0].id == made[2][1]["full-0.01"].id
    assert {item.id for item in row.runs} == {arms_of["full-0.01"].id for _, arms_of in made.values()}
    gains = [0.31, 0.32, 0.34]
    expected = statistics.mean_and_std(gains)
    assert (row.gain.mean, row.gain.deviation, row.gain.num) == (*map(pytest.approx, expected), 3)
    assert row.accuracy.mean == pytest.approx(0.18 + expected[0])
    assert row.reached.num_pairs == 3 and row.reached.steps.deviation == 0.0
    alone = results_of(tmp_path, made[2][0], all_seeds=False)
    assert alone.seeds == [2] and row_of(alone, 0.01, "full").gain.num == 1
    assert row_of(alone, 0.01, "full").gain.mean == pytest.approx(0.32)
    assert found.verdicts[0].gain.mean == pytest.approx(expected[0])


def test_gains_have_an_interval_over_the_seeds_and_probabilities_of_their_number(tmp_path):
    """Student's t of three differences; with two arms beside from scratch, Holm's correction doubles the smaller p."""
    gains = []
    for seed, better in ((0, 0.0), (1, 0.02), (2, 0.07)):
        own, _ = make_experiment(tmp_path, seed=seed, better=better)
        gains.append(0.3 + better)
    found = results_of(tmp_path, own)
    gain = row_of(found, 0.01, "full").gain
    expected = scipy.stats.ttest_1samp(gains, 0.0)
    assert (gain.low, gain.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert gain.p == pytest.approx(expected.pvalue)
    pairs = [(row.gain.p, row.p) for row in found.rows if row.gain is not None]
    assert len(pairs) == 2 and min(pairs)[1] == pytest.approx(2 * min(pairs)[0])
    assert [row.p for row in found.rows if row.protocol == "scratch"] == [None]
    (verdict,) = found.verdicts
    assert (verdict.gain, verdict.p) == (gain, row_of(found, 0.01, "full").p)
    sentence = wording.accuracy_sentence(verdict)
    ends = f"{100 * gain.low:.1f} to {100 * gain.high:.1f}"
    assert f"; 95 % interval of the difference {ends} points, paired by seed)." in sentence


def test_a_difference_that_chance_may_have_made_is_said_to_be_one(tmp_path):
    for seed, better in ((0, -0.5), (1, -0.3), (2, 0.0)):
        own, _ = make_experiment(tmp_path, seed=seed, better=better)
    (verdict,) = results_of(tmp_path, own).verdicts
    assert verdict.p > 0.05
    assert wording.accuracy_sentence(verdict).endswith("Three seeds do not tell them apart.")


@pytest.mark.parametrize(
    ("seeds", "begins"),
    [
        ((0,), "One seed says nothing of what another would reach; the 2,000 test images alone leave ± 2.2 points"),
        ((0, 1), "Two seeds allow no interval; three do; the 2,000 test images alone leave ± 2.2 points"),
        ((0, 1, 2), "The 2,000 test images alone leave ± 2.2 points"),
    ],
)
def test_what_seeds_and_images_leave_open_is_said_apart(tmp_path, seeds, begins):
    for seed in seeds:
        own, arms_of = make_experiment(tmp_path, seed=seed)
        for run in arms_of.values():
            figures = json.loads((run.path / runs.EVALUATION).read_text()) | {"num_test_images": 2000}
            (run.path / runs.EVALUATION).write_text(json.dumps(figures))
    found = results_of(tmp_path, own)
    assert wording.how_sure(found).startswith(begins)
    assert ("interval" in wording.answers(found)[0]) == (len(seeds) == 3)


def test_what_differs_in_more_than_the_seed_is_no_sibling(tmp_path):
    own = make_run(tmp_path, seed=1)
    alike, colder = make_run(tmp_path, seed=2), make_run(tmp_path, seed=3, temperature=0.1)
    again, older = make_run(tmp_path, seed=1), make_run(tmp_path, seed=2, name="Another name")
    damaged = make_run(tmp_path, seed=4)
    (damaged.path / runs.CONFIG).write_text("damaged")
    summaries = RunIndex(tmp_path).summaries()
    by_id = {item.id: item for item in summaries}
    found = trials.siblings(by_id[own.id], summaries, finder(tmp_path))
    assert len(found) == 1 and found[0].id in (alike.id, older.id)
    assert colder.id not in [item.id for item in found] and again.id not in [item.id for item in found]
    assert trials.siblings(by_id[damaged.id], summaries, finder(tmp_path)) == []


def test_of_two_with_one_seed_the_one_that_something_was_trained_on_stands_for_it(tmp_path):
    own = make_run(tmp_path, seed=1)
    used, _ = make_experiment(tmp_path, seed=2)
    make_run(tmp_path, seed=2)  # newer, and nobody's
    summaries = RunIndex(tmp_path).summaries()
    by_id = {item.id: item for item in summaries}
    assert [item.id for item in trials.siblings(by_id[own.id], summaries, finder(tmp_path))] == [used.id]


def test_seeds_of_one_pre_training_are_trials_too(tmp_path):
    """Fine-tuning may be repeated with other splits and labels on the same encoder."""
    own, _ = make_experiment(tmp_path)
    for arm, top1 in (("full", 0.5), ("scratch", 0.1)):
        kind = "scratch" if arm == "scratch" else "finetune"
        run = make_run(tmp_path, kind=kind, experiment_version=own.id, label_fraction=0.01, seed=7)
        write_evaluation(run, top1)
    table = results_of(tmp_path, own)
    assert table.seeds == [42, 7]
    row = row_of(table, 0.01, "full")
    assert row.gain.num == 2 and row.gain.mean == pytest.approx((0.3 + 0.4) / 2)
    assert row_of(table, 0.01, "frozen").gain.num == 1


def test_other_labels_are_not_set_against_each_other(tmp_path):
    own, found = make_experiment(tmp_path)
    path = found["full-0.01"].path / runs.EVALUATION
    path.write_text(path.read_text().replace('"num_labels": 37', '"num_labels": 74'))
    table = results_of(tmp_path, own)
    assert row_of(table, 0.01, "full").gain is row_of(table, 0.01, "full").reached is None
    assert table.verdicts[0].arm == "frozen"


def test_the_deviation_is_that_of_a_sample():
    assert statistics.mean_and_std([1.0, 3.0]) == pytest.approx((2.0, math.sqrt(2)))
    assert statistics.spread([]) is statistics.spread([None]) is None
    assert statistics.spread([None, 2.0]) == Spread(2.0, None, 1)
    dice = random.Random(0)
    values = [dice.random() for _ in range(9)]
    mean = sum(values) / 9
    expected = math.sqrt(sum((value - mean) ** 2 for value in values) / 8)
    assert statistics.spread(values) == Spread(pytest.approx(mean), pytest.approx(expected), 9)


def test_no_page_is_needed():
    code = (
        "import sys; from simclr.results import arms, comparisons, convergence, index, statistics, tables; "
        "sys.exit('streamlit' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_runs_that_differ_in_what_the_machine_decided_belong_together(tmp_path):
    """`auto` became one precision here and another there: what was asked for is compared."""
    made = [make_run(tmp_path, seed=seed, precision=name) for seed, name in enumerate(("32-true", "bf16-mixed"))]
    summaries = RunIndex(tmp_path).summaries(max_age=0)
    own = next(item for item in summaries if item.id == made[0].id)
    find = finder(tmp_path)
    assert trials.siblings(own, summaries, find) == []
    for run in made:
        runs.add_meta(run.path, asked={"precision": "auto"})
    assert [item.id for item in trials.siblings(own, summaries, find)] == [made[1].id]
    runs.add_meta(made[1].path, asked={"precision": "auto", "num_threads": 3})
    assert trials.siblings(own, summaries, find) == []


def test_a_seed_with_test_figures_alone_counts_where_it_has_them(tmp_path):
    pretraining, _ = make_experiment(tmp_path)
    other = make_run(tmp_path, seed=7)
    for run, value in ((pretraining, 0.5), (other, 0.7)):
        (run.path / runs.EVALUATION).write_text(json.dumps({"test/knn_top1": value}))
    found = results_of(tmp_path, pretraining)
    knn = next(row for row in found.rows if row.protocol == "knn")
    assert (knn.accuracy.mean, knn.accuracy.num) == (pytest.approx(0.6), 2)
    assert next(row for row in found.rows if row.protocol == "full").accuracy.num == 1
