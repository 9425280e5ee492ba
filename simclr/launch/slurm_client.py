"""Calls Slurm's programs and reads what they print (no torch)."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from simclr.runs import slurm_state

SINFO_SECONDS = 5.0
ASK_SECONDS = 8.0
CALL_SECONDS = 30.0  # sbatch and scancel: site checks may take their time, a dead controller is given up after 9
NO_ACCOUNTING_SECONDS = 600.0  # before sacct is tried again where it did not work
TIME_FORMAT = "SLURM_TIME_FORMAT"  # the variable that says how times are printed
NO_ANSWER = "does not answer"
_no_accounting_until = 0.0


class SlurmError(Exception):
    """Slurm's programs are missing, do not answer, or refuse; the message is what they said."""


def call(*command: str, seconds: float | None = None, given: str = "", unset: Collection[str] = ()) -> str:
    """What one of Slurm's programs prints.

    Args:
        seconds: after which it is ended; None: `ASK_SECONDS`.
        given: what it reads.
        unset: variables of the environment that it must not see.

    Raises:
        SlurmError: if it is missing, fails, or takes longer than `seconds`.
    """
    environment = os.environ | {TIME_FORMAT: "standard"}
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds or ASK_SECONDS,
            env={name: value for name, value in environment.items() if name not in unset},
        )
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} {NO_ANSWER}") from None
    except OSError as error:
        raise SlurmError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise SlurmError(last_line(done.stderr or done.stdout))
    return done.stdout


def last_line(said: str) -> str:
    """The last line of an error message of Slurm, without the program's name: "Invalid partition name specified"."""
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


def available_partitions() -> list[Partition]:
    """The partitions that take jobs, the default one first; empty if no Slurm answers within five seconds."""
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


# --- asking ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What Slurm reports of a job: its state, and why it waits or how it ended."""

    state: str
    reason: str = ""


def query_jobs(known: Mapping[str, Job]) -> dict[str, Job] | None:
    """What Slurm reports of jobs; None if its controller does not answer.

    Args:
        known: its report before, by job number: how a job ended is queried once.
    """
    wanted = sorted(known, key=int)
    try:
        found = parse_jobs(
            call("squeue", "--noheader", "--states=all", f"--jobs={','.join(wanted)}", "--format=%i|%T|%r|%S")
        )
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
            facts = parse_job_details(call("scontrol", "--oneliner", "show", "job", job_id))
            found[job_id] = Job(job.state, f"{facts.get('Reason', 'None')} {facts.get('ExitCode', '')}".strip())
    unknown = [job_id for job_id in wanted if job_id not in found]
    return dict.fromkeys(unknown, Job(slurm_state.UNKNOWN)) | found | (_accounted(unknown) if unknown else {})


def _accounted(job_ids: list[str]) -> dict[str, Job]:
    """What the cluster's accounting has recorded, if there is one."""
    global _no_accounting_until
    if time.monotonic() < _no_accounting_until:
        return {}
    try:
        return parse_accounts(
            call(
                "sacct",
                "--noheader",
                "--parsable2",
                "--allocations",
                f"--jobs={','.join(job_ids)}",
                "--format=JobID,State,ExitCode",
            )
        )
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


def jobs_named(names: Sequence[str]) -> dict[str, str]:
    """The numbers of this user's jobs that wait or run, by their names.

    Raises:
        SlurmError: if Slurm does not answer.
    """
    command = ("squeue", "--noheader", f"--user={os.getuid()}", f"--name={','.join(names)}", "--format=%i|%T|%j")
    return parse_named(call(*command)) if names else {}


def parse_named(text: str) -> dict[str, str]:
    """The numbers of jobs that have not ended, by name, from what `squeue --format=%i|%T|%j` prints."""
    found = {}
    for line in text.splitlines():
        job_id, _, rest = line.strip().partition("|")
        state, _, name = rest.partition("|")
        if job_id.isdecimal() and name and state not in slurm_state.ENDS and state != "COMPLETING":
            found[name] = job_id
    return found


def parse_accounts(text: str) -> dict[str, Job]:
    """What `sacct --parsable2 --format=JobID,State,ExitCode` prints, by job number."""
    found = {}
    for line in text.splitlines():
        cells = line.strip().split("|")
        if len(cells) == 3 and cells[0].isdecimal() and cells[1]:
            found[cells[0]] = Job(cells[1].split()[0], f"None {cells[2]}")  # CANCELLED by 1000
    return found


def parse_job_details(text: str) -> dict[str, str]:
    """What `scontrol --oneliner show job` prints, by name."""
    pairs = (part.partition("=") for part in text.split())
    return {name: value for name, equals, value in pairs if equals}
