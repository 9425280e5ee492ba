"""Curves: any runs laid over each other, metric by metric, with what they reached and how their options differ."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.curve_grid import curve_grid, update_grid
from dashboard.components.run_picker import run_picker
from dashboard.curves import curve_data, marks
from dashboard.curves.curve_data import group_title
from dashboard.curves.tables import options_table, summary_table
from dashboard.curves.view_state import MAX_RUNS, SEEDS, SPLITS, VIEW, X, take_picked, write_address
from dashboard.shared import asked, figures, palette, run_labels, store, ui, url_state
from simclr.config import ConfigError
from simclr.curves import chance_loss, curve_lines, log_tables, metric_info, other_logs, smoothing
from simclr.curves.curve_sources import LOG, Group, Source, alone, by_seed
from simclr.results import comparisons, index, wording
from simclr.runs import metrics_csv

MAX_CHARTS = 12
GROUP = "curves-group"  # the widget of groups, which is empty again once one is taken
METRICS = "curves-metrics-shown"  # the widget; what was chosen in it is the view's `metrics`
POINTS_PER_CHART = 10_000  # that many are redrawn in 40 ms; many lines share them
X_NAMES = {"epoch": "Epoch", "step": "Step", "time": "Minute"}
SEEDS_HELP = (
    "Runs that differ in nothing but the seed are drawn as one: their mean, and around it one sample standard "
    "deviation to both sides, or the span from the lowest to the highest. The mean ends where the first of them ends."
)


def logs_of_others(container: Any) -> list[other_logs.Log]:
    """Logs of other programs: those in the runs folder, and those of the folder that the user names."""
    found = other_logs.find_logs(store.runs_dir())
    with container.popover("Other logs", icon=":material/folder_open:", key="curves-folder-box"):
        st.markdown("**Logs of other programs**")
        st.caption(
            "A folder or a file: Lightning's metrics.csv, trainer_state.json of Hugging Face, TensorBoard's event "
            "files or another log in CSV or lines of JSON, up to three folders below. They are read, never changed. "
            "Those in the runs folder are in the list already, except JSON and CSV of other names."
        )
        text = st.text_input("Folder", placeholder="~/project/lightning_logs", max_chars=4000, **VIEW.widget("folder"))
        folder = text.strip()
    if not folder:
        return found
    try:
        opened = other_logs.open_folder(folder)
    except ConfigError as error:
        st.warning(escape.markdown(str(error)), icon=":material/folder_off:")
        return found
    if folder != VIEW["opened"]:
        VIEW["opened"] = folder
        if VIEW["runs"] is not None and not {log.id for log in opened} & set(VIEW["runs"]):
            VIEW["runs"] = [*VIEW["runs"], *[log.id for log in opened[:10]]][:MAX_RUNS]
            VIEW.redraw()
    return [*opened, *found]


def metric_choice(shown: list[Source], sources: list[Source]) -> list[str]:
    """The metrics chosen; until the user chooses, and where no run has any of those, they follow the runs."""
    offered = curve_lines.offered(shown)
    before = url_state.value_of(METRICS)
    if before is not None and before != VIEW["followed"]:
        VIEW["metrics"] = before
    if VIEW["metrics"]:
        known = {*metric_info.METRICS, *curve_lines.offered(sources)}
        VIEW["metrics"] = [name for name in VIEW["metrics"] if name in known]
        if offered and not set(VIEW["metrics"]) & set(offered):
            VIEW["metrics"] = None
    VIEW["followed"] = curve_lines.first_metrics(shown, offered) if VIEW["metrics"] is None else None
    wanted = (VIEW["followed"] if VIEW["metrics"] is None else VIEW["metrics"])[:MAX_CHARTS]
    if before is not None and before != wanted:
        url_state.forget(METRICS)
    return st.multiselect(
        "Metrics",
        [*offered, *[name for name in wanted if name not in offered]],
        format_func=metric_label,
        max_selections=MAX_CHARTS,
        placeholder="Choose metrics",
        **url_state.start(METRICS, wanted),
    )


def metric_label(metric: str) -> str:
    """A metric in a list of choices, where two must not be called the same."""
    taken = metric not in metric_info.METRICS and any(metric == spec.label for spec in metric_info.METRICS.values())
    return f"{metric} (column)" if taken else metric_info.spec_of(metric).label


def toolbar(shown: list[Source], sources: list[Source]) -> list[str]:
    """The widgets above the charts, in two lines; returns the metrics chosen."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom", key="curves-metrics"):
        with st.container(width="stretch"):
            chosen = metric_choice(shown, sources)
        st.slider(
            "Smoothing",
            0.0,
            0.99,
            step=0.01,
            width=130,
            help="Exponential moving average; the measured line stays behind, faint.",
            **VIEW.widget("smoothing"),
        )
        st.toggle("Log y", **VIEW.widget("log"))
        st.toggle("Log x", **VIEW.widget("log_x"))
    with st.container(horizontal=True, gap="small"):
        for name, label, options in (("splits", "Lines", SPLITS), ("x", "Against", X), ("seeds", "Seeds", SEEDS)):
            st.segmented_control(
                label,
                list(options),
                required=True,
                format_func=options.__getitem__,
                label_visibility="collapsed",
                **VIEW.widget(name, list(options)),
            )
    return chosen


def pick_runs(sources: list[Source], looks: dict[str, tuple[str, str]]) -> None:
    """The list of runs; `looks` holds colour and dash of those that are drawn."""
    items = [
        {
            "id": source.id,
            "title": source.title,
            "sub": source.sub,
            "words": source.words,
            "color": looks.get(source.id, (source.color, ""))[0],
            "dash": looks.get(source.id, ("", "solid"))[1],
            "active": source.is_active,
            "experiment": source.experiment,
            "section": "Other logs" if source.kind == LOG else None,
        }
        for source in sources
    ]
    run_picker(items, VIEW["runs"], key=VIEW.component_key("runs"), most=MAX_RUNS)


# --- charts --------------------------------------------------------------------------------------------------------


def view_of(num_groups: int) -> curve_lines.View:
    num_lines = num_groups * (2 if VIEW["splits"] == "both" else 1)
    if VIEW["smoothing"] and VIEW["seeds"] == "each":  # with the measured ones behind
        num_lines *= 2
    limit = min(smoothing.MAX_POINTS, max(30, POINTS_PER_CHART // max(1, num_lines)))
    splits = ("train", "val") if VIEW["splits"] == "both" else (VIEW["splits"],)
    return curve_lines.View(VIEW["x"], VIEW["smoothing"], VIEW["log_x"], splits, limit)


def card(metric: str, levels: dict[str, Any] | None) -> dict[str, Any]:
    """What the grid has to know of one chart; `levels` as `marks.of` gives them."""
    spec = metric_info.spec_of(metric)
    name = spec.label.lower() if metric in metric_info.METRICS else spec.label
    return {
        "id": metric,
        "title": spec.label,
        "help": spec.help,
        "empty": f"None of these runs has recorded {name}{' with its time' if VIEW['x'] == 'time' else ''} yet.",
        "percent": spec.percent,
        "digits": spec.digits if metric in metric_info.METRICS else None,
        "log": VIEW["log"],
        "log_x": VIEW["log_x"],
        "better": spec.better,
        "marks": levels if metric == marks.METRIC else None,
    }


def draw(groups: list[Group], metrics: list[str]) -> None:
    """The grid with all its lines; what changes from then on is sent by `refresh`."""
    view = view_of(len(groups))
    around = "range" if VIEW["seeds"] == "range" else "std"
    before = {group.id: group.revision for group in groups}
    titles = [group.title for group in groups]
    key = VIEW.component_key("grid")
    levels = marks.of(groups, view) if marks.METRIC in metrics else None
    base = curve_grid(
        {
            "charts": [card(metric, levels) for metric in metrics],
            "runs": [
                {"id": group.id, "title": group_title(group, titles), "color": group.color, "dash": dash}
                for group, dash in zip(groups, dashes_of(groups), strict=True)
            ],
            "lines": curve_data.lines(groups, metrics, view, around),
            "x_title": figures.X_LABELS[VIEW["x"]],
            "x_name": X_NAMES[VIEW["x"]],
            "height": {1: 480, 2: 340}.get(len(metrics), 250),
            "large_height": 480,
            "large": VIEW["large"],
        },
        key=key,
    )
    state = st.session_state.get(key)
    VIEW["large"] = str(state.get("large") or "") if state else ""
    text = "Drag to zoom, double-click to see all; point at a chart to read all runs at one place."
    if VIEW["splits"] == "both":
        text += " Thin: training. Thick: validation."
    if any(name in metric_info.SECOND_LINES for metric in metrics for name in metric_info.spec_of(metric).suffixes):
        text += " Dotted: of z, and of different images."
    if VIEW["x"] == "time":
        text += " Time: minutes of training since the start of each run."
    if VIEW["seeds"] != "each":
        text += f" {SEEDS_HELP}"
    if levels is not None:
        text += f" Rings: where each comes to {wording.LEVEL} of the accuracy with which from scratch ends."
    st.caption(text)
    refresh(key, base, tuple(groups), tuple(metrics), view, around, before)


def dashes_of(groups: list[Group]) -> list[str]:
    """A dash for each line; none where there are too many to tell them apart by dashes: those are drawn quicker."""
    if len(groups) > len(figures.DASHES) * len(palette.PALETTE):
        return ["solid"] * len(groups)
    return figures.dashes([group.color for group in groups])


@st.fragment(run_every=2)
def refresh(
    key: str,
    base: str,
    groups: tuple[Group, ...],
    metrics: tuple[str, ...],
    view: curve_lines.View,
    around: str,
    before: dict,
) -> None:
    """Sends the lines of those runs that wrote something since the grid was drawn."""
    changed = [group for group in groups if group.revision != before[group.id]]
    update_grid(curve_data.lines(changed, metrics, view, around), base, key)


@st.fragment(run_every=2)
def watch(drawn: tuple[str, ...]) -> None:
    """Draws the page again when a run began or ended, here or in another window."""
    if moving() != drawn:
        st.rerun()


def moving() -> tuple[str, ...]:
    return tuple(f"{item.id} {item.state}" for item in store.get().summaries() if item.is_active)


# --- the page ------------------------------------------------------------------------------------------------------


def has_data(source: Source) -> bool:
    has_rows = log_tables.has_rows if source.kind == LOG else metrics_csv.has_rows
    return has_rows(source.metrics_path)


def to_begin_with(summaries: list[index.Summary], known: dict[str, Source]) -> list[str] | None:
    """The newest runs of one kind and data set that have recorded something, else such logs; None where none has."""
    recorded = [item for item in summaries if item.id in known and has_data(known[item.id])]
    alike = [item.id for item in recorded if (item.kind, item.dataset) == (recorded[0].kind, recorded[0].dataset)]
    logs = [source.id for source in known.values() if source.kind == LOG and has_data(source)]
    return (alike or logs)[:4] or None


def take_groups() -> None:
    """Groups that the address names among its runs give their members, each setting as one line."""
    named = VIEW["runs"] or []
    if (members := store.with_members(named)) != named:
        VIEW.update(runs=members[:MAX_RUNS], seeds="std")


def pick_group() -> None:
    """A list of groups, which lays all runs of one over each other."""
    known = {group.id: group for group in store.all_groups()}
    if not known:
        return

    def take() -> None:
        if (chosen := st.session_state.pop(GROUP, None)) in known:
            VIEW.update(runs=store.with_members([chosen])[:MAX_RUNS], seeds="std", metrics=None)
            url_state.forget(METRICS)
            VIEW.redraw()

    st.selectbox(
        "Experiment",
        list(known),
        index=None,
        format_func=lambda group_id: known[group_id].title,
        placeholder="Runs of an experiment",
        label_visibility="collapsed",
        key=GROUP,
        on_change=take,
    )


def leave_out_unknown(known: dict[str, Source]) -> None:
    """Of the runs, metrics and chart that the address names, those that are there; the others are said."""
    named = VIEW["runs"] or []
    unknown = [run_id for run_id in named if run_id not in known]
    shown = [run_id for run_id in named if run_id in known]
    instead = f"the other {len(shown)}" if len(shown) > 1 else "the other one" if shown else "the newest runs"
    reasons: dict[str, list[str]] = {}
    for run_id in unknown:
        reasons.setdefault(asked.why_not(run_id) or "has no curves", []).append(run_id)
    for why, ids in reasons.items():
        url_state.say_instead("runs", ids, why, instead)
    if named:
        VIEW["runs"] = shown or None
    offered = {*metric_info.METRICS, *curve_lines.offered(known[run_id] for run_id in shown)}
    for metric in [name for name in VIEW["metrics"] or () if name not in offered][:3]:
        url_state.say_instead("metric", metric, "none of these runs has recorded", "what they have")
    if VIEW["large"] and VIEW["large"] not in offered.intersection(VIEW["metrics"] or offered):
        url_state.say_instead("large", VIEW["large"], "is no chart here", "all charts")
        VIEW["large"] = ""


def nothing_yet(summaries: list[index.Summary]) -> None:
    """There are runs, and none has recorded a step."""
    st.write("No run has recorded anything yet. Curves appear here with the first steps of a training.")
    active = [item for item in summaries if item.is_active]
    for item in active[:3]:
        label = f"{escape.markdown(item.title)}: {run_labels.STATE_LABELS[item.state].lower()}"
        st.page_link(ui.PAGE_RUN, label=label, icon=":material/arrow_forward:", query_params={"id": item.id})
    if not active:
        st.page_link(ui.PAGE_NEW, label="Start a run", icon=":material/play_arrow:")
    wait_for_data()


@st.fragment(run_every=2)
def wait_for_data() -> None:
    """Draws the page again as soon as there is something to be seen."""
    if any(map(has_data, curve_data.of_runs(store.get().summaries()))):
        st.rerun()


def page() -> None:
    summaries = store.get().summaries()
    right = ui.head("Curves")
    is_asked = VIEW.open()
    if is_asked:
        url_state.forget(METRICS)
    logs = logs_of_others(right)
    sources = [*curve_data.of_runs(summaries), *curve_data.of_logs(logs)]
    known = {source.id: source for source in sources}
    if is_asked:
        take_groups()
        leave_out_unknown(known)
    if not sources:
        st.write("Curves of your runs appear here, laid over each other. There is no run yet.")
        st.page_link(ui.PAGE_NEW, label="Start a run", icon=":material/play_arrow:")
        return
    if VIEW["runs"] is None:
        VIEW["runs"] = to_begin_with(summaries, known)
    if VIEW["runs"] is None:
        nothing_yet(summaries)
        return
    take_picked(known)
    shown = [known[run_id] for run_id in VIEW["runs"]]
    groups = alone(shown) if VIEW["seeds"] == "each" else by_seed(shown, sources)
    looks = {
        source.id: (group.color, dash)
        for group, dash in zip(groups, dashes_of(groups), strict=True)
        for source in group.members
    }
    left, middle = st.columns([1, 3.2], gap="medium")
    with left:
        pick_group()
        pick_runs(sources, looks)
    with middle:
        metrics = toolbar(shown, sources)
        if not shown or not metrics:
            st.caption("Choose runs to see their curves." if metrics else "Choose runs and metrics to see curves.")
        else:
            for sentence in (*comparisons.warnings(shown, metrics), *chance_loss.sentences(shown)):
                st.caption(f":orange[:material/warning:] {escape.markdown(sentence)}")
            draw(groups, metrics)
    if shown and metrics:
        export(right, groups, metrics)
        st.header("Last and best values", anchor=False)
        summary_table(tuple(groups), tuple(metrics))
        options_table(shown)
    watch(moving())
    write_address(metrics)


def export(container: Any, groups: list[Group], metrics: list[str]) -> None:
    view = view_of(len(groups))
    around = "range" if VIEW["seeds"] == "range" else "std"
    with container:
        ui.download(
            "CSV",
            lambda: curve_lines.csv_text(groups, metrics, view, around),
            file_name="curves.csv",
            mime="text/csv",
            icon=":material/download:",
            key="curves-csv",
            help="The lines shown, every measured point in a row of its own. Each chart saves itself as PNG.",
        )


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
