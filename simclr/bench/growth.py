"""Time and memory against size, and the drawing of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from simclr.bench.augmentation import own_views, photos
from simclr.bench.features.probe import labelled_features
from simclr.bench.loss import loss_functions, loss_peak, loss_work
from simclr.bench.peak_memory import peak_memory
from simclr.bench.step import STEP, own_steps, step_peak
from simclr.bench.timing import machine, seconds_of, take_turns, threads
from simclr.config import Augmentation
from simclr.evaluation.linear_probe import fit_linear_probe


@dataclass(frozen=True)
class CostCurve:
    """One curve: cost against size."""

    title: str
    size: str
    unit: str
    sizes: list[int]
    costs: list[float]


def cost_curves() -> Iterator[CostCurve]:
    """Time and memory against batch size, image size and number of images."""
    rows = [256, 512, 1024, 2048, 4096, 8192]
    with threads(1):
        seconds = [min(take_turns({"own": loss_work(loss_functions(())["own"], n)}, 3)["own"]) for n in rows]
    yield CostCurve("NT-Xent, forward and backward", "rows (2N)", "CPU-s", rows, seconds)
    memory = [peak_memory(loss_peak, function="own with ranks", num_rows=n) for n in rows]
    yield CostCurve("NT-Xent, peak memory beyond the rows", "rows (2N)", "MiB", rows, memory)
    sides = [32, 64, 96, 128, 224]
    with threads(1):
        views = [min(take_turns({"own": own_views(photos(64, n), Augmentation(), n)}, 3)["own"]) / 128 for n in sides]
    yield CostCurve("One view", "image size (px)", "CPU-s", sides, views)
    batches = [64, 128, 256, 512]
    options = STEP | {"backbone": "resnet_tiny"}
    with threads(1):
        steps = [min(own_steps(4, **options | {"batch_size": n}).step_seconds()) for n in batches]
    yield CostCurve("Training step, resnet_tiny, 32 px, one thread", "batch size", "s", batches, steps)
    memory = [peak_memory(step_peak, batch_size=n) for n in batches]
    yield CostCurve("Training step, resnet_tiny, 32 px: peak memory", "batch size", "MiB", batches, memory)
    sides = [16, 32, 48, 64]
    with threads(1):
        steps = [min(own_steps(4, **options | {"image_size": n}).step_seconds()) for n in sides]
    yield CostCurve("Training step, resnet_tiny, batch 128, one thread", "image size (px)", "s", sides, steps)
    counts = [10_000, 20_000, 50_000]
    with threads(1):
        found = [_probe_seconds(n) for n in counts]
    yield CostCurve("Linear probe, 512 features", "images", "CPU-s", counts, found)


def _probe_seconds(count: int) -> float:
    features, labels = labelled_features(count, 512, 10)
    cut = count * 9 // 10
    val = features[cut:], labels[cut:]
    return seconds_of(lambda: fit_linear_probe(features[:cut], labels[:cut], val, 10), time.process_time)


def draw(curves: list[CostCurve], path: Path) -> None:
    """All curves on log axes in one HTML file that opens without a network."""
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=-(-len(curves) // 2), cols=2, subplot_titles=[curve.title for curve in curves], horizontal_spacing=0.12
    )
    for number, curve in enumerate(curves):
        place = {"row": number // 2 + 1, "col": number % 2 + 1}
        figure.add_scatter(x=curve.sizes, y=curve.costs, mode="lines+markers", line_color="#4c5fd5", **place)
        figure.update_xaxes(type="log", title=curve.size, tickvals=curve.sizes, **place)
        figure.update_yaxes(type="log", title=curve.unit, **place)
    said = ", ".join(f"{key} {value}" for key, value in machine().items() if value is not None)
    figure.update_layout(
        template="plotly_white",
        showlegend=False,
        height=340 * (len(curves) + 1) // 2,
        title={"text": said, "font_size": 13},
    )
    figure.write_html(path, include_plotlyjs=True)
