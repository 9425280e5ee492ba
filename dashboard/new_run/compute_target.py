"""Where a new run is to train: the GPUs and the CPU of this machine, with who holds them and who waits, or Slurm."""

from __future__ import annotations

import shlex
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.shared import form_fields, formats, forms, store, ui, url_state
from dashboard.shared import queue as waiting
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.hardware import devices
from simclr.hardware.devices import Device
from simclr.launch import queue
from simclr.runs import Run

SLURM = "slurm"
KINDS = {"gpu": "GPU", "cpu": "CPU", SLURM: "Slurm"}
CLUSTER_SECONDS = 30.0
SLURM_MARK = "slurm"


# --- what there is --------------------------------------------------------------------------------------------------


class _Cluster:
    """Slurm's partitions, asked for when they are first wanted and then, beside the pages, every half minute."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self._asked: float | None = None
        self._guard = threading.Lock()

    def partitions(self) -> list[Any]:
        first = self._asked is None
        if (first or time.monotonic() - (self._asked or 0) > CLUSTER_SECONDS) and self._guard.acquire(blocking=False):
            self._asked = time.monotonic()
            thread = threading.Thread(target=self._ask, name="sinfo", daemon=True)
            thread.start()
            if first:
                thread.join()
        return self.found

    def _ask(self) -> None:
        from simclr.launch import slurm_client

        try:
            self.found = slurm_client.available_partitions()
        finally:
            self._guard.release()


@st.cache_resource(max_entries=1, show_spinner=False)
def cluster() -> _Cluster:
    return _Cluster()


def usual() -> str:
    """Where a run trains when nobody says: on any GPU, or on the CPU where there is none."""
    return devices.ANY if devices.list_devices()[1:] else devices.CPU


def known(target: str) -> str:
    """A compute target from an address; "" for one that this machine does not have."""
    names = {device.name for device in devices.list_devices()}
    parts = devices.names_in(target)
    if target == SLURM or (target == devices.ANY and len(names) > 1) or (parts and set(parts) <= names):
        return target
    return ""


def current() -> str:
    """The compute target that is chosen; options that ask for the CPU mean it where nothing is chosen."""
    kept = forms.state()
    if not kept["place"] and kept["values"].get("accelerator") == "cpu":
        return devices.CPU
    return kept["place"] or usual()


def follow(target: str, values: dict[str, Any]) -> None:
    """Lets the options agree with a compute target on this machine."""
    if target == SLURM:
        return
    if target == devices.CPU:
        has_gpus = usual() != devices.CPU
        values["accelerator"] = "cpu" if has_gpus or values.get("accelerator") == "cpu" else "auto"
    elif values.get("accelerator") == "cpu":
        values["accelerator"] = "auto"
    if target not in (devices.CPU, devices.ANY):
        values["devices"] = len(devices.names_in(target))


def hidden(target: str) -> set[str]:
    """Options that follow from the compute target, and so have no widget of their own."""
    if target == SLURM:
        return set()
    return {"accelerator"} if target == devices.CPU else {"accelerator", "devices"}


# --- who is there already -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """Whom a new run would have to wait for: runs that hold its devices, and runs that wait before it."""

    waits: bool
    holders: tuple[Run, ...] = ()
    num_before: int = 0
    num_jobs: int = 0  # of the dashboard, that use these devices meanwhile


def line(target: str, number: int, except_run: str = "") -> Line:
    """What is ahead of a run that is added now.

    Args:
        number: of GPUs, where any will do.
        except_run: the waiting run that is being changed; what is behind it does not count.
    """
    runs_dir = store.runs_dir()
    found = devices.list_devices()[:-1]
    gpus = [device.name for device in found]
    limits, held, jobs = queue.slots(runs_dir), queue.device_usage(runs_dir), queue.jobs_on(runs_dir)
    free = {name: limits.get(name, 1) - len(held.get(name, [])) - jobs[name] for name in (*gpus, devices.CPU)}
    wanted = devices.names_in(target) or gpus
    before = []
    for entry in queue.entries(runs_dir):  # in the order and by the rule of the queue
        if entry.id == except_run:
            break
        if not runs.is_own(entry.path):  # nothing starts it
            continue
        device = entry.status.device
        if set(devices.names_in(device) or gpus) & set(wanted):
            before.append(entry)
        queue.claim_devices(entry, device, free, found)
    left = [name for name in wanted if free.get(name, 0) > 0]
    if len(left) >= (len(wanted) if devices.names_in(target) else number):
        return Line(False)
    holders = {run.id: run for name in wanted if name not in left for run in held.get(name, [])}
    return Line(True, tuple(holders.values()), len(before), sum(jobs[name] for name in wanted if name not in left))


def line_sentence(target: str, found: Line) -> str:
    """Who holds the device and how many wait, for beside the button."""
    if not found.waits:
        return ""
    parts = []
    for run in found.holders[:2]:
        summary = store.get().summary(run)
        left = summary.status.eta_seconds
        parts.append(summary.title + (f" ({formats.duration(left)} left)" if left is not None else ""))
    more = len(found.holders) - len(parts)
    parts += [f"{more} more"] if more > 0 else []
    names = " and ".join(parts + ["a job of the dashboard"] * bool(found.num_jobs))
    several = len(devices.names_in(target) or devices.list_devices()[:-1]) > 1
    device = "The GPUs are" if several else f"{waiting.device_text(target)} is"
    if target == devices.ANY and not several:
        device = "The GPU is"
    text = f"{device} held by {names}." if names else ""
    if found.num_before:
        runs_wait = "run waits" if found.num_before == 1 else "runs wait"
        text += f" {found.num_before} {runs_wait} before this one."
    return f"{text} It starts by itself when its turn comes.".strip()


# --- widgets --------------------------------------------------------------------------------------------------------


def title(device: Device) -> str:
    return device.title if device.name == devices.CPU else f"{waiting.device_text(device.name)}, {device.title}"


def choose() -> str:
    """The device picker; the form's own copy and the options follow what is chosen."""
    kept = forms.state()
    *gpus, _ = devices.list_devices()
    target = current()
    # a run that waits here is changed here
    has_slurm = not kept["edit"] and (target == SLURM or bool(cluster().partitions()))
    kinds = [*(["gpu"] if gpus else []), "cpu", *([SLURM] if has_slurm else [])]
    kind = target if target in (devices.CPU, SLURM) else "gpu"
    if len(kinds) > 1:
        kind = st.segmented_control(
            "Where",
            kinds,
            format_func=KINDS.__getitem__,
            required=True,
            width="stretch",
            **url_state.start(f"{forms.WIDGETS}where", kind),
        )
    chosen = target
    if kind in (devices.CPU, SLURM):
        chosen = str(kind)
    elif len(gpus) < 2:
        chosen = devices.ANY
    else:
        chosen = _choose_gpus(gpus, target)
    if chosen != target:
        if chosen == devices.CPU:
            kept["values"]["devices"] = 1
        kept["place"] = chosen
    before = dict(kept["values"])
    follow(chosen, kept["values"])
    if chosen != target or kept["values"] != before:
        _forget("devices", "accelerator")
        st.rerun()
    return chosen


def _choose_gpus(gpus: list[Device], target: str) -> str:
    kept = forms.state()
    names = st.pills(
        "GPUs",
        [gpu.name for gpu in gpus],
        selection_mode="multi",
        format_func=waiting.device_text,
        help="With none chosen, the run takes the first that is free.",
        **url_state.start(f"{forms.WIDGETS}gpus", devices.names_in(target)),
    )
    if names:
        return devices.join_names(sorted(names, key=[gpu.name for gpu in gpus].index))
    most = max(1, len(devices.gpus_for(2)))  # a run takes one slice, or several whole GPUs
    number = st.number_input(
        "Number of GPUs",
        1,
        most,
        help="Whichever are free first; the batch is divided among them.",
        **url_state.start(f"{forms.WIDGETS}num-gpus", min(most, max(1, int(kept["values"].get("devices") or 1)))),
    )
    kept["values"]["devices"] = number
    return devices.ANY


def _forget(*names: str) -> None:
    """Lets widgets of these options take their value again."""
    url_state.forget(*[form_fields.widget_name(forms.state()["kind"], name) for name in names])


@st.fragment(run_every=5)
def show_devices(target: str, waits: bool, number: int, except_run: str) -> None:
    """The devices in question with their free memory and who holds them; the page is drawn again when that matters."""
    if line(target, number, except_run).waits != waits:
        st.rerun()
    found = devices.list_devices()
    wanted = devices.names_in(target) or [device.name for device in found[:-1]]
    held = queue.device_usage(store.runs_dir())
    for device in found:
        if device.name not in wanted:
            continue
        with st.container(gap=None, key=f"device-{device.name.replace(':', '-')}"):
            holders = held.get(device.name, [])
            free = "free memory unknown" if device.free is None else f"{device.free / 2**30:.1f} GiB free"
            st.caption(f"{escape.markdown(title(device))} · {free}{', held by' * bool(holders)}")
            for run in holders[:3]:
                ui.text_link(store.get().summary(run).title, run.id, key=f"{device.name}-")


def choose_slots(target: str) -> None:
    """How many runs each device in question takes at once."""
    names = devices.names_in(target) or [device.name for device in devices.list_devices()[:-1]]
    limits = queue.slots(store.runs_dir())
    limit = limits.get(names[0], 1) if len(names) == 1 else 0
    label = f"{limit} run{'s' if limit > 1 else ''} at a time" if limit else "Runs at a time"
    with st.popover(label, icon=":material/stacks:", type="tertiary", help="How many runs share a device"):
        st.caption("Runs that a device takes at a time. They share its memory and its speed.")
        for name in names:
            key = f"slots-{name}-{limits.get(name, 1)}"
            st.number_input(
                waiting.device_text(name),
                1,
                queue.MAX_SLOTS,
                limits.get(name, 1),
                key=key,
                on_change=_set_slots,
                args=(name, key),
            )


def _set_slots(name: str, key: str) -> None:
    with ui.report_errors():
        queue.set_slots(store.runs_dir(), name, int(st.session_state[key]))


# --- Slurm ----------------------------------------------------------------------------------------------------------


def slurm_values() -> dict[str, Any]:
    """What the user's last job asked for, until something else is typed."""
    from simclr.launch import slurm_options as slurm

    kept = forms.state()
    if not kept["slurm"]:
        options, sentence = slurm.load_options()
        kept["slurm"] = options.model_dump()
        if sentence:
            st.session_state["message"] = sentence
    return kept["slurm"]


def slurm_problems() -> list[str]:
    try:
        slurm_options()
    except ConfigError as error:
        return str(error).splitlines()
    return []


def slurm_options() -> Any:
    """The checked options of a job.

    Raises:
        ConfigError: with one sentence per problem.
    """
    from simclr.launch import slurm_options as slurm

    values = slurm_values()
    form_fields.apply_widget(slurm.SlurmOptions, SLURM_MARK, values)
    return slurm.build_options(values)


def slurm_flags() -> str:
    """What a command says so that its run goes through Slurm."""
    from simclr.launch import slurm_options as slurm

    values, start = slurm_options().model_dump(), slurm.SlurmOptions().model_dump()
    parts = ["--backend", "slurm"]
    for name, value in values.items():
        if value != start[name]:
            parts += forms.flag(f"slurm.{name}", "\n".join(value) if name == "extra_lines" else cfg.option_text(value))
    return shlex.join(parts)


def draw_slurm(problems: list[str]) -> None:
    """What a job asks of Slurm."""
    from simclr.launch import slurm_options as slurm

    values, options = slurm_values(), cfg.option_names(slurm.SlurmOptions)
    errors = {
        sentence.split(" ", 1)[0].removeprefix("slurm."): partial(
            form_fields.mark, forms.Obstacle(sentence.removeprefix("slurm.")), ""
        )
        for sentence in problems
    }
    st.header("Slurm", anchor=False)
    found = cluster().partitions()
    if not found:
        st.caption("Slurm does not answer at the moment.")
    for item in found:
        limit = "no time limit" if item.time_limit == "infinite" else f"at most {item.time_limit}"
        facts = [f"{item.nodes} node{'s' if item.nodes > 1 else ''}", limit, item.gres]
        name = f"**{escape.markdown(item.name)}**{' (default)' if item.is_default else ''}"
        st.caption(" · ".join([name, *(escape.markdown(fact) for fact in facts if fact)]))
    names = list(options)
    for start in range(0, len(names) - 1, 3):
        for column, name in zip(st.columns(3, gap="medium"), names[:-1][start : start + 3], strict=False):
            with column:
                words = [item.name for item in found] if name == "partition" else ()
                form_fields.draw(name, options[name], errors, values, SLURM_MARK, words)
    form_fields.draw(names[-1], options[names[-1]], errors, values, SLURM_MARK)
