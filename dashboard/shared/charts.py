"""Figures from metrics: columns in, plotly's `data` and `layout` as plain values out. Imports no streamlit.

Colours `muted` and `primary` are names that the page's theme fills in. A line's colour says which run it belongs to;
validation is drawn solid with its points, training thin, so that the two are told apart without a second colour.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_POINTS = 500
Columns = Mapping[str, Sequence[float] | NDArray[np.float64]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: its columns, its unit and what it tells."""

    label: str
    suffixes: tuple[str, ...]  # names in metrics.csv
    help: str
    percent: bool = False
    log: bool = False
    digits: int = 3
    better: Literal["low", "high"] | None = None  # which values are good; None: neither is


METRICS: dict[str, Metric] = {
    "loss": Metric(
        "Loss",
        ("train/loss", "val/loss"),
        "NT-Xent for pre-training, cross-entropy for the others; in nats, lower is "
        "better. Losses of pre-trainings compare only at the same batch size and temperature.",
        better="low",
    ),
    "top1": Metric(
        "Top-1 accuracy",
        ("train/top1", "val/top1"),
        "Pre-training: how often the other view of the same image is the "
        "most similar of all views in the batch. Otherwise: how often the most likely class is right.",
        percent=True,
        better="high",
    ),
    "top5": Metric(
        "Top-5 accuracy",
        ("train/top5", "val/top5"),
        "How often the right answer is among the first five.",
        percent=True,
        better="high",
    ),
    "mean_rank": Metric(
        "Mean rank of the positive",
        ("train/mean_rank", "val/mean_rank"),
        "Where the other view of the same image stands "
        "when all views of the batch are sorted by similarity; 1 is perfect.",
        log=True,
        digits=1,
        better="low",
    ),
    "knn_top1": Metric(
        "kNN accuracy",
        ("val/knn_top1",),
        "Classes of validation images guessed from their nearest training images, by the "
        "encoder's features alone. It uses labels: to watch, not to train on.",
        percent=True,
        better="high",
    ),
    "alignment": Metric(
        "Alignment",
        ("val/alignment",),
        "Mean squared distance between the two views of an image; lower is closer (Wang and Isola 2020).",
        better="low",
    ),
    "uniformity": Metric(
        "Uniformity",
        ("val/uniformity",),
        "How evenly embeddings cover the sphere; lower is more spread (Wang and Isola 2020).",
        better="low",
    ),
    "similarity": Metric(
        "Similarity of pairs",
        ("val/positive_similarity", "val/negative_similarity"),
        "Mean cosine similarity of two views of one image, and of views of different images.",
    ),
    "effective_rank": Metric(
        "Effective rank",
        ("val/effective_rank", "val/effective_rank_z"),
        "How many directions the encoder's features, and "
        "the projections z, really use; near 1 means collapse (Roy and Vetterli 2007).",
        digits=1,
        better="high",
    ),
    "lr": Metric("Learning rate", ("lr",), "After warm-up and cosine.", digits=6),
    "images_per_second": Metric(
        "Images per second",
        ("perf/images_per_second",),
        "Training images per second.",
        digits=0,
        better="high",
    ),
}
LINE_LABELS = {
    "train/loss": "Training",
    "val/loss": "Validation",
    "train/top1": "Training",
    "val/top1": "Validation",
    "train/top5": "Training",
    "val/top5": "Validation",
    "train/mean_rank": "Training",
    "val/mean_rank": "Validation",
    "val/knn_top1": "kNN",
    "val/alignment": "Alignment",
    "val/uniformity": "Uniformity",
    "val/positive_similarity": "Same image",
    "val/negative_similarity": "Different images",
    "val/effective_rank": "Features h",
    "val/effective_rank_z": "Projections z",
    "lr": "Learning rate",
    "perf/images_per_second": "Images/s",
}
SECOND_LINES = ("val/effective_rank_z", "val/negative_similarity")
DASHES = ("solid", "dash", "dashdot", "longdash")
X_LABELS = {"epoch": "Epoch", "step": "Step", "time": "Minutes of training"}


def chance_loss(batch_size: int) -> float:
    """NT-Xent when all similarities are equal: ln(2N - 1) for N images in a batch."""
    return math.log(2 * batch_size - 1)


def points(columns: Columns, name: str, x: str = "epoch") -> tuple[list[float], list[float]]:
    """The finite values of one metric with their place on the x axis: `epoch`, `step` or `time` (minutes)."""
    xs, ys = finite_points(places(columns, x), columns.get(name, ()))
    return xs.tolist(), ys.tolist()


def finite_points(places: Floats, values: ArrayLike) -> tuple[Floats, Floats]:
    """Those pairs of place and value of which both are finite numbers."""
    values = np.asarray(values, dtype=np.float64)
    count = min(len(places), len(values))
    kept = np.isfinite(places[:count]) & np.isfinite(values[:count])
    return places[:count][kept], values[:count][kept]


def places(columns: Columns, x: str) -> Floats:
    """Where each row lies on the x axis; no rows where a log does not say.

    A row says only the epoch it belongs to. Training rows within one epoch are therefore spread by their step, so
    that a curve grows while an epoch is going on; a row at an epoch's end lies at that epoch's number.
    """
    if x == "step":
        return np.asarray(columns.get("step", ()), dtype=np.float64)
    return _minutes(columns) if x == "time" else _epochs(columns)


def _epochs(columns: Columns) -> Floats:
    """Epochs done at each row, with the fraction inside an epoch that its step says."""
    epochs = np.asarray(columns.get("epoch", ()), dtype=np.float64)
    steps = np.asarray(columns.get("step", ()), dtype=np.float64)
    if len(steps) != len(epochs):
        return epochs
    both = np.isfinite(epochs) & np.isfinite(steps)
    ordered = np.unique(epochs[both])
    if not len(ordered):
        return epochs
    last = {epoch: steps[both & (epochs == epoch)].max() for epoch in ordered[[0, 1, -2] if len(ordered) > 1 else [0]]}
    # an epoch with another after it is over, and so tells how many steps one has
    known = ordered[-2] if len(ordered) > 1 else ordered[0]
    first = 0 if ordered[0] == 0 else 1  # other programs' logs count epochs from 0, and most count steps so as well
    from_zero = first == 0 and len(ordered) > 2 and last[ordered[1]] - last[0] == last[0] + 1
    done = steps + 1 if from_zero else steps
    per_epoch = max(0.0, last[known] + from_zero) / max(1.0, known + 1 - first)
    return np.where(np.isfinite(steps), done / per_epoch, epochs) if per_epoch > 0 else epochs


def _minutes(columns: Columns) -> Floats:
    """Minutes since the start at each row; `perf/seconds` is filled in training rows and carried on from there."""
    seconds = np.asarray(columns.get("perf/seconds", ()), dtype=np.float64)
    if not np.isfinite(seconds).any():
        return np.empty(0)
    latest = np.maximum.accumulate(np.where(np.isfinite(seconds), np.arange(len(seconds)), -1))
    return np.where(latest < 0, 0.0, seconds[latest]) / 60


def thin(x: Sequence[float], y: Sequence[float], limit: int = MAX_POINTS) -> tuple[list[float], list[float]]:
    """At most `limit` points that keep every spike: the lowest and the highest of each stretch, and both ends."""
    if len(x) <= limit:
        return list(x), list(y)
    kept = thinned(np.asarray(y, dtype=np.float64), limit)
    return [x[i] for i in kept], [y[i] for i in kept]


def thinned(y: Floats, limit: int = MAX_POINTS, x: Floats | None = None) -> NDArray[np.intp]:
    """Numbers of the points that `thin` keeps.

    Args:
        y: the values.
        limit: how many points at most.
        x: their places, rising, for a logarithmic axis: its stretches are then equally wide on the screen.
    """
    count = len(y)
    if count <= limit:
        return np.arange(count)
    num_stretches = (limit - 2) // 2
    if x is None or x[-1] <= 0:
        # the last value fills the last rows up; it says nothing new
        length = -(-count // num_stretches)
        rows = np.pad(y, (0, length * num_stretches - count), mode="edge").reshape(num_stretches, length)
        starts = length * np.arange(num_stretches)
        kept = np.concatenate([[0, count - 1], starts + rows.argmin(axis=1), starts + rows.argmax(axis=1)])
        return np.unique(np.minimum(kept, count - 1))
    edges = np.searchsorted(x, np.geomspace(x[x > 0][0], x[-1], num_stretches + 1))
    edges[0], edges[-1] = 0, count
    found = {0, count - 1}
    for start, end in itertools.pairwise(edges):
        if start < end:
            found |= {int(start + y[start:end].argmin()), int(start + y[start:end].argmax())}
    return np.array(sorted(found))


def smooth(values: ArrayLike, weight: float) -> list[float]:
    """Exponential moving average with the start corrected; `weight` 0 gives the values themselves, below 1."""
    import pandas

    if not 0 <= weight < 1:
        raise ValueError(f"weight is {weight}; allowed: from 0 to below 1")
    return pandas.Series(values, dtype=np.float64).ewm(alpha=1 - weight).mean().tolist()


@dataclass(frozen=True)
class Band:
    """Mean over runs at each place, and the lowest and highest that the band around it reaches."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    num_runs: int


def band(lines: Sequence[tuple[Floats, Floats]], kind: str = "std", limit: int = 1000) -> Band:
    """Mean and band of several lines, over the stretch of x that all of them cover.

    Lines measured at other places are read between their points in a straight line. With one line the band is the
    line itself.

    Args:
        lines: places, rising, and values of each.
        kind: `std` is one sample standard deviation to both sides, `range` reaches from the lowest to the highest.
        limit: places at most.
    """
    lines = [(x, y) for x, y in lines if len(x)]
    if not lines:
        return Band(*[np.empty(0)] * 4, 0)
    start, end = max(x[0] for x, _ in lines), min(x[-1] for x, _ in lines)
    grid = np.unique(np.concatenate([x for x, _ in lines]))
    grid = grid[(grid >= start) & (grid <= end)]
    if len(grid) > limit:
        grid = grid[np.linspace(0, len(grid) - 1, limit).round().astype(int)]
    values = np.array([np.interp(grid, x, y) for x, y in lines])
    mean = values.mean(axis=0) if len(grid) else np.empty(0)
    if kind == "range" and len(grid):
        return Band(grid, mean, values.min(axis=0), values.max(axis=0), len(lines))
    deviation = values.std(axis=0, ddof=1) if len(lines) > 1 and len(grid) else np.zeros_like(mean)
    return Band(grid, mean, mean - deviation, mean + deviation, len(lines))


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _line(
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    color: str,
    *,
    width: float = 2.0,
    dash: str = "solid",
    opacity: float = 1.0,
    percent: bool = False,
    digits: int = 3,
    markers: bool = False,
    **more: Any,
) -> dict[str, Any]:
    x, y = thin(x, y)
    shown = [100 * value for value in y] if percent else y
    template = "%{y:.1f} %" if percent else f"%{{y:.{digits}f}}"
    return {
        "type": "scatter",
        "mode": "lines+markers" if markers or len(x) == 1 else "lines",
        "x": _rounded(x),
        "y": _rounded(shown),
        "name": name,
        "line": {"color": color, "width": width, "dash": dash},
        "marker": {"color": color, "size": 4.5},
        "opacity": opacity,
        "hovertemplate": template + "<extra>%{fullData.name}</extra>",
        **more,
    }


def layout(
    x_title: str, y_title: str = "", *, percent: bool = False, log: bool = False, legend: bool = True
) -> dict[str, Any]:
    """What all figures share: quiet grid, legend above, one hover box for all lines."""
    return {
        "margin": {"l": 48, "r": 12, "t": 30 if legend else 10, "b": 40},
        "hovermode": "x unified",
        "dragmode": "zoom",
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        "xaxis": {"title": {"text": x_title}, "rangemode": "tozero", "hoverformat": ".4~g"},
        "yaxis": {
            "title": {"text": y_title},
            "type": "log" if log else "linear",
            "ticksuffix": " %" if percent else "",
            "nticks": 6,
            **({"tickformat": "~g"} if log else {}),
        },
    }


def log_ticks(values: Sequence[float], limit: int = 6) -> list[float]:
    """Round numbers across `values` for a logarithmic axis: 1, 2, 5 of each power of ten, fewer where they crowd."""
    positive = [value for value in values if value > 0]
    if not positive:
        return []
    low, high = min(positive), max(positive)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        ticks = [tick for tick in ticks if low / 1.3 <= tick <= high * 1.3]
        if len(ticks) <= limit:
            break
    return ticks


def run_figure(
    columns: Columns, metric: str, color: str, *, chance: float | None = None, x: str = "epoch"
) -> dict[str, Any]:
    """One metric of one run: training thin, validation solid, and the level of chance where there is one."""
    spec = METRICS[metric]
    data, furthest = [], 1.0
    for name in spec.suffixes:
        xs, ys = points(columns, name, x)
        if not xs:
            continue
        furthest = max(furthest, xs[-1])
        training = name.startswith("train/")
        second = name in SECOND_LINES
        data.append(
            _line(
                xs,
                ys,
                LINE_LABELS[name],
                color,
                width=1.4 if training or second else 2.2,
                opacity=0.55 if training else 1.0,
                dash="dot" if second else "solid",
                percent=spec.percent,
                digits=spec.digits,
                markers=name.startswith("val/") and len(xs) <= 60,
            )
        )
    figure = {"data": data, "layout": layout(X_LABELS[x], percent=spec.percent, log=spec.log, legend=len(data) > 1)}
    if spec.log:
        shown = [value for trace in data for value in trace["y"]] + ([chance] if chance is not None else [])
        figure["layout"]["yaxis"]["tickvals"] = log_ticks(shown)
    if metric == "lr":
        figure["layout"]["yaxis"]["tickformat"] = "~e"
    # "no better than chance" is judged by the rank; at a low temperature a network that knows nothing lies above this
    level = "equal similarities" if metric == "loss" else "chance"
    if chance is not None and data:
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [0, furthest],
                "y": [chance, chance],
                "name": level,
                "hoverinfo": "skip",
                "showlegend": False,
                "line": {"color": "muted", "width": 1.2, "dash": "dash"},
            }
        )
        figure["layout"]["annotations"] = [
            {
                "text": f"{level} {chance:.3g}" + (" %" if spec.percent else ""),
                "showarrow": False,
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": math.log10(chance) if spec.log else chance,
                "yanchor": "bottom",
            }
        ]
    return figure


def overlay(runs: Sequence[tuple[str, str, Columns]], metric: str) -> dict[str, Any]:
    """One metric of several runs (name, colour, columns) by epoch: training dotted, validation solid.

    A run has one entry in the legend, which hides and shows all its lines. Runs that share a colour are told apart
    by their dashes.
    """
    spec = METRICS[metric]
    data: list[dict[str, Any]] = []
    for index, ((name, color, columns), dash) in enumerate(
        zip(runs, dashes([color for _, color, _ in runs]), strict=True)
    ):
        listed = False
        for suffix in spec.suffixes:
            xs, ys = points(columns, suffix)
            if not xs:
                continue
            training = suffix.startswith("train/")
            label = f"{name} · {LINE_LABELS[suffix].lower()}" if len(spec.suffixes) > 1 else name
            look: dict[str, Any] = {"percent": spec.percent, "digits": spec.digits, "legendgroup": f"run-{index}"}
            own_dash = "dot" if training or suffix in SECOND_LINES else dash
            data.append(
                _line(xs, ys, label, color, width=1.6 if training else 2.2, dash=own_dash, **look, showlegend=False)
            )
            if not listed:
                listed = True
                # The entry itself is an empty solid line, so that it looks alike whichever lines the run has.
                data.append(_line([], [], name, color, dash=dash, **look, showlegend=True) | {"x": [None], "y": [None]})
    return {"data": data, "layout": layout(X_LABELS["epoch"], spec.label, percent=spec.percent, legend=bool(data))}


def dashes(colors: Sequence[str]) -> list[str]:
    """A dash for each line, solid for the first of its colour, so that lines of one colour are told apart."""
    seen: Counter[str] = Counter()
    found = []
    for color in colors:
        found.append(DASHES[seen[color] % len(DASHES)])
        seen[color] += 1
    return found


def label_efficiency(arms: Sequence[tuple[str, str, Sequence[tuple[float, float]]]]) -> dict[str, Any]:
    """Test accuracy against the share of labels used, one line per arm (label, colour, (fraction, accuracy) pairs).

    With a single share there is no line to draw: the arms stand side by side as bars.
    """
    data = []
    fractions = sorted({fraction for _, _, pairs in arms for fraction, _ in pairs})
    if len(fractions) == 1:
        return _bars([(label, color, pairs[0][1]) for label, color, pairs in arms if pairs])
    for label, color, pairs in arms:
        if pairs:
            ordered = sorted(pairs)
            data.append(
                _line(
                    [a for a, _ in ordered],
                    [b for _, b in ordered],
                    label,
                    color,
                    width=2.4,
                    percent=True,
                    markers=True,
                )
                | {"marker": {"color": color, "size": 8}}
            )
    figure = {"data": data, "layout": layout("Share of the training labels", "Test accuracy", percent=True)}
    figure["layout"]["xaxis"] |= {
        "type": "log",
        "tickvals": fractions,
        "ticktext": [f"{100 * fraction:g} %" for fraction in fractions],
    }
    figure["layout"]["xaxis"].pop("rangemode")
    figure["layout"]["yaxis"]["rangemode"] = "tozero"
    return figure


def _bars(arms: Sequence[tuple[str, str, float]]) -> dict[str, Any]:
    """Test accuracies side by side, where there is one label fraction and so no line to draw."""
    values = _rounded([100 * value for _, _, value in arms])
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": values[::-1],
                "y": [label for label, _, _ in arms][::-1],
                "marker": {"color": [color for _, color, _ in arms][::-1]},
                "text": [f"{100 * value:.1f} %" for _, _, value in arms][::-1],
                "textposition": "outside",
                "cliponaxis": False,
                "hoverinfo": "skip",
            }
        ],
        "layout": layout("Test accuracy", legend=False),
    }
    figure["layout"] |= {"hovermode": "closest", "bargap": 0.45}
    figure["layout"]["xaxis"] |= {"range": [0, 100], "ticksuffix": " %"}
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False}
    return figure


def sparkline(values: Sequence[float], limit: int = 60) -> list[float]:
    """The last finite values, thinned, for a line as small as a word."""
    finite = [value for value in values if math.isfinite(value)]
    return thin(list(range(len(finite))), finite, limit)[1]


def per_class(classes: Sequence[str], accuracies: Sequence[float], color: str) -> dict[str, Any]:
    """Test accuracy of each class, the best on top."""
    pairs = sorted(zip(accuracies, classes, strict=True), key=lambda pair: pair[0])
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": _rounded([100 * value for value, _ in pairs]),
                "y": [name for _, name in pairs],
                "marker": {"color": color},
                "hovertemplate": "%{x:.1f} %<extra>%{y}</extra>",
            }
        ],
        "layout": layout("Test accuracy", percent=False, legend=False),
    }
    figure["layout"] |= {"hovermode": "closest", "bargap": 0.35}
    figure["layout"]["xaxis"] |= {"range": [0, 100], "ticksuffix": " %"}
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False}
    return figure


def confusion(classes: Sequence[str], counts: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Shares of each true class (row) that were given each answer (column), in per cent."""
    shares = [[100 * value / max(1, sum(line)) for value in line] for line in counts]
    figure = {
        "data": [
            {
                "type": "heatmap",
                "z": [_rounded(line) for line in shares],
                "x": list(classes),
                "y": list(classes),
                "zmin": 0,
                "zmax": 100,
                "colorscale": [[0, "rgba(76,110,245,0.03)"], [1, "rgba(76,110,245,1)"]],
                "showscale": False,
                "xgap": 1,
                "ygap": 1,
                "hovertemplate": "%{y} taken for %{x}: %{z:.1f} %<extra></extra>",
            }
        ],
        "layout": layout("Answer", "True class", legend=False),
    }
    figure["layout"]["hovermode"] = "closest"
    figure["layout"]["xaxis"] = {"title": {"text": "Answer"}, "type": "category", "showgrid": False}
    figure["layout"]["yaxis"] = {
        "title": {"text": "True class"},
        "type": "category",
        "autorange": "reversed",
        "showgrid": False,
    }
    return figure
