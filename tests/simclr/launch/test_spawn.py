"""Runs started in the background: real processes, ended in every way a process can end."""

import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import TINY_PRETRAIN
from waiting import LIMIT, LONG, background, group_of, wait_for, wait_until_training  # noqa: F401

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig
from simclr.hardware import processes
from simclr.launch import control, spawn


def started(runs_dir, **options):
    return spawn.start(cfg.build(PretrainConfig, LONG | options), runs_dir)


def test_a_run_finishes_in_the_background(background, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # wherever the dashboard was started from
    run = spawn.start(cfg.build(PretrainConfig, TINY_PRETRAIN | {"name": "$(touch pwned); <b>"}), background)
    assert run.status.is_active
    status = wait_for(lambda: (s := run.status).exit_code is not None and s, "the end")
    assert (status.state, status.exit_code, status.signal, status.error) == ("finished", 0, None, ""), run.log_tail()
    assert status.step == status.steps == 6
    assert "epoch 2/2" in run.log_tail()
    assert run.log_tail().count("epoch 2/2") == 1
    assert run.model_path.is_file()
    assert run.meta["command"][:4] == ["python", "-m", "simclr", "pretrain"]
    assert not (tmp_path / "pwned").exists()
    wait_for(lambda: not group_of(status.pid), "the end of its processes")


def test_a_stop_is_clean_proven_and_can_be_resumed(background):
    run = started(background)
    wait_until_training(run)
    status = control.stop(run.path)
    assert (status.state, status.reason, status.error) == ("stopped", "on request", "")
    assert (run.path / "checkpoints" / "last.ckpt").is_file()
    status = wait_for(lambda: (s := run.status).exit_code is not None and s, "the exit code")
    assert status.exit_code == runs.STOPPED_EXIT_CODE
    assert group_of(status.pid) == []
    with pytest.raises(ConfigError, match="is stopped; allowed: a run that is active"):
        control.stop(run.path)
    step = status.step
    control.resume(run)
    wait_for(lambda: run.status.step > step, "a step after the resume")
    assert control.stop(run.path).state == "stopped"


def test_a_stop_that_is_asked_for_at_once_is_not_lost(background):
    run = started(background)
    control.request_stop(run.path)
    assert run.status.state == "stopping"
    status = wait_for(lambda: not (s := run.status).is_active and s, "the end")
    assert (status.state, status.reason) == ("stopped", "on request"), (status, run.log_tail())
    wait_for(lambda: run.status.exit_code == runs.STOPPED_EXIT_CODE, "the exit code")


@pytest.mark.slow  # the quick tests of faults do it with processes that stand in for it
def test_a_killed_trainer_is_failed_with_its_signal(background):
    run = started(background)
    os.kill(wait_until_training(run).pid, signal.SIGKILL)
    status = wait_for(lambda: not (s := run.status).is_active and s.signal and s, "the supervisor's word")
    assert (status.state, status.reason, status.signal, status.exit_code) == ("failed", "killed by signal 9", 9, None)
    assert "SIGKILL" in status.error
    assert "memory" in status.error
    assert group_of(status.pid) == []


@pytest.mark.slow  # the quick tests of faults do it with processes that stand in for it
def test_a_killed_trainer_and_supervisor_is_shown_as_crashed(background):
    run = started(background)
    status = wait_until_training(run)
    os.kill(status.supervisor_pid, signal.SIGKILL)
    wait_for(lambda: not processes.is_alive(status.supervisor_pid, status.supervisor_start), "the supervisor's end")
    assert run.status.state == "running"  # the trainer goes on without it
    os.kill(status.pid, signal.SIGKILL)
    status = wait_for(lambda: not (s := run.status).is_active and s, "the end to show")
    assert (status.state, status.reason) == ("failed", "crashed")
    assert status.error.endswith(".")


def test_a_run_outlives_the_process_that_started_it(background):
    code = (
        "import json, sys; from pathlib import Path; from simclr import config as cfg; "
        "from simclr.launch import spawn\n"
        "run = spawn.start(cfg.build(cfg.PretrainConfig, json.loads(sys.argv[1])), Path(sys.argv[2]))\n"
        "print(run.path)\n"
    )
    arguments = [sys.executable, "-c", code, json.dumps(LONG), str(background)]
    starter = subprocess.run(arguments, capture_output=True, text=True, check=True, start_new_session=True)
    run = runs.find(starter.stdout.strip(), background)
    status = wait_until_training(run)
    wait_for(lambda: run.status.step > status.step, "more steps")
    assert control.stop(run.path).state == "stopped"


def test_bad_input_is_told_in_the_run(background):
    run = spawn.start(cfg.build(PretrainConfig, TINY_PRETRAIN | {"dataset": "nowhere"}), background)
    status = wait_for(lambda: (s := run.status).exit_code is not None and s, "the end")
    assert (status.state, status.reason, status.exit_code) == ("failed", "bad input", 2)
    assert status.error.startswith("dataset is nowhere")


def test_a_run_of_another_machine_is_not_stopped_from_here(tiny_runs):
    run = runs.create(PretrainConfig(), tiny_runs)
    runs.update_status(run.path, state="running", pid=os.getpid(), process_start=1.0, host="another")
    with pytest.raises(ConfigError, match="runs on another; it can be stopped there"):
        control.request_stop(run.path)


# --- the supervisor alone -------------------------------------------------------------------------------------------


def supervise(tiny_runs, code, **status):
    run = runs.create(PretrainConfig(), tiny_runs)
    process = spawn._supervise(run.path, [sys.executable, "-c", code], {}, status)
    returned = process.wait(LIMIT)
    return run.status, returned


@pytest.mark.parametrize(
    ("code", "state", "reason", "exit_code"),
    [
        ("pass", "finished", "", 0),
        ("raise SystemExit(3)", "failed", "exit status 3", 3),
        ("raise ValueError", "failed", "exit status 1", 1),
        ("import os; os.abort()", "failed", "killed by signal 6", None),
    ],
)
def test_the_supervisor_writes_how_a_process_ended(tiny_runs, code, state, reason, exit_code):
    status, returned = supervise(tiny_runs, code)
    assert (status.state, status.reason, status.exit_code) == (state, reason, exit_code)
    assert (returned == 0) == (exit_code == 0)
    assert status.ended is not None


def test_what_a_process_leaves_behind_is_ended_with_it(tiny_runs, tmp_path):
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
"""
    supervise(tiny_runs, code)
    child = int((tmp_path / "pid").read_text())
    wait_for(lambda: processes.process_start(child) is None, "the child's end")


def test_a_process_that_will_not_stop_is_killed_after_the_grace_time(tiny_runs, tmp_path):
    run = runs.create(PretrainConfig(), tiny_runs)
    code = f"""
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({str(tmp_path / "ready")!r}, "w").close()
time.sleep(600)
"""
    spawn._supervise(run.path, [sys.executable, "-c", code], {}, {})
    wait_for((tmp_path / "ready").exists, "the process")
    status = control.stop(run.path, grace_seconds=0.5)
    assert not status.is_active
    status = wait_for(lambda: (s := run.status).signal and s, "the supervisor's word")
    assert (status.state, status.reason, status.signal) == ("stopped", "killed after the grace time", 9)
    assert group_of(status.pid) == []


def test_jobs_have_a_folder_with_status_and_log(tiny_runs):
    folder = spawn.start_job("test", ["no-such-command"], tiny_runs)
    assert folder.parent == tiny_runs / ".jobs"
    status = wait_for(lambda: (s := runs.current_status(folder)).exit_code is not None and s, "the end")
    assert (status.state, status.exit_code) == ("failed", 2)
    assert "no-such-command is not a command" in (folder / "log.txt").read_text()
    assert runs.list_runs(tiny_runs) == []
