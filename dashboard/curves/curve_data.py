"""What the Curves page lays over each other: runs and foreign logs alike, their points, groups and differences.

A line is computed once and kept until its file changes, so that a refresh costs what the running trainings wrote.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import reprlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dashboard.shared import charts, store
from dashboard.shared.charts import METRICS, Floats, Metric
from simclr import runs
from simclr.runs import lightning_logs, metrics_csv
from simclr.runs.lightning_logs import Log

Signature = tuple[int, int] | None
PLACES = ("epoch", "step", "perf/seconds")  # columns that say where a row lies
NOTHING = "–"
NAMING = ("name", "notes", "tags", "version")  # options that only name a run
SEEDS = ("seed", "random_seed", "seed_everything")
MAX_TABLES, MAX_LINES = 400, 8000
LOWER_WORDS = ("loss", "error", "err", "mae", "mse", "rmse", "nll", "perplexity", "ppl", "wer", "fid")
HIGHER_WORDS = (
    "acc", "accuracy", "top1", "top5", "f1", "auc", "auroc", "precision", "recall", "map", "iou", "r2", "dice", "psnr",
    "ssim", "bleu", "reward",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A run, or a log that another program wrote."""

    id: str
    title: str
    sub: str
    kind: str  # pretrain, finetune, scratch, unknown, log
    metrics_path: Path
    options_path: Path | None
    color: str
    is_active: bool = False
    experiment: str | None = None
    words: str = ""  # what a search looks through, in lower case

    @property
    def options(self) -> dict[str, Any]:
        """Its options by dotted name."""
        return (
            {} if self.options_path is None else _options(self.options_path, metrics_csv.signature(self.options_path))
        )

    @property
    def seed(self) -> Any:
        return next((self.options[name] for name in SEEDS if name in self.options), None)


@lru_cache(maxsize=2000)
def _options(path: Path, _signature: Signature) -> dict[str, Any]:
    return lightning_logs.flat(lightning_logs.read_options(path))


def of_runs(summaries: Sequence[store.Summary]) -> list[Source]:
    """Sources of runs, in the given order."""
    colors = store.colors(item.id for item in summaries)
    found = []
    for item in summaries:
        run = store.find(item.id)
        if run is None:
            continue
        if item.arm:
            what = f"{store.ARM_LABELS[item.arm]}, {store.fraction_text(item.label_fraction)} of labels"
        else:
            what = store.KIND_LABELS[item.kind]
        seed = "" if item.seed is None else f"seed {item.seed}"
        sub = " · ".join(part for part in (what, item.dataset, seed) if part)
        words = " ".join((item.name, item.id, sub, item.backbone, store.STATE_LABELS[item.state], *item.tags))
        experiment = item.id if item.kind == "pretrain" else Path(item.experiment).name if item.experiment else None
        found.append(
            Source(
                item.id,
                item.title,
                sub,
                item.kind,
                run.metrics_path,
                run.path / runs.CONFIG,
                colors[item.id],
                item.is_active,
                experiment,
                words.lower(),
            )
        )
    return found


def of_logs(logs: Sequence[Log]) -> list[Source]:
    """Sources of foreign logs, in the given order."""
    return [
        Source(
            log.id,
            log.title,
            "Lightning CSV log",
            "log",
            log.metrics_path,
            log.options_path,
            store.PALETTE[(number + 5) % len(store.PALETTE)],
            words=f"{log.id} lightning csv log".lower(),
        )
        for number, log in enumerate(logs)
    ]


# --- metrics -------------------------------------------------------------------------------------------------------


def offered(sources: Iterable[Source]) -> list[str]:
    """What can be drawn of these sources: known metrics by their keys, other columns under their own names."""
    columns: dict[str, None] = {}
    for source in sources:
        columns |= dict.fromkeys(metrics_csv.metric_names(source.metrics_path))
    known = {name: key for key, spec in METRICS.items() for name in spec.suffixes}
    found = {known.get(name, name) for name in columns}
    others = [name for name in columns if name not in known and name not in PLACES]
    return [key for key in METRICS if key in found] + others


def spec_of(metric: str) -> Metric:
    """How a metric is shown; a column of another program under its own name."""
    if metric in METRICS:
        return METRICS[metric]
    return Metric(metric, (metric,), f"The column {metric} as it was logged.", better=guessed_direction(metric))


def guessed_direction(name: str) -> Literal["low", "high"] | None:
    """Which values of a column are good, by the words in its name."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    if any(word in LOWER_WORDS or word.endswith("loss") for word in words):
        return "low"
    return "high" if any(word in HIGHER_WORDS for word in words) else None


def first_metrics(sources: Sequence[Source], known: Sequence[str]) -> list[str]:
    """Four metrics to begin with: those that tell most of the first source's kind."""
    usual = ["loss", "top1"]
    if sources and sources[0].kind == "pretrain":
        usual = ["loss", "knn_top1", "top1", "effective_rank"]
    elif sources and sources[0].kind == "log":
        own = offered(sources[:1])
        usual = [name for name in own if spec_of(name).better] or own
    return [name for name in usual if name in known][:4] or list(known[:4])


# --- points --------------------------------------------------------------------------------------------------------


class _Latest:
    """Values by key, each of one revision, the least used thrown away."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Any, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, revision: Any, make: Callable[[], Any]) -> Any:
        with self._lock:
            found = self._kept.get(key)
            if found is not None and found[0] == revision:
                self._kept.move_to_end(key)
                return found[1]
        value = make()
        with self._lock:
            self._kept[key] = (revision, value)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value


@dataclass
class _Table:
    """What was asked of one metrics file so far: where all rows lie, and of each column the cells with a number."""

    rows: dict[str, Floats]
    cells: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = field(default_factory=dict)
    places: dict[str, Floats] = field(default_factory=dict)


_tables, _lines = _Latest(MAX_TABLES), _Latest(MAX_LINES)


def points(source: Source, columns: Sequence[str], x: str, others: Iterable[str] = ()) -> list[tuple[Floats, Floats]]:
    """Of each column its finite values with their places on the axis `x`, the places rising.

    `others` are columns that will be asked for next: a file is read once for all of them.
    """
    revision = metrics_csv.signature(source.metrics_path)
    table: _Table = _tables.get(source.metrics_path, revision, lambda: _Table({}))
    missing = [name for name in {*columns, *others} if name not in table.cells]
    if not table.cells.keys() >= set(columns):
        wanted = missing if table.rows else {*missing, *PLACES}
        if source.is_active:
            whole = store.get().columns(runs.Run(source.metrics_path.parent))
            read = {name: np.asarray(whole[name], dtype=np.float64) for name in wanted if name in whole}
        else:
            read = metrics_csv.read_columns(source.metrics_path, wanted)
        table.rows = table.rows or {name: read[name] for name in PLACES if name in read}
        for name in missing:
            values = read.get(name, np.empty(0))
            kept = np.flatnonzero(np.isfinite(values)).astype(np.int32)
            table.cells[name] = kept, values[kept].astype(np.float32)
    if x not in table.places:
        table.places[x] = charts.places(table.rows, x)
    found = []
    for name in columns:
        rows, values = table.cells[name]
        inside = rows < len(table.places[x])
        xs, ys = charts.finite_points(table.places[x][rows[inside]], values[inside])
        if (np.diff(xs) < 0).any():  # a program that began anew in the same file goes back
            order = np.argsort(xs, kind="stable")
            xs, ys = xs[order], ys[order]
        found.append((xs, ys))
    return found


@dataclass(frozen=True)
class View:
    """How lines are drawn."""

    x: str = "epoch"
    smoothing: float = 0.0
    log_x: bool = False
    splits: tuple[str, ...] = ("train", "val")
    limit: int = charts.MAX_POINTS

    def columns(self, spec: Metric) -> list[str]:
        """The columns of a metric that are shown: a training or validation column only where that is wanted."""
        return [
            name
            for name in spec.suffixes
            if name.partition("/")[0] not in ("train", "val") or name.partition("/")[0] in self.splits
        ]


@dataclass(frozen=True)
class Group:
    """Sources that are drawn as one: a run alone, or runs that differ in nothing but the seed."""

    id: str
    title: str
    color: str
    members: tuple[Source, ...]

    @property
    def revision(self) -> tuple[Signature, ...]:
        return tuple(metrics_csv.signature(source.metrics_path) for source in self.members)


def alone(sources: Sequence[Source]) -> list[Group]:
    return [Group(source.id, source.title, source.color, (source,)) for source in sources]


def by_seed(sources: Sequence[Source], every: Sequence[Source] = ()) -> list[Group]:
    """Groups of sources whose options agree in all but the seed and what only names them, in order.

    A supervised run names the pre-training it starts from: the names of two pre-trainings count as equal where those
    differ in nothing but the seed. `every` holds the sources in which such names are looked up.
    """
    known = {source.id: source for source in (*every, *sources)}
    found: dict[str, list[Source]] = {}
    for source in sources:
        found.setdefault(_same_but_seed(source, known), []).append(source)
    return [
        Group(f"group-{members[0].id}" if len(members) > 1 else members[0].id,
              _shared_title([member.title for member in members]), members[-1].color, tuple(members))
        for members in found.values()
    ]  # fmt: skip


def _same_but_seed(source: Source, known: dict[str, Source], depth: int = 2) -> str:
    options = {name: value for name, value in source.options.items() if name not in (*NAMING, *SEEDS)}
    if not options:
        return source.id
    start = known.get(str(options.get("experiment_version")))
    if start is not None and depth:
        options["experiment_version"] = _same_but_seed(start, known, depth - 1)
    return json.dumps([source.kind, {name: option_text(value) for name, value in options.items()}], sort_keys=True)


def _shared_title(titles: Sequence[str]) -> str:
    """What the titles begin with; the first with how many more, where that is next to nothing."""
    if len(set(titles)) == 1:
        return titles[0]
    shortest = min(titles, key=len)
    length = next((n for n, signs in enumerate(zip(*titles, strict=False)) if len(set(signs)) > 1), len(shortest))
    shared = re.sub(r"[\W_]*(seed)?[\W_]*$", "", shortest[:length], flags=re.IGNORECASE)
    return shared if len(shared) >= 4 else f"{titles[0]} and {len(titles) - 1} more"


# --- lines for the browser -----------------------------------------------------------------------------------------


def packed(values: ArrayLike) -> str:
    """Numbers as text for the browser: base64 of little-endian float32."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()


def lines(groups: Sequence[Group], metrics: Sequence[str], view: View, around: str = "std") -> list[dict[str, Any]]:
    """All lines of these groups, ready to be sent.

    Each has `chart` (the metric), `run` (the group's id), `part` (what of it, such as training), and packed `x` and
    `y`; with smoothing also `raw_x` and `raw_y`, over several runs `low` and `high`. `around` is the kind of band.
    """
    found = []
    others = tuple(name for metric in metrics for name in spec_of(metric).suffixes)
    for group in groups:
        revision = group.revision
        for metric in metrics:
            spec = spec_of(metric)
            for name in view.columns(spec):
                key = (tuple(source.metrics_path for source in group.members), metric, name, view, around)
                make = partial(_line, group, spec, name, view, around, others)
                line = _lines.get(key, revision, make)
                if line is not None:
                    found.append({"chart": metric, "run": group.id, **line})
    return found


def _line(
    group: Group, spec: Metric, name: str, view: View, around: str, others: Sequence[str]
) -> dict[str, Any] | None:
    measured = [points(source, [name], view.x, others)[0] for source in group.members]
    measured = [(xs, ys) for xs, ys in measured if len(xs)]
    if not measured:
        return None
    part = charts.LINE_LABELS.get(name, "") if len(spec.suffixes) > 1 else ""
    faint = name.startswith("train/") or name in charts.SECOND_LINES
    line: dict[str, Any] = {"column": name, "part": part, "faint": faint}
    scale = 100 if spec.percent else 1
    smoothed = measured
    if view.smoothing:
        smoothed = [(xs, np.array(charts.smooth(ys, view.smoothing))) for xs, ys in measured]
    if len(group.members) > 1:
        band = charts.band(smoothed, around)
        if not len(band.x):
            return None
        kept = charts.thinned(band.mean, view.limit, band.x if view.log_x else None)
        line |= {"x": packed(band.x[kept]), "y": packed(scale * band.mean[kept]), "num_runs": band.num_runs}
        if band.num_runs > 1:
            line |= {"low": packed(scale * band.low[kept]), "high": packed(scale * band.high[kept])}
        return line
    shown = {"": smoothed[0], "raw_": measured[0]} if view.smoothing else {"": measured[0]}
    for prefix, (xs, ys) in shown.items():
        kept = charts.thinned(ys, view.limit, xs if view.log_x else None)
        line |= {f"{prefix}x": packed(xs[kept]), f"{prefix}y": packed(scale * ys[kept])}
    return line


# --- numbers beside the curves -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Values:
    """The last value of a metric, its best with the epoch it belongs to; None where there is none."""

    last: float | None = None
    best: float | None = None
    best_epoch: float | None = None
    last_is_training: bool = False


def values(source: Source, metric: str) -> Values:
    """Last and best of a metric: on validation images where it is measured there; the best only there."""
    spec = spec_of(metric)
    judged = next((name for name in spec.suffixes if not name.startswith("train/")), None)
    other = next((name for name in spec.suffixes if name.startswith("train/")), None)
    if judged is not None:
        xs, ys = points(source, [judged], "epoch")[0]
        if not len(ys):  # a log without epochs
            xs, ys = points(source, [judged], "step")[0]
        if len(ys):
            if spec.better is None:
                return Values(last=float(ys[-1]))
            place = int(ys.argmin() if spec.better == "low" else ys.argmax())
            return Values(float(ys[-1]), float(ys[place]), float(xs[place]))
    if other is not None:
        ys = points(source, [other], "step")[0][1]
        if len(ys):
            return Values(last=float(ys[-1]), last_is_training=True)
    return Values()


def value_text(value: float | None, metric: str) -> str:
    """A value as the page shows it: per cent, or with the digits that its metric deserves."""
    if value is None:
        return NOTHING
    if metric not in METRICS:
        return f"{value:.4g}"
    spec = METRICS[metric]
    if spec.digits > 4:  # a learning rate
        return f"{value:.3g}"
    return store.percent(value) if spec.percent else f"{value:.{spec.digits}f}"


def option_text(value: Any) -> str:
    """An option on screen, in one short line whatever a file holds."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, str | int):
        return str(value)
    return _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 3, 40, 20, 200, 200


def differences(sources: Sequence[Source], everything: bool = False) -> tuple[list[tuple[str, list[str]]], int]:
    """Options with their values per source, by name, and how many were left out because only some sources have them.

    Left out are options on which all that have them agree, unless `everything` is wanted.
    """
    options = [source.options for source in sources]
    names = sorted({name for values in options for name in values if name not in NAMING})
    rows = [(name, [option_text(values.get(name)) for values in options]) for name in names]
    if everything:
        return rows, 0
    differ = [(name, texts) for name, texts in rows if len({text for text in texts if text != NOTHING}) > 1]
    return differ, sum(len(set(texts)) > 1 for _, texts in rows) - len(differ)


def warnings(sources: Sequence[Source], metrics: Sequence[str]) -> list[str]:
    """What must not be compared among the shown, one sentence each."""
    pretrainings = [source for source in sources if source.kind == "pretrain"]
    supervised = [source for source in sources if source.kind in ("finetune", "scratch")]
    contrastive = [metric for metric in ("top1", "top5", "mean_rank") if metric in metrics]
    found = []
    if pretrainings and supervised and "loss" in metrics:
        found.append("Losses are not comparable: pre-trainings have NT-Xent, the other runs cross-entropy.")
    if pretrainings and supervised and {"top1", "top5"} & set(metrics):
        found.append("Accuracies mean two things: of a pre-training, how often the other view of the same image is "
                     "found in its batch; of the other runs, how often the class is right.")  # fmt: skip
    differing = {name: text for name in ("batch_size", "temperature") if (text := _differing(pretrainings, name))}
    if differing and "loss" in metrics:
        why = " and ".join(differing.values())
        found.append(f"Losses of these pre-trainings are not comparable: {why}. Their kNN accuracies are.")
    if "batch_size" in differing and contrastive:
        labels = " and ".join(METRICS[metric].label.lower() for metric in contrastive)
        found.append(f"For pre-trainings, {labels} depend on the batch, from which the candidates come: "
                     f"{differing['batch_size']}.")  # fmt: skip
    if data := _differing(sources, "dataset"):
        found.append(f"These runs do not share their data: {data}.")
    return found


def _differing(sources: Sequence[Source], name: str) -> str:
    """`batch_size is 256 or 512`; empty where all agree, and no more than five values."""
    values = {source.options[name] for source in sources if isinstance(source.options.get(name), str | int | float)}
    if len(values) < 2:
        return ""
    numbers = sorted(values, key=lambda value: (isinstance(value, str), value))
    shown = [store.short_dataset(value) if name == "dataset" else option_text(value) for value in numbers]
    if len(shown) > 6:
        shown = [*shown[:5], f"{len(shown) - 5} others"]
    return f"{name} is {', '.join(shown[:-1])} or {shown[-1]}"


# --- export --------------------------------------------------------------------------------------------------------


def table_text(groups: Sequence[Group], metrics: Sequence[str], view: View, around: str = "std") -> str:
    """The lines shown as CSV, one measured point a row (not thinned), fractions as in the files.

    Several runs drawn as one give their mean with the ends of the band; a run alone also the smoothed value.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    place = {"time": "minutes"}.get(view.x, view.x)
    writer.writerow(["run", "name", "num_runs", "metric", "column", place, "value", "smoothed", "low", "high"])
    for group in groups:
        for metric in metrics:
            for name in view.columns(spec_of(metric)):
                measured = [line for source in group.members if len((line := points(source, [name], view.x)[0])[0])]
                if not measured:
                    continue
                head = [" ".join(source.id for source in group.members), group.title, len(measured), metric, name]
                smoothed = [(xs, np.array(charts.smooth(ys, view.smoothing))) for xs, ys in measured]
                if len(group.members) > 1:
                    band = charts.band(smoothed, around)
                    rows: Any = zip(band.x, band.mean, band.low, band.high, strict=True)
                    writer.writerows([*head, _short(x), _short(y), "", _short(a), _short(b)] for x, y, a, b in rows)
                    continue
                rows = zip(*measured[0], smoothed[0][1] if view.smoothing else [""] * len(measured[0][0]), strict=True)
                writer.writerows([*head, _short(x), _short(y), z if z == "" else _short(z), "", ""] for x, y, z in rows)
    return stream.getvalue()


def _short(value: float) -> str:
    return f"{value:.7g}"
