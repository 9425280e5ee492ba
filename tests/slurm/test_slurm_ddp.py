"""Training in two processes under a real Slurm, brought up here: the same bytes as without one, stopped or not."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import TINY_PRETRAIN, flags
from slurm import cluster
from trainings import rows_of

from simclr import runs
from simclr.launch import slurm_runs
from simclr.runs import slurm_state

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120.0  # seconds for what takes 20 on a free machine
# Long enough for a stop from outside to meet it half-way: 16 batches an epoch, two processes with 8 images each.
EPOCHS = 5
OPTIONS = TINY_PRETRAIN | {"limit_images": 300, "epochs": EPOCHS, "version": 0, "evaluate": False}
SHAPES = {
    "one node, two tasks": (["--nodes=1", "--ntasks-per-node=2"], {"devices": 2}),
    "two nodes, one task each": (["--nodes=2", "--ntasks-per-node=1"], {"num_nodes": 2}),
}


def environment_for(environment, folder):
    return environment | {"SIMCLR_RUNS_DIR": str(folder / "runs"), "SIMCLR_DATA_DIR": str(folder / "data")}


@pytest.fixture(scope="module")
def expected(slurm_environment, tmp_path_factory):
    """The same training in two processes that Lightning starts, without Slurm."""
    folder = tmp_path_factory.mktemp("expected")
    command = [sys.executable, "-m", "simclr", "pretrain", *flags(OPTIONS | {"devices": 2})]
    done = subprocess.run(
        command, env=environment_for(slurm_environment, folder), cwd=ROOT, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    return only_run(folder)


def only_run(folder):
    """The one run in the folder: no second process made one of its own."""
    (run,) = runs.list_runs(folder / "runs")
    assert [path.name for path in (folder / "runs").iterdir() if not path.name.startswith(".")] == [run.id]
    return run


def srun(slurm, folder, shape, *arguments):
    """`python -m simclr ARGUMENTS` in two tasks, started."""
    return subprocess.Popen(
        ["srun", *SHAPES[shape][0], sys.executable, "-m", "simclr", *arguments],
        env=environment_for(slurm, folder),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(step):
    """What a step printed, and the exit status of each of its two tasks, once it has ended."""
    out, err = step.communicate(timeout=LIMIT)
    print(f"step ended with {step.returncode}\n--- out\n{out}\n--- err\n{err}")  # shown where the test fails
    codes = [0, 0]
    for ranks, words in re.findall(r"srun: error: \S+: tasks? ([\d,-]+): (.*)", err):
        code = re.fullmatch(r"Exited with exit code (\d+)", words)
        assert code, f"task {ranks} was ended by a signal: {words}"
        for part in ranks.split(","):
            first, _, last = part.partition("-")
            for rank in range(int(first), int(last or first) + 1):
                codes[rank] = int(code[1])
    assert step.returncode == max(codes), "srun has an error of its own"
    return codes, out, err


def assert_same(run, expected):
    assert (run.status.state, run.status.step) == ("finished", EPOCHS * 16), run.status
    with run.metrics_path.open() as stream:
        assert sum(line.startswith("epoch,") for line in stream) == 1
    rows = rows_of(run)
    kinds = {(row["step"], *(name for name, text in row.items() if text)) for row in rows}
    assert len(kinds) == len(rows)  # the rows of a step and of its epoch's end, each once
    assert rows == rows_of(expected)
    assert run.model_path.read_bytes() == expected.model_path.read_bytes()


def test_srun_trains_to_the_same_bytes_as_lightnings_own_launcher(slurm, expected, tmp_path):
    shape = "one node, two tasks"
    codes, out, err = end(srun(slurm, tmp_path, shape, "pretrain", *flags(OPTIONS | SHAPES[shape][1])))
    assert codes == [0, 0], err
    run = only_run(tmp_path)
    assert out.strip().splitlines()[-1] == str(run.path)
    assert out.count(str(run.path)) == 1
    assert_same(run, expected)


def test_two_nodes_handed_in_by_the_command_line_train_to_the_same_bytes(slurm, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    options = [*flags(OPTIONS | {"num_nodes": 2}), "--backend", "slurm", "--slurm.time_minutes", "30"]
    done = subprocess.run(
        [sys.executable, "-m", "simclr", "pretrain", *options],
        env=environment_for(slurm, tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    assert done.stdout.splitlines()[-1] == str(run.path)
    job_id = run.status.job_id
    assert done.stderr.startswith(f"Slurm job {job_id}:")
    facts = subprocess.check_output(["scontrol", "show", "job", job_id], env=slurm, text=True)
    assert "TimeLimit=00:30:00" in facts and "NumNodes=2" in facts and "NumTasks=2" in facts

    states, deadline = [], time.monotonic() + LIMIT
    while run.status.is_active:
        assert time.monotonic() < deadline, run.log_tail()
        slurm_runs.refresh(tmp_path / "runs")
        states += [run.status.state] if run.status.state not in states else []
        time.sleep(0.2)
    assert [state for state in states if state in ("starting", "running")] == ["starting", "running"]
    assert_same(run, expected)
    log = run.log_path.read_text()
    assert f"Slurm job {job_id} on simclr-node[1-2]" in log
    assert log.count(f"epoch {EPOCHS}/{EPOCHS}") == 1
    (script,) = (tmp_path / "runs" / slurm_state.FOLDER).glob("*.sh")
    assert f"#SBATCH --job-name={run.id}" in script.read_text() and "#SBATCH --signal=USR2@300" in script.read_text()
    assert not list((tmp_path / "runs").rglob("*.pkl"))  # a command is handed in, nothing pickled


def test_a_stopped_step_goes_on_to_the_same_bytes(slurm, expected, tmp_path):
    shape = "two nodes, one task each"
    step = srun(slurm, tmp_path, shape, "pretrain", *flags(OPTIONS | SHAPES[shape][1]))
    deadline = time.monotonic() + LIMIT
    while not any(run.status.step > 0 for run in runs.list_runs(tmp_path / "runs")):
        assert step.poll() is None and time.monotonic() < deadline, step.communicate()
        time.sleep(0.05)
    (job,) = subprocess.check_output(["squeue", "--noheader", "--format=%i"], env=slurm, text=True).split()
    subprocess.run(["scancel", "--signal=TERM", f"{job}.0"], env=slurm, check=True)
    codes, _, err = end(step)
    # The step's status is the main task's: where a site kills a step at its first bad exit, no other may be earlier.
    assert codes[0] == step.returncode == runs.STOPPED_EXIT_CODE, err
    run = only_run(tmp_path)
    status = run.status
    assert (status.state, status.reason, status.exit_code) == ("stopped", "on request", runs.STOPPED_EXIT_CODE)
    assert 0 < status.step < EPOCHS * 16
    assert (run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).is_file()
    assert not run.model_path.exists()

    # A node that does not see the checkpoint would begin anew: refused, and nothing is lost.
    other = tmp_path / "other" / run.id
    shutil.copytree(run.path, other, ignore=shutil.ignore_patterns("*.ckpt"))
    script = f'[ $SLURM_PROCID = 1 ] && cd {other} || cd {run.path}; exec {sys.executable} -m simclr resume "$PWD"'
    environment = environment_for(slurm, tmp_path) | {"PYTHONPATH": str(ROOT)}
    refused = ["srun", *SHAPES[shape][0], "bash", "-c", script]
    assert subprocess.run(refused, env=environment, capture_output=True, timeout=LIMIT).returncode != 0
    assert run.status.reason == "bad input"
    assert run.status.error.startswith(f"The processes of this run would go on from steps {status.step}, 0;")

    codes, _, err = end(srun(slurm, tmp_path, shape, "resume", run.id))
    assert codes == [0, 0], err
    assert_same(only_run(tmp_path), expected)


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_task_that_fails_before_the_tasks_have_met_ends_the_step(slurm, tmp_path, victim):
    """Its site lets the other tasks of a step live on."""
    shape = "two nodes, one task each"
    arguments = " ".join(flags(OPTIONS | SHAPES[shape][1]))
    missing = tmp_path / "missing"
    script = f"[ $SLURM_PROCID = {victim} ] && more='--dataset {missing}'; exec {sys.executable} -m simclr pretrain "
    step = subprocess.Popen(
        ["srun", "--kill-on-bad-exit=0", *SHAPES[shape][0], "bash", "-c", f"{script} {arguments} $more"],
        env=environment_for(slurm, tmp_path),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    codes, _, err = end(step)
    assert codes[victim] == runs.BAD_INPUT_EXIT_CODE
    assert codes[1 - victim] != 0
    assert f"dataset is {missing}" in err
    found = runs.list_runs(tmp_path / "runs")
    if victim == 0:
        assert found == []
    else:
        assert (found[0].status.state, found[0].status.reason) == ("failed", "bad input")
        assert found[0].status.error.startswith(f"dataset is {missing}")


def test_another_number_of_tasks_than_asked_for_is_refused(slurm, tmp_path):
    codes, _, err = end(srun(slurm, tmp_path, "one node, two tasks", "pretrain", *flags(OPTIONS)))
    assert codes == [runs.BAD_INPUT_EXIT_CODE] * 2
    assert "srun started 2 processes; allowed: devices x num_nodes = 2." in err
    assert "Traceback" not in err
    assert runs.list_runs(tmp_path / "runs") == []


# --- the cluster itself ---------------------------------------------------------------------------------------------


def works(environment):
    done = subprocess.run(["srun", "--nodes=2", "true"], env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode == 0


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["munged", "slurmctld", "simclr-node2"])
def test_a_killed_daemon_is_started_again_and_its_jobs_live_on(slurm, tmp_path, name):
    script = f"touch {tmp_path}/begun-$SLURM_PROCID; until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    step = subprocess.Popen(["srun", "--nodes=2", "bash", "-c", script], env=slurm)
    wait_for(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
    if name == "slurmctld":  # which writes down every few seconds what it knows, and forgets what is younger
        begun, saved = time.time(), cluster.FOLDER / "state" / "job_state"
        # it may have done so already, and does it again only when something changes
        job = subprocess.run(["squeue", "-h", "-o", "%i"], env=slurm, capture_output=True, text=True, check=True)
        subprocess.run(["scontrol", "update", f"JobId={job.stdout.strip()}", "Comment=kept"], env=slurm, check=True)
        wait_for(lambda: saved.exists() and saved.stat().st_mtime > begun)
    cluster.daemon(name).send_signal(signal.SIGKILL)
    wait_for(lambda: not cluster.is_ready())
    cluster.start(nodes=2)
    assert works(slurm)
    (tmp_path / "go").touch()
    assert step.wait(timeout=60) == 0


def test_stopping_leaves_no_process_and_no_name_behind(slurm):
    step = subprocess.Popen(["srun", "--nodes=2", "sleep", "12345"], env=slurm, stderr=subprocess.DEVNULL)

    def found():
        """Names of what runs in the cluster's folder, and of the job."""
        return [
            process.info["name"]
            for process in psutil.process_iter(["name", "cwd", "cmdline", "status"])
            if process.info["status"] != psutil.STATUS_ZOMBIE
            and (process.info["cwd"] == str(cluster.FOLDER) or process.info["cmdline"][1:] == ["12345"])
        ]

    wait_for(lambda: found().count("sleep") == 2)
    assert {"munged", "slurmctld", "slurmd", "slurmstepd"} <= set(found())
    try:
        cluster.stop()
        assert found() == []
        assert step.wait(timeout=60) != 0
        assert not cluster.is_ready()
        assert cluster.HOSTS_MARK not in cluster.HOSTS.read_text()
    finally:
        cluster.start(nodes=2)
    assert works(slurm)


def test_where_it_cannot_or_must_not_run_it_says_so_in_a_sentence(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "FOREIGN_CONFS", [tmp_path])
        with pytest.raises(cluster.ClusterError, match=r"^This machine has a Slurm of its own \(.*alone\.$"):
            cluster.start()
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_CONF", "/etc/other/slurm.conf")
        with pytest.raises(cluster.ClusterError, match=r"\(/etc/other/slurm\.conf\)"):
            cluster.start()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(cluster.ClusterError, match=r"^Slurm is not installed \(munged, .* apt-get install"):
            cluster.start()
    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: 1000)
        with pytest.raises(cluster.ClusterError, match="needs root"):
            cluster.start()
