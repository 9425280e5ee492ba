"""Curves: one metric of any runs, laid over each other."""

from __future__ import annotations

import streamlit as st

from dashboard import charts, store, ui
from dashboard.components.live_chart import live_chart

MAX_RUNS = 20
X = {"epoch": "Epoch", "step": "Step", "time": "Time"}
SPLITS = {"both": "Both", "train": "Training", "val": "Validation"}
CHOICE = "curves_choice"  # the session's own copy: widgets forget when another page is shown


def choice(known: list[str], newest: list[str]) -> dict:
    """What is shown: the address first, then what this session chose before, then the newest runs."""
    kept = st.session_state.setdefault(
        CHOICE,
        {
            "runs": None,
            "metric": "loss",
            "x": "epoch",
            "smoothing": 0.0,
            "log": False,
            "splits": "both",
            "generation": 0,
        },
    )
    own = ("runs", "metric", "x", "splits", "smoothing", "log")
    query = {name: st.query_params[name] for name in st.query_params if name in own}
    if query and query != st.session_state.get("curves_address"):
        kept["generation"] += 1
        if "runs" in query:
            kept["runs"] = [run_id for run_id in query["runs"].split(",") if run_id in known][:MAX_RUNS]
        kept["metric"] = query["metric"] if query.get("metric") in charts.METRICS else kept["metric"]
        kept["x"] = query["x"] if query.get("x") in X else kept["x"]
        kept["splits"] = query["splits"] if query.get("splits") in SPLITS else kept["splits"]
        kept["log"] = query.get("log") == "true"
        try:
            kept["smoothing"] = min(0.95, max(0.0, round(float(query.get("smoothing", 0)) / 0.05) * 0.05))
        except (ValueError, OverflowError):
            kept["smoothing"] = 0.0
    if kept["runs"] is None:
        kept["runs"] = newest
    kept["runs"] = [run_id for run_id in kept["runs"] if run_id in known]
    return kept


@st.fragment(run_every=2)
def chart(run_ids: tuple[str, ...], metric: str, x: str, smoothing: float, log: bool, splits: str) -> None:
    shown, colors = [], store.colors(run_ids)
    for run_id in run_ids:
        run = store.find(run_id)
        if run is not None:
            shown.append((store.get().summary(run).title, colors[run_id], store.get().columns(run)))
    figure = charts.overlay(
        shown, metric, x=x, smoothing=smoothing, log=log, splits=("train", "val") if splits == "both" else (splits,)
    )
    if not figure["data"]:
        st.caption(f"None of these runs has recorded {charts.METRICS[metric].label.lower()} yet.")
        return
    # The metric and the axes belong to the key: another quantity starts with a zoom of its own.
    live_chart(figure, key=f"overlay-{metric}-{x}-{log}", height=520)


def page() -> None:
    found = store.get().summaries()
    ui.head("Curves")
    if not found:
        st.write("Curves of your runs appear here, laid over each other. There is no run yet.")
        st.page_link(ui.PAGE_NEW, label="Start a run", icon=":material/play_arrow:")
        return
    names = {item.id: item for item in found}
    kept = choice(list(names), [item.id for item in found if item.kind == found[0].kind][:4])
    generation = kept["generation"]

    def title(run_id: str) -> str:
        item = names[run_id]
        arm = (
            f"{store.ARM_LABELS[item.arm]}, {store.fraction_text(item.label_fraction)} of labels"
            if item.arm
            else "Pre-training"
        )
        return f"{item.title} · {arm}"

    kept["runs"] = st.multiselect(
        "Runs",
        list(names),
        default=kept["runs"],
        format_func=title,
        max_selections=MAX_RUNS,
        key=f"curves-runs-{generation}",
        placeholder="Choose runs",
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        metrics = list(charts.METRICS)
        kept["metric"] = st.selectbox(
            "Metric",
            metrics,
            index=metrics.index(kept["metric"]),
            width=230,
            format_func=lambda name: charts.METRICS[name].label,
            key=f"curves-metric-{generation}",
        )
        kept["splits"] = st.segmented_control(
            "Lines",
            list(SPLITS),
            default=kept["splits"],
            required=True,
            format_func=SPLITS.__getitem__,
            key=f"curves-splits-{generation}",
        )
        kept["x"] = st.segmented_control(
            "Against",
            list(X),
            default=kept["x"],
            required=True,
            format_func=X.__getitem__,
            key=f"curves-x-{generation}",
        )
        kept["smoothing"] = st.slider(
            "Smoothing",
            0.0,
            0.95,
            kept["smoothing"],
            0.05,
            width=170,
            help="Exponential moving average; the measured line stays behind, faint.",
            key=f"curves-smoothing-{generation}",
        )
        kept["log"] = st.toggle("Log axis", kept["log"], key=f"curves-log-{generation}")
    if not kept["runs"]:
        st.caption("Choose runs to see their curves.")
    else:
        with st.container(border=True, gap=None):
            spec = charts.METRICS[kept["metric"]]
            st.markdown(f"**{spec.label}**", help=spec.help)
            chart(tuple(kept["runs"]), kept["metric"], kept["x"], kept["smoothing"], kept["log"], kept["splits"])
            st.caption(
                "Training dotted, validation solid. Drag to zoom, double-click to see all; a click in the legend hides "
                "a line."
            )
    query = {"runs": ",".join(kept["runs"]), "metric": kept["metric"], "x": kept["x"], "splits": kept["splits"]}
    if kept["smoothing"]:
        query["smoothing"] = f"{kept['smoothing']:.2f}"
    if kept["log"]:
        query["log"] = "true"
    if query != {name: st.query_params[name] for name in st.query_params}:
        st.query_params.from_dict(query)
    st.session_state["curves_address"] = query


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
