"""What Slurm's programs print, and what a run's status becomes by it: no Slurm needed."""

import json
import os
import re
import time

import pytest
from conftest import TINY_PRETRAIN

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.launch import slurm_allocation, slurm_client, slurm_options, slurm_runs, slurm_script, slurm_submit
from simclr.runs import slurm_state
from simclr.runs.status import Status

NOW = 1_800_000_000.0


def status(**fields):
    """Of a run in the queue of Slurm, or with `heartbeat` of one that has begun."""
    if "heartbeat" in fields:
        fields = {"state": "running", "started": NOW - 1000, **fields}
    return Status(**{"state": "queued", "backend": "slurm", "job_id": "7", "created": NOW - 2000} | fields)


def seen(given, asked=NOW - 5):
    found = slurm_state.corrected(given, asked, NOW)
    return found.state, found.reason


# --- from what Slurm says to the state of a run ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "reason", "words"),
    [
        ("", "", "pending"),
        ("PENDING", "None", "pending"),
        ("PENDING", "Resources", "pending: waits for free nodes"),
        ("PENDING", "Priority", "pending: waits behind jobs of higher priority"),
        ("PENDING", "Dependency", "pending: waits for another job"),
        ("PENDING", "DependencyNeverSatisfied", "pending: waits for a job that has failed"),
        ("PENDING", "QOSMaxJobsPerUserLimit", "pending: waits for the limits of its quality of service"),
        ("PENDING", "AssocGrpGRES", "pending: waits for the limits of its account"),
        ("PENDING", "MaxCpuPerAccount", "pending: waits for the limits of its account"),
        ("PENDING", "PartitionNodeLimit", "pending: asks for more nodes than its partition allows"),
        ("PENDING", "JobHeldUser", "pending: is held; it has to be released"),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:a1", "pending: waits for nodes that are down or reserved"),
        (
            "PENDING",
            "launch failed requeued held",
            "pending: is held, since it could not be started; it has to be released",
        ),
        ("PENDING", "Something new", "pending: Something new"),
        ("UNREACHABLE", "", "Slurm's controller does not answer"),
    ],
)
def test_a_waiting_job_says_why_in_words(job, reason, words):
    assert seen(status(job_state=job, job_reason=reason)) == ("queued", words)


@pytest.mark.parametrize("job", ["CONFIGURING", "RUNNING", "COMPLETING"])
def test_a_job_that_has_nodes_and_no_word_yet_is_starting(job):
    assert seen(status(job_state=job)) == ("starting", "")


def test_a_run_that_saved_at_its_limit_is_requeued_until_it_runs_again():
    waits = status(reason=slurm_allocation.REQUEUED["timed out"], started=NOW - 900, heartbeat=NOW - 60, state="queued")
    for job, reason, words in [
        ("RUNNING", "", "requeued at the time limit"),  # the old part, about to end
        ("COMPLETING", "", "requeued at the time limit"),
        ("PENDING", "BeginTime 2026-11-25T16:17:40", "requeued at the time limit: goes on after 16:17:40"),
        ("PENDING", "Resources", "requeued at the time limit: waits for free nodes"),
        ("UNREACHABLE", "", "requeued at the time limit; Slurm's controller does not answer"),
    ]:
        given = slurm_state.replace(waits, job_state=job, job_reason=reason)
        assert seen(given) == ("queued", words)


def test_a_heartbeat_goes_before_an_old_word_of_slurm():
    assert seen(status(heartbeat=NOW - 2, job_state="PENDING", job_reason="BeginTime")) == ("running", "")
    assert seen(status(heartbeat=NOW - 2, job_state="UNKNOWN")) == ("running", "")
    assert seen(status(heartbeat=NOW - 200, job_state="PENDING", job_reason="Resources")) == (
        "queued",
        "requeued: waits for free nodes",
    )


def test_a_silent_run_is_lost_only_where_slurm_knows_no_such_job():
    assert seen(status(heartbeat=NOW - 200, job_state="UNKNOWN")) == ("failed", "lost")
    assert seen(status(job_state="UNKNOWN")) == ("failed", "lost")
    assert seen(status(heartbeat=NOW - 2000, job_state="RUNNING")) == ("running", "")
    assert seen(status(heartbeat=NOW - 2000, job_state="UNREACHABLE")) == (
        "running",
        "Slurm's controller does not answer",
    )
    assert seen(status(heartbeat=NOW - 1980, job_state="RUNNING"), asked=NOW - 900) == (
        "running",
        "nothing was heard of it for 33 minutes",
    )


@pytest.mark.parametrize(
    ("job", "reason", "state", "words"),
    [
        ("CANCELLED", "None 0:15", "stopped", "cancelled"),
        ("PREEMPTED", "", "stopped", "preempted"),
        ("TIMEOUT", "TimeLimit 0:1", "failed", "timed out"),
        ("DEADLINE", "", "failed", "timed out"),
        ("NODE_FAIL", "NodeDown 1:0", "failed", "node failed"),
        ("BOOT_FAIL", "", "failed", "node failed"),
        ("OUT_OF_MEMORY", "OutOfMemory 0:125", "failed", "out of memory"),
        ("FAILED", "NonZeroExitCode 3:0", "failed", "exit status 3"),
        ("FAILED", "NonZeroExitCode 0:9", "failed", "killed by signal 9"),
        ("FAILED", "JobLaunchFailure 0:53", "failed", "not started"),
        ("FAILED", "", "failed", "crashed"),
        ("COMPLETED", "None 0:0", "failed", "crashed"),
        ("REVOKED", "", "failed", "lost"),
    ],
)
def test_every_end_of_a_job_has_its_state_reason_and_sentence(job, reason, state, words):
    heartbeats = (NOW - 2, NOW - 2000) if job != "COMPLETED" else (NOW - 2000,)  # fresh: it may be about to say it
    for heartbeat in heartbeats:
        found = slurm_state.corrected(
            status(heartbeat=heartbeat, job_state=job, job_reason=reason, eta_seconds=5.0), NOW, NOW
        )
        assert (found.state, found.reason, found.eta_seconds) == (state, words, None)
        assert found.error.endswith(".")


def test_all_ends_of_slurm_are_known():
    """Those that squeue(1) and sacct(1) name as ends of a job."""
    ends = "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT"
    assert set(slurm_state.ENDS) == set(ends.split())


def test_a_stop_is_shown_as_one():
    assert seen(status(heartbeat=NOW - 1, job_state="RUNNING", stop_requested=NOW - 3)) == ("stopping", "")
    assert seen(status(job_state="CANCELLED", stop_requested=NOW - 3)) == ("stopped", "on request")
    assert slurm_state.corrected(status(job_state="CANCELLED"), NOW, NOW).error == ""  # nothing was lost


def test_suspended_and_not_handed_in():
    assert seen(status(heartbeat=NOW - 90, job_state="SUSPENDED")) == ("running", "suspended by Slurm")
    assert seen(status(job_id="", created=NOW - 3)) == ("queued", "being submitted")
    assert seen(status(job_id="", created=NOW - 1000)) == ("failed", "not submitted")


def folder_with(tmp_path, **fields):
    return runs.create(cfg.build(cfg.PretrainConfig, TINY_PRETRAIN), tmp_path, status={"backend": "slurm", **fields})


def test_the_run_folder_shows_it_without_asking_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    run = folder_with(tmp_path, state="queued", job_id="7", job_state="PENDING", job_reason="Resources")
    assert (run.status.state, run.status.reason) == ("queued", "pending: waits for free nodes")
    runs.update_status(
        run.path,
        state="running",
        pid=os.getpid(),
        process_start=1.0,
        host="elsewhere",
        heartbeat=time.time(),
        job_state="RUNNING",
        job_reason="",
    )
    assert run.status.state == "running"  # its process is another machine's: not looked for here
    runs.update_status(run.path, state="finished", job_state="FAILED", job_reason="NonZeroExitCode 9:0")
    assert run.status.state == "finished"  # its own last word is believed first


# --- what Slurm prints ----------------------------------------------------------------------------------------------


def test_squeue_is_read():
    text = """\
1|COMPLETED|None|2026-11-25T16:14:52
3|PENDING|BeginTime|2026-11-25T16:17:59
7|PENDING|(PartitionConfig)|N/A
8|FAILED|BadConstraints|2026-11-25T16:16:04
9|PENDING|ReqNodeNotAvail, UnavailableNodes:a[1-2]|2026-11-26T00:00:00
10_2|RUNNING|None|2026-11-25T16:14:52
slurm_load_jobs error: something
"""
    found = {job_id: (job.state, job.reason) for job_id, job in slurm_client.parse_jobs(text).items()}
    assert found == {
        "1": ("COMPLETED", "None"),
        "3": ("PENDING", "BeginTime 2026-11-25T16:17:59"),
        "7": ("PENDING", "PartitionConfig"),
        "8": ("FAILED", "BadConstraints"),
        "9": ("PENDING", "ReqNodeNotAvail, UnavailableNodes:a[1-2]"),
    }


def test_sacct_is_read():
    found = slurm_client.parse_accounts(
        "5|CANCELLED by 1000|0:15\n6|FAILED|3:0\n6.batch|FAILED|3:0\n7|OUT_OF_MEMORY|0:125\n"
    )
    assert {job_id: (job.state, job.reason) for job_id, job in found.items()} == {
        "5": ("CANCELLED", "None 0:15"),
        "6": ("FAILED", "None 3:0"),
        "7": ("OUT_OF_MEMORY", "None 0:125"),
    }


def test_scontrol_is_read():
    text = "JobId=5 JobName=a b=c JobState=RUNNING Reason=None ExitCode=0:0 PreemptTime=2026-11-25T16:14:55 Power= \n"
    facts = slurm_client.parse_job_details(text)
    assert (facts["JobState"], facts["PreemptTime"], facts["ExitCode"]) == ("RUNNING", "2026-11-25T16:14:55", "0:0")


def test_sinfo_is_read():
    text = """\
gpu|up|2-00:00:00|4|gpu:a100:8
gpu|up|2-00:00:00|2|(null)
debug*|up|1:00:00|2|(null)
old|down|1:00|9|(null)
"""
    default, gpu = slurm_client.parse_partitions(text)
    assert (default.name, default.is_default, default.time_limit, default.nodes) == ("debug", True, "1:00:00", 2)
    assert (gpu.name, gpu.is_default, gpu.nodes, gpu.gres) == ("gpu", False, 6, "gpu:a100:8")
    assert gpu.has_gpus and not default.has_gpus


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "sbatch: error: invalid partition specified: x\n"
            "sbatch: error: Batch job submission failed: Invalid partition",
            "Invalid partition",
        ),
        ("slurm_load_jobs error: Invalid job id specified\n", "Invalid job id specified"),
        ("sbatch: fatal: too much.", "too much"),
        ("", "no reason was given"),
    ],
)
def test_a_complaint_is_one_sentence(said, sentence):
    assert slurm_client.last_line(said).endswith(sentence) and "error" not in slurm_client.last_line(said).split()[0]


@pytest.mark.parametrize(
    ("facts", "restarts", "fate"),
    [  # as Slurm 22.05 says them while it sends SIGTERM
        ("JobState=RUNNING Reason=None Restarts=0 PreemptTime=None", 0, ""),
        ("JobState=RUNNING Reason=None Restarts=0 PreemptTime=2026-11-25T16:14:55", 0, "preempted"),
        ("JobState=COMPLETING Reason=None Restarts=0 PreemptTime=None", 0, "cancelled"),
        ("JobState=COMPLETING Reason=None Restarts=2 PreemptTime=None", 2, "cancelled"),
        ("JobState=COMPLETING Reason=TimeLimit Restarts=0 PreemptTime=None", 0, "timed out"),
        ("JobState=COMPLETING Reason=None Restarts=1", 0, "requeued"),
        ("", 0, ""),
    ],
)
def test_what_slurm_is_about_to_do_is_read_from_the_job(facts, restarts, fate):
    assert slurm_allocation.parse_pending_outcome(slurm_client.parse_job_details(facts), restarts) == fate


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("12\n", "12"),
        ("12;cluster\n", "12"),
        ("Welcome to the cluster.\n12\n", "12"),
        ("", "sbatch says 'no reason was given'"),
        ("Queue is full\n", "sbatch says 'Queue is full'"),
    ],
)
def test_the_number_of_a_job_is_the_last_line(tmp_path, monkeypatch, said, expected):
    run, calls = folder_with(tmp_path), []
    monkeypatch.setattr(slurm_submit.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(slurm_client, "call", lambda *words, **more: calls.append(more) or said)
    config = cfg.build(cfg.PretrainConfig, TINY_PRETRAIN)
    (tmp_path / slurm_state.FOLDER).mkdir(exist_ok=True)
    if expected.isdecimal():
        assert slurm_submit._submit_job(run, config, slurm_options.SlurmOptions()) == expected
        assert (run.path.parent / slurm_state.FOLDER / f"{expected}.sh").read_text() == calls[0]["given"]
    else:
        with pytest.raises(ConfigError, match=expected):
            slurm_submit._submit_job(run, config, slurm_options.SlurmOptions())


# --- programs that stand in for Slurm's -----------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a shell script in the place of one of Slurm's programs, and of no other; each call is counted."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin/nowhere:/bin")
    for name in ("squeue", "scontrol", "sacct", "sinfo", "scancel"):
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(slurm_client, "_no_accounting_until", 0.0)

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\necho x >>{folder}/{name}.calls\n{script}\n")

    def calls(name):
        path = folder / f"{name}.calls"
        return len(path.read_text().split()) if path.exists() else 0

    put.calls = calls
    return put


def test_one_call_asks_after_all_runs_and_only_news_is_written(tmp_path, program):
    jobs = [folder_with(tmp_path / "runs", state="queued", job_id=str(number)) for number in (1, 2, 3)]
    folder_with(tmp_path / "runs", state="finished", job_id="4")
    local = folder_with(tmp_path / "runs", state="queued", backend="local")
    program(
        "squeue",
        """case "$*" in *--jobs=1,2,3\\ *) ;; *) exit 1;; esac
echo '1|PENDING|Resources|N/A'; echo '2|RUNNING|None|N/A'""",
    )
    slurm_runs.refresh(tmp_path / "runs")
    assert program.calls("squeue") == 1
    words = [(run.status.job_state, run.status.job_reason) for run in jobs]
    assert words == [("PENDING", "Resources"), ("RUNNING", "None"), ("UNKNOWN", "")]
    assert runs.read_status(local.path).job_state == ""
    before = [(run.path / runs.STATUS).stat().st_mtime_ns for run in jobs]
    slurm_runs.refresh(tmp_path / "runs")
    assert [(run.path / runs.STATUS).stat().st_mtime_ns for run in jobs] == before
    assert slurm_state.last_query_time(tmp_path / "runs") > time.time() - 60


def test_accounting_is_asked_where_it_works_and_left_alone_where_it_does_not(tmp_path, program):
    run = folder_with(tmp_path / "runs", state="queued", job_id="7")
    program("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    program("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    for _ in range(3):
        slurm_runs.refresh(tmp_path / "runs")
    assert program.calls("sacct") == 1
    assert run.status.job_state == "UNKNOWN"
    slurm_client._no_accounting_until = 0.0
    program("sacct", "echo '7|TIMEOUT|0:0'")
    slurm_runs.refresh(tmp_path / "runs")
    assert (run.status.state, run.status.reason) == ("failed", "timed out")


def test_how_a_job_ended_is_asked_once(tmp_path, program):
    run = folder_with(tmp_path / "runs", state="queued", job_id="7")
    program("squeue", "echo '7|FAILED|NonZeroExitCode|N/A'")
    program("scontrol", "echo 'JobId=7 JobState=FAILED Reason=NonZeroExitCode ExitCode=3:0'")
    for _ in range(3):
        slurm_runs.refresh(tmp_path / "runs")
    assert program.calls("scontrol") == 1
    assert (run.status.state, run.status.reason) == ("failed", "exit status 3")
    program("squeue", "exit 1")  # forgotten or not answering: what is known stays known
    slurm_runs.refresh(tmp_path / "runs")
    assert run.status.reason == "exit status 3"


def test_a_controller_that_does_not_answer_changes_no_state(tmp_path, program):
    run = folder_with(tmp_path / "runs", state="queued", job_id="7")
    program("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    slurm_runs.refresh(tmp_path / "runs")
    assert (run.status.state, run.status.reason) == ("queued", "Slurm's controller does not answer")
    assert slurm_state.last_query_time(tmp_path / "runs") == 0.0
    program("squeue", "echo '7|PENDING|Priority|N/A'")
    slurm_runs.refresh(tmp_path / "runs")
    assert run.status.reason == "pending: waits behind jobs of higher priority"


def test_a_page_never_waits_long_for_slurm(program, monkeypatch):
    monkeypatch.setattr(slurm_client, "SINFO_SECONDS", 0.3)
    program("sinfo", "exec sleep 30")
    begun = time.monotonic()
    assert slurm_client.available_partitions() == []
    assert time.monotonic() - begun < 25  # less than sinfo takes


def test_a_folder_from_a_cluster_is_given_up_where_there_is_no_slurm(tmp_path, monkeypatch):
    run = folder_with(
        tmp_path, state="running", job_id="7", job_state="RUNNING", created=1.0, heartbeat=2.0, started=1.0
    )
    waits = folder_with(tmp_path, state="queued", job_id="8", job_state="PENDING", created=1.0)
    monkeypatch.setenv("PATH", "")
    slurm_runs.refresh(tmp_path)
    assert (run.status.state, run.status.reason) == ("failed", "lost")
    assert waits.status.state == "queued"


def test_a_stop_that_slurm_does_not_take_is_told_and_not_remembered(tmp_path, program):
    run = folder_with(tmp_path / "runs", state="queued", job_id="7")
    program(
        "scancel", "echo 'scancel: error: Kill job error on job id 7: Unable to contact slurm controller' >&2; exit 1"
    )
    with pytest.raises(ConfigError, match=r"could not be cancelled: .*Unable to contact slurm controller\.$"):
        slurm_runs.cancel(run)
    assert run.status.stop_requested is None


# --- options --------------------------------------------------------------------------------------------------------


def test_options_are_checked_and_named():
    built = slurm_options.build_options(
        {
            "partition": "gpu",
            "time_minutes": "30",
            "memory_gib": "none",
            "extra_lines": "#SBATCH --exclusive\n\n module load cuda \n",
        }
    )
    assert (built.partition, built.time_minutes, built.memory_gib) == ("gpu", 30, None)
    assert built.extra_lines == ("#SBATCH --exclusive", "module load cuda")
    for values, sentence in [
        ({"time_minutes": 0}, r"^slurm\.time_minutes is 0; allowed: a whole number from 1 to 525,600 minutes\.$"),
        ({"partition": "a b"}, r"^slurm\.partition is a b; allowed: a name without spaces and quotes\.$"),
        ({"partitoin": "x"}, r"^slurm\.partitoin is not an option; did you mean partition\?$"),
        ({"memory_gib": -1}, r"^slurm\.memory_gib is -1; allowed: a number above 0"),
    ]:
        with pytest.raises(ConfigError, match=sentence):
            slurm_options.build_options(values)


def test_options_are_kept_for_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert slurm_options.load_options() == (slurm_options.SlurmOptions(), "")
    mine = slurm_options.SlurmOptions(
        partition="gpu", memory_gib=1.5, extra_lines=("module load cuda", "#SBATCH --exclusive")
    )
    slurm_options.save_options(mine)
    assert slurm_options.load_options() == (mine, "")
    for damage in ("time_minutes: 0", "a: b: c", "[1, 2]", "\0", "partition: {x: y}", "nonsense: 1"):
        slurm_options.options_path().write_text(damage)
        found, sentence = slurm_options.load_options()
        assert found == slurm_options.SlurmOptions()
        assert sentence == f"{slurm_options.options_path()} cannot be used; these are the defaults."


def test_the_script_asks_for_a_task_on_each_device(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm_script, "partition_has_gpus", lambda partition: partition == "gpu")
    run = folder_with(tmp_path)
    config = cfg.build(cfg.PretrainConfig, TINY_PRETRAIN | {"devices": 2, "num_nodes": 3, "batch_size": 12})
    options = slurm_options.SlurmOptions(
        partition="gpu",
        time_minutes=4,
        memory_gib=1.5,
        cpus_per_task=8,
        extra_lines=("module load cuda", "#SBATCH --exclusive"),
    )
    script = slurm_script.job_script(run, config, options, "afterok:7")
    head, command = script.split("module load cuda\n")  # Slurm reads no further than a command
    assert {
        f"#SBATCH --job-name={run.id}",
        "#SBATCH --partition=gpu",
        "#SBATCH --time=4",
        "#SBATCH --nodes=3",
        "#SBATCH --ntasks-per-node=2",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=1536M",
        "#SBATCH --signal=USR2@60",
        "#SBATCH --dependency=afterok:7",
        "#SBATCH --kill-on-invalid-dep=yes",
        "#SBATCH --requeue",
        "#SBATCH --exclusive",
    } < set(head.splitlines())
    assert "gres" not in head  # accelerator cpu
    assert "SBATCH" not in command and command.endswith(f"-m simclr.slurm_job {run.path}\n")
    auto = config.model_copy(update={"accelerator": "auto"})
    assert "#SBATCH --gres=gpu:2\n" in slurm_script.job_script(run, auto, options)
    assert "gres" not in slurm_script.job_script(run, auto, slurm_options.SlurmOptions())
    gpu = config.model_copy(update={"accelerator": "gpu"})
    script = slurm_script.job_script(run, gpu, slurm_options.SlurmOptions(time_minutes=600))
    assert "#SBATCH --gres=gpu:2\n" in script and "#SBATCH --signal=USR2@300\n" in script
    assert not re.search("partition|mem=|account|qos|cpus-per-task|dependency", script)


def test_the_options_of_a_run_stand_in_its_folder(tmp_path):
    run = folder_with(tmp_path)
    options = slurm_options.SlurmOptions(extra_lines=("#SBATCH --exclusive",))
    runs.add_meta(run.path, slurm=options.model_dump(mode="json"))
    assert slurm_options.SlurmOptions(**json.loads((run.path / runs.META).read_text())["slurm"]) == options
