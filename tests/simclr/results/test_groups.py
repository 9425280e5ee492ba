"""Groups of runs: what is in them, which figure counts, how settings compare, and what is said of it."""

import csv
import json

import pytest
from dashboard_fixtures import find, group_of, make_group, make_run, write_evaluation

from simclr import runs
from simclr.results import group_progress, group_wording, groups, statistics
from simclr.results.index import LabelShare, RunIndex

KNN = groups.MEASURES[0]
THREE = {"0.1": [0.80, 0.82, 0.84], "0.5": [0.85, 0.88, 0.88], "1": [0.60, 0.65, 0.61]}


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def answer(folder, measure=KNN, **more):
    group = group_of(folder)
    return group_wording.answer(group, groups.cells(group, measure, find(folder)), measure, **more)


def test_members_seeds_and_axes_come_from_the_runs(folder):
    make_run(folder)  # in no group
    made = make_group(folder, {"1": [0.6, 0.7], "0.05": [0.8], "0.5": [0.5]})
    group = group_of(folder)
    assert (group.id, group.title, len(group.members)) == ("which-x7k2", "Which temperature?", 4)
    assert group.axes == {"temperature": ("0.05", "0.5", "1")}  # as numbers
    assert group.seeds == (0, 1)
    assert group.is_choice and not group.is_active
    assert {item.id for item in group.members} == {run.id for run in made}
    assert groups.find_group("which-x7k2", RunIndex(folder).summaries()) == group
    assert groups.find_group("another", RunIndex(folder).summaries()) is None


def test_words_keep_the_order_of_the_runs(folder):
    make_group(folder, {"grey": [0.1], "crop": [0.2], "blur": [0.3]}, axis="operation")
    assert group_of(folder).axes == {"operation": ("grey", "crop", "blur")}


def test_the_figure_of_a_cell_is_that_of_the_weights_that_are_kept(folder):
    run = make_group(folder, {"0.1": [0.4]})[0]
    group = group_of(folder)
    (cell,) = groups.cells(group, KNN, find(folder))
    assert cell.values == {"0": 0.4}  # the last, though an epoch before may have been better
    scratch = make_run(folder, kind="scratch", epochs=3, experiment_version=run.id, seed=0)
    runs.add_meta(scratch.path, group={"id": "which-x7k2", "setting": {"temperature": "0.1"}})
    (cell,) = groups.cells(group_of(folder), groups.MEASURES[1], find(folder))
    known = [value for value in scratch.metrics()["val/top1"] if value == value]
    assert cell.values["0"] == max(known)  # the best, whose weights are kept
    assert (cell.arm, cell.share.fraction) == ("scratch", 1.0)


def test_only_finished_runs_count_and_the_newest_of_a_seed(folder):
    first = make_group(folder, {"0.1": [0.4]})[0]
    make_group(folder, {"0.1": [0.9]})
    (cell,) = groups.cells(group_of(folder), KNN, find(folder))
    assert cell.values == {"0": 0.9}
    runs.update_status(cell_run(folder, cell), state="failed")
    (cell,) = groups.cells(group_of(folder), KNN, find(folder))
    assert cell.values == {}
    assert first.id not in [item.id for item in cell.runs]


def cell_run(folder, cell):
    return folder / cell.runs[0].id


def test_the_best_is_compared_seed_by_seed(folder):
    make_group(folder, THREE)
    found = groups.cells(group_of(folder), KNN, find(folder))
    best = groups.best(found)
    assert best.setting == {"temperature": "0.5"}
    compared = {item.cell.setting["temperature"]: item for item in groups.compare(found)}
    assert compared["0.5"].difference is None
    assert compared["0.1"].difference.mean == pytest.approx(-0.05)
    assert compared["0.1"].difference.num == 3
    assert compared["0.1"].p > compared["0.1"].difference.p or compared["0.1"].p == compared["0.1"].difference.p
    assert compared["1"].p == pytest.approx(min(1, 2 * compared["1"].difference.p))  # the smaller of two: doubled


def test_a_single_lucky_seed_is_not_the_best(folder):
    make_group(folder, {"0.1": [0.80, 0.82, 0.84], "0.5": [0.99]})
    found = groups.cells(group_of(folder), KNN, find(folder))
    assert groups.best(found).setting == {"temperature": "0.1"}


def test_the_answer_says_how_sure_it_is(folder):
    make_group(folder, THREE)
    text = answer(folder, num_images=410)
    assert text.startswith("**Temperature 0.5: 87.0 ± 1.7 %** (n 3), 5.0 points above 0.1 (95 % interval 2.5 to 7.5, ")
    assert "kNN accuracy on validation images, the best of 3 settings." in text
    assert "The 410 images alone leave ± 3.3 points." in text
    assert "tell" not in text


def test_seeds_that_do_not_tell_settings_apart_say_so(folder):
    make_group(folder, {"0.1": [0.80, 0.82, 0.84], "0.5": [0.83, 0.81, 0.86]})
    assert "): three seeds do not tell them apart." in answer(folder)


@pytest.mark.parametrize(("num", "sentence"), [(1, "One seed allows no interval"), (2, "Two seeds allow no interval")])
def test_few_seeds_allow_no_interval(folder, num, sentence):
    make_group(folder, {label: figures[:num] for label, figures in THREE.items()})
    text = answer(folder)
    assert f"{sentence}; three do." in text
    assert "95 %" not in text


def test_seeds_of_one_setting(folder):
    make_group(folder, {"0.1": [0.8, 0.9, 0.85]})
    assert answer(folder).startswith(
        "**Temperature 0.1: 85.0 ± 5.0 %** (n 3). Mean and standard deviation over the seeds."
    )


def test_what_is_still_to_come_is_said(folder):
    make_group(folder, THREE)
    running = make_run(folder, "running", done=1, seed=7)
    runs.add_meta(running.path, group={"id": "which-x7k2", "setting": {"temperature": "0.1"}})
    assert "So far: 1 of 10 runs are still to come." in answer(folder)
    assert group_progress.counts(group_of(folder)) == "9 of 10 runs finished, 1 running"


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("running", "0 of 1 runs are finished; none has a figure yet."),
        ("failed", "No run has a figure: 1 of 1 failed."),
        ("stopped", "No run has a figure yet: the runs were stopped."),
    ],
)
def test_a_group_without_figures_says_why(folder, state, sentence):
    run = make_run(folder, state, done=0)
    runs.add_meta(run.path, group={"id": "g", "title": "Which?", "setting": {}})
    assert answer(folder) == sentence


def test_measures_are_those_that_are_there(folder):
    made = make_group(folder, THREE)
    assert [item.key for item in groups.measures_of(group_of(folder), find(folder))] == ["val_knn"]
    for run in made[:3]:
        (run.path / runs.EVALUATION).write_text(json.dumps({"test/knn_top1": 0.7, "test/linear_top1": 0.8}))
    keys = [item.key for item in groups.measures_of(group_of(folder), find(folder))]
    assert keys == ["val_knn", "test_linear", "test_knn"]
    labels = [item.label for item in groups.MEASURES]
    assert len(set(labels)) == len(labels)  # one name, one meaning


def test_arms_are_cells_of_their_own(folder):
    run = make_group(folder, {"0.1": [0.4]})[0]
    for arm, top1 in (("frozen", 0.5), ("scratch", 0.3)):
        kind = "scratch" if arm == "scratch" else "finetune"
        other = make_run(
            folder, kind=kind, experiment_version=run.id, seed=0, label_fraction=0.01, freeze_encoder=arm == "frozen"
        )
        write_evaluation(other, top1)
        runs.add_meta(other.path, group={"id": "which-x7k2", "setting": {"temperature": "0.1"}})
    found = groups.cells(group_of(folder), groups.MEASURES[4], find(folder))
    assert [(cell.arm, cell.share.fraction, cell.values) for cell in found] == [
        ("frozen", 0.01, {"0": 0.5}),
        ("scratch", 0.01, {"0": 0.3}),
    ]
    text = answer(folder, groups.MEASURES[4])
    assert text.startswith("**With 1 % of the labels, frozen encoder: 50.0 %** (n 1), 20.0 points above from scratch.")


def test_what_pretraining_is_worth_in_labels(folder):
    """Scratch has 0.2 with 1 % and 0.4 with 10 %: 0.3, half way, it has at the geometric mean of the two."""

    def cell(arm, fraction, mean):
        return groups.Cell({}, arm, LabelShare(0, fraction), (), {"0": mean}, statistics.Spread(mean))

    scratch = [cell("scratch", share, mean) for share, mean in ((0.01, 0.2), (0.1, 0.4), (1.0, 0.8))]
    worth = groups.worth_in_labels([*scratch, cell("full", 0.01, 0.3), cell("full", 0.1, 0.9)], "full")
    assert worth.scratch_amount == pytest.approx(0.1**1.5)
    assert (worth.amount, worth.ratio) == (0.01, pytest.approx(10**0.5))
    assert groups.worth_in_labels([*scratch, cell("full", 0.01, 0.95)], "full") is None  # never as good
    assert groups.worth_in_labels([*scratch, cell("full", 0.01, 0.1)], "full") is None
    assert groups.worth_in_labels([cell("full", 0.01, 0.3)], "full") is None


def test_a_damaged_figure_costs_that_figure(folder):
    made = make_group(folder, THREE)
    with open(made[0].metrics_path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([["epoch", "step", "val/knn_top1"], [1, 1, "nan"], [2, 2, "x"]])
    (made[1].path / runs.META).write_text('{"group": {"id": ["a"]}}')
    cell = groups.cells(group_of(folder), KNN, find(folder))[0]
    assert cell.values == {"2": 0.84}


def test_the_table_has_a_row_for_each_setting(folder):
    make_group(folder, THREE)
    rows = group_wording.table(group_of(folder), groups.cells(group_of(folder), KNN, find(folder)), KNN, find(folder))
    assert rows[0][:6] == ["temperature", "n", "accuracy", "against the best", "95 % interval", "p (Holm)"]
    assert rows[1][:5] == ["0.1", "3", "82.0 ± 2.0 %", "-5.0 ± 1.0", "-7.5 to -2.5"]
    assert rows[2][:4] == ["0.5", "3", "87.0 ± 1.7 %", "–"]


def curve(run, values, seconds_a_step):
    """Validations at the steps 10, 20, ..."""
    lines = [f"{10 * place},{value},{10 * place * seconds_a_step}" for place, value in enumerate(values, start=1)]
    run.metrics_path.write_text("\n".join(["step,val/knn_top1,perf/cpu_seconds", *lines]) + "\n")
    runs.add_meta(run.path, device="CPU")


def test_how_soon_each_setting_is_nearly_as_good_as_the_best_is_paired_by_seed(folder):
    made = make_group(folder, {"0.1": [0.8, 0.8, 0.8], "0.5": [0.5, 0.5, 0.5]})
    ends = {"0": 1.0, "1": 0.9, "2": 0.8}  # of the best, so that each seed has a level of its own
    for run in made:
        last, seed = ends[str(run.config["seed"])], run.config["seed"]
        if run.group.setting["temperature"] == "0.1":
            curve(run, [0.3, 0.89 * last, 0.95 * last, last], 1.0)
        else:
            curve(run, [0.2, 0.5 * last, 0.6 * last, 0.9 * last if seed < 2 else 0.7 * last], 2.0)
    group = group_of(folder)
    compared = groups.compared_in(group, groups.cells(group, KNN, find(folder)), KNN)
    (best, other), clock = groups.convergence_in(compared, find(folder))
    assert clock == "cpu"
    assert (best.steps.mean, best.num_reached) == (30, 3)
    assert (other.num_pairs, other.num_reached, other.steps.mean) == (3, 2, 40)
    assert other.step_ratio.mean == pytest.approx(4 / 3)
    assert other.second_ratio.mean == pytest.approx(80 / 30)
    rows = group_wording.table(group, groups.cells(group, KNN, find(folder)), KNN, find(folder))
    assert rows[0][6:] == ["steps to 90 %", "of the best", "CPU-seconds", "of the best"]
    assert rows[1][6:] == ["30 ± 0", "–", "30.0 ± 0.0", "–"]
    assert rows[2][6:] == ["40 ± 0", "1.33 ± 0.00", "80.0 ± 0.0", "2.67 ± 0.00"]


def test_one_setting_alone_has_nothing_to_come_near_to(folder):
    make_group(folder, {"": [0.8, 0.9]}, axis="")
    group = group_of(folder)
    rows = group_wording.table(group, groups.cells(group, KNN, find(folder)), KNN, find(folder))
    assert rows[0][-1] == "p (Holm)"


def test_two_encoders_show_the_answer_on_one_seed(folder):
    make_group(folder, THREE)
    both = groups.two_encoders(group_of(folder), find(folder))
    assert [(item.group.setting["temperature"], item.seed) for item in both] == [("0.5", 0), ("0.1", 0)]


def test_two_encoders_of_a_group_of_seeds_are_two_seeds(folder):
    made = make_group(folder, {"": [0.8, 0.9, 0.7]}, axis="")
    both = groups.two_encoders(group_of(folder), find(folder))
    assert [item.seed for item in both] == [0, 1]
    for run in made[1:]:
        runs.update_status(run.path, state="failed")
    assert groups.two_encoders(group_of(folder), find(folder)) is None


def test_two_encoders_of_arms_are_the_best_and_from_scratch_with_the_fewest_labels(folder):
    (first,) = make_group(folder, {"": [0.8]}, axis="")
    for fraction in (0.05, 1.0):
        for kind, top1 in (("finetune", 0.7), ("scratch", 0.4)):
            run = make_run(
                folder, kind=kind, experiment_version=first.id, seed=0, label_fraction=fraction, freeze_encoder=False
            )
            runs.add_meta(run.path, group={"id": "which-x7k2", "setting": {}})
            write_evaluation(run, top1)
    both = groups.two_encoders(group_of(folder), find(folder))
    assert [(item.kind, item.label_fraction) for item in both] == [("finetune", 0.05), ("scratch", 0.05)]
    assert {item.kind for item in groups.curves_of(group_of(folder), find(folder))} == {"finetune", "scratch"}


def with_labels(folder, figures, **options):
    """Supervised runs of one pre-training: accuracy on test images by arm, labels of each class and draw."""
    (first,) = make_group(folder, {"": [0.8]}, axis="")
    for (kind, per_class, draw), top1 in figures.items():
        run = make_run(
            folder,
            kind=kind,
            experiment_version=first.id,
            seed=0,
            labels_per_class=per_class,
            subset_seed=draw,
            **options,
        )
        runs.add_meta(run.path, group={"id": "which-x7k2", "setting": {}})
        write_evaluation(run, top1)
        (run.path / runs.EVALUATION).write_text(json.dumps(run.evaluation | {"num_labels": 10 * per_class}))
    return group_of(folder)


TOP1 = groups.MEASURES[4]
BY_CLASS = {
    ("finetune", 1, 0): 0.4,
    ("finetune", 1, 1): 0.5,
    ("finetune", 1, 2): 0.6,
    ("finetune", 10, 0): 0.8,
    ("scratch", 1, 0): 0.1,
    ("scratch", 1, 1): 0.2,
    ("scratch", 1, 2): 0.3,
    ("scratch", 10, 0): 0.6,
}


def test_labels_of_each_class_and_draws_of_them_are_what_repeats_under_one_seed(folder):
    group = with_labels(folder, BY_CLASS)
    assert [share.text for share in group.shares] == ["1 per class", "10 per class"]
    assert group.by_subset and group.unit == "draw of the labels"
    found = groups.cells(group, TOP1, find(folder))
    assert [(cell.share.per_class, cell.arm, len(cell.values)) for cell in found] == [
        (1, "full", 3),
        (1, "scratch", 3),
        (10, "full", 1),
        (10, "scratch", 1),
    ]
    said = group_wording.answer(group, found, TOP1)
    assert said.startswith(
        "**With 1 label per class, fine-tuned: 50.0 ± 10.0 %** (n 3), 30.0 points above from scratch"
    )
    assert "paired by draw of the labels" in said
    worth = groups.worth_in_labels(found, "full")
    assert (worth.amount, worth.accuracy) == (1, pytest.approx(0.5))
    assert worth.ratio == pytest.approx(10 ** (0.3 / 0.4))  # between 1 and 10 of each class, on a logarithmic scale
    assert "from scratch takes 5.6 per class where fine-tuned takes 1 per class" in said


def test_what_cannot_be_told_apart_is_worth_no_labels(folder):
    of_chance = {("finetune", 1, 0): 0.4, ("finetune", 1, 1): 0.15, ("finetune", 1, 2): 0.3}
    group = with_labels(folder, BY_CLASS | of_chance)
    found = groups.cells(group, TOP1, find(folder))
    assert groups.worth_in_labels(found, "full") is not None
    said = group_wording.answer(group, found, TOP1)
    assert "three draws of the labels do not tell them apart." in said
    assert "times the labels" not in said


def test_with_several_seeds_the_draws_of_one_are_one_figure(folder):
    group = with_labels(folder, BY_CLASS)
    again = [run for run in runs.run_folders(folder) if run.config.get("labels_per_class") == 1]
    for run in again:
        other = make_run(folder, kind=run.kind, **(run.config | {"seed": 1, "epochs": 2}))
        runs.add_meta(other.path, group=run.meta["group"])
        write_evaluation(other, run.evaluation["test/top1"] + 0.1)
    group = group_of(folder)
    assert not group.by_subset
    cell = groups.cells(group, TOP1, find(folder))[0]
    assert cell.values == {"0": pytest.approx(0.5), "1": pytest.approx(0.6)}
    assert (len(cell.runs), cell.spread.num) == (6, 2)


def test_shares_and_numbers_of_each_class_meet_on_the_number_of_labels(folder):
    with_labels(folder, {("finetune", 1, None): 0.4, ("scratch", 1, None): 0.2})
    first = next(run for run in runs.run_folders(folder) if run.kind == "pretrain")
    run = make_run(folder, kind="scratch", experiment_version=first.id, seed=0, label_fraction=0.05)
    runs.add_meta(run.path, group={"id": "which-x7k2", "setting": {}})
    write_evaluation(run, 0.6)
    (run.path / runs.EVALUATION).write_text(json.dumps(run.evaluation | {"num_labels": 1000}))
    group = group_of(folder)
    found = groups.cells(group, TOP1, find(folder))
    assert groups.label_kind(found) == "number"
    assert [share.key for share in group.shares] == ["1pc", "0.05"]
    worth = groups.worth_in_labels(found, "full")
    assert (worth.amount, worth.scratch_amount) == (10, pytest.approx(100))
    assert "from scratch takes 100 labels where fine-tuned takes 10 labels" in group_wording.answer(group, found, TOP1)
