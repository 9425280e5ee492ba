"""The runs that wait for a device, in order, and the scheduler that starts them when one is free (no torch).

A waiting run is a run folder in state `queued`; that alone decides whether it waits. `.queue/order.json` beside the
run folders says in which order, `.queue/slots.json` how many runs a device takes at once. Every change is made under
the lock of `.queue`, so that any number of tabs, servers and shells start a run only once. While a run waits, one
scheduler process is alive, whether or not a dashboard is open.

    python -m simclr.run_queue RUNS_DIR      the scheduler
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, RunConfig
from simclr.files import safe_read, writing
from simclr.files.locks import Lock
from simclr.hardware import devices, processes
from simclr.launch import duplicates, spawn
from simclr.launch.queue_reading import Before, active, is_mine, statuses
from simclr.runs import Run
from simclr.runs.status import Status

QUEUE = ".queue"
ORDER, SLOTS, SCHEDULER_LOCK, SCHEDULER_LOG = "order.json", "slots.json", "keeper.lock", "keeper.log"
MAX_SLOTS = 64
# Jobs of the dashboard do not use a GPU with less free memory: they need an encoder, a batch of images, and CUDA.
MIN_JOB_BYTES = 4 * 2**30
# With less space on the disk nothing is started: all waiting runs would fail one after the other.
MIN_FREE_BYTES = 32 * 2**20
SCHEDULER_SECONDS = 1.0


# --- requests -------------------------------------------------------------------------------------------------------


def submit(config: RunConfig, runs_dir: Path, device: str = devices.ANY, **meta: Any) -> Run:
    """Creates a run that starts at once if its device is free, else when its turn comes.

    The same options submitted again for the same device within seconds give the first run.

    Args:
        config: checked options.
        runs_dir: where run folders are; created if missing.
        device: `cpu`, `gpu:0`, `gpu:0,1`, or `auto` for whatever is free first.
        meta: further entries of `meta.json`, such as `experiment` and `recipe`.

    Raises:
        ConfigError: if there is no such device, or the folder cannot be written.
    """
    device = devices.resolve_device(device, config)
    config = _without_gpus(config, device)
    key = duplicates.submission_key(device, config, meta)
    with spawn.locked(runs_dir / QUEUE):
        if (same := duplicates.recent_duplicate(key, runs_dir)) is not None:
            return same
        run = _create(config, runs_dir, device, wish=key, **meta)
        _append([run], runs_dir)
        _advance(runs_dir)
    ensure_scheduler(runs_dir)
    return run


@contextlib.contextmanager
def submit_several(runs_dir: Path, device: str = devices.ANY) -> Iterator[Callable[..., Run]]:
    """Gives a function that queues a run, to be called for each; they are looked through and started once, at the end.

    The function takes checked options and further entries of `meta.json`. With `after`, the id of another run, it waits
    until that is finished. What was queued before an error stays so.

    Raises:
        ConfigError: from the function, if there is no such device; or if the folder cannot be written.
    """
    added: list[Run] = []

    def add(config: RunConfig, **meta: Any) -> Run:
        name = devices.resolve_device(device, config)
        added.append(_create(_without_gpus(config, name), runs_dir, name, **meta))
        return added[-1]

    try:
        with spawn.locked(runs_dir / QUEUE):
            try:
                yield add
            finally:
                _append(added, runs_dir)
                _advance(runs_dir)
    finally:
        ensure_scheduler(runs_dir)


def resubmit(run: Run, device: str | None = None) -> None:
    """Queues a run that was stopped or failed, to be resumed when its device is free.

    Args:
        device: another device than before.

    Raises:
        ConfigError: if it is active or finished, or there is no such device.
    """
    spawn.check_resumable(run)
    spawn.check_own(run)
    spawn.check_exited(run)
    config = runs.load_config(run)
    known = {found.name for found in devices.list_devices()}
    before = run.status.device
    device = device or (before if before and set(devices.names_in(before)) <= known else devices.ANY)
    device = devices.resolve_device(device, config)
    runs_dir = run.path.parent
    with spawn.locked(runs_dir / QUEUE):
        waiting = {"state": "queued", "backend": "local", "device": device, "queued": time.time()}
        here = {"host": socket.gethostname(), "boot": processes.boot_id()}
        changes = {**spawn.restart_fields(run.status), **waiting, **here}
        runs.change_status(run.path, changes, lambda: spawn.check_ended(run))
        _append([run], runs_dir)
        _advance(runs_dir)
    ensure_scheduler(runs_dir)


def _create(config: RunConfig, runs_dir: Path, device: str, **meta: Any) -> Run:
    return spawn.create(config, runs_dir, {"state": "queued", "device": device, "queued": time.time()}, **meta)


def _without_gpus(config: RunConfig, device: str) -> RunConfig:
    """The options with `accelerator cpu` if the CPU was chosen and `auto` would take a GPU."""
    has_gpus = len(devices.list_devices()) > 1
    return config.model_copy(update={"accelerator": "cpu"}) if device == devices.CPU and has_gpus else config


def entries(runs_dir: Path) -> list[Run]:
    """The waiting runs, the next one first."""
    return _in_order(runs_dir, [run for run, status in statuses(runs_dir) if status.state == "queued"])


def move(run_id: str, place: int, runs_dir: Path) -> None:
    """Gives a waiting run another place; 0 is the next to start.

    Raises:
        ConfigError: if it does not wait any more.
    """
    with spawn.locked(runs_dir / QUEUE):
        order = [run.id for run in entries(runs_dir)]
        if run_id not in order:
            raise ConfigError(f"{run_id} does not wait any more; allowed: a run in the queue.")
        order.remove(run_id)
        order.insert(max(0, place), run_id)
        _write_order(runs_dir, order)


def edit(run: Run, config: RunConfig, device: str = devices.ANY) -> None:
    """Gives a waiting run other options.

    Raises:
        ConfigError: if it does not wait any more, has been trained before, or there is no such device.
    """
    device = devices.resolve_device(device, config)
    with spawn.locked(run.path.parent / QUEUE):
        if runs.read_status(run.path).state != "queued":
            raise ConfigError(f"{run.id} is {run.status.state}; allowed: a run in the queue. Clone it instead.")
        if runs.is_begun(run.path):
            raise ConfigError(f"{run.id} has been trained before; its options are fixed. Clone it instead.")
        if config.kind != run.kind:
            raise ConfigError(f"{run.id} is a {run.kind} run; allowed: the options of one.")
        if isinstance(config, cfg.PretrainConfig) and config.version is None:
            config = config.model_copy(update={"version": run.config.get("version")})
        runs.write_config(run.path, spawn.with_absolute_paths(_without_gpus(config, device)))
        runs.add_meta(run.path, name=config.name, notes=config.notes, tags=list(config.tags))
        runs.update_status(run.path, device=device, epochs=config.epochs)


def allow(run: Run) -> None:
    """Lets a waiting run from elsewhere begin, which its user has allowed.

    Raises:
        ConfigError: if it does not wait, holds no valid options, or cannot be written.
    """
    with spawn.locked(run.path.parent / QUEUE):
        if (status := runs.read_status(run.path)).state != "queued":
            raise ConfigError(f"{run.id} is {status.state}; allowed: a run in the queue.")
        device = devices.resolve_device(devices.ANY, runs.load_config(run))
        spawn.allow(run)
        here = {"host": socket.gethostname(), "boot": processes.boot_id()}
        runs.update_status(run.path, backend="local", device=device, job_id="", job_state="", job_reason="", **here)
        _append([run], run.path.parent)
    ensure_scheduler(run.path.parent)


def drop(run: Run, runs_dir: Path) -> None:
    """Takes a waiting run out of the queue: into the trash if it never began, else it is stopped as before.

    Raises:
        ConfigError: if it does not wait any more.
    """
    with spawn.locked(runs_dir / QUEUE):
        if runs.read_status(run.path).state != "queued":
            raise ConfigError(f"{run.id} is {run.status.state}; allowed: a run in the queue.")
        if runs.is_begun(run.path):
            runs.update_status(run.path, state="stopped", reason="taken out of the queue")
        else:
            runs.delete(run, runs_dir, even_queued=True)


def hold(held: Sequence[Run], runs_dir: Path) -> list[Run]:
    """Takes waiting runs out of the queue as stopped ones, whose folders stay and which can be resumed.

    Returns:
        Those that waited; others have begun or ended meanwhile and are left as they are.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    found = []
    with spawn.locked(runs_dir / QUEUE):
        for run in held:
            status = runs.read_status(run.path)
            if (status.state, status.backend) == ("queued", "local"):
                runs.update_status(run.path, state="stopped", reason="taken out of the queue", queued=None)
                found.append(run)
    return found


def slots(runs_dir: Path) -> dict[str, int]:
    """How many runs a device takes at once, by its name, if that is not one."""
    values = safe_read.json_dict(runs_dir / QUEUE / SLOTS)
    return {name: number for name, number in values.items() if type(number) is int and 1 <= number <= MAX_SLOTS}


def set_slots(runs_dir: Path, device: str, number: int) -> None:
    """Lets a device take `number` runs at once.

    Raises:
        ConfigError: if the number is out of range, or the folder cannot be written.
    """
    if not 1 <= number <= MAX_SLOTS:
        raise ConfigError(f"slots is {number}; allowed: 1 to {MAX_SLOTS}.")
    with spawn.locked(runs_dir / QUEUE) as folder:
        writing.write_atomically(folder / SLOTS, json.dumps(slots(runs_dir) | {device: number}))
        _advance(runs_dir)


def blocking_reason(runs_dir: Path) -> str:
    """One sentence if no run is started at all, else an empty string."""
    free = shutil.disk_usage(runs_dir).free
    if free >= MIN_FREE_BYTES:
        return ""
    return f"The disk of {runs_dir} has only {free / 2**20:.0f} MiB left; what waits begins when there is room again."


def device_usage(runs_dir: Path) -> dict[str, list[Run]]:
    """The runs that use each device of this machine, by its name."""
    found: dict[str, list[Run]] = {}
    for run, status in statuses(runs_dir):
        for name in _devices_held(run, status):
            found.setdefault(name, []).append(run)
    return found


def jobs_on(runs_dir: Path) -> Counter[str]:
    """How many jobs of the dashboard, such as embeddings, use each GPU of this machine."""
    here, found = ("", socket.gethostname()), Counter[str]()
    for folder in (runs_dir / runs.JOBS).glob("*"):
        status = active(folder)
        if status is not None and status.host in here:
            found.update(name for name in devices.names_in(status.device) if name != devices.CPU)
    return found


def device_for_job(runs_dir: Path) -> str:
    """The device for a job of the dashboard: the GPU with the most free memory that no run uses or waits for, else the
    CPU. It counts as used while the job is active. Call it under the queue's lock."""
    free = _plan(runs_dir, statuses(runs_dir))[1]
    found = [
        (device.total if device.free is None else device.free, device.name)
        for device in devices.list_devices()[:-1]
        if free.get(device.name, 0) > 0
    ]
    memory, name = max(found, default=(0, ""))
    return name if memory >= MIN_JOB_BYTES else devices.CPU


def emptiest_gpus(number: int, runs_dir: Path) -> str:
    """The `number` GPUs on which a run is best measured: unused ones first, then by free memory."""
    free, possible = _plan(runs_dir, statuses(runs_dir))[1], devices.gpus_for(number)
    found = [device for device in devices.list_devices() if device.name in possible]
    found.sort(key=lambda device: (-min(1, free.get(device.name, 0)), -(device.free or 0)))
    return devices.join_names(sorted((device.name for device in found[:number]), key=possible.index))


# --- scheduling -----------------------------------------------------------------------------------------------------


def advance(runs_dir: Path) -> None:
    """Starts the waiting runs whose devices are free."""
    with spawn.locked(runs_dir / QUEUE):
        _advance(runs_dir)


def ensure_scheduler(runs_dir: Path) -> None:
    """Starts runs that can start, and the scheduler if others still wait. Fast if none waits; never fails."""
    with contextlib.suppress(ConfigError, OSError):
        if not _any_waits(runs_dir):
            return
        advance(runs_dir)
        if _any_waits(runs_dir) and not _has_scheduler(runs_dir):
            with safe_read.open_to_append(runs_dir / QUEUE / SCHEDULER_LOG) as log:
                spawn.detach([sys.executable, "-m", "simclr.run_queue", str(runs_dir.resolve())], log=log)


def run_scheduler(runs_dir: Path) -> None:
    """Starts waiting runs as devices become free; returns when none waits, or another scheduler is alive."""
    lock = Lock(runs_dir / QUEUE / SCHEDULER_LOCK)
    if not lock.acquire():
        return
    try:
        while (runs_dir / QUEUE).is_dir():
            try:
                with spawn.locked(runs_dir / QUEUE):
                    if not _any_waits(runs_dir, _advance(runs_dir)):
                        # Under the queue's lock: whoever adds a run after this finds no scheduler and starts one.
                        lock.release()
                        return
            except (ConfigError, OSError) as error:  # a full disk may get space, a folder be made writable
                print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {error}", flush=True)
            lock.renew()
            time.sleep(SCHEDULER_SECONDS)
    finally:
        lock.release()


def _has_scheduler(runs_dir: Path) -> bool:
    lock = Lock(runs_dir / QUEUE / SCHEDULER_LOCK)
    if not lock.acquire():
        return True
    lock.release()
    return False


def _advance(runs_dir: Path) -> list[tuple[Run, Status]] | None:
    """Starts, in order, each waiting run whose device is free; none overtakes another for the same device.

    Returns:
        The active local runs, with their status, if none was started: they are as they were then.
    """
    found = statuses(runs_dir)
    if not any(is_mine(run, status) for run, status in found) or blocking_reason(runs_dir):
        return found
    starts = _plan(runs_dir, found)[0]
    for run, device in starts:
        with contextlib.suppress(ConfigError):  # its status says so; the next one may start
            spawn.begin(run, device)
    return None if starts else found


def _plan(runs_dir: Path, found: list[tuple[Run, Status]]) -> tuple[list[tuple[Run, str]], dict[str, int]]:
    """Which runs to start on which device now, and how many more each device takes after that.

    A run that has to come after another waits for that, and keeps no device free meanwhile.

    Runs that train side by side share one place, see `slot_of`: once one has it, the other begins beside it.
    """
    waiting = {run.id: (run, status) for run, status in found if is_mine(run, status)}
    limits, starts, before = slots(runs_dir), [], Before(found)
    taken = {slot_of(run): names for run, status in found if (names := _devices_held(run, status))}
    held = Counter(name for names in taken.values() for name in names) + jobs_on(runs_dir)
    gpus = devices.list_devices()[:-1]
    free = {name: limits.get(name, 1) - held[name] for name in (*devices.gpus_for(1, gpus), devices.CPU)}
    for run in _in_order(runs_dir, [run for run, _ in waiting.values()]):
        if before.waits(run):
            continue  # and whoever comes later may go before it
        slot, device = slot_of(run), waiting[run.id][1].device
        beside = taken.get(slot)
        if beside is not None and set(devices.names_in(device)) <= set(beside):
            wanted, is_free = beside, True
        else:
            wanted, is_free = claim_devices(run, device, free, gpus)
        if is_free:
            taken[slot] = wanted
            starts.append((run, devices.join_names(wanted)))
    return starts, free


def slot_of(run: Run) -> str:
    """Names the place that a run takes on a device: that of the run it trains beside, as in a race, else its own."""
    return run.beside or run.id


def claim_devices(
    run: Run, device: str, free: dict[str, int], gpus: Sequence[devices.Device]
) -> tuple[list[str], bool]:
    """The devices that a waiting run takes or waits for, and whether it can begin on them.

    Args:
        device: that it waits for; empty: any GPU.
        free: how many more runs each device takes; reduced by this run.
        gpus: of this machine.
    """
    wanted = devices.names_in(device)
    if not wanted:
        number = run.config.get("devices")
        number = number if type(number) is int else 1
        chosen = [name for name in devices.gpus_for(number, gpus) if free.get(name, 0) > 0][:number]
        wanted = chosen if len(chosen) == number else devices.gpus_for(1, gpus)
        is_free = len(chosen) == number
    else:
        is_free = all(free.get(name, 0) > 0 for name in wanted)
    for name in wanted:
        free[name] = free.get(name, 0) - 1 if is_free else 0  # runs that wait keep their devices free of later ones
    return wanted, is_free


# --- reading --------------------------------------------------------------------------------------------------------


def _any_waits(runs_dir: Path, found: list[tuple[Run, Status]] | None = None) -> bool:
    """Whether a run waits that will be started without anyone's doing.

    Args:
        found: the active local runs, with their status; None: they are read.
    """
    found = statuses(runs_dir) if found is None else found
    before = Before(found)
    return any(is_mine(run, status) and not before.is_held_up(run) for run, status in found)


def _devices_held(run: Run, status: Status) -> list[str]:
    """The devices of this machine that a run uses."""
    if status.state == "queued" or status.host not in ("", socket.gethostname()):
        return []
    if held := devices.names_in(status.device):
        return held
    # started from a shell, and its status does not yet say which: the ones it will use
    gpus = devices.gpus_for(1)
    if not gpus or run.config.get("accelerator") == "cpu":
        return [devices.CPU]
    number = run.config.get("devices")
    return gpus[: number if type(number) is int else 1]


def _in_order(runs_dir: Path, waiting: list[Run]) -> list[Run]:
    places = {run_id: place for place, run_id in enumerate(_order(runs_dir))}
    return sorted(waiting, key=lambda run: (places.get(run.id, len(places)), run.id))


def _order(runs_dir: Path) -> list[str]:
    return [name for name in safe_read.json_list(runs_dir / QUEUE / ORDER) if isinstance(name, str)]


def _append(added: Sequence[Run], runs_dir: Path) -> None:
    """Puts runs last, in their order. On a full disk they wait too, in the order of the ids."""
    last = [run.id for run in added]
    with contextlib.suppress(OSError):
        _write_order(runs_dir, [*(name for name in _order(runs_dir) if name not in last), *last])


def _write_order(runs_dir: Path, order: list[str]) -> None:
    waiting = {run.id for run, status in statuses(runs_dir) if status.state == "queued"}
    writing.write_atomically(runs_dir / QUEUE / ORDER, json.dumps([name for name in order if name in waiting]))
