"""`python -m simclr results`: the answer in words, the table, and what is said where there is none."""

import json

import pytest
from dashboard_fixtures import make_experiment, make_group, make_run

from simclr import runs
from simclr.cli.main import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def printed(capsys, *arguments):
    assert main(["results", *arguments]) == 0
    return capsys.readouterr().out


def test_the_answer_stands_above_its_table(folder, capsys):
    pretraining, _ = make_experiment(folder)
    text = printed(capsys, pretraining.id[:-1])
    answer, table = text.split("\n\n")[1:3]
    assert answer == (
        "With 1 % of the labels, the pre-trained encoder reaches 48.0 %: 30.0 points more than the same network from "
        "scratch (18.0 %). It comes to 90 % of from scratch's final accuracy on the validation images in 0.55 of the "
        "steps (96 instead of 176) and 0.55 of the CPU-seconds."
    )
    rows = [row.split("  ") for row in table.splitlines()]
    assert [row[0] for row in rows] == ["trained", "Frozen encoder", "Fine-tuned", "From scratch"]
    assert all(len(line) == len(table.splitlines()[0]) for line in table.splitlines())
    assert table.splitlines()[2].split() == (
        ["Fine-tuned", "1", "%", "48.0", "%", "+30.0", "pp", "96", "0.55", "28.8", "0.55", "42"]  # 96 steps of 0.3 s
    )


def test_several_seeds_are_means_with_deviations_and_one_may_be_asked_for(folder, capsys):
    (first, _), *_ = [make_experiment(folder, seed=seed, better=0.02 * seed) for seed in (1, 2, 3)]
    text = printed(capsys, first.id)
    assert "3 seeds: 1, " in text
    assert "reaches 52.0 ± 2.0 % (mean ± standard deviation of 3 seeds): 34.0 ± 2.0 points more" in text
    assert "0.55 ± 0.00 of the steps (96 ± 0 instead of 176 ± 0)" in text
    assert "reaches 50.0 %: 32.0 points more" in printed(capsys, first.id, "--one_seed")


def test_seeds_that_are_named_one_by_one_are_one_table(folder, capsys):
    named = [make_experiment(folder, seed=seed)[0].id for seed in (1, 2, 3)]
    other = make_run(folder, temperature=0.1).id
    assert printed(capsys, *named, "--format", "csv") == printed(capsys, named[0], "--format", "csv")
    assert "Nothing was trained on it yet" in printed(capsys, *named, other)
    assert printed(capsys, *named, other).count("With 1 % of the labels") == 1
    assert printed(capsys, *named, "--one_seed").count("With 1 % of the labels") == 3
    assert len(json.loads(printed(capsys, *named, other, "--json"))) == 2


def test_as_json_it_holds_what_the_table_is_made_of(folder, capsys):
    pretraining, found = make_experiment(folder)
    told = json.loads(printed(capsys, "--json"))
    assert (told["pretraining"], told["clock"], told["level_share"]) == (pretraining.id, "cpu", 0.9)
    row = told["rows"][1]
    assert (row["trained"], row["runs"], row["gain"]["num"]) == ("full", [found["full-0.01"].id], 1)
    assert row["reached"]["steps"]["mean"] == 96


def test_it_begins_with_the_newest_that_has_an_answer(folder, capsys):
    older, _ = make_experiment(folder)
    newer = make_run(folder)
    make_run(folder, "running", kind="scratch", experiment_version=newer.id, label_fraction=0.01)
    assert older.id.rsplit("-", 1)[-1] in printed(capsys).splitlines()[0]


def test_a_run_with_nothing_yet_says_so(folder, capsys):
    run = make_run(folder)
    assert "Nothing was trained on it yet" in printed(capsys, run.id)


def test_a_running_arm_shows_its_state_and_that_it_is_not_there_yet(folder, capsys):
    pretraining, _ = make_experiment(folder, (1.0,))
    more = {"experiment_version": pretraining.id, "label_fraction": 0.01}
    make_run(folder, kind="scratch", **more)
    make_run(folder, "running", kind="finetune", done=1, **more)
    text = printed(capsys, pretraining.id)
    assert "running" in text and "not yet" in text
    assert "With 1 % of the labels, fine-tuned has not come to it yet in 16 steps." in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope"], "RUN is nope; allowed: a run's folder, id or unique prefix"),
        (["ARM"], "which is a finetune run; allowed: a pre-training."),
        (["--runs_dir", "EMPTY"], "There is no pre-training in"),
    ],
)
def test_bad_input_is_one_sentence(folder, capsys, tmp_path_factory, arguments, sentence):
    _, found = make_experiment(folder)
    names = {"ARM": found["full-0.01"].id, "EMPTY": str(tmp_path_factory.mktemp("empty"))}
    assert main(["results", *[names.get(word, word) for word in arguments]]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "latex", "json"])
def test_a_group_is_printed_in_every_form(folder, capsys, form):
    make_group(folder, {"0.1": [0.8, 0.82, 0.84], "0.5": [0.85, 0.88, 0.88]})
    text = printed(capsys, "which-x7k2", "--format", form)
    if form == "json":
        found = json.loads(text)
        assert found["cells"][0]["values"] == {"0": 0.8, "1": 0.82, "2": 0.84}
        assert found["cells"][0]["difference"]["num"] == 3
        return
    assert "82.0" in text and "0.5" in text
    assert ("Temperature 0.5: 87.0 ± 1.7 %" in text) == (form == "table")
    assert ("The 410 images alone leave ± 3.3 points." in text) == (form == "table")


def test_settings_that_were_not_tested_are_not_among_the_test_figures(folder, capsys):
    made = make_group(folder, {"0.1": [0.8], "0.5": [0.85], "1": [0.6]})
    for run, role in ((made[1], "chosen"), (made[0], "baseline")):
        figures = {"test/linear_top1": 0.7, "num_test_images": 2000}
        (run.path / runs.EVALUATION).write_text(json.dumps(figures))
        runs.add_meta(run.path, tested={"role": role, "measure": "val_knn", "num_settings": 3, "time": 1.0})
    answer, table = printed(capsys, "which-x7k2").split("\n\n")[1:3]
    assert "chosen before from three settings" in answer and "The 2,000 images alone leave ± 2.0 points." in answer
    assert [row.split()[0] for row in table.splitlines()] == ["temperature", "0.1", "0.5"]


@pytest.mark.parametrize("form", ["csv", "markdown", "latex"])
def test_the_table_of_a_pretraining_is_printed_in_every_form(folder, capsys, form):
    pretraining, _ = make_experiment(folder)
    text = printed(capsys, pretraining.id, "--format", form)
    assert "Frozen encoder" in text and "42.0" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--format", "word"], "format is word; allowed: table, csv, markdown, latex or json."),
        (["which-x7k2", "--measure", "knn"], "measure is knn; allowed: val_knn, "),
        (
            ["which-x7k2", "--measure", "test_top1"],
            "measure is test_top1, which no run of the group has; allowed: ",
        ),
        (["--measure", "val_knn"], "measure is val_knn and RUN is no group"),
    ],
)
def test_a_wrong_form_or_measure_is_one_sentence(folder, capsys, arguments, sentence):
    make_group(folder, {"0.1": [0.8]})
    assert main(["results", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_several_are_printed_one_after_another(folder, capsys):
    pretraining, _ = make_experiment(folder)
    make_group(folder, {"0.1": [0.8, 0.82], "0.5": [0.85, 0.88]})
    text = printed(capsys, "which-x7k2", pretraining.id, "--format", "markdown")
    first, second = text.strip().split("\n\n")
    assert first.startswith("| temperature |") and second.startswith("| trained |")
    found = json.loads(printed(capsys, "which-x7k2", pretraining.id, "--json"))
    assert (found[0]["group"], found[1]["pretraining"]) == ("which-x7k2", pretraining.id)
