"""Runs handed to a real Slurm: watched, stopped, killed, preempted, timed out, on two nodes, without its controller."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import TINY_PRETRAIN, flags
from slurm import cluster
from trainings import rows_of
from waiting import wait_for

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.launch import control, slurm_allocation, slurm_client, slurm_options, slurm_runs, slurm_submit
from simclr.runs import slurm_state

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 100.0  # seconds for what takes 10 on a free machine
# 16 steps an epoch: long enough for something to happen to it half-way.
OPTIONS = TINY_PRETRAIN | {"limit_images": 300, "epochs": 24, "knn_every_epochs": 0, "evaluate": False}
EPOCHS = OPTIONS["epochs"]
ENDLESS = OPTIONS | {"epochs": 10_000}


@pytest.fixture(autouse=True)
def here(slurm, tmp_path, monkeypatch):
    """This process, and what it starts, find the pretended Slurm and an empty runs folder."""
    for name in ("SLURM_CONF", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, slurm[name])
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def runs_dir(tmp_path):
    return tmp_path / "runs"


def build(options):
    return cfg.build(cfg.PretrainConfig, options)


def command(*arguments, code=0):
    """What `python -m simclr ARGUMENTS` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "simclr", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip(), done.stderr.strip()


def ask(*arguments):
    return subprocess.check_output(arguments, text=True, timeout=30).strip()


def watch(run, condition, refresh=True, seconds=LIMIT):
    """Waits until the run's status fulfils a condition; gives it, and all pairs of state and reason on the way."""
    seen = []
    deadline = time.monotonic() + seconds
    while True:
        if refresh:
            slurm_runs.refresh(run.path.parent)
        status = run.status
        if (status.state, status.reason) not in seen:
            seen.append((status.state, status.reason))
        if condition(status):
            return status, seen
        assert time.monotonic() < deadline, (status, seen, run.log_tail())
        time.sleep(0.3)


def trains(after=0):
    return lambda status: status.state == "running" and status.step > after


def over(status):
    return not status.is_active


def waits_again(reason):
    return lambda status: (status.state, status.job_state) == ("queued", "PENDING") and status.reason.startswith(reason)


def go_on_now(run):
    """Ends the two minutes that Slurm lets a requeued job wait.

    They are there so that its nodes have told how the job ended; told to a job that goes on already, that is its end.
    A node counts in whole seconds: in the one in which it ended the job, it refuses to start it ("Job credential
    revoked"), and Slurm calls the job failed. So it goes on two seconds later.
    """
    wait_for(lambda: "completing" not in ask("sinfo", "--noheader", "--format=%T"), "the job's nodes")
    ask("scontrol", "update", f"JobId={run.status.job_id}", "StartTime=now+2")


def tasks_of(run):
    """The processes of its tasks on all nodes, without the srun above them."""
    end = [sys.executable, "-m", "simclr.slurm_job", str(run.path), "--task"]
    return [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == end]


def assert_no_gap(run):
    """Each step has its row, once and in order, and each whole epoch its validation: nothing missing, nothing twice."""
    rows = rows_of(run)
    assert [int(row["step"]) for row in rows] == sorted(int(row["step"]) for row in rows)
    steps = [int(row["step"]) for row in rows if row["train/loss"]]
    assert steps == list(range(1, run.status.step + 1))
    assert [int(row["epoch"]) for row in rows if row["val/loss"]] == list(range(1, run.status.step // 16 + 1))


def assert_finished(run):
    assert (run.status.state, run.status.step) == ("finished", 16 * EPOCHS), (run.status, run.log_tail())
    assert_no_gap(run)
    assert run.model_path.is_file()


# --- handing in -----------------------------------------------------------------------------------------------------


def test_slurm_is_offered_with_its_partitions(monkeypatch):
    assert [(found.name, found.is_default, found.nodes) for found in slurm_client.available_partitions()] == [
        ("debug", True, 2),
        ("urgent", False, 2),
    ]
    monkeypatch.setenv("PATH", "")
    assert slurm_client.available_partitions() == []


def test_what_slurm_refuses_leaves_no_folder(runs_dir, capfd):
    for values, sentence in [
        ({"partition": "nowhere"}, "Slurm does not take the run: Invalid partition name specified."),
        ({"memory_gib": 60_000}, "Slurm does not take the run: Requested node configuration is not available."),
        ({"extra_lines": ("#SBATCH --gres=gpu:1",)}, "Slurm does not take the run: Invalid generic resource (gres)"),
    ]:
        with pytest.raises(ConfigError) as told:
            slurm_submit.submit(build(ENDLESS), runs_dir, slurm_options.SlurmOptions(**values))
        assert str(told.value).startswith(sentence)
    assert capfd.readouterr().err == ""
    assert runs.list_runs(runs_dir) == []
    assert ask("squeue", "--noheader") == ""
    _, err = command("pretrain", *flags(ENDLESS), "--backend", "slurm", "--slurm.partition", "nowhere", code=2)
    assert err == "Slurm does not take the run: Invalid partition name specified."
    _, err = command("pretrain", *flags(ENDLESS), "--slurm.partition", "debug", code=2)
    assert err == "slurm.partition is set and backend is local; allowed: backend slurm."


def test_a_double_click_hands_in_once_and_a_waiting_run_says_why(runs_dir):
    options = slurm_options.SlurmOptions(extra_lines=("#SBATCH --hold",))
    run = slurm_submit.submit(build(ENDLESS), runs_dir, options)
    assert slurm_submit.submit(build(ENDLESS), runs_dir, options).id == run.id
    too_many = slurm_submit.submit(build(ENDLESS | {"num_nodes": 4}), runs_dir, slurm_options.SlurmOptions())
    filler = ask("sbatch", "--parsable", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 100")
    behind = slurm_submit.submit(build(ENDLESS), runs_dir, slurm_options.SlurmOptions())
    watch(run, lambda status: status.reason == "pending: is held; it has to be released")
    watch(too_many, lambda status: status.reason == "pending: asks for more nodes than its partition allows")
    watch(behind, lambda status: status.reason == "pending: waits for free nodes")
    assert len(ask("squeue", "--noheader", "--format=%i").split()) == 4

    # Who cancels it: the product, and someone at a shell. It never began, so nothing is lost.
    control.request_stop(run.path)
    assert (run.status.state, run.status.reason, run.status.error) == ("stopped", "on request", "")
    ask("scancel", behind.status.job_id)
    status, _ = watch(behind, over)
    assert (status.state, status.reason, status.error) == ("stopped", "cancelled", "")
    with pytest.raises(ConfigError, match="is stopped; allowed: a run that is active"):
        control.request_stop(run.path)
    ask("scancel", filler, too_many.status.job_id)


def test_a_job_whose_folder_is_gone_ends_with_a_sentence(runs_dir):
    run = slurm_submit.submit(build(ENDLESS), runs_dir, slurm_options.SlurmOptions(extra_lines=("#SBATCH --hold",)))
    job_id = run.status.job_id
    runs.update_status(run.path, state="stopped")
    runs.delete(run, runs_dir)
    ask("scontrol", "release", job_id)
    words = runs_dir / slurm_state.FOLDER / f"{job_id}.txt"
    deadline = time.monotonic() + LIMIT
    while not (words.exists() and words.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert words.read_text() == f"{run.path} is not there any more, so there is nothing to train.\n"
    assert cluster.is_ready()  # no node was drained


# --- what happens to a run ------------------------------------------------------------------------------------------


def test_without_controller_stopped_resumed_cancelled_from_a_shell_and_resumed(runs_dir, monkeypatch):
    run = slurm_submit.submit(build(ENDLESS), runs_dir, slurm_options.SlurmOptions())
    watch(run, trains())
    begun, saved = time.time(), cluster.FOLDER / "state" / "job_state"
    ask("scontrol", "update", f"JobId={run.status.job_id}", "Comment=news")  # which it writes down within seconds
    watch(run, lambda _: saved.exists() and saved.stat().st_mtime > begun)  # it forgets what is younger
    with monkeypatch.context() as patch:
        patch.setattr(slurm_client, "ASK_SECONDS", 1.0)
        patch.setattr(slurm_client, "CALL_SECONDS", 1.0)
        cluster.daemon("slurmctld").kill()
        try:
            slurm_runs.refresh(runs_dir)
            assert (run.status.state, run.status.reason) == ("running", slurm_state.NO_ANSWER)
            with pytest.raises(ConfigError, match=r"could not be cancelled: "):
                control.request_stop(run.path)
            step = run.status.step
            watch(run, lambda status: status.step > step and status.reason == slurm_state.NO_ANSWER, refresh=False)
        finally:
            cluster.start(nodes=2)
    watch(run, lambda status: (status.state, status.reason) == ("running", ""))

    out, _ = command("stop", run.id)
    assert out == f"{run.id} is stopped (on request)"
    status = run.status
    assert status.step > 0 and status.exit_code == runs.STOPPED_EXIT_CODE
    assert (run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).is_file()
    first_job, first_step = status.job_id, status.step

    out, _ = command("resume", run.id)
    assert out == str(run.path)
    watch(run, trains(first_step))
    assert run.status.job_id != first_job
    ask("scancel", run.status.job_id)
    status, _ = watch(run, over)
    assert (status.state, status.reason, status.error) == ("stopped", "cancelled", "")
    assert status.step > first_step

    control.resume(run)
    watch(run, trains(status.step))
    assert control.stop(run.path).reason == "on request"
    assert_no_gap(run)


def test_time_limit_and_preemption_save_and_queue_it_again(runs_dir):
    run = slurm_submit.submit(build(OPTIONS), runs_dir, slurm_options.SlurmOptions())
    watch(run, trains(20))
    job_id = run.status.job_id
    ask("scancel", "--signal=USR2", job_id)  # as Slurm does some minutes before the time limit
    status, seen = watch(run, waits_again(f"{slurm_allocation.REQUEUED['timed out']}: goes on after"))
    assert {state for state, _ in seen} <= {"running", "queued"}
    saved = status.step
    assert saved > 20 and status.error == "" and status.seconds_before == 0
    go_on_now(run)

    watch(run, trains(saved + 20))
    assert run.status.seconds_before > 0
    ask(
        "sbatch",
        "--parsable",
        "--partition=urgent",
        "--nodes=2",
        "--exclusive",
        "--output=/dev/null",
        "--wrap",
        "sleep 1",
    )
    status, seen = watch(run, waits_again(slurm_allocation.REQUEUED["preempted"]))
    assert {state for state, _ in seen} <= {"running", "queued"}
    assert status.step > saved + 20
    go_on_now(run)

    watch(run, over)
    assert_finished(run)
    with pytest.raises(ConfigError, match="is finished; allowed: a run that was stopped or failed"):
        slurm_submit.resubmit(run)
    assert run.status.job_id == job_id  # the same job all along
    log = run.log_path.read_text()
    assert [log.count(f"Slurm job {job_id}{part} on") for part in ("", ", start 2,", ", start 3,")] == [1, 1, 1]


def test_a_killed_task_ends_the_run_on_all_nodes_with_a_sentence(runs_dir):
    run = slurm_submit.submit(build(ENDLESS | {"num_nodes": 2}), runs_dir, slurm_options.SlurmOptions())
    watch(run, trains())
    next(task for task in tasks_of(run) if task.environ()["SLURM_PROCID"] == "1").kill()
    status, _ = watch(run, over, refresh=False)
    assert (status.state, status.reason) == ("failed", "process lost")
    assert status.error.startswith("Process 1 of this run ended without a word, as one does that the system kills")
    assert "task 1: Killed" in run.log_path.read_text()
    watch(run, lambda _: not tasks_of(run) and ask("squeue", "--noheader") == "")  # none of it is left


def test_a_lost_machine_queues_it_again_and_a_killed_main_task_ends_it(runs_dir):
    run = slurm_submit.submit(build(ENDLESS), runs_dir, slurm_options.SlurmOptions())
    watch(run, trains(17))
    node = ask("squeue", "--noheader", "--format=%N", "--jobs", run.status.job_id)
    (cut_off,) = tasks_of(run)  # which does not know that Slurm has lost its machine
    cluster.daemon(node).kill()
    try:
        ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")  # else it takes a minute to be seen
        status, _ = watch(run, lambda status: status.job_state == "PENDING")
        assert status.state == "running" and cut_off.is_running()
        go_on_now(run)
        # on the other one, from the last checkpoint; the lost one leaves the folder to it
        watch(run, lambda status: status.pid not in (None, cut_off.pid) and trains(17)(status))
        assert cut_off not in tasks_of(run)
        assert node not in ask("squeue", "--noheader", "--format=%N", "--jobs", run.status.job_id)
        assert "leaves it alone" in run.log_path.read_text()
    finally:
        cluster.start(nodes=2)

    (task,) = tasks_of(run)
    task.kill()
    status, _ = watch(run, over, refresh=False)
    assert (status.state, status.reason, status.signal) == ("failed", "killed by signal 9", 9)
    assert status.error.startswith("The process was killed by signal 9 (SIGKILL).")
    slurm_submit.resubmit(run)
    watch(run, trains(status.step))
    assert control.stop(run.path).state == "stopped"
    assert_no_gap(run)


@pytest.mark.slow
def test_a_real_time_limit_queues_it_again_until_slurm_lets_it_go_on(runs_dir):
    run = slurm_submit.submit(build(ENDLESS), runs_dir, slurm_options.SlurmOptions(time_minutes=2))
    reason = slurm_allocation.REQUEUED["timed out"]
    status, seen = watch(run, lambda status: status.state == "queued" and status.reason.startswith(reason), seconds=250)
    assert {state for state, _ in seen} <= {"queued", "starting", "running"}
    assert status.error == "" and status.step > 0
    again, seen = watch(run, trains(status.step), seconds=250)  # after the two minutes that Slurm takes
    assert {state for state, _ in seen} <= {"queued", "starting", "running"}
    assert (again.job_id, again.seconds_before > 0) == (status.job_id, True)
    assert control.stop(run.path).state == "stopped"
    assert_no_gap(run)
