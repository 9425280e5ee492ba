"""Health of a pre-training on the Run page: a verdict in words, and what its probe images showed after each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from dashboard.components import escape
from dashboard.components.live_chart import live_chart
from dashboard.shared import figures, palette, store
from simclr.evaluation import health
from simclr.evaluation.health import Verdict
from simclr.results import index, metric_info, series
from simclr.runs import Run, health_log, metrics_csv
from simclr.runs.health_log import LayerStats, Row

HEIGHT = 240
POSITIVE, NEGATIVE, CURSOR = palette.PALETTE[0], palette.PALETTE[1], "#8a93a6"
FIRST_COLOR, LAST_COLOR = NEGATIVE, POSITIVE  # of the path; both are seen on white and on near-black
SPECTRUM_FLOOR = 1e-8  # of the first singular value: what lies below is rounding
BADGES = {"ok": ("green", "check_circle"), "note": ("orange", "info"), "alarm": ("red", "warning")}
HELP = {
    "plane": "Both are better the lower they are, so a good run moves to the lower left: views of one image come "
    "together (alignment) while all images stay spread (uniformity). A path up to uniformity 0 is a collapse; "
    "one that stands still with alignment near 0 has views that are too alike. Of z at length 1 (Wang and Isola 2020).",
    "histogram": "Cosine similarities of z for two views of one image, and for views of different images. Good: two "
    "humps that part. Bad: one hump over the other (nothing is told apart), or both at 1 (collapse). Overlap is the "
    "area they share, 1 for the same and 0 for apart; d' is the distance of their means in standard deviations. Some "
    "negatives show the same kind of thing and are rightly similar (Wang and Liu 2021).",
    "spectrum": "Singular values of the covariance of h and of z, relative to the largest. Good: a gentle slope. A "
    "cliff means that the directions beyond it are unused: dimensional collapse, normal to a degree in z, bad in h. "
    "The faint lines are the first epoch. Fewer images than features end the line early (Jing et al. 2022).",
    "std": "Standard deviation of the features of rows at length 1, times sqrt(d): 1 where they are spread evenly over "
    "the sphere, 0 where all images are one point. It shows a full collapse, not a dimensional one. h is not centred, "
    "so it lies lower (Chen and He 2021).",
    "effective_rank": "How many directions h and z really use, at most the smaller of features and images. Near 1 is "
    "collapse. Compare runs of one method and one network only, on the same images (Roy and Vetterli 2007; RankMe, "
    "Garrido et al. 2023, who use some 25,000 images).",
    "knn_top1": "Validation images classified by their nearest training images in h. It uses labels: for watching, not "
    "for choosing on test images. It should rise; if it falls while the loss does too, the features lose the classes "
    "(Wu et al. 2018; Caron et al. 2021).",
    "similarity": "Mean cosine similarity of two views of one image, and of views of different images. Good: the first "
    "near 1, the second near 0, and far from each other (Wang and Liu 2021).",
}  # fmt: skip


# --- values ---------------------------------------------------------------------------------------------------------


def rows_of(run: Run) -> list[Row]:
    """The lines of its `health.jsonl`, read again only when the file changed."""
    return _read(str(run.health_path), metrics_csv.signature(run.health_path))


@st.cache_resource(max_entries=16, ttl=600, show_spinner=False)
def _read(path: str, signature: Any) -> list[Row]:
    return health_log.read(Path(path))


def verdict_of(run: Run, reason: str = "", epoch: int | None = None) -> Verdict:
    """How the run does now, or did after an epoch."""
    rows, columns = rows_of(run), metrics_csv.live_columns(run.metrics_path)
    if epoch is not None:
        rows, columns = health.up_to(rows, columns, epoch)
    return health.verdict(rows, columns, run.config, reason)


def epochs_of(rows: Sequence[Row], columns: series.Columns) -> list[int]:
    """Epochs after which something was measured on validation images."""
    numbers = np.asarray(columns.get("epoch", ()), dtype=np.float64)
    measured, _ = series.finite_points(numbers, columns.get("val/alignment", ()))
    return sorted({row.epoch for row in rows} | {int(epoch) for epoch in measured if epoch == int(epoch)})


def epoch_asked(text: str, epochs: Sequence[int]) -> int:
    """The epoch that an address names, or the one nearest to it; without one, the last."""
    if not text.isdecimal() or len(text) > 9:
        return epochs[-1]
    return min(epochs, key=lambda epoch: abs(epoch - int(text)))


# --- figures --------------------------------------------------------------------------------------------------------


def with_cursor(figure: dict[str, Any], epoch: int) -> dict[str, Any]:
    """The figure with a line at an epoch."""
    line = {"type": "line", "yref": "paper", "x0": epoch, "x1": epoch, "y0": 0, "y1": 1,
            "line": {"width": 1.5, "color": CURSOR}}  # fmt: skip
    figure["layout"]["shapes"] = [line]
    return figure


def plane(columns: series.Columns, epoch: int) -> dict[str, Any] | None:
    """The path in the plane of uniformity and alignment, with the epoch as colour; None without both."""
    found: dict[int, tuple[float, float]] = {}
    for number, x, y in zip(
        *(columns.get(name, ()) for name in ("epoch", "val/uniformity", "val/alignment")), strict=False
    ):
        if math.isfinite(number) and math.isfinite(x) and math.isfinite(y):
            found[int(number)] = x, y
    if not found:
        return None
    epochs = sorted(found)
    kept = [epochs[place] for place in np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), 300)).astype(int))]
    xs, ys = ([round(found[number][axis], 5) for number in kept] for axis in (0, 1))
    shared = {"type": "scatter", "x": xs, "y": ys, "showlegend": False}
    data: list[dict[str, Any]] = [
        {**shared, "mode": "lines", "line": {"color": "muted", "width": 1}, "hoverinfo": "skip"},
        {**shared, "mode": "markers", "customdata": kept,
         "marker": {"color": kept, "size": 6, "colorscale": [[0, FIRST_COLOR], [1, LAST_COLOR]], "cmin": epochs[0],
                    "cmax": max(epochs[-1], epochs[0] + 1)},
         "hovertemplate": "epoch %{customdata}: uniformity %{x:.3f}, alignment %{y:.3f}<extra></extra>"},
    ]  # fmt: skip
    if epoch in found:
        x, y = found[epoch]
        data.append({"type": "scatter", "mode": "markers", "x": [round(x, 5)], "y": [round(y, 5)], "hoverinfo": "skip",
                     "showlegend": False, "marker": {"color": "primary", "size": 15, "symbol": "circle-open",
                                                     "line": {"width": 2.5}}})  # fmt: skip
    layout = figures.layout("Uniformity", "Alignment", legend=False)
    layout["hovermode"] = "closest"
    layout["xaxis"] = {"title": {"text": "Uniformity"}, "nticks": 6}
    if len(kept) == 1:  # one point alone would have an axis of a millionth
        layout["xaxis"]["range"] = [xs[0] - 0.5, xs[0] + 0.5]
        layout["yaxis"] = {**layout.get("yaxis", {}), "range": [ys[0] - 0.5, ys[0] + 0.5]}
    ends = [epochs[0], epochs[-1]] if len(epochs) > 1 else epochs
    layout["annotations"] = [
        {"text": f"epoch {number}", "x": found[number][0], "y": found[number][1], "showarrow": False, "yshift": 13}
        for number in ends
    ]
    return {"data": data, "layout": layout}


def histograms(rows: Sequence[Row], epoch: int) -> dict[str, Any] | None:
    """Shares of positive and of negative pairs by similarity, axes fixed over all epochs; None where none were kept."""
    row = next((row for row in rows if row.epoch == epoch and row.positive and row.negative), None)
    if row is None:
        return None
    edges = np.linspace(-1, 1, health_log.NUM_BINS + 1)
    middles = ((edges[:-1] + edges[1:]) / 2).round(4).tolist()
    highest = max(max(_shares(counts), default=0) for item in rows for counts in (item.positive, item.negative))
    data = [
        {"type": "scatter", "mode": "lines", "x": middles, "y": _shares(counts), "name": name, "fill": "tozeroy",
         "line": {"color": color, "width": 1.6, "shape": "hvh"}, "fillcolor": _transparent(color),
         "hovertemplate": "%{y:.2f} %<extra>%{fullData.name}</extra>"}
        for name, color, counts in (
            ("Different images", NEGATIVE, row.negative), ("Same image", POSITIVE, row.positive),
        )
    ]  # fmt: skip
    layout = figures.layout("Cosine similarity of z", "Pairs", percent=True)
    layout["xaxis"] = {"title": {"text": "Cosine similarity of z"}, "range": [-1, 1], "hoverformat": ".2f"}
    layout["yaxis"] |= {"range": [0, 1.05 * highest]}
    layout["annotations"] = [{"text": separation(row), "showarrow": False, "xref": "paper", "x": 0.01,
                              "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "top"}]  # fmt: skip
    return {"data": data, "layout": layout}


def separation(row: Row) -> str:
    """How far positives and negatives are apart, in a few words; empty where it is not known."""
    if row.overlap is None:
        return ""
    return f"overlap {row.overlap:.2f}" + (f", d′ {row.d_prime:.2f}" if row.d_prime is not None else "")


def _shares(counts: Sequence[float]) -> list[float]:
    """Counts in per cent."""
    total = sum(counts) or 1.0
    return [round(100 * count / total, 4) for count in counts]


def _transparent(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.25)"


def spectrum(rows: Sequence[Row], epoch: int) -> dict[str, Any] | None:
    """Singular values of the covariance of h and z relative to the largest; None where none were kept."""
    row = next((row for row in rows if row.epoch == epoch), None)
    if row is None:
        return None
    data = []
    first = rows[0] if rows[0].epoch != epoch else None
    for item, opacity in ((first, 0.3), (row, 1.0)):
        for name, color in (("h", POSITIVE), ("z", NEGATIVE)):
            if item is None or not (line := _relative(getattr(item, name)))[0]:
                continue
            data.append({
                "type": "scatter", "mode": "lines" if len(line[0]) > 1 else "markers", "x": line[0], "y": line[1],
                "opacity": opacity, "name": name if item is row else f"{name}, epoch {item.epoch}",
                "showlegend": item is row, "line": {"color": color, "width": 2 if item is row else 1.4},
                "marker": {"color": color, "size": 5}, "hovertemplate": "%{y:.2~g}<extra>%{fullData.name}</extra>",
            })  # fmt: skip
    if not data:
        return None
    layout = figures.layout("Direction, the strongest first", "Relative singular value", log=True)
    layout["yaxis"] |= {"range": [math.log10(SPECTRUM_FLOOR), 0.2], "tickvals": [1, 1e-2, 1e-4, 1e-6, 1e-8],
                        "tickformat": "~e"}  # fmt: skip
    return {"data": data, "layout": layout}


def _relative(layer: LayerStats) -> tuple[list[int], list[float]]:
    """Direction numbers from 1 and squared singular values as shares of the first; empty for a collapsed layer."""
    if not layer.singular or layer.singular[0] <= 0:
        return [], []
    places = health_log.spectrum_indices(layer.num_singular) + 1
    shares = [(value / layer.singular[0]) ** 2 for value in layer.singular]
    kept = [(int(x), float(f"{y:.4g}")) for x, y in zip(places, shares, strict=True) if y >= SPECTRUM_FLOOR]
    return [x for x, _ in kept], [y for _, y in kept]


def spread(rows: Sequence[Row], epoch: int) -> dict[str, Any] | None:
    """Std of the features at length 1 times sqrt(d), for h and z by epoch; None where it was not kept."""
    data: list[dict[str, Any]] = []
    for name, color in (("h", POSITIVE), ("z", NEGATIVE)):
        found = [(row.epoch, layer.std * math.sqrt(layer.dim)) for row in rows
                 if (layer := getattr(row, name)).std is not None]  # fmt: skip
        if found:
            data.append({
                "type": "scatter", "mode": "lines+markers" if len(found) <= 60 else "lines",
                "x": [x for x, _ in found], "y": [round(y, 4) for _, y in found], "name": name,
                "line": {"color": color, "width": 2}, "marker": {"color": color, "size": 4.5},
                "hovertemplate": "%{y:.3f}<extra>%{fullData.name}</extra>",
            })  # fmt: skip
    if not data:
        return None
    layout = figures.layout(figures.X_LABELS["epoch"])
    layout["yaxis"] |= {"range": [0, 1.12]}
    data.append({"type": "scatter", "mode": "lines", "x": [0, rows[-1].epoch], "y": [1, 1], "hoverinfo": "skip",
                 "showlegend": False, "line": {"color": "muted", "width": 1.2, "dash": "dash"}})  # fmt: skip
    layout["annotations"] = [{"text": "spread evenly", "showarrow": False, "xref": "paper", "x": 1, "xanchor": "right",
                              "y": 1, "yanchor": "bottom"}]  # fmt: skip
    return with_cursor({"data": data, "layout": layout}, epoch)


# --- the page's parts -----------------------------------------------------------------------------------------------


def badge(found: Verdict) -> str:
    color, icon = BADGES[found.severity]
    return f":{color}-badge[:material/{icon}: {escape.markdown(found.title)}]"


def line(found: Verdict, key: str, *, short: bool = False, before: str = "") -> None:
    """A verdict as a badge with its sentence; the rule behind it is one click away."""
    sentence = found.sentence
    if short and found.severity == "ok":
        sentence = sentence.partition(";")[0].rstrip(".") + "."
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=key):
        with st.container(width="stretch", key=f"{key}-text"):
            st.markdown(f"{before}{badge(found)} {escape.markdown(sentence)}")
        with st.popover("Why", type="tertiary", icon=":material/help:", width="content"):
            st.markdown(escape.markdown(found.rule))
            if found.since is not None:
                st.caption(f"True from epoch {found.since} on.")


def headline(run: Run, summary: index.Summary) -> None:
    """The verdict as a line on top of the page; nothing before a first epoch."""
    found = verdict_of(run, summary.status.reason)
    if found.state not in ("waiting", "unknown"):
        line(found, "health-headline", short=True)


def section(run_id: str, active: bool) -> None:
    """The panel; it follows a run that is going on, and the slider draws it alone anew."""
    st.fragment(run_every=3 if active else None)(_section)(run_id)


def _section(run_id: str) -> None:
    run = store.find(run_id)
    if run is None:
        return
    summary = store.get().summary(run)
    rows, columns = rows_of(run), metrics_csv.live_columns(run.metrics_path)
    epochs = epochs_of(rows, columns)
    st.subheader("Health", anchor=False)
    if not epochs:
        nothing(run, summary)
        return
    epoch = choose(run.id, epochs)
    is_last = epoch == epochs[-1]
    found = verdict_of(run, summary.status.reason if is_last else "", None if is_last else epoch)
    line(found, f"health-verdict-{run.id}", before="" if is_last else f"After epoch {epoch}: ")
    if not rows:
        st.caption(
            "This run kept no histograms and no spectra (it was trained before these were kept, or its health.jsonl is "
            "gone): what is below comes from metrics.csv."
        )
    elif epoch not in {row.epoch for row in rows}:
        st.caption(f"Histograms and spectra of epoch {epoch} were not kept.")
    draw(run, rows, columns, epoch)
    st.caption(about(rows, epoch))


def nothing(run: Run, summary: index.Summary) -> None:
    """Why there is nothing to draw, in a sentence."""
    has_none = run.config.get("val_fraction") == 0 or (not summary.is_active and summary.status.epoch > 1)
    if has_none:
        found = verdict_of(run, summary.status.reason)
        if found.state != "waiting":
            line(found, f"health-verdict-{run.id}")
        st.caption("It had no validation images, so there is no probe set; the verdict is by training ranks alone.")
    else:
        st.caption("The first epoch is not over; its health is shown then." if summary.is_active else
                   "It ended within its first epoch, so there is nothing to show.")  # fmt: skip


def choose(run_id: str, epochs: Sequence[int]) -> int:
    """The epoch shown, which the address names; the last one is followed while new ones come."""
    chosen = epoch_asked(st.query_params.get("epoch", ""), epochs)
    if len(epochs) < 2:
        st.caption(f"Only epoch {epochs[0]} was measured so far, so there is no course to see yet.")
        return chosen
    key = f"health-epoch-{run_id}-{epochs[-1]}"  # a new one with each epoch: it is made with its options

    def moved() -> None:
        if st.session_state[key] == epochs[-1]:
            st.query_params.pop("epoch", None)
        else:
            st.query_params["epoch"] = str(st.session_state[key])

    options = list(epochs)
    picked = st.select_slider("Epoch", options, value=chosen, key=key, on_change=moved,
                              help="All plots of this section show this epoch. Arrow keys move it.")  # fmt: skip
    return int(picked)


def draw(run: Run, rows: list[Row], columns: series.Columns, epoch: int) -> None:
    color = store.colors([run.id])[run.id]
    num_classes = index.finite_number(run.meta.get("num_classes"))
    chance = 100 / num_classes if num_classes else None
    drawn: list[tuple[str, str, dict[str, Any] | None]] = [("plane", "Alignment and uniformity", plane(columns, epoch))]
    if rows:
        drawn += [
            ("histogram", "Similarities of pairs", histograms(rows, epoch)),
            ("spectrum", "Spectrum", spectrum(rows, epoch)),
            ("std", "Spread of the features", spread(rows, epoch)),
        ]  # fmt: skip
    for metric in ("effective_rank", "knn_top1") if rows else ("similarity", "effective_rank", "knn_top1"):
        figure = figures.run_figure(columns, metric, color, chance=chance if metric == "knn_top1" else None)
        drawn.append(
            (metric, metric_info.METRICS[metric].label, with_cursor(figure, epoch) if figure["data"] else None)
        )
    shown = [(name, title, figure) for name, title, figure in drawn if figure is not None]
    per_row = 3 if len(shown) > 4 or len(shown) == 3 else 2
    for start in range(0, len(shown), per_row):
        for column, (name, title, figure) in zip(
            st.columns(per_row, gap="small"), shown[start : start + per_row], strict=False
        ):
            with column.container(border=True, gap=None):
                st.markdown(f"**{title}**", help=HELP[name])
                live_chart(figure, key=f"health-{run.id}-{name}", height=HEIGHT)


def about(rows: Sequence[Row], epoch: int) -> str:
    """What was measured on which images."""
    row = next((row for row in rows if row.epoch == epoch), None)
    if row is None:
        return "Measured on validation images, the same ones and the same two views after every epoch."
    images = f"{row.images:,}".replace(",", " ")
    return (
        f"Measured on {images} validation images, the same ones and the same two views after every epoch. h has "
        f"{row.h.dim} features and uses {_text(row.h.effective_rank)} directions, z has {row.z.dim} and uses "
        f"{_text(row.z.effective_rank)}; at most {min(row.images - 1, row.h.dim)} and {min(row.images - 1, row.z.dim)} "
        "are possible."
    )  # fmt: skip


def _text(value: float | None) -> str:
    return "an unknown number of" if value is None else f"{value:.1f}"
