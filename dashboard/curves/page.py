"""Curves: any runs laid over each other, metric by metric, with what they reached and how their options differ."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote, unquote

import streamlit as st

from dashboard.components import escape
from dashboard.components.curve_grid import curve_grid, update_grid
from dashboard.components.run_picker import run_picker
from dashboard.components.table import table
from dashboard.curves import curve_data
from dashboard.shared import figures, palette, store, ui
from simclr.config import ConfigError
from simclr.results import comparisons, curves, metric_info, series
from simclr.results.curves import View
from simclr.results.sources import Group, Source, alone, by_seed
from simclr.results.statistics import mean_and_std
from simclr.runs import lightning_logs

MAX_RUNS = 200
MAX_CHARTS = 12
MAX_COLUMNS = 6  # runs side by side in the table of options; of more, values are counted
POINTS_PER_CHART = 10_000  # that many are redrawn in 40 ms; many lines share them
X = {"epoch": "Epoch", "step": "Step", "time": "Time"}
X_NAMES = {"epoch": "Epoch", "step": "Step", "time": "Minute"}
SPLITS = {"both": "Both", "train": "Training", "val": "Validation"}
SEEDS = {"each": "Each run", "std": "Mean ± std", "range": "Mean, min–max"}
SEEDS_HELP = (
    "Runs that differ in nothing but the seed are drawn as one: their mean, and around it one sample standard "
    "deviation to both sides, or the span from the lowest to the highest. The mean ends where the first of them ends."
)
CHOICE = "curves_choice"  # the session's own copy: widgets forget when another page is shown
FIRST = {
    "runs": None, "metrics": None, "x": "epoch", "splits": "both", "seeds": "each", "smoothing": 0.0, "log": False,
    "log_x": False, "large": "", "folder": "", "generation": 0,
}  # fmt: skip


# --- what is shown: address, session, widgets ----------------------------------------------------------------------


def choice() -> dict[str, Any]:
    """What is shown: the address first, then what this session chose before."""
    kept = st.session_state.setdefault(CHOICE, dict(FIRST))
    given = {name: st.query_params.get_all(name) for name in st.query_params if name in (*FIRST, "metric")}
    if given and given != st.session_state.get("curves_address"):
        kept["generation"] += 1
        kept |= read_address(given)
    return kept


def read_address(given: dict[str, list[str]]) -> dict[str, Any]:
    """The choices that an address makes; what it does not name is as at first, and what makes no sense too."""
    one = {name: values[-1] for name, values in given.items() if values}
    found: dict[str, Any] = {name: value for name, value in FIRST.items() if name not in ("generation", "folder")}
    if "runs" in one:
        found["runs"] = [unquote(run_id) for run_id in one["runs"].split(",") if run_id]
    if given.get("metric"):
        found["metrics"] = given["metric"]
    for name, allowed in (("x", X), ("splits", SPLITS), ("seeds", SEEDS)):
        if one.get(name) in allowed:
            found[name] = one[name]
    found["log"], found["log_x"] = one.get("log") == "true", one.get("log_x") == "true"
    found["large"] = one.get("large", "")
    found["folder"] = one.get("folder", "")
    try:
        smoothing = float(one.get("smoothing", 0))
    except ValueError:
        smoothing = 0.0
    found["smoothing"] = min(0.99, max(0.0, round(smoothing, 2))) if math.isfinite(smoothing) else 0.0
    return found


def write_address(kept: dict[str, Any], metrics: list[str]) -> None:
    """Puts the view into the address; what is as at first is left out."""
    query: dict[str, str | list[str]] = {
        "runs": ",".join(quote(run_id, safe="/") for run_id in kept["runs"]),
        "metric": metrics,
    }
    query |= {name: kept[name] for name in ("x", "splits", "seeds", "folder", "large") if kept[name] != FIRST[name]}
    query |= {name: "true" for name in ("log", "log_x") if kept[name]}
    if kept["smoothing"]:
        query["smoothing"] = f"{kept['smoothing']:.2f}"
    address = {name: [value] if isinstance(value, str) else value for name, value in query.items()}
    address = {name: values for name, values in address.items() if values}
    if address != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(query)
    st.session_state["curves_address"] = address


def other_logs(kept: dict[str, Any], container: Any) -> list[lightning_logs.Log]:
    """Logs of other programs: those in the runs folder, and those of the folder that the user names."""
    found = lightning_logs.find_logs(store.runs_dir())
    with container.popover("Other logs", icon=":material/folder_open:", key="curves-folder-box"):
        st.markdown("**Lightning CSV logs of other programs**")
        st.caption(
            "A folder with a metrics.csv in it, or up to three folders below. It is read, never changed. Logs that lie "
            "in the runs folder are in the list already."
        )
        key = f"curves-folder-{kept['generation']}"
        text = st.text_input("Folder", kept["folder"], key=key, placeholder="~/project/lightning_logs", max_chars=4000)
        kept["folder"] = text.strip()
    if not kept["folder"]:
        return found
    try:
        opened = lightning_logs.open_folder(kept["folder"])
    except ConfigError as error:
        st.warning(escape.markdown(str(error)), icon=":material/folder_off:")
        return found
    if kept["folder"] != kept.setdefault("opened", ""):
        kept["opened"] = kept["folder"]
        if kept["runs"] is not None and not {log.id for log in opened} & set(kept["runs"]):
            kept["runs"] = [*kept["runs"], *[log.id for log in opened[:10]]][:MAX_RUNS]
            kept["generation"] += 1
    return [*opened, *found]


def metric_choice(kept: dict[str, Any], shown: list[Source], sources: list[Source]) -> list[str]:
    """The metrics chosen; until the user chooses, and where no run has any of those, they follow the runs."""
    key = f"curves-metrics-{kept['generation']}"
    offered = curves.offered(shown)
    chosen = st.session_state.get(key)
    if chosen is not None and chosen != kept.get("followed"):
        kept["metrics"] = chosen
    if kept["metrics"]:
        known = {*metric_info.METRICS, *curves.offered(sources)}
        kept["metrics"] = [name for name in kept["metrics"] if name in known]
        if offered and not set(kept["metrics"]) & set(offered):
            kept["metrics"] = None
    kept["followed"] = curves.first_metrics(shown, offered) if kept["metrics"] is None else None
    st.session_state[key] = (kept["followed"] if kept["metrics"] is None else kept["metrics"])[:MAX_CHARTS]
    return st.multiselect(
        "Metrics",
        [*offered, *[name for name in st.session_state[key] if name not in offered]],
        format_func=metric_label,
        max_selections=MAX_CHARTS,
        key=key,
        placeholder="Choose metrics",
    )


def metric_label(metric: str) -> str:
    """A metric in a list of choices, where two must not be called the same."""
    taken = metric not in metric_info.METRICS and any(metric == spec.label for spec in metric_info.METRICS.values())
    return f"{metric} (column)" if taken else metric_info.spec_of(metric).label


def toolbar(kept: dict[str, Any], shown: list[Source], sources: list[Source]) -> list[str]:
    """The widgets above the charts; returns the metrics chosen."""
    generation = kept["generation"]
    chosen = metric_choice(kept, shown, sources)
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        for name, label, options, text in (
            ("splits", "Lines", SPLITS, "Training is dotted, validation solid."),
            ("x", "Against", X, "Time is minutes of training since the start of each run."),
            ("seeds", "Seeds", SEEDS, SEEDS_HELP),
        ):
            kept[name] = st.segmented_control(
                label,
                list(options),
                default=kept[name],
                required=True,
                format_func=options.__getitem__,
                help=text,
                key=f"curves-{name}-{generation}",
            )
        kept["smoothing"] = st.slider(
            "Smoothing",
            0.0,
            0.99,
            kept["smoothing"],
            0.01,
            width=150,
            help="Exponential moving average; the measured line stays behind, faint.",
            key=f"curves-smoothing-{generation}",
        )
        kept["log"] = st.toggle("Log y", kept["log"], key=f"curves-log-{generation}")
        kept["log_x"] = st.toggle("Log x", kept["log_x"], key=f"curves-log_x-{generation}")
    return chosen


def pick_runs(kept: dict[str, Any], sources: list[Source], looks: dict[str, tuple[str, str]]) -> None:
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
            "section": "Other logs" if source.kind == "log" else None,
        }
        for source in sources
    ]
    run_picker(items, kept["runs"], key=f"curves-runs-{kept['generation']}", most=MAX_RUNS)


def take_over(kept: dict[str, Any], known: dict[str, Source]) -> None:
    """Takes over from two widgets what is needed before they are drawn: the runs ticked, and what is drawn as one."""
    kept["seeds"] = st.session_state.get(f"curves-seeds-{kept['generation']}") or kept["seeds"]
    state = st.session_state.get(f"curves-runs-{kept['generation']}")
    picked = state.get("picked") if state else None
    if picked is not None:
        kept["runs"] = [str(run_id) for run_id in picked]
    kept["runs"] = [run_id for run_id in kept["runs"] if run_id in known][:MAX_RUNS]


# --- charts --------------------------------------------------------------------------------------------------------


def view_of(kept: dict[str, Any], num_groups: int) -> View:
    num_lines = num_groups * (2 if kept["splits"] == "both" else 1)
    if kept["smoothing"] and kept["seeds"] == "each":  # with the measured ones behind
        num_lines *= 2
    limit = min(series.MAX_POINTS, max(30, POINTS_PER_CHART // max(1, num_lines)))
    splits = ("train", "val") if kept["splits"] == "both" else (kept["splits"],)
    return View(kept["x"], kept["smoothing"], kept["log_x"], splits, limit)


def card(metric: str, kept: dict[str, Any]) -> dict[str, Any]:
    """What the grid has to know of one chart."""
    spec = metric_info.spec_of(metric)
    name = spec.label.lower() if metric in metric_info.METRICS else spec.label
    return {
        "id": metric,
        "title": spec.label,
        "help": spec.help,
        "empty": f"None of these runs has recorded {name}{' with its time' if kept['x'] == 'time' else ''} yet.",
        "percent": spec.percent,
        "digits": spec.digits if metric in metric_info.METRICS else None,
        "log": kept["log"],
        "log_x": kept["log_x"],
        "better": spec.better,
    }


def draw(kept: dict[str, Any], groups: list[Group], metrics: list[str]) -> None:
    """The grid with all its lines; what changes from then on is sent by `refresh`."""
    view = view_of(kept, len(groups))
    around = "range" if kept["seeds"] == "range" else "std"
    before = {group.id: group.revision for group in groups}
    titles = [group.title for group in groups]
    key = f"curves-grid-{kept['generation']}"
    base = curve_grid(
        {
            "charts": [card(metric, kept) for metric in metrics],
            "runs": [
                {"id": group.id, "title": title_of(group, titles), "color": group.color, "dash": dash}
                for group, dash in zip(groups, dashes_of(groups), strict=True)
            ],
            "lines": curve_data.lines(groups, metrics, view, around),
            "x_title": figures.X_LABELS[kept["x"]],
            "x_name": X_NAMES[kept["x"]],
            "height": 250 if len(metrics) > 1 else 480,
            "large_height": 480,
            "large": kept["large"],
        },
        key=key,
    )
    state = st.session_state.get(key)
    kept["large"] = str(state.get("large") or "") if state else ""
    refresh(key, base, tuple(groups), tuple(metrics), view, around, before)


def dashes_of(groups: list[Group]) -> list[str]:
    """A dash for each line; none where there are too many to tell them apart by dashes: those are drawn quicker."""
    if len(groups) > len(figures.DASHES) * len(palette.PALETTE):
        return ["solid"] * len(groups)
    return figures.dashes([group.color for group in groups])


def title_of(group: Group, titles: list[str]) -> str:
    """A title that tells a group from the others shown, with how many runs it is the mean of."""
    if len(group.members) > 1:
        return f"{group.title}, n = {len(group.members)}"
    if titles.count(group.title) > 1:
        return f"{group.title} · {group.id.rpartition('-')[2]}" if "-" in group.id else group.id
    return group.title


@st.fragment(run_every=2)
def refresh(
    key: str, base: str, groups: tuple[Group, ...], metrics: tuple[str, ...], view: View, around: str, before: dict
) -> None:
    """Sends the lines of those runs that wrote something since the grid was drawn."""
    changed = [group for group in groups if group.revision != before[group.id]]
    update_grid(curve_data.lines(changed, metrics, view, around), base, key)


@st.fragment(run_every=2)
def watch(drawn: tuple[str, ...]) -> None:
    """Draws the page anew when a run began or ended, here or in another window."""
    if moving() != drawn:
        st.rerun()


def moving() -> tuple[str, ...]:
    return tuple(f"{item.id} {item.state}" for item in store.get().summaries() if item.is_active)


# --- below the charts ----------------------------------------------------------------------------------------------


@st.fragment(run_every=5)
def reached(groups: tuple[Group, ...], metrics: tuple[str, ...]) -> None:
    """Last and best values of each run, of a group of seeds their mean and standard deviation."""
    columns: list[dict[str, Any]] = [{"key": "run", "label": "Run"}]
    for number, metric in enumerate(metrics):
        spec = metric_info.spec_of(metric)
        rank = 1 if number == 0 else 2 if number < 3 else 3
        text = "The last value on validation images; of a run that has none, on training images."
        columns.append({"key": f"{metric} last", "label": f"{spec.label}, last", "align": "right", "rank": max(2, rank),
                        "help": text})  # fmt: skip
        if spec.better:
            text = f"The {'lowest' if spec.better == 'low' else 'highest'} on validation images, with its epoch."
            columns.append({"key": f"{metric} best", "label": "best", "align": "right", "rank": rank, "help": text})
    titles = [group.title for group in groups]
    rows = []
    for group in groups:
        row: dict[str, Any] = {"run": {"text": title_of(group, titles), "color": group.color, "title": group.id}}
        if len(group.members) == 1 and group.members[0].kind != "log":
            row["href"] = store.run_address(group.id)
        for metric in metrics:
            found = [curves.values(source, metric) for source in group.members]
            row[f"{metric} last"] = value_cell([item.last for item in found], metric)
            row[f"{metric} best"] = value_cell([item.best for item in found], metric, strong=True)
            if found[0].last_is_training:
                row[f"{metric} last"]["sub"] = "training"
            if len(found) == 1 and found[0].best_epoch is not None:
                row[f"{metric} best"]["sub"] = f"epoch {found[0].best_epoch:.4g}"
        rows.append(row)
    table(columns, rows, key="curves-reached")


def value_cell(values: list[float | None], metric: str, strong: bool = False) -> dict[str, Any]:
    """A value, or mean ± sample standard deviation of several with how many there are."""
    known = [value for value in values if value is not None]
    if len(values) == 1 or len(known) < 2:
        value = known[0] if known else None
        return {"text": curve_data.value_text(value, metric), "sort": value, "strong": strong and value is not None}
    mean, deviation = mean_and_std(known)
    spread = curve_data.value_text(deviation, metric)
    text = f"{curve_data.value_text(mean, metric).removesuffix(' %')} ± {spread}"
    return {"text": text, "sort": mean, "sub": f"n = {len(known)}", "strong": strong}


def options(sources: list[Source]) -> None:
    """How the options of the chosen runs differ."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Options that differ", anchor=False, width="content")
        everything = st.toggle("Show all options", key="curves-all-options")
    if len(sources) == 1 and not everything:
        st.caption("One run is chosen; with another, what differs stands here.")
        return
    rows, num_hidden = comparisons.differences(sources, everything)
    hidden = f"{num_hidden} option{'s' if num_hidden > 1 else ''} that only some of these runs have: not shown."
    if not rows:
        told = any(source.options for source in sources)
        st.caption("What these runs share of options is the same." if told else "None of these has told its options.")
        if num_hidden:
            st.caption(hidden)
        return
    columns: list[dict[str, Any]] = [{"key": "option", "label": "Option"}]
    if len(sources) <= MAX_COLUMNS:
        titles = [source.title for source in sources]
        columns += [
            {"key": f"run {number}", "label": title_of(group, titles)}
            for number, group in enumerate(alone(sources))
        ]  # fmt: skip
        cells = [{f"run {number}": {"text": text} for number, text in enumerate(texts)} for _, texts in rows]
    else:
        columns.append(
            {"key": "values", "label": "Values, and how many runs have them", "wrap": True, "sortable": False}
        )
        cells = [{"values": {"text": counted(texts)}} for _, texts in rows]
    table(columns, [{"option": {"text": name}, **cell} for (name, _), cell in zip(rows, cells, strict=True)],
          key="curves-options")  # fmt: skip
    if num_hidden:
        st.caption(hidden)


def counted(texts: list[str]) -> str:
    """`0.5 (12), 0.07 (8)`: the values with how often each is there, the most frequent first."""
    times = {text: texts.count(text) for text in dict.fromkeys(texts)}
    ordered = sorted(times.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{text} ({count})" for text, count in ordered[:8])
    return shown + (f" and {len(ordered) - 8} more" if len(ordered) > 8 else "")


# --- the page ------------------------------------------------------------------------------------------------------


def page() -> None:
    summaries = store.get().summaries()
    right = ui.head("Curves")
    kept = choice()
    logs = other_logs(kept, right)
    sources = [*curve_data.of_runs(summaries), *curve_data.of_logs(logs)]
    if not sources:
        st.write("Curves of your runs appear here, laid over each other. There is no run yet.")
        st.page_link(ui.PAGE_NEW, label="Start a run", icon=":material/play_arrow:")
        return
    known = {source.id: source for source in sources}
    if kept["runs"] is None:
        alike = [
            item.id for item in summaries if (item.kind, item.dataset) == (summaries[0].kind, summaries[0].dataset)
        ]
        kept["runs"] = alike[:4] or [source.id for source in sources[:4]]
    take_over(kept, known)
    shown = [known[run_id] for run_id in kept["runs"]]
    groups = alone(shown) if kept["seeds"] == "each" else by_seed(shown, sources)
    looks = {
        source.id: (group.color, dash)
        for group, dash in zip(groups, dashes_of(groups), strict=True)
        for source in group.members
    }
    left, middle = st.columns([1, 3.2], gap="medium")
    with left:
        pick_runs(kept, sources, looks)
    with middle:
        metrics = toolbar(kept, shown, sources)
        if not shown or not metrics:
            st.caption("Choose runs to see their curves." if metrics else "Choose runs and metrics to see curves.")
        else:
            for sentence in comparisons.warnings(shown, metrics):
                st.caption(f":orange[:material/warning:] {escape.markdown(sentence)}")
            draw(kept, groups, metrics)
            st.caption("Drag to zoom, double-click to see all; point at a chart to read all runs at one place.")
    if shown and metrics:
        export(right, kept, groups, metrics)
        st.subheader("Last and best values", anchor=False)
        reached(tuple(groups), tuple(metrics))
        options(shown)
    watch(moving())
    write_address(kept, metrics)


def export(container: Any, kept: dict[str, Any], groups: list[Group], metrics: list[str]) -> None:
    view = view_of(kept, len(groups))
    around = "range" if kept["seeds"] == "range" else "std"
    container.download_button(
        "CSV",
        lambda: curves.csv_text(groups, metrics, view, around),
        file_name="curves.csv",
        mime="text/csv",
        icon=":material/download:",
        key="curves-csv",
        on_click="ignore",
        help="The lines shown, every measured point in a row of its own. Each chart saves itself as PNG.",
    )


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
