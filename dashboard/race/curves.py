"""The curves below a race: the same measure of both networks, and what each one is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.maps import race_films
from dashboard.maps.race_films import Frames
from dashboard.shared import figures, palette
from simclr.curves import metric_info, smoothing
from simclr.runs import Run, metrics_csv

BLUE, ORANGE = palette.PALETTE[:2]
COLORS = (BLUE, ORANGE)


def neighbors_right(frames: Frames) -> dict[str, Any] | None:
    """Share of right neighbours of both networks against images seen; None without classes."""
    if not frames.has_classes:
        return None
    traces = [
        figures.line_trace(item.images_seen[: len(kept.right)], kept.right, name, color, percent=True, markers=True)
        for item, kept, name, color in zip(frames.films, frames.growing, race_films.NAMES, COLORS, strict=True)
    ]
    return _figure("knn_top1", traces, 100 / len(frames.films[0].classes))


def of_training(run: Run, metric: str, color: str, num_classes: int = 0) -> dict[str, Any] | None:
    """A metric of one network against images seen, with its level of chance; None before there is any.

    Args:
        num_classes: of a network that is trained on labels.
    """
    spec = metric_info.METRICS[metric]
    columns = metrics_csv.live_columns(run.metrics_path)
    batch = int(run.config.get("batch_size") or 1)
    per_epoch = run.config.get("images_per_epoch")
    traces = []
    for name in spec.suffixes:
        steps, values = smoothing.points(columns, name, "step")
        if not steps or name not in (f"train/{metric}", f"val/{metric}"):
            continue
        is_training = name.startswith("train/")
        traces.append(
            figures.line_trace(
                [_seen(step, batch, per_epoch) for step in steps],
                values,
                "training" if is_training else "validation",
                color,
                width=1.4 if is_training else 2.2,
                opacity=0.6 if is_training else 1.0,
                percent=spec.percent,
                digits=spec.digits,
            )
        )
    if not traces:
        return None
    chance = 100 / num_classes if num_classes else metric_info.chance_level(metric, run.config)
    return _figure(metric, traces, chance)


def _seen(step: float, batch_size: int, images_per_epoch: object) -> float:
    """Images after so many steps; the last batch of an epoch of a supervised run may be smaller."""
    if not isinstance(images_per_epoch, int):
        return step * batch_size
    steps_per_epoch = -(-images_per_epoch // batch_size)
    epochs, rest = divmod(int(step), steps_per_epoch)
    return epochs * images_per_epoch + rest * batch_size


def _figure(metric: str, traces: list[dict[str, Any]], chance: float | None) -> dict[str, Any]:
    percent = metric_info.METRICS[metric].percent
    layout = figures.layout("", percent=percent, legend=False)
    layout["margin"] = {"l": 44, "r": 10, "t": 8, "b": 26}
    layout["xaxis"] |= {"tickformat": "~s", "nticks": 6, "hoverformat": ",.0f"}
    if percent:
        layout["yaxis"] |= {"rangemode": "tozero"}
    figure = {"data": traces, "layout": layout}
    if chance is not None:
        figures.add_chance(figure, metric, chance, max([x for trace in traces for x in trace["x"]] or [1.0]))
    return figure


def with_cursor(figure: dict[str, Any], follow: str, seen: Sequence[int], frame: int, total: int) -> dict[str, Any]:
    """The figure over the whole training, with a line at the frame that is shown, which goes along with the maps."""
    figure["layout"]["xaxis"] |= {"range": [0, total], "autorange": False}
    figures.follow_film(figure, follow, seen, frame, palette.GREY)
    return figure
