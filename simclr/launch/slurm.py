"""Runs on many machines through Slurm: hand in, ask after, cancel, go on (no torch).

A run is the same folder and the same training as on one machine; `slurm_job` is what its job runs. The truth about it
is its own `status.json`. What Slurm says of its job is written beside, by `refresh`, for where the run itself cannot
speak: while it waits, and when it was ended from outside.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from simclr import PACKAGE, runs
from simclr import config as cfg
from simclr.config import ConfigError, RunConfig, option
from simclr.files import safe_read, writing
from simclr.launch import queue, spawn
from simclr.runs import Run, slurm_state
from simclr.runs.status import Status

SINFO_SECONDS = 5.0
ASK_SECONDS = 8.0
CALL_SECONDS = 30.0  # sbatch and scancel: site checks may take their time, a dead controller is given up after 9
NO_ACCOUNTING_SECONDS = 600.0  # before sacct is tried again where it did not work
ENDED_SECONDS = 600.0  # after its end, Slurm is asked after a job no longer
MARGIN_SECONDS = 300  # before the time limit the run is told to save, or a quarter of a short limit
OPTIONS_FILE = "slurm.yaml"
_no_accounting_until = 0.0


# --- options --------------------------------------------------------------------------------------------------------


def _lines(value: Any) -> Any:
    if value is None:
        return ()
    return tuple(line.strip() for line in value.splitlines() if line.strip()) if isinstance(value, str) else value


class SlurmOptions(cfg.Options):
    """What a job asks of Slurm. Nodes, tasks and GPUs follow from the run's own options."""

    partition: str | None = option(
        None, "Which group of nodes; unset: the cluster's default.", group="Hardware", common=True, max_length=200
    )
    time_minutes: int = option(
        60, "Time limit. Shortly before it the run saves, and Slurm queues it again.", group="Hardware", common=True,
        unit="minutes", label="Time limit", ge=1, le=525_600,
    )  # fmt: skip
    memory_gib: float | None = option(
        None, "Memory on each node; unset: the cluster's default.", group="Hardware", common=True, unit="GiB",
        label="Memory", gt=0, le=65_536,
    )  # fmt: skip
    cpus_per_task: int | None = option(
        None, "CPU cores of each process; unset: the cluster's default.", group="Hardware",
        label="CPUs of each process", ge=1, le=1024,
    )  # fmt: skip
    account: str | None = option(None, "Account that pays; unset: your default.", group="Hardware", max_length=200)
    qos: str | None = option(
        None, "Quality of service; unset: your default.", group="Hardware", label="Quality of service", max_length=200
    )
    extra_lines: Annotated[tuple[str, ...], BeforeValidator(_lines)] = option(
        (), "Further #SBATCH lines, and shell lines run before the training, such as module load cuda.",
        group="Hardware",
    )  # fmt: skip

    @field_validator("partition", "account", "qos")
    @classmethod
    def _one_word(cls, value: str | None) -> str | None:
        if value is not None and not (re.fullmatch(r"[^\s'\"\\]+", value) and value.isprintable()):
            raise PydanticCustomError("odd", "a name without spaces and quotes")
        return value

    @field_validator("extra_lines")
    @classmethod
    def _whole_lines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(line.replace("\t", " ").isprintable() for line in value):
            raise PydanticCustomError("odd", "lines without control signs")
        return value


def build_options(values: Mapping[str, Any]) -> SlurmOptions:
    """The checked options for `values`, text or typed.

    Raises:
        ConfigError: with one sentence per problem, each naming option, value and what is allowed.
    """
    try:
        built: SlurmOptions = cfg.build(SlurmOptions, values)
    except ConfigError as error:
        raise ConfigError("\n".join(f"slurm.{sentence}" for sentence in str(error).splitlines())) from None
    return built


def options_path() -> Path:
    """Where a user's last options are kept."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "simclr" / OPTIONS_FILE


def load_options() -> tuple[SlurmOptions, str]:
    """The user's last options, and a sentence where their file cannot be used and the defaults are given."""
    path = options_path()
    try:
        values = safe_read.parse_yaml(path.read_text(encoding="utf-8"))
        return SlurmOptions(**(values or {})), ""
    except FileNotFoundError:
        return SlurmOptions(), ""
    except (OSError, ValueError, TypeError):
        return SlurmOptions(), f"{path} cannot be used; these are the defaults."


def save_options(options: SlurmOptions) -> None:
    """Keeps the options for the user's next run.

    Raises:
        ConfigError: if the file cannot be written.
    """
    path = options_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writing.write_atomically(path, yaml.safe_dump(options.model_dump(mode="json"), sort_keys=False))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None


# --- calling Slurm --------------------------------------------------------------------------------------------------


class SlurmError(Exception):
    """Slurm's programs are missing, do not answer, or refuse; the message is what they said."""


def call(*command: str, seconds: float | None = None) -> str:
    """What one of Slurm's programs prints.

    Raises:
        SlurmError: if it is not there, fails, or takes longer than `seconds`; unset: `ASK_SECONDS`.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=seconds or ASK_SECONDS, env=os.environ | {"SLURM_TIME_FORMAT": "standard"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} does not answer") from None
    except OSError as error:
        raise SlurmError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise SlurmError(plain(done.stderr or done.stdout))
    return done.stdout


def plain(said: str) -> str:
    """The last of what a Slurm program complained about, without its name: "Invalid partition name specified"."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    line = lines[-1] if lines else "no reason was given"
    return re.sub(r"^(\w+: )?((error|fatal): )?(Batch job submission failed: )?", "", line).rstrip(".")


@dataclass(frozen=True)
class Partition:
    """A group of nodes: `time_limit` as Slurm writes it, `gres` the most of a kind on a node, such as `gpu:2`."""

    name: str
    is_default: bool
    time_limit: str
    nodes: int
    gres: str = ""

    @property
    def has_gpus(self) -> bool:
        return "gpu" in self.gres


def available() -> list[Partition]:
    """The partitions that take jobs, the default one first; empty where no Slurm answers within five seconds."""
    try:
        return parse_partitions(call("sinfo", "--noheader", "--format=%P|%a|%l|%D|%G", seconds=SINFO_SECONDS))
    except SlurmError:
        return []


def parse_partitions(text: str) -> list[Partition]:
    """What `sinfo --format=%P|%a|%l|%D|%G` prints: a line for each kind of node in a partition."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        cells = line.strip().split("|")
        if len(cells) != 5 or cells[1] != "up":
            continue
        name, gres = cells[0].rstrip("*"), "" if cells[4] in ("(null)", "N/A") else cells[4]
        nodes = int(cells[3]) if cells[3].isdecimal() else 0
        if (before := found.get(name)) is not None:
            nodes, gres = nodes + before.nodes, before.gres if before.has_gpus else gres or before.gres
        found[name] = Partition(name, cells[0].endswith("*"), cells[2], nodes, gres)
    return sorted(found.values(), key=lambda partition: not partition.is_default)


# --- handing in -----------------------------------------------------------------------------------------------------


def submit(config: RunConfig, runs_dir: Path, options: SlurmOptions, **meta: Any) -> Run:
    """Makes a run and hands it to Slurm.

    The same options handed in again within seconds give the run of the first time.

    Args:
        config: checked options.
        runs_dir: where run folders lie; all nodes have to see it under this path.
        options: what to ask of Slurm.
        meta: further entries of `meta.json`, such as `experiment` and `recipe`.

    Raises:
        ConfigError: if Slurm refuses or does not answer, or the folder cannot be written; no run folder is left.
    """
    runs_dir = runs_dir.resolve()
    wish = hashlib.sha256(f"slurm {options!r} {meta} {cfg.to_yaml(config)}".encode()).hexdigest()[:16]
    with spawn.locked(runs_dir / slurm_state.FOLDER):  # a double click or two tabs hand it in once
        if (same := queue.just_wished(wish, runs_dir)) is not None:
            return same
        first = {"state": "queued", "backend": "slurm", "queued": time.time()}
        run = spawn.create(config, runs_dir, first, wish=wish, slurm=options.model_dump(mode="json"), **meta)
        try:
            job_id = _hand_in(run, config, options)
        except ConfigError:
            shutil.rmtree(run.path, ignore_errors=True)
            raise
        runs.update_status(run.path, job_id=job_id)
    return run


def resubmit(run: Run, options: SlurmOptions | None = None) -> None:
    """Hands in a run again that was stopped or failed; it goes on from its last checkpoint, in the same folder.

    Args:
        options: what to ask of Slurm; unset: the same as before, or the user's last where there are none.

    Raises:
        ConfigError: if it is active or finished, or Slurm refuses or does not answer; it stays as it is then.
    """
    with spawn.locked(run.path.parent / slurm_state.FOLDER):
        spawn.check_resumable(run)
        spawn.check_own(run)  # or its options would be another's shell lines
        config = runs.load_config(run)
        before = runs.read_status(run.path)
        if options is None and (kept := run.meta.get("slurm")):
            with contextlib.suppress(ValidationError, TypeError):
                options = SlurmOptions(**kept)
        options = options or load_options()[0]
        afresh = spawn.afresh(run.status) | {"queued": time.time(), "created": time.time(), "device": ""}
        runs.change_status(run.path, afresh | {"state": "queued", "backend": "slurm"}, lambda: spawn.check_ended(run))
        try:
            job_id = _hand_in(run, config, options)
        except ConfigError:
            runs.update_status(run.path, **{name: getattr(before, name) for name in before.__dataclass_fields__})
            raise
        runs.update_status(run.path, job_id=job_id)
        runs.add_meta(run.path, slurm=options.model_dump(mode="json"))
        with spawn.or_sentence(f"{run.id} was handed in, and cannot be marked as started here"):
            runs.seal(run.path)


def _hand_in(run: Run, config: RunConfig, options: SlurmOptions) -> str:
    """Has submitit write the job's script and hand it in; returns the job's number."""
    import submitit  # takes a while, and only few need it

    class Executor(submitit.SlurmExecutor):
        script: Path | None = None

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            """sbatch with a time limit, and without what another job around this process has set for its own steps."""
            self.script = submission_file_path
            foreign = [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]
            unset = " ".join(f"--unset={name}" for name in foreign)
            sbatch = f"timeout {CALL_SECONDS:.0f} sbatch {shlex.quote(str(submission_file_path))}"
            return ["sh", "-c", f"exec env {unset} {sbatch} 2>&1"]  # as one stream: submitit prints the other

    folder = run.path.parent / slurm_state.FOLDER
    for path in (str(run.path), sys.executable, str(PACKAGE)):
        if not path.isprintable():  # a line break would be a line of the script
            raise ConfigError(f"The path is {path!r}; allowed for Slurm: one without line breaks and control signs.")
    try:
        executor = Executor(folder)
        executor.update_parameters(**_parameters(run, config, options))
    except RuntimeError:
        raise ConfigError("backend is slurm, and there is no Slurm here; allowed: local.") from None
    try:
        job = executor._submit_command(shlex.join(["exec", sys.executable, "-m", "simclr.slurm_job", str(run.path)]))
    except submitit.core.utils.FailedJobError as error:
        said = plain(getattr(error.__cause__, "output", "") or str(error))
        timed_out = getattr(error.__cause__, "returncode", 0) == 124  # timeout's
        raise ConfigError(f"Slurm does not take the run: {'it does not answer' if timed_out else said}.") from None
    except (submitit.core.utils.FailedSubmissionError, OSError) as error:
        raise ConfigError(f"The run could not be handed to Slurm: {error}.") from None
    finally:
        if executor.script is not None:  # renamed to the job's number; this is only its first name
            executor.script.unlink(missing_ok=True)
    return str(job.job_id)


def _parameters(run: Run, config: RunConfig, options: SlurmOptions) -> dict[str, Any]:
    """Those of the job's script, as submitit names them: one task for each device."""
    root = str(PACKAGE.parent)
    seconds = options.time_minutes * 60
    more: dict[str, Any] = {
        # not in the run's folder, which may be gone when the job begins; the training's own words go to its log
        "output": str(run.path.parent / slurm_state.FOLDER / "%j.txt"),
        "requeue": True,
    }
    if config.accelerator == "gpu" or (config.accelerator == "auto" and _has_gpus(options.partition)):
        more["gres"] = f"gpu:{config.devices}"
    return {
        "job_name": run.id,  # Lightning takes a job of the name bash or interactive for a shell
        "partition": options.partition,
        "time": options.time_minutes,
        "nodes": config.num_nodes,
        "ntasks_per_node": config.devices,
        "cpus_per_task": options.cpus_per_task,
        "mem": f"{round(options.memory_gib * 1024)}M" if options.memory_gib is not None else None,
        "account": options.account,
        "qos": options.qos,
        "signal_delay_s": min(MARGIN_SECONDS, seconds // 4),
        "stderr_to_stdout": True,
        "wckey": None,
        "use_srun": False,
        "additional_parameters": more,
        "setup": [
            *sorted(options.extra_lines, key=lambda line: not line.startswith("#SBATCH")),
            f"export PYTHONPATH={shlex.quote(root)}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONUNBUFFERED=1",
        ],
    }


def _has_gpus(partition: str | None) -> bool:
    return any(found.has_gpus for found in available() if (found.name == partition if partition else found.is_default))


# --- asking ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What Slurm says of a job: its state, and why it waits or how it ended."""

    state: str
    reason: str = ""


def refresh(runs_dir: Path) -> None:
    """Asks Slurm once after all runs of the folder that have not ended by their own word, and writes what it says.

    Where there is no such run nothing is asked. Never fails; takes at most some seconds.
    """
    with contextlib.suppress(OSError):
        unfinished = [(run, status) for run, status in _unfinished(runs_dir) if status.job_id]
        jobs: dict[str, Job] | None
        if shutil.which("squeue") is None:  # the folder comes from elsewhere
            unfinished = [(run, status) for run, status in unfinished if slurm_state.is_given_up(status, runs_dir)]
            jobs = {status.job_id: Job(slurm_state.UNKNOWN) for _, status in unfinished}
        elif unfinished and (jobs := ask({status.job_id: _known(status) for _, status in unfinished})) is not None:
            folder = runs_dir / slurm_state.FOLDER
            folder.mkdir(exist_ok=True)
            (folder / slurm_state.ASKED).touch()
        for run, status in unfinished:
            job = Job(slurm_state.UNREACHABLE) if jobs is None else jobs[status.job_id]
            with contextlib.suppress(OSError):
                _write(run, status, job)


def _known(status: Status) -> Job:
    return Job(status.job_state, status.job_reason)


def ask(known: Mapping[str, Job]) -> dict[str, Job] | None:
    """What Slurm says of jobs; None if its controller does not answer.

    Args:
        known: what it said before, by job number: how a job ended is asked once.
    """
    wanted = sorted(known, key=int)
    try:
        found = parse_jobs(call("squeue", "--noheader", "--states=all", f"--jobs={','.join(wanted)}",
                                "--format=%i|%T|%r|%S"))  # fmt: skip
    except SlurmError as error:
        if "Invalid job id" not in str(error):
            return None
        found = {}
    for job_id, job in found.items():
        if job.state not in slurm_state.ENDS:
            continue
        if job.state == known[job_id].state:
            found[job_id] = known[job_id]
            continue
        with contextlib.suppress(SlurmError):
            facts = facts_of(call("scontrol", "--oneliner", "show", "job", job_id))
            found[job_id] = Job(job.state, f"{facts.get('Reason', 'None')} {facts.get('ExitCode', '')}".strip())
    unknown = [job_id for job_id in wanted if job_id not in found]
    return dict.fromkeys(unknown, Job(slurm_state.UNKNOWN)) | found | (_accounted(unknown) if unknown else {})


def _accounted(job_ids: list[str]) -> dict[str, Job]:
    """What the cluster's accounting remembers, where it has one."""
    global _no_accounting_until
    if time.monotonic() < _no_accounting_until:
        return {}
    try:
        return parse_accounts(call("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={','.join(job_ids)}",
                                   "--format=JobID,State,ExitCode"))  # fmt: skip
    except SlurmError:
        _no_accounting_until = time.monotonic() + NO_ACCOUNTING_SECONDS
        return {}


def parse_jobs(text: str) -> dict[str, Job]:
    """What `squeue --format=%i|%T|%r|%S` prints, by job number."""
    found = {}
    for line in text.splitlines():
        cells = line.strip().split("|")
        if len(cells) == 4 and cells[0].isdecimal():
            reason = cells[2].strip("()")
            # the expected start of other waiting jobs changes all the time
            found[cells[0]] = Job(cells[1], f"{reason} {cells[3]}" if reason == "BeginTime" else reason)
    return found


def parse_accounts(text: str) -> dict[str, Job]:
    """What `sacct --parsable2 --format=JobID,State,ExitCode` prints, by job number."""
    found = {}
    for line in text.splitlines():
        cells = line.strip().split("|")
        if len(cells) == 3 and cells[0].isdecimal() and cells[1]:
            found[cells[0]] = Job(cells[1].split()[0], f"None {cells[2]}")  # CANCELLED by 1000
    return found


def facts_of(text: str) -> dict[str, str]:
    """What `scontrol --oneliner show job` prints, by name."""
    pairs = (part.partition("=") for part in text.split())
    return {name: value for name, equals, value in pairs if equals}


class _Outdated(Exception):
    """Since Slurm was asked, the job has begun or the run was handed in again or has ended."""


def _write(run: Run, before: Status, job: Job) -> None:
    """Writes what Slurm says of a job, if that is news."""
    if (job.state, job.reason) == (before.job_state, before.job_reason):
        return
    if before.job_state in slurm_state.ENDS and job.state in (slurm_state.UNKNOWN, slurm_state.UNREACHABLE):
        return

    def check() -> None:
        now = runs.read_status(run.path)
        if not now.is_active or (now.job_id, _known(now)) != (before.job_id, _known(before)):
            raise _Outdated

    with contextlib.suppress(_Outdated):
        runs.change_status(run.path, {"job_state": job.state, "job_reason": job.reason}, check)


# Runs that need no asking any more, by their status file as it was then.
_over: dict[Path, tuple[int, int]] = {}


def _unfinished(runs_dir: Path) -> list[tuple[Run, Status]]:
    """The folder's own Slurm runs that have not ended by their own word."""
    found = []
    for run in runs.list_runs(runs_dir):
        path = run.path / runs.STATUS
        with contextlib.suppress(OSError):
            stat = path.stat()
            signature = (stat.st_mtime_ns, stat.st_size)
            if run.is_example or _over.get(path) == signature:
                continue
            status = runs.read_status(run.path)
            long_over = status.job_state in slurm_state.ENDS and time.time() - stat.st_mtime > ENDED_SECONDS
            if status.backend == "slurm" and status.is_active and not long_over:
                found.append((run, status))
            elif status.backend != "slurm" or long_over or not status.is_active:
                _over[path] = signature
    return found


# --- ending ---------------------------------------------------------------------------------------------------------


def cancel(run: Run) -> None:
    """Has Slurm end a run's job: one that waits at once, one that trains after its checkpoint.

    Raises:
        ConfigError: if it is not active, or Slurm does not answer.
    """
    status = run.status
    if not status.is_active:
        raise ConfigError(f"{run.id} is {status.state}; allowed: a run that is active.")
    if not runs.is_own(run.path):  # the number may be that of any other job
        if status.state == "queued":
            runs.update_status(run.path, state="stopped", reason="taken out of the queue")
            return
        raise ConfigError(
            f"{run.id} was not started here, so its Slurm job {status.job_id} is left alone; if it is yours: "
            f"scancel {status.job_id}."
        )
    if not status.job_id:
        raise ConfigError(f"{run.id} is being handed to Slurm; try again in a moment.")
    runs.update_status(run.path, stop_requested=status.stop_requested or time.time())
    try:
        call("scancel", status.job_id, seconds=CALL_SECONDS)
    except SlurmError as error:
        if "Invalid job id" not in str(error):
            runs.update_status(run.path, stop_requested=status.stop_requested)
            raise ConfigError(f"{run.id} could not be cancelled: {error}.") from None
    before = runs.read_status(run.path)
    if before.is_active and (jobs := ask({status.job_id: _known(before)})) is not None:
        _write(run, before, jobs[status.job_id])


def stop(run: Run, seconds: float) -> Status:
    """Cancels a run and waits until it has ended, at most `seconds`.

    Raises:
        ConfigError: as `cancel`.
    """
    cancel(run)
    deadline = time.monotonic() + seconds
    while run.status.is_active and time.monotonic() < deadline:
        time.sleep(0.5)
        refresh(run.path.parent)
    return run.status
