"""What was started here goes on; what only lies here asks first, and decides nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_PRETRAIN, supervise_nothing
from dashboard_fixtures import make_run, open_page, texts

from simclr import PACKAGE, runs
from simclr import config as cfg
from simclr.cli import main
from simclr.config import ConfigError
from simclr.hardware import devices, processes
from simclr.launch import control, jobs, queue, slurm_options, slurm_runs, slurm_submit, spawn, supervisor
from simclr.runs import Run, seals

SENTENCE = "was not started here"


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the runs whose processes would have been started."""
    found: list[str] = []

    def note(folder: Path, *arguments: Any) -> None:
        found.append(folder.name)
        supervise_nothing(folder, *arguments)

    monkeypatch.setattr(spawn, "_supervise", note)
    monkeypatch.setattr(spawn, "detach", lambda *_, **__: pytest.fail("a process was started"))
    monkeypatch.setattr(devices, "_gpus", list)
    return found


def copy_of(run: Run, name: str = "", folder: Path | None = None) -> Run:
    return Run(shutil.copytree(run.path, (folder or run.path.parent) / (name or f"{run.id}-copy")))


# --- the seal -------------------------------------------------------------------------------------------------------


def test_a_seal_holds_for_this_folder_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "stopped")
    assert runs.is_own(run.path)
    assert runs.is_own(tmp_path / "runs" / ".." / "runs" / run.id)
    assert not runs.is_own(copy_of(run).path)
    assert not runs.is_own(copy_of(run, run.id, tmp_path).path)
    run.edit(name="another", notes="more", tags=["a"])
    assert runs.is_own(run.path)
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert runs.is_own(tmp_path / "moved" / run.id)
    (tmp_path / "moved" / run.id).rename(tmp_path / "moved" / "renamed")
    assert not runs.is_own(tmp_path / "moved" / "renamed")


def test_a_run_that_comes_back_from_the_trash_is_own(tmp_path: Path) -> None:
    run = make_run(tmp_path, "stopped")
    runs.delete(run, tmp_path)
    assert runs.is_own(runs.restore(run.id, tmp_path).path)


def test_a_seal_holds_in_another_process_and_not_for_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, "stopped")
    monkeypatch.setattr(seals, "_keys", {})  # as after a restart
    assert runs.is_own(run.path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert not runs.is_own(run.path)
    runs.seal(run.path)
    assert runs.is_own(run.path)
    assert (tmp_path / "another" / "simclr" / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"x" * 64, b"\xff" * 64, b"0" * 1000])
def test_no_other_seal_will_do(tmp_path: Path, content: bytes) -> None:
    run = make_run(tmp_path, "stopped")
    (run.path / seals.SEAL).write_bytes(content)
    assert not runs.is_own(run.path)


def test_keys_are_made_once_by_processes_at_the_same_time(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from simclr.runs import seals; seals.put(Path(sys.argv[1]))"
    folders = [tmp_path / str(number) for number in range(4)]
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    for folder in folders:
        folder.mkdir()
    started = [subprocess.Popen([sys.executable, "-c", code, str(folder)], env=environment) for folder in folders]
    assert [process.wait() for process in started] == [0] * 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert all(seals.holds(folder) for folder in folders)


def test_without_a_place_for_the_key_nothing_is_started(
    tiny_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    config = cfg.build(cfg.PretrainConfig, TINY_PRETRAIN)
    with pytest.raises(ConfigError, match="XDG_STATE_HOME"):
        queue.submit(config, tiny_runs)
    assert begun == []
    assert runs.list_runs(tiny_runs) == []
    assert runs.create(config, tiny_runs).status.state == "starting"  # here and now, it needs none


# --- the queue ------------------------------------------------------------------------------------------------------


def queued(folder: Path) -> Run:
    """A run that waits for the CPU of this machine."""
    run = runs.create(cfg.build(cfg.PretrainConfig, TINY_PRETRAIN), folder)
    runs.update_status(run.path, state="queued", device="cpu", queued=time.time(), host="", boot="")
    return run


def test_a_copied_folder_is_not_begun(tiny_runs: Path, tmp_path: Path, begun: list[str]) -> None:
    copy = copy_of(queued(tmp_path / "elsewhere"), folder=tiny_runs)
    queue.ensure_scheduler(tiny_runs)
    queue.advance(tiny_runs)
    queue.run_scheduler(tiny_runs)  # returns, since nothing waits for it
    assert begun == []
    assert copy.status.state == "queued"
    queue.allow(copy)
    assert begun == [copy.id]


def test_own_runs_are_begun_beside_it(tiny_runs: Path, tmp_path: Path, begun: list[str]) -> None:
    copy_of(queued(tmp_path / "elsewhere"), "00000000-first", folder=tiny_runs)
    run = queued(tiny_runs)
    queue.ensure_scheduler(tiny_runs)
    assert begun == [run.id]


# --- resume ---------------------------------------------------------------------------------------------------------


def test_resume_asks_first(tiny_runs: Path, begun: list[str], capsys: Any) -> None:
    copy = copy_of(make_run(tiny_runs, "stopped"))
    for action in (control.resume, spawn.claim_resume, queue.resubmit, slurm_submit.resubmit):
        with pytest.raises(ConfigError, match=SENTENCE):
            action(copy)
    assert main.main(["resume", copy.id]) == runs.BAD_INPUT_EXIT_CODE
    assert f"resume {copy.id} --foreign" in capsys.readouterr().err
    assert copy.status.state == "stopped"
    spawn.allow(copy)
    queue.resubmit(copy)
    assert begun == [copy.id]


def test_resume_with_foreign_trains(tiny_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simclr.lifecycle import train

    copy = copy_of(make_run(tiny_runs, "stopped"))
    trained = []

    def note(config: Any, run_dir: Path, **_: Any) -> Run:
        runs.update_status(run_dir, state="finished")
        trained.append(run_dir.name)
        return Run(run_dir)

    monkeypatch.setattr(train, "train", note)
    assert main.main(["resume", copy.id, "--foreign"]) == 0
    assert trained == [copy.id]


def test_foreign_lets_a_queued_copy_begin(tiny_runs: Path, tmp_path: Path, begun: list[str]) -> None:
    copy = copy_of(queued(tmp_path / "elsewhere"), folder=tiny_runs)
    assert main.main(["resume", copy.id]) == runs.BAD_INPUT_EXIT_CODE
    assert begun == []
    assert main.main(["resume", copy.id, "--foreign"]) == 0
    assert begun == [copy.id]


# --- Slurm ----------------------------------------------------------------------------------------------------------

PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> "{folder}/calls"
[ "$(basename "$0")" = sbatch ] && cat >> "{folder}/scripts" && echo 7
exit 0
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A pretended Slurm that takes every job: the folder with `calls` and `scripts`."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name in ("sbatch", "srun", "scancel", "squeue", "sinfo", "scontrol"):
        (folder / name).write_text(PROGRAM.format(folder=folder))
        (folder / name).chmod(0o755)
    for name in ("calls", "scripts"):
        (folder / name).touch()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def slurm_run(folder: Path, **options: Any) -> Run:
    config = cfg.build(cfg.PretrainConfig, TINY_PRETRAIN)
    return slurm_submit.submit(config, folder, slurm_options.build_options(options))


def test_shell_lines_of_a_foreign_folder_never_run(tiny_runs: Path, tmp_path: Path, cluster: Path) -> None:
    run = slurm_run(tmp_path / "elsewhere", extra_lines=["touch pwned"])
    assert "touch pwned" in (cluster / "scripts").read_text()  # one's own lines do
    copy = copy_of(run, folder=tiny_runs)
    runs.update_status(copy.path, state="stopped")
    (cluster / "scripts").write_text("")
    with pytest.raises(ConfigError, match=SENTENCE):
        slurm_submit.resubmit(copy)
    assert (cluster / "scripts").read_text() == ""
    slurm_options.save_options(slurm_options.build_options({"extra_lines": ["module load mine"]}))
    spawn.allow(copy)
    slurm_submit.resubmit(copy)
    script = (cluster / "scripts").read_text()
    assert "pwned" not in script
    assert "module load mine" in script


def test_changed_shell_lines_make_a_folder_foreign(tiny_runs: Path, cluster: Path) -> None:
    run = slurm_run(tiny_runs, extra_lines=["true"])
    runs.update_status(run.path, state="stopped")
    slurm_submit.resubmit(run)
    assert (cluster / "scripts").read_text().count("\ntrue\n") == 2  # handed in as before
    runs.update_status(run.path, state="stopped")
    runs.add_meta(run.path, slurm=run.meta["slurm"] | {"extra_lines": ["touch pwned"]})
    with pytest.raises(ConfigError, match=SENTENCE):
        slurm_submit.resubmit(run)


@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b", "\u2028"])
def test_a_path_with_a_line_break_comes_into_no_script(tiny_runs: Path, cluster: Path, sign: str) -> None:
    run = slurm_run(tiny_runs)
    odd = Run(run.path.rename(run.path.with_name(f"x{sign}touch pwned")))
    runs.update_status(odd.path, state="stopped")
    spawn.allow(odd)
    (cluster / "scripts").write_text("")
    with pytest.raises(ConfigError, match="without line breaks"):
        slurm_submit.resubmit(odd)
    assert (cluster / "scripts").read_text() == ""
    assert odd.status.state == "stopped"


@pytest.mark.parametrize("values", [{"extra_lines": ["a\nb"]}, {"extra_lines": ["a\x1b"]}, {"partition": "a\x07"}])
def test_slurm_options_have_no_control_signs(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^slurm\."):
        slurm_options.build_options(values)


def test_a_copy_cancels_no_job(tiny_runs: Path, cluster: Path) -> None:
    run = slurm_run(tiny_runs)
    copy = copy_of(run)
    slurm_runs.cancel(copy)  # it waits: the folder is set aside, and the job, which is the other's, left alone
    assert copy.status.state == "stopped"
    copy = copy_of(run, "another")
    runs.update_status(copy.path, state="running", heartbeat=time.time())
    with pytest.raises(ConfigError, match="left alone"):
        control.request_stop(copy.path)
    assert "scancel" not in (cluster / "calls").read_text()
    slurm_runs.cancel(run)
    assert "scancel 7" in (cluster / "calls").read_text()


# --- processes ------------------------------------------------------------------------------------------------------


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_a_copy_of_a_live_run_ends_no_process(tiny_runs: Path, process: subprocess.Popen[bytes]) -> None:
    run = make_run(tiny_runs, "running")
    runs.update_status(run.path, pid=process.pid, process_start=processes.process_start(process.pid))
    copy = copy_of(run)
    assert copy.status.state == "running"
    control.stop(copy.path, grace_seconds=0.1)
    supervisor.adopt(copy.path)
    assert process.poll() is None
    control.stop(run.path, grace_seconds=0.1)
    assert process.wait(timeout=20) < 0


def test_a_job_is_sealed_too(tiny_runs: Path, begun: list[str]) -> None:
    job = jobs.start("test", {"a": 1}, ["runs"], tiny_runs)
    assert runs.is_own(job)
    assert not runs.is_own(Path(shutil.copytree(job, job.with_name("copy"))))


# --- files that lead elsewhere --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [runs.LOG, ".lock", runs.METRICS])
def test_nothing_is_written_through_a_link(tiny_runs: Path, tmp_path: Path, name: str) -> None:
    from simclr.runs.metrics_csv import MetricsLog

    run = make_run(tiny_runs, "stopped")
    (tmp_path / "mine").write_text("mine\n")
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(tmp_path / "mine")
    if name == runs.METRICS:
        MetricsLog(run.metrics_path, ("epoch",)).append({"epoch": 1})
    else:
        with pytest.raises((ConfigError, OSError), match="leaves its folder"):
            spawn.begin(run, "cpu")
    assert (tmp_path / "mine").read_text() == "mine\n"
    assert not (run.path / runs.STATUS).is_symlink()


# --- pages ----------------------------------------------------------------------------------------------------------


def test_pages_say_it_on_the_button(tiny_runs: Path, tmp_path: Path, begun: list[str]) -> None:
    stopped = copy_of(make_run(tmp_path / "elsewhere", "stopped"), folder=tiny_runs)
    waits = copy_of(queued(tmp_path / "elsewhere"), folder=tiny_runs)
    app = open_page("run", id=stopped.id)
    assert not app.exception
    assert app.button(key="resume").label.endswith("though not started here")
    assert begun == []
    app.button(key="resume").click().run()
    assert begun == [stopped.id]
    runs.update_status(stopped.path, state="stopped", device="")
    app = open_page("run", id=waits.id)
    assert not app.exception
    assert "not put into the queue here" in texts(app)
    assert begun == [stopped.id]
    app.button(key="queue-allow").click().run()
    assert begun == [stopped.id, waits.id]
