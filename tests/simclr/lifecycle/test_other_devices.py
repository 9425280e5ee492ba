"""A run that is resumed on another number of processes ends as if it had always had that number, up to rounding."""

import signal

import killable
import pytest
import torch
from conftest import TINY, TINY_PRETRAIN, flags
from dashboard_fixtures import make_run

from simclr import runs
from simclr.cli.main import main
from simclr.curves.curve_sources import asked_options
from simclr.lifecycle import other_devices
from simclr.objectives.metrics import RunningMeans
from simclr.runs import health_log

# Without BatchNorm, whose statistics are each process's own on a CPU. Rows hold several steps.
SMALL = {"backbone": "squeezenet1_1", "image_size": 32, "optimizer": "sgd", "learning_rate": 0.01, "film_frames": 0}
PRETRAIN = TINY_PRETRAIN | SMALL | {"batch_size": 8, "limit_images": 400, "epochs": 2, "evaluate": False}
SCRATCH = TINY | SMALL | {"limit_images": 100, "random_weight_init": True, "epochs": 3}  # with a last batch of its own
del PRETRAIN["num_threads"], SCRATCH["num_threads"]  # left to the machine


@pytest.mark.parametrize(
    ("command", "options", "before", "after", "step", "number"),
    [
        ("pretrain", PRETRAIN, 2, 1, 13, signal.SIGTERM),
        pytest.param("pretrain", PRETRAIN, 1, 2, 21, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("pretrain", PRETRAIN | {"micro_batch_size": 2}, 4, 2, 60, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param("finetune", SCRATCH, 2, 1, 8, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param("finetune", SCRATCH, 1, 2, 7, signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_it_ends_as_one_that_nothing_happened_to(tmp_path, command, options, before, after, step, number):
    log = tmp_path / "log"

    def trained(folder, moment=None, expected=0, **more):
        arguments = [command, *flags(options | more), "--runs_dir", str(tmp_path / folder)]
        code = killable.run(arguments, log, moment, step, number)
        assert code == expected, log.read_text()
        (run,) = runs.list_runs(tmp_path / folder)
        return run

    whole = trained("whole")
    cores = whole.config["num_threads"]
    end = -signal.SIGKILL if number == signal.SIGKILL else runs.STOPPED_EXIT_CODE
    run = trained("other", "a step", end, devices=before)
    began = {"devices": before, "num_threads": None}
    assert (run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).is_file() or number == signal.SIGKILL
    assert killable.run(["resume", str(run.path), "--devices", str(after)], log) == 0, log.read_text()

    run = runs.Run(run.path)
    assert run.status.state == "finished", run.status.error
    assert run.config["devices"] == after and run.config["num_threads"] == max(1, cores // after)
    assert {name: asked_options(run.path / runs.CONFIG)[name] for name in began} == began
    assert run.log_path.read_text().count(f"It goes on with devices {after} (was {before}): batches and views") == 1
    for name, column in whole.metrics().items():
        if not name.startswith("perf/"):
            found = run.metrics()[name]
            assert len(found) == len(column)
            near = 2e-3 if name in ("lr", "train/loss", "val/loss") else 0.1  # where one image may change sides
            assert list(found) == pytest.approx(list(column), rel=near, abs=near, nan_ok=True), name
    lines = [[(line.epoch, line.step) for line in health_log.read(one.health_path)] for one in (run, whole)]
    assert lines[0] == lines[1]
    first, second = (torch.load(one.model_path, weights_only=True) for one in (whole, run))
    moved = torch.cat([(first[key] - second[key]).flatten() for key in first]).norm()
    assert moved < 2e-3 * torch.cat([first[key].flatten() for key in first]).norm()


def test_a_half_gathered_row_is_that_of_all_images_whoever_saw_them():
    """The mean over images, as one process has it; a process that has seen none yet says nothing."""
    values = [(0.5, 3), (0.25, 4), (1.0, 2)]
    each = [RunningMeans() for _ in range(4)]
    whole = RunningMeans()
    for means, (value, number) in zip(each, values, strict=False):
        for taker in (means, whole):
            taker.add({"loss": torch.tensor(value), "top1": torch.tensor(1 - value)}, number)
    joined = RunningMeans()
    joined.load_state_dict(RunningMeans.joined([means.state_dict() for means in each]))
    assert joined.take() == pytest.approx(whole.take())
    joined.load_state_dict(RunningMeans.joined([RunningMeans().state_dict()] * 2))
    joined.add({"loss": torch.tensor(2.0)}, 1)
    assert joined.take() == {"loss": 2.0}


def test_what_does_not_fit_is_told_in_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    run = make_run(tmp_path, kind="scratch", epochs=4, done=2, state="stopped", batch_size=8)
    runs.add_meta(run.path, num_train_images=66)  # a ninth batch of two images, or of one for each of two processes
    before = (run.path / runs.CONFIG).read_bytes()

    def told(*arguments):
        assert main(["resume", run.id, *arguments]) == 2
        said = capsys.readouterr().err.strip()
        assert "\n" not in said
        assert (run.path / runs.CONFIG).read_bytes() == before
        return said

    assert told("--devices", "3").startswith("batch_size is 8; allowed: a multiple of 3, the processes that share it")
    assert told("--devices", "0") == "devices is 0; allowed: a whole number from 1 to 1,024."
    assert told("--accelerator", "tpu") == "accelerator is tpu; allowed: auto, cpu, gpu."
    assert told("--num_nodes", "2") == (
        f"num_nodes is 2, with which an epoch of {run.id} has 8 steps where it had 9; allowed: as before, or a new run."
    )
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert told("--devices", "1") == (
        "devices is 1 and num_nodes is 1, and torchrun started 4 processes; allowed: devices x num_nodes = 4."
    )


def test_the_number_of_before_changes_nothing(tmp_path):
    run = make_run(tmp_path, epochs=4, done=2, state="stopped")
    meta = runs.Run(run.path).meta
    assert other_devices.change(run, {"devices": "1", "accelerator": run.config["accelerator"]}) == ""
    assert runs.Run(run.path).meta == meta


@pytest.mark.parametrize("was_asked", [{}, {"num_threads": None, "num_workers": None}])
def test_what_the_machine_decided_is_decided_again(tmp_path, was_asked):
    """Threads and reading processes, where they were left to it; a number that was given stays."""
    run = make_run(tmp_path, epochs=4, done=2, state="stopped", num_threads=2, num_workers=1, batch_size=8)
    runs.add_meta(run.path, asked=was_asked, num_train_images=64)
    assert other_devices.change(runs.Run(run.path), {"devices": "2"})
    config = runs.load_config(runs.Run(run.path))
    given = (None, None) if was_asked else (2, 1)
    assert (config.num_threads, config.num_workers) == given
