"""The command line: help, lists, exit codes, one real process from end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY_PRETRAIN, flags, supervise_nothing

from simclr import config as cfg
from simclr import runs
from simclr.cli.main import COMMANDS, main
from simclr.cli.training import recipe_of
from simclr.config import PretrainConfig
from simclr.launch import queue, spawn


def call(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def process(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "simclr", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=200,
    )


def test_a_training_as_a_process_ends_with_its_folder_on_the_last_line(tiny_runs):
    found = process("pretrain", *flags(TINY_PRETRAIN | {"epochs": 1}), "--runs_dir", tiny_runs / "here")
    assert found.returncode == 0, found.stderr
    assert "Traceback" not in found.stderr
    assert "Warning" not in found.stderr
    folder = found.stdout.strip().splitlines()[-1]
    run = runs.find(folder, tiny_runs)
    assert str(run.path) == folder
    assert run.path.parent == tiny_runs / "here"
    assert run.status.state == "finished"
    assert (run.path / "model.pt").is_file()
    assert found.stdout.startswith("epoch 1/1")
    assert run.log_tail().startswith("epoch 1/1")
    assert run.meta["command"][:4] == ["python", "-m", "simclr", "pretrain"]


def test_bad_input_as_a_process(tiny_runs):
    found = process("pretrain", "--epochz", "3")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "epochz is not an option; did you mean epochs?\n"


def test_an_unknown_command_and_no_command(capsys):
    code, out, err = call(capsys, "pretrian")
    assert (code, out) == (2, "")
    assert err.startswith("pretrian is not a command; allowed: pretrain, finetune")
    code, out, _ = call(capsys)
    assert code == 2
    assert "python -m simclr COMMAND --help" in out
    for flag in ("--help", "-h"):
        code, out, _ = call(capsys, flag)
        assert code == 0
        assert all(command in out for command in COMMANDS)


def test_abbreviations_are_no_options(capsys):
    code, _, err = call(capsys, "pretrain", "--temp", "0.2", "--print_config")
    assert code == 2
    assert err == "temp is not an option; did you mean temperature?\n"
    for command, flag in (("runs", "--runs"), ("stop", "--runs"), ("runs", "--js")):
        code, _, err = call(capsys, command, flag)
        assert code == 2
        assert "Traceback" not in err


def test_a_flag_without_its_value(capsys):
    for arguments in (["--epochs", "--seed", "3"], ["--seed"], ["--config"], ["--runs_dir", "--seed", "3"]):
        code, _, err = call(capsys, "pretrain", *arguments)
        assert code == 2
        assert f"{arguments[0].strip('-')} has no value; allowed: " in err


def test_print_config_shows_the_resolved_options_and_makes_nothing(tiny_runs, capsys):
    code, out, err = call(
        capsys, "finetune", "--experiment_version", "99", "--print_config", "--head", "mlp", "--learning_rate", "1e-1"
    )
    assert (code, err) == (0, "")  # looked up when the run starts, not before
    assert "experiment_version: 99\n" in out
    assert "head: mlp\n" in out
    assert "learning_rate: 0.1\n" in out
    assert list(tiny_runs.iterdir()) == []


def test_the_runs_folder_comes_from_flag_then_environment_then_here(tmp_path, monkeypatch, capsys):
    for name in ("flag", "environment", "runs"):
        runs.create(cfg.build(PretrainConfig, {"name": name}), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path / "environment"))

    def listed(*arguments):
        return [row["name"] for row in json.loads(call(capsys, "runs", "--json", *arguments)[1])]

    assert listed("--runs_dir", tmp_path / "flag") == ["flag"]
    assert listed() == ["environment"]
    monkeypatch.delenv("SIMCLR_RUNS_DIR")
    assert listed() == ["runs"]


def test_the_list_of_runs(tiny_runs, capsys):
    code, out, _ = call(capsys, "runs")
    assert code == 0
    assert out.startswith("There are no runs in ")
    first, second = (runs.create(PretrainConfig(), tiny_runs) for _ in range(2))
    runs.update_status(first.path, state="finished")
    runs.update_status(second.path, state="failed", step=5, steps=10)
    (second.path / "config.yaml").write_text("[broken")
    code, out, _ = call(capsys, "runs")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines[first.id].split()[1:3] == ["finished", "100%"]
    assert lines[first.id].endswith("version 0")
    assert lines[second.id].split()[1:3] == ["failed", "50%"]
    rows = {row["id"]: row for row in json.loads(call(capsys, "runs", "--json")[1])}
    assert rows[first.id]["version"] == 0
    assert rows[second.id]["kind"] == "unknown"
    assert rows[first.id]["folder"] == str(first.path)


@pytest.mark.parametrize("created", [1e300, -1e300, float("nan"), "x", None, True])
def test_the_list_survives_foreign_times(tiny_runs, capsys, created):
    run = runs.create(PretrainConfig(), tiny_runs)
    (run.path / "meta.json").write_text(json.dumps({"created": created}))
    code, out, _ = call(capsys, "runs")
    assert code == 0
    assert run.id in out


@pytest.mark.parametrize("command", ["stop", "resume"])
def test_stop_and_resume_name_what_is_wrong(tiny_runs, capsys, command):
    code, out, err = call(capsys, command, "nothing")
    assert (code, out) == (2, "")
    assert err.startswith("RUN is nothing; allowed: ")
    code, _, err = call(capsys, command)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "RUN" in err
    run = runs.create(PretrainConfig(), tiny_runs)
    runs.update_status(run.path, state="finished")
    code, _, err = call(capsys, command, run.id)
    assert code == 2
    assert f"{run.id} is finished; allowed: " in err


def test_finetuning_by_version_says_which_run_that_is(finished_run, finished_runs_dir, capsys):
    arguments = flags(
        {"experiment_version": 0, "freeze_encoder": True, "epochs": 1, "limit_images": 64, "num_threads": 1}
    )
    code, out, err = call(capsys, "finetune", *arguments, "--runs_dir", finished_runs_dir)
    assert code == 0, err
    assert f"experiment_version 0 is {finished_run.id}" in out
    run = runs.find(out.strip().splitlines()[-1], finished_runs_dir)
    assert run.experiment == finished_run.id


@pytest.mark.parametrize("recipe", [name for name in cfg.recipe_names() if name != "quick"])
@pytest.mark.slow
def test_recipes_and_their_partners_run_to_the_end(tiny_runs, capsys, recipe):
    small = flags({"dataset": "shapes", "limit_images": 512, "batch_size": 64, "epochs": 1, "num_workers": 0})
    code, out, err = call(capsys, "pretrain", "--config", cfg.RECIPES_DIR / f"{recipe}.yaml", *small)
    assert code == 0, err
    experiment = out.strip().splitlines()[-1]
    for partner in ("finetune", "scratch"):
        path = cfg.RECIPES_DIR / f"{recipe}-{partner}.yaml"
        code, out, err = call(capsys, "finetune", "--config", path, *small, "--experiment_version", experiment)
        assert code == 0, err


def test_a_run_folder_that_has_begun_is_left_alone(finished_run, capsys):
    before = (finished_run.path / runs.STATUS).read_text()
    assert main(["pretrain", "--limit_images", "64", "--run_dir", str(finished_run.path)]) == 2
    assert "queued or starting" in capsys.readouterr().err
    assert (finished_run.path / runs.STATUS).read_text() == before


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (cfg.RECIPES_DIR / "quick.yaml", "quick"),
        (cfg.RECIPES_DIR / "notebook-scratch.yaml", "notebook"),
        ("quick", "quick"),
        ("quick.yaml", "quick"),
        ("notebook-scratch", "notebook"),
        ("other/quick.yaml", None),
        ("other/quick", None),
        (None, None),
    ],
)
def test_the_recipe_is_known_by_its_file(path, name):
    assert recipe_of(None if path is None else str(path)) == name


# --- the queue from a shell -----------------------------------------------------------------------------------------


def test_a_run_is_handed_to_the_queue(tiny_runs, monkeypatch, capsys):
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    monkeypatch.setattr(spawn, "detach", lambda *_, **__: None)
    for seed, state in ((1, "starting"), (2, "queued")):
        assert main(["pretrain", *flags(TINY_PRETRAIN | {"seed": seed}), "--backend", "queue", "--device", "cpu"]) == 0
        out, err = capsys.readouterr()
        run = runs.Run(Path(out.strip()))
        assert run.status.state == state
        assert err.startswith(f"{state}: ")
    assert [entry.config["seed"] for entry in queue.entries(tiny_runs)] == [2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--backend", "cloud"], "backend is cloud; allowed: local, queue or slurm."),
        (["--device", "cpu"], "device is set and backend is local; allowed: backend queue."),
        (
            ["--backend", "queue", "--slurm.partition", "x"],
            "slurm.partition is set and backend is queue; allowed: backend slurm.",
        ),
        (
            ["--backend", "queue", "--device", "tpu"],
            "device is tpu; allowed: auto, cpu, or several GPUs such as gpu:0,1.",
        ),
    ],
)
def test_a_place_that_cannot_be_is_one_sentence(tiny_runs, capsys, arguments, sentence):
    assert main(["pretrain", *flags(TINY_PRETRAIN), *arguments]) == 2
    assert capsys.readouterr().err.strip() == sentence
    assert runs.list_runs(tiny_runs) == []


def test_estimate_asks_for_a_kind(capsys):
    assert main(["estimate"]) == runs.BAD_INPUT_EXIT_CODE
    assert capsys.readouterr().err == ("KIND is missing; allowed: pretrain or finetune, followed by their options.\n")
