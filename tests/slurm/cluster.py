"""A Slurm of one or more pretended nodes on this machine, listening on the loopback address only, for tests.

    python tests/slurm/cluster.py start --nodes 2     starts it, or mends what has died of it
    python tests/slurm/cluster.py env                 prints the line that lets srun, sbatch and squeue find it
    python tests/slurm/cluster.py status              exit status 0 if every node takes work, else 1
    python tests/slurm/cluster.py stop                ends its jobs and daemons, and removes what it added

It needs root and the packages slurm-wlm and munge (Debian, Ubuntu), but neither systemd nor cgroups nor a database.
Everything it owns is in one folder, apart from a line in /etc/hosts while it runs. It refuses to start on a machine
that has a Slurm of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import psutil

FOLDER = Path(tempfile.gettempdir()) / "simclr-test-slurm"
CONF = FOLDER / "slurm.conf"
PORT = 26817  # the controller's; the nodes listen on the next ones
MARK = "# A pretended cluster for the tests of simclr, written by tests/slurm/cluster.py."
HOSTS = Path("/etc/hosts")
HOSTS_MARK = "# simclr-test-slurm"
FOREIGN_CONFS = [Path("/etc/slurm/slurm.conf"), Path("/etc/slurm-llnl/slurm.conf"), Path("/run/slurm/conf/slurm.conf")]
PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "srun", "sbatch", "scancel", "scontrol", "sinfo", "squeue")
START_SECONDS = 60.0
END_SECONDS = 15.0  # for jobs and daemons to end when asked to; after that they are killed
_is_mine = False  # this process holds the lock

# {...} are filled in; a NodeName line for each node follows.
CONF_TEXT = """{mark}
ClusterName=simclr-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
# Nothing listens beyond the loopback address: not the controller, not the nodes, not srun.
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
# No cgroups, no binding to cores, no accounting: all of that needs more than a plain container may do.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
# A node has the CPUs and the memory that its line says, whatever the machine has.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2
# A node that was away is used again as soon as it answers.
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
# A job in "urgent" takes the place of one in "debug": that one gets SIGTERM, 10 s later SIGKILL, and is queued again.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=10
PartitionName=DEFAULT Nodes=ALL State=UP DefaultTime=10 MaxTime=60
PartitionName=debug Default=YES PriorityTier=1 GraceTime=10
PartitionName=urgent PriorityTier=10
"""


class ClusterError(RuntimeError):
    """The cluster cannot be brought up: one sentence, ready to be shown."""


def start(nodes: int = 1, cpus: int = 4) -> None:
    """Returns when all nodes take work. What runs already is left alone, what has died is started again.

    Args:
        nodes: pretended nodes; another number than before starts the cluster anew.
        cpus: CPUs that each node claims; may exceed the machine's.

    Raises:
        ClusterError: if the machine cannot run it, has a Slurm of its own, or a daemon does not come up.
    """
    _check_machine()
    with _locked(seconds=10):
        _start(nodes, cpus)


def stop() -> None:
    """Ends its jobs and daemons and removes its line in /etc/hosts; the logs stay. Without a cluster, does nothing."""
    _check_folder()
    if FOLDER.exists():
        with _locked(seconds=10):
            _stop()


def is_ready() -> bool:
    """True if every node takes work."""
    states = _node_states()
    return bool(states) and all(state in ("idle", "mix", "alloc", "comp") for state in states.values())


def environment() -> dict[str, str]:
    """This process's environment for `srun` and the like: it names this cluster, and nothing of any other job."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))}
    return kept | {"SLURM_CONF": str(CONF)}


@contextlib.contextmanager
def running(nodes: int = 1, cpus: int = 4) -> Iterator[dict[str, str]]:
    """Gives `environment()` while the cluster runs, and stops it at the end, however that comes.

    One process at a time: another waits for the end of this one, at most five minutes. Within, `start` mends.
    """
    _check_machine()
    with _locked(seconds=300):
        try:
            _start(nodes, cpus)
            yield environment()
        finally:
            _stop()


# --- starting -------------------------------------------------------------------------------------------------------


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise ClusterError("The pretended Slurm needs root, since its daemons start processes of any user.")
    foreign = [path for path in FOREIGN_CONFS if path.exists()]
    if (named := os.environ.get("SLURM_CONF")) and Path(named) != CONF:
        foreign.insert(0, Path(named))
    if foreign:
        raise ClusterError(f"This machine has a Slurm of its own ({foreign[0]}), which the tests leave alone.")
    _check_folder()
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise ClusterError(f"Slurm is not installed ({', '.join(missing)} missing): apt-get install slurm-wlm munge")


def _check_folder() -> None:
    """The folder is in a place where everybody may write."""
    with contextlib.suppress(FileNotFoundError):
        found = FOLDER.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or (CONF.exists() and MARK not in CONF.read_text()):
            raise ClusterError(f"{FOLDER} was not made by these tests; move it away.")


@contextlib.contextmanager
def _locked(seconds: float) -> Iterator[None]:
    """The cluster to oneself; the lock goes with the process that holds it, however that ends."""
    global _is_mine
    if _is_mine:
        yield
        return
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ClusterError(f"Other tests are using the pretended Slurm in {FOLDER}.") from None
                time.sleep(0.2)
        _is_mine = True
        try:
            yield
        finally:
            _is_mine = False


def node_names(nodes: int) -> list[str]:
    return [f"simclr-node{number}" for number in range(1, nodes + 1)]


def _start(nodes: int, cpus: int) -> None:
    names = node_names(nodes)
    host = socket.gethostname().partition(".")[0]
    memory = psutil.virtual_memory().total >> 20
    text = CONF_TEXT.format(mark=MARK, host=host, port=PORT, folder=FOLDER)
    for number, name in enumerate(names, start=1):
        text += (
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={PORT + number} "
            f"CPUs={cpus} RealMemory={memory} State=UNKNOWN\n"
        )
    if not CONF.exists() or CONF.read_text() != text:
        _stop()
        shutil.rmtree(FOLDER / "log", ignore_errors=True)
        CONF.write_text(text)
    for name in ("log", "munge", "state", *(f"spool-{name}" for name in names)):
        (FOLDER / name).mkdir(mode=0o755, exist_ok=True)
    _add_names(names)
    _ensure("munged", _munged())
    _wait("munged", lambda: _call("munge", "--no-input", "--socket", str(FOLDER / "munge" / "socket")) is not None)
    if daemon("slurmctld") is None:
        # A controller that was killed may give the number of a job anew that the nodes still refuse as an old one.
        _end_daemons(names, seconds=1)
        for path in FOLDER.glob("spool-*/cred_state*"):
            path.unlink()
    _ensure("slurmctld", ["slurmctld", "-D", "-f", str(CONF)])
    for name in names:
        _ensure(name, ["slurmd", "-D", "-f", str(CONF), "-N", name])
    _wait("slurmctld", lambda: _call("scontrol", "ping") is not None)
    for name in names:
        _wait(name, partial(_takes_work, name))


def _munged() -> list[str]:
    folder = FOLDER / "munge"
    if not (folder / "key").exists():
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_bytes(os.urandom(128))
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
    return ["munged", "--foreground", "--force", *(f"--{option}={folder / name}" for option, name in files.items())]


def _ensure(name: str, command: list[str]) -> None:
    """Starts a daemon unless it runs, in a session of its own, and writes down which process it is."""
    if daemon(name) is not None:
        return
    with (FOLDER / "log" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=FOLDER,
            env=environment(),
        )
    record = {"pid": process.pid, "started": psutil.Process(process.pid).create_time(), "command": command}
    (FOLDER / f"{name}.json").write_text(json.dumps(record))


def _wait(name: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if daemon(name) is None or time.monotonic() > deadline:
            log = FOLDER / "log" / f"{name}.log"
            last = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
            how = "ended at once" if daemon(name) is None else f"does not answer after {START_SECONDS:.0f} s"
            raise ClusterError(f"The pretended Slurm did not come up: {name} {how}; its last word in {log}: {last}")
        time.sleep(0.1)


def _takes_work(name: str) -> bool:
    state = _node_states().get(name, "")
    if state.startswith(("down", "drain", "fail")):  # for instance after a job that would not end
        _call("scontrol", "update", f"NodeName={name}", "State=RESUME")
    return state in ("idle", "mix", "alloc", "comp")


def _node_states() -> dict[str, str]:
    """What the controller says of each node, and `dead` where a daemon is missing whatever it says."""
    if not CONF.exists() or daemon("munged") is None or daemon("slurmctld") is None:
        return {}
    rows = [row.split() for row in (_call("sinfo", "--noheader", "--Node", "--format=%N %t") or "").splitlines()]
    return {name: state if daemon(name) is not None else "dead" for name, state in rows}


def _call(*command: str) -> str | None:
    """What a command prints; None if it fails."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, env=environment())
        return found.stdout if found.returncode == 0 else None
    return None


# --- names of the nodes ---------------------------------------------------------------------------------------------


def _add_names(names: list[str]) -> None:
    """The processes of a job meet at the name of its first node, so that the names have to be known."""
    line = f"127.0.0.1 {' '.join(names)} {HOSTS_MARK}"
    text = HOSTS.read_text()
    if line not in text.splitlines():
        _remove_names()
        text = HOSTS.read_text()
        HOSTS.write_text(text + ("" if text.endswith("\n") or not text else "\n") + line + "\n")
    for name in names:
        with contextlib.suppress(OSError):
            if socket.gethostbyname(name) == "127.0.0.1":
                continue
        raise ClusterError(f"The name {name} in {HOSTS} is not looked up there, or means something else here already.")


def _remove_names() -> None:
    lines = HOSTS.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.rstrip().endswith(HOSTS_MARK)]
    if kept != lines:
        HOSTS.write_text("".join(kept))  # in place: in a container the file is a mount


# --- ending ---------------------------------------------------------------------------------------------------------


def daemon(name: str) -> psutil.Process | None:
    """The living process that was started under this name; None once it has ended, even if its pid is in use again."""
    with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
        record = json.loads((FOLDER / f"{name}.json").read_text())
        process = psutil.Process(record["pid"])
        same_start = abs(process.create_time() - record["started"]) < 2  # it is counted from a clock that may be set
        if same_start and process.cmdline() == record["command"] and _lives(process):
            return process
    return None


def _processes(belongs: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Those for which `belongs` is true, without this one and those it descends from."""
    own = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in own and belongs(process):
                found.append(process)
    return found


def _in_a_job(process: psutil.Process) -> bool:
    environ = process.environ()
    return environ.get("SLURM_CONF") == str(CONF) and "SLURM_JOB_ID" in environ


def _around_a_job(process: psutil.Process) -> bool:
    """slurmstepd (which has overwritten its environment, but stands where its slurmd was started) and srun."""
    name = Path(process.exe()).name
    return (name.startswith("slurm") and process.cwd() == str(FOLDER)) or (
        name == "srun" and process.environ().get("SLURM_CONF") == str(CONF)
    )


def _end(processes: list[psutil.Process], seconds: float = END_SECONDS) -> None:
    """Asks them to end, and kills those that live `seconds` later."""
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                send(process)
        deadline = time.monotonic() + seconds
        while (processes := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
            time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    """False for a zombie too: whoever should collect it may never do so."""
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _end_daemons(names: Iterable[str], seconds: float = END_SECONDS) -> None:
    _end([process for name in names if (process := daemon(name)) is not None], seconds)


def _stop() -> None:
    # The controller first, so that no waiting job is started. What then waits to report to it need not succeed.
    _end_daemons(["slurmctld"])
    _end(_processes(_in_a_job))
    _end_daemons((path.stem for path in FOLDER.glob("simclr-node*.json")), seconds=1)
    _end(_processes(_around_a_job), seconds=0.5)
    _end_daemons(["munged"])
    _remove_names()
    CONF.unlink(missing_ok=True)
    for path in (FOLDER / "munge", FOLDER / "state", *FOLDER.glob("spool-simclr-node*")):
        shutil.rmtree(path, ignore_errors=True)
    for path in (*FOLDER.glob("*.json"), *FOLDER.glob("*.pid")):
        path.unlink()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("start", "stop", "status", "env"))
    parser.add_argument("--nodes", type=int, default=1, help="pretended nodes")
    parser.add_argument("--cpus", type=int, default=4, help="CPUs that each node claims to have")
    options = parser.parse_args(arguments)
    try:
        if options.command == "env":
            print(f"export SLURM_CONF={CONF}")
            return 0
        if options.command == "start":
            start(options.nodes, options.cpus)
        elif options.command == "stop":
            stop()
    except (ClusterError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print("ready: " + " ".join(sorted(_node_states())) if is_ready() else "stopped")
    return 0 if options.command == "stop" or is_ready() else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
