"""Run: a run folder in Python, with its metrics as a table, its curves as a figure and its encoder as a module."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simclr import runs
from simclr.config import ConfigError, nearest_name
from simclr.curves import smoothing
from simclr.curves.colors import PALETTE
from simclr.curves.metric_info import LINE_LABELS, METRICS, chance_level
from simclr.runs.status import Status

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

    from simclr.encoders.encoder import Encoder

FIRST_METRICS = ("loss", "top1", "knn_top1", "effective_rank")
PLOT_HEIGHT = 300  # pixels of a row of two plots


class Run:
    """A run, as `pretrain` and `finetune` return it; everything is read from its folder when it is asked for.

    `simclr.runs.Run` is the same folder for the package itself, and `folder` gives it.

    Args:
        run: a run folder, an id, or a unique beginning of one.
        runs_dir: where ids are looked up; None: `$SIMCLR_RUNS_DIR`, else `runs` in the current folder.

    Raises:
        ConfigError: if there is no such run, or several.
    """

    def __init__(self, run: Any, *, runs_dir: str | os.PathLike[str] | None = None) -> None:
        self.folder = folder_of(run, runs_dir)

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def id(self) -> str:
        return self.folder.id

    @property
    def kind(self) -> str:
        """`pretrain`, `finetune` or `scratch`."""
        return self.folder.kind

    @property
    def status(self) -> Status:
        """State, reason, progress and speed, as they are now."""
        return self.folder.status

    @property
    def config(self) -> dict[str, Any]:
        """All options, as plain values."""
        return runs.Run(self.path).config

    @property
    def evaluation(self) -> dict[str, Any]:
        """Figures on the test images, 0..1, as in `evaluation.json`; empty where nothing was tested."""
        return self.folder.evaluation

    @property
    def log(self) -> str:
        """The last lines of what the training printed."""
        return self.folder.log_tail()

    @property
    def metrics(self) -> pandas.DataFrame:
        """`metrics.csv`: a row for each tenth of an epoch and each validation, NaN where a row has no such value."""
        import pandas

        found = pandas.DataFrame({name: list(values) for name, values in self.folder.metrics().items()})
        counts = {name: "Int64" for name in ("epoch", "step") if name in found}
        return found.astype(counts)

    def plot(self, *metrics: str, x: str = "epoch") -> plotly.graph_objects.Figure:
        """The curves of this run, one plot for each metric.

        Args:
            metrics: of `loss top1 top5 mean_rank knn_top1 alignment uniformity similarity effective_rank lr
                images_per_second`; none: loss, accuracies and effective rank.
            x: `epoch`, `step` or `time` in minutes.

        Raises:
            ConfigError: for another name.
        """
        for name in metrics:
            if name not in METRICS:
                hint = nearest_name(name, METRICS)
                raise ConfigError(f"metric is {name}; allowed: {', '.join(METRICS)}{hint or '.'}")
        if x not in ("epoch", "step", "time"):
            raise ConfigError(f"x is {x}; allowed: epoch, step or time.")
        return _figure(self, self.folder.metrics(), metrics, x)

    def encoder(self, checkpoint: str | None = None, *, backbone: Any = None) -> Encoder:
        """The encoder, as `load_encoder` gives it.

        Args:
            checkpoint: `best`, `last` or `epoch-N`; None: the final weights.
            backbone: a module like the one that was trained, where that was one of your own.

        Raises:
            ConfigError: if there are no such weights.
        """
        from simclr.encoders.load import load_encoder

        return load_encoder(f"{self.path}@{checkpoint}" if checkpoint else self.path, backbone=backbone)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.kind}, {self.status.state})"


def folder_of(run: Any, runs_dir: str | os.PathLike[str] | None = None) -> runs.Run:
    """The run folder that a Run, a path, an id or a unique beginning of one names.

    Raises:
        ConfigError: if there is no such run, or several.
    """
    path = getattr(run, "path", run)
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"RUN is of type {type(run).__name__}; allowed: a run, its folder or its id.")
    return runs.find(os.path.expanduser(path), Path(runs_dir) if runs_dir is not None else runs.default_runs_dir())


def _figure(run: Run, columns: Mapping[str, Any], metrics: tuple[str, ...], x: str) -> plotly.graph_objects.Figure:
    from plotly import graph_objects
    from plotly.subplots import make_subplots

    there = [name for name in metrics or FIRST_METRICS if any(smoothing.points(columns, c, x)[1] for c in _of(name))]
    num_columns = min(2, max(1, len(there)))
    num_rows = max(1, -(-len(there) // 2))
    figure = make_subplots(num_rows, num_columns, subplot_titles=[METRICS[name].label for name in there])
    for number, name in enumerate(there):
        spec, place = METRICS[name], {"row": number // 2 + 1, "col": number % 2 + 1}
        for color, column in zip(PALETTE, spec.suffixes, strict=False):
            xs, ys = smoothing.points(columns, column, x)
            if ys:
                scale = 100 if spec.percent else 1
                figure.add_trace(
                    graph_objects.Scatter(
                        x=xs, y=[scale * value for value in ys], name=LINE_LABELS[column], line={"color": color}
                    ),
                    **place,
                )
        if (level := chance_level(name, run.config)) is not None:
            figure.add_hline(level, line={"dash": "dot", "width": 1}, **place)
        figure.update_yaxes(type="log" if spec.log else "linear", ticksuffix=" %" if spec.percent else "", **place)
    axis = {"epoch": "Epoch", "step": "Step", "time": "Minutes"}[x]
    figure.update_xaxes(title=axis)
    figure.update_layout(title=run.folder.name, height=PLOT_HEIGHT * num_rows + 100, showlegend=len(there) > 0)
    return figure


def _of(metric: str) -> tuple[str, ...]:
    return METRICS[metric].suffixes
