"""The one look at test images: which runs it takes, what it notes, what it says, and that nothing else looks."""

import json

import pytest
from conftest import TINY_PRETRAIN
from dashboard_fixtures import find, group_of, make_group, make_run

from simclr import config as cfg
from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError, PretrainConfig
from simclr.lifecycle.train import train
from simclr.results import group_wording, groups
from simclr.runs import Run
from simclr.sweeps import choice, sweep_file
from simclr.sweeps.settings import to_plain

THREE = {"0.1": [0.80, 0.82, 0.84], "0.5": [0.85, 0.88, 0.88], "1": [0.60, 0.65, 0.61]}
LINEAR = next(item for item in groups.MEASURES if item.key == "test_linear")
BY_SEED = (0.70, 0.75, 0.74)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def measuring(folder, seen, better=0.0):
    """Stands for the measuring: the chosen setting gets `better` more."""

    def evaluate(run, report):
        seen.append(run.id)
        linear = BY_SEED[run.config["seed"]] + (better if run.group.setting["temperature"] == "0.5" else 0.0)
        figures = {"test/linear_top1": linear, "test/knn_top1": 0.5, "num_test_images": 2000}
        (run.path / runs.EVALUATION).write_text(json.dumps(figures))

    return evaluate


def test_the_best_and_the_second_are_tested_and_no_other(folder):
    make_group(folder, THREE)
    found = choice.choose(group_of(folder), find(folder))
    assert (found.chosen.setting, found.baseline.setting) == ({"temperature": "0.5"}, {"temperature": "0.1"})
    assert (found.num_settings, len(found.members)) == (3, 6)
    assert not choice.is_tested(group_of(folder), found)
    seen = []
    tested = choice.run_test(found, find(folder), measuring(folder, seen, better=0.02))
    assert {run.group.setting["temperature"] for run in tested} == {"0.5", "0.1"}
    assert sorted(seen) == sorted(run.id for run in tested)
    group = group_of(folder)
    assert choice.is_tested(group, choice.choose(group, find(folder)))
    assert groups.measures_of(group, find(folder))[0].is_test
    untested = [item for item in group.members if item.group.setting["temperature"] == "1"]
    assert all(item.test_linear is None and item.group.tested is None for item in untested)


def test_the_answer_says_from_how_many_it_was_chosen_and_by_what(folder):
    make_group(folder, THREE)
    choice.run_test(choice.choose(group_of(folder), find(folder)), find(folder), measuring(folder, [], better=0.02))
    group = group_of(folder)
    text = group_wording.answer(group, groups.cells(group, LINEAR, find(folder)), LINEAR, 2000)
    assert text.startswith("**Temperature 0.5: 75.0 ± 2.6 %** (n 3), 2.0 points above 0.1 (95 % interval 2.0 to 2.0,")
    assert (
        "Linear probe on test images; chosen before from three settings by kNN accuracy on validation images." in text
    )
    assert "2,000 images alone" in text


def test_a_choice_that_is_worse_on_test_images_stays_the_choice(folder):
    make_group(folder, THREE)
    choice.run_test(choice.choose(group_of(folder), find(folder)), find(folder), measuring(folder, [], better=-0.05))
    group = group_of(folder)
    cells = groups.cells(group, LINEAR, find(folder))
    assert groups.best(cells).setting == {"temperature": "0.1"}
    assert groups.first_of(group, cells, LINEAR).setting == {"temperature": "0.5"}
    assert "5.0 points below 0.1" in group_wording.answer(group, cells, LINEAR)
    rows = group_wording.table(group, cells, LINEAR, find(folder))
    assert "against the baseline" in rows[0]
    row = next(row for row in rows[1:] if row[0] == "0.5")
    assert "-5.0 ± 0.0" in row


def test_a_test_that_was_killed_is_completed_without_looking_twice(folder):
    make_group(folder, THREE)
    found, seen = choice.choose(group_of(folder), find(folder)), []
    evaluate = measuring(folder, seen)

    def fails(run, report):
        if len(seen) == 2:
            raise KeyboardInterrupt
        evaluate(run, report)

    with pytest.raises(KeyboardInterrupt):
        choice.run_test(found, find(folder), fails)
    group = group_of(folder)
    assert not any(item.group.tested for item in group.members)
    said = group_wording.answer(group, groups.cells(group, LINEAR, find(folder)), LINEAR)
    assert said.startswith("One setting has test figures, and the choice was not tested.")
    choice.run_test(choice.choose(group, find(folder)), find(folder), evaluate)
    assert len(seen) == len(set(seen)) == 6


def test_the_baseline_is_the_recipes_own_setting_or_the_one_that_is_named(folder):
    made = make_group(folder, THREE)
    sweep = sweep_file.parse({"base": {"recipe": "quick", "temperature": 1}, "axes": {"temperature": [0.1, 0.5, 1]}})
    for run in made:
        runs.add_meta(run.path, group=run.meta["group"] | {"sweep": to_plain(sweep)})
    group = group_of(folder)
    assert choice.choose(group, find(folder)).baseline.setting == {"temperature": "1"}
    for name in ("temperature 0.1", "0.1"):
        assert choice.choose(group, find(folder), baseline=name).baseline.setting == {"temperature": "0.1"}
    with pytest.raises(ConfigError, match=r"baseline is 0\.7; allowed: temperature 0\.1; temperature 1"):
        choice.choose(group, find(folder), baseline="0.7")


def test_the_baseline_is_named_with_any_apostrophe_and_space(folder):
    make_group(folder, {"l’été\u00a0long": [0.8, 0.8], "b": [0.9, 0.9], "c": [0.7, 0.7]}, axis="crop")
    for name in ("l'été long", "crop l'été long", "CROP L’ÉTÉ LONG"):
        chosen = choice.choose(group_of(folder), find(folder), baseline=name)
        assert chosen.baseline.setting == {"crop": "l’été\u00a0long"}


def test_the_runs_of_one_arm_and_share_are_compared(folder):
    made = make_group(folder, {"0.1": [0.8], "0.5": [0.9]})
    for number, run in enumerate(made):
        for fraction in (0.01, 1.0):
            partner = make_run(
                folder, kind="finetune", epochs=2, experiment_version=run.id, seed=0, label_fraction=fraction
            )
            runs.add_meta(partner.path, group=run.meta["group"])
            partner.metrics_path.write_text(f"step,val/top1\n1,{0.5 - 0.1 * number * fraction}\n")
    group = group_of(folder)
    found = choice.choose(group, find(folder), "val_top1", labels="1")
    assert [cell.setting["temperature"] for cell in (found.chosen, found.baseline)] == ["0.1", "0.5"]
    assert {item.label_fraction for item in found.members} == {1.0}
    assert choice.test_measure(found).key == "test_top1"
    for wrong, sentence in (
        ({"labels": "0.5"}, "labels is 0.5; allowed: 0.01, 1."),
        ({"arm": "frozen"}, "arm is frozen; allowed: full."),
    ):
        with pytest.raises(ConfigError, match=sentence):
            choice.choose(group, find(folder), "val_top1", **wrong)


def test_what_cannot_be_tested_yet_is_said(folder):
    made = make_group(folder, {"0.1": [0.8], "0.5": [0.9]})
    with pytest.raises(ConfigError, match=r"measure is test_knn; allowed: .*\(val_knn\)"):
        choice.choose(group_of(folder), find(folder), "test_knn")
    runs.update_status(made[0].path, state="queued")
    with pytest.raises(ConfigError, match="of which 1 runs are not done"):
        choice.choose(group_of(folder), find(folder))
    runs.update_status(made[0].path, state="failed")
    with pytest.raises(ConfigError, match="fewer than two settings"):
        choice.choose(group_of(folder), find(folder))


def test_a_group_of_seeds_has_nothing_to_choose(folder):
    make_group(folder, {"": [0.8, 0.9]}, axis="")
    with pytest.raises(ConfigError, match="one setting"):
        choice.choose(group_of(folder), find(folder))


@pytest.mark.parametrize(
    "note",
    [
        "chosen",
        {"role": "other", "measure": "val_knn", "num_settings": 3, "time": 1.0},
        {"role": "chosen", "measure": "val_knn", "num_settings": True, "time": 1.0},
        {"role": "chosen", "measure": "val_knn", "num_settings": 3, "time": float("nan")},
        {"role": "chosen", "measure": ["x" * 9000], "num_settings": 1, "time": 1.0},
    ],
)
def test_a_damaged_note_is_no_note(folder, note):
    run = make_group(folder, {"0.1": [0.8], "0.5": [0.9]})[0]
    runs.add_meta(run.path, tested=note)
    assert run.group.tested is None
    assert groups.tested_choice(groups.cells(group_of(folder), groups.MEASURES[0], find(folder))) is None


def test_the_command_tests_real_runs_once(tiny_runs, capsys):
    sweep = sweep_file.parse({"title": "Which?", "base": {"recipe": "quick"}, "axes": {"temperature": [0.1, 0.5, 1]}})
    made = []
    for label in ("0.1", "0.5", "1"):
        options = TINY_PRETRAIN | {"temperature": float(label), "evaluate": False, "epochs": 1, "knn_every_epochs": 1}
        run = train(cfg.build(PretrainConfig, options), runs_dir=tiny_runs)
        place = {"id": "which-x7k2", "title": "Which?", "setting": {"temperature": label}, "sweep": to_plain(sweep)}
        runs.add_meta(run.path, group=place)
        made.append(run)
    assert main(["sweep", "which-x7k2", "--test"]) == 0
    said = capsys.readouterr()
    assert "chosen before from three settings by kNN accuracy on validation images" in said.out
    assert "2 runs: temperature" in said.err
    tested = [run for run in made if "test/linear_top1" in run.evaluation]
    assert len(tested) == 2
    assert {Run(run.path).group.tested.role for run in tested} == {"chosen", "baseline"}
    figures = [run.evaluation for run in tested]
    assert "sweep which-x7k2 --test" in figures[0]["protocols"]["linear"]["seen_by"]
    assert main(["sweep", "which-x7k2", "--test"]) == 0
    assert [run.evaluation for run in tested] == figures  # not looked at again
    assert main(["sweep", "which-x7k2", "--test", "--baseline", "nothing"]) == 2
    assert main(["sweep", "nothing", "--test"]) == 2
