"""`python -m simclr sweep`: a sweep is queued, extended, stopped and resumed; what is wrong is one sentence."""

import pytest

from simclr import runs
from simclr.cli import sweep as command
from simclr.cli.main import main
from simclr.hardware import devices
from simclr.launch import queue, spawn
from simclr.lifecycle import estimate
from simclr.sweeps import cost, sweep_file

TEXT = """
title: Which temperature?
base: {recipe: quick, epochs: 1, limit_images: 40, batch_size: 20, accelerator: cpu}
axes: {temperature: [0.1, 0.5]}
"""
FOUND = estimate.Estimate("CPU", 0, 0, True, None, None, 1.0, 60.0, 50.0, 90.0, {}, [], 0.0, disk=2**20)


@pytest.fixture
def measured(tiny_runs, monkeypatch):
    """What was measured; nothing trains."""
    found = []

    def estimate_run(config, runs_dir, **more):
        found.append(config)
        return FOUND

    monkeypatch.setattr(devices, "_gpus", list)
    monkeypatch.setattr(spawn, "begin", lambda run, device: runs.update_status(run.path, state="running"))
    monkeypatch.setattr(queue, "ensure_scheduler", lambda runs_dir: None)
    monkeypatch.setattr(estimate, "estimate_run", estimate_run)
    return found


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    return path


def test_the_cost_is_said_and_all_runs_are_queued(measured, tiny_runs, file, capsys):
    assert main(["sweep", str(file)]) == 0
    said = capsys.readouterr()
    assert "2 runs: about 2 min 00 s (1 min 40 s to 3 min 00 s), 2 MiB of disk." in said.err
    assert len(measured) == 1  # the temperature costs nothing
    assert len(runs.run_folders(tiny_runs)) == 2
    group = said.out.strip()
    assert {run.group.id for run in runs.run_folders(tiny_runs)} == {group}
    assert main(["sweep", group, "--stop"]) == 0
    assert main(["sweep", group, "--stop", "--resume"]) == 2
    file.write_text(TEXT + "seeds: 2\n")
    assert main(["sweep", str(file), "--extend", group, "--no_estimate"]) == 0
    assert len(runs.run_folders(tiny_runs)) == 6  # 42 was there; 0 and 1 are new
    assert main(["sweep", group, "--resume"]) == 0


def test_an_extension_costs_what_it_adds(measured, tiny_runs, file, capsys):
    """Its new value is trained with the seed that was there, too."""
    file.write_text(TEXT + "seeds: [0, 1]\n")
    assert main(["sweep", str(file), "--no_estimate"]) == 0
    group = capsys.readouterr().out.strip()
    file.write_text(TEXT.replace("[0.1, 0.5]", "[0.2]") + "seeds: [0]\n")
    assert main(["sweep", str(file), "--extend", group]) == 0
    assert "2 runs: about 2 min 00 s" in (said := capsys.readouterr().err) and "2 runs were added" in said
    assert len(runs.run_folders(tiny_runs)) == 6
    assert main(["sweep", str(file), "--extend", group]) == 0
    assert capsys.readouterr().err.startswith("0 runs were added")
    assert len(measured) == 1
    assert main(["sweep", str(file), "--extend", "nothere"]) == 2
    assert len(measured) == 1  # it is found out before anything is measured


def test_hours_do_not_say_how_much_a_group_is_to_get(measured, tiny_runs, file, capsys):
    file.write_text(TEXT + "method: random\nlimit: 1 runs\n")
    assert main(["sweep", str(file), "--no_estimate"]) == 0
    group = capsys.readouterr().out.strip()
    file.write_text(TEXT + "method: random\nlimit: 2 hours\n")
    assert main(["sweep", str(file), "--extend", group]) == 2
    assert "limit is 2 hours and extend is set; allowed: a limit of runs." in capsys.readouterr().err
    assert len(runs.run_folders(tiny_runs)) == 1


def test_a_dry_run_starts_nothing(measured, tiny_runs, file, capsys):
    assert main(["sweep", str(file), "--dry_run"]) == 0
    assert "2 runs: about" in capsys.readouterr().err
    assert not tiny_runs.exists() or runs.run_folders(tiny_runs) == []


def test_each_kind_of_run_is_measured_once(measured, tiny_runs, file):
    file.write_text(
        TEXT.replace("temperature: [0.1, 0.5]", "epochs: [1, 2], temperature: [0.1, 0.5]").replace("epochs: 1, ", "")
        + "arms: [frozen, scratch]\nlabel_fractions: [0.1]\nseeds: 3\n"
    )
    assert main(["sweep", str(file), "--dry_run"]) == 0
    kinds = [(config.kind, config.epochs, getattr(config, "freeze_encoder", None)) for config in measured]
    assert len(kinds) == len(set(kinds)) == 4  # the supervised runs have the epochs of their own recipe
    assert all(config.experiment_version is None for config in measured if config.kind == "scratch")


def test_hours_become_a_number_of_settings(measured, tiny_runs, file, capsys):
    file.write_text(
        TEXT.replace("[0.1, 0.5]", "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]") + "method: random\nlimit: 0.05 hours\n"
    )
    assert main(["sweep", str(file)]) == 0
    assert len(runs.run_folders(tiny_runs)) == 3  # of a minute each
    assert "3 runs: about 3 min" in capsys.readouterr().err


def test_what_cannot_be_measured_is_said_and_started_all_the_same(measured, tiny_runs, file, capsys, monkeypatch):
    def fail(*_, **__):
        raise estimate.CannotMeasure("It was killed.")

    monkeypatch.setattr(estimate, "estimate_run", fail)
    assert main(["sweep", str(file)]) == 0
    assert "could not be measured: It was killed." in capsys.readouterr().err
    assert len(runs.run_folders(tiny_runs)) == 2
    file.write_text(TEXT + "method: random\nlimit: 1 hours\n")
    assert main(["sweep", str(file)]) == 2
    assert "limit is 1 hours, and the cost cannot be measured" in capsys.readouterr().err


def test_more_kinds_than_are_measured_stand_for_the_others(measured, tiny_runs):
    sweep = sweep_file.parse({"base": {"accelerator": "cpu"}, "axes": {"epochs": list(range(1, 11))}})
    found = cost.estimate_cost(sweep, tiny_runs)
    assert (found.num_runs, found.num_kinds, found.num_measured) == (10, 10, cost.MOST_MEASURED)
    assert found.seconds == pytest.approx(600)
    assert "Of 10 kinds of runs 6 were measured" in found.sentence()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothere"], "FILE is nothere; allowed: a YAML file, or one of "),
        (["nothere", "--stop"], "GROUP is nothere, which has no runs"),
        (["FILE", "--extend", "nothere", "--no_estimate"], "GROUP is nothere, which has no runs"),
        (["FILE", "--device", "gpu:9", "--no_estimate"], "device is gpu:9; allowed:"),
        ([], "FILE"),
    ],
)
def test_bad_input_is_one_sentence(measured, tiny_runs, file, capsys, arguments, sentence):
    assert main(["sweep", *[str(file) if word == "FILE" else word for word in arguments]]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_the_function_is_the_command(measured, tiny_runs, file):
    assert command.sweep([str(file), "--no_estimate"]) == 0
