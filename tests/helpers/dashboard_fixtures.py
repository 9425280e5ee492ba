"""Run folders in every state, written through `simclr.runs` as training writes them, for the page tests."""

from __future__ import annotations

import csv
import html
import itertools
import json
import math
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray
from streamlit.testing.v1 import AppTest

from dashboard.new_run import preflight
from simclr import config as cfg
from simclr import runs
from simclr.hardware import processes
from simclr.results import groups
from simclr.results.index import RunIndex
from simclr.runs import Run
from simclr.runs.status import ACTIVE

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "shell.py")
CLASSES = ["circle", "square", "star"]
preflight.SETTLED_SECONDS = math.inf  # a form that a test looks at measures nothing by itself


def open_page(page: str | None = None, **query: str) -> AppTest:
    """A browser session on a page of the app, given as the name of its folder."""
    app = AppTest.from_file(APP, default_timeout=30)
    app.run()
    if page is not None:
        app.switch_page(f"{page}/page.py")
    for name, value in query.items():
        app.query_params[name] = value
    if page is not None or query:
        app.run()
    return app


def address(app: AppTest) -> dict[str, list[str]]:
    """The query parameters that the page has put into the address."""
    visits = app.session_state["url-visits"]
    return parse_qs("".join(visits.of[visits.page].written[-1:]), keep_blank_values=True)


def query(app: AppTest, name: str) -> str:
    """One of them."""
    return address(app).get(name, [""])[-1]


def named(widgets: Any, name: str) -> Any:
    """Of the widgets of one kind that which the page calls so, however often it was drawn anew."""
    return next(item for item in widgets if str(item.key).partition("~")[0] == name)


def follow(app: AppTest) -> AppTest:
    """Goes where the page sends the browser, if it does."""
    leaving = components_with(app, '"instead":')
    if not leaving:
        return app
    href = urlsplit(leaving[-1]["href"])
    page = href.path.strip("./").replace("-", "_") or "runs"
    app.switch_page(f"{page}/page.py")
    app.query_params.clear()
    for name, values in parse_qs(href.query).items():
        app.query_params[name] = values
    return app.run()


def texts(app: AppTest) -> str:
    """All words on a page that a test may look for."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "error", "warning", "info", "text", "code")
    return "\n".join(shown(str(item.value)) for kind in kinds for item in getattr(app, kind))


def shown(markdown: str) -> str:
    """What a reader sees of text that went through `escape.markdown`; markup stays as it is."""
    return html.unescape(markdown.replace(":small{}", ""))


def components_with(app: AppTest, text: str) -> list[dict[str, Any]]:
    """The data of all components whose JSON holds this text, without a space after a name's colon."""
    found = [node.proto.json for node in app.get("bidi_component")]
    return [json.loads(data) for data in found if text in data.replace('": ', '":')]


def component_with(app: AppTest, text: str) -> dict[str, Any]:
    """The first of them."""
    found = components_with(app, text)
    assert found, f"no component with {text}"
    return found[0]


def press(app: AppTest, key: str) -> AppTest:
    """Clicks a button, and goes where that leads."""
    return follow(app.button(key).click().run())


def write_metrics(
    run: Run, epochs: int, steps_per_epoch: int = 16, torn: bool = False, speed: float = 1.0
) -> dict[str, float]:
    """A `metrics.csv` of `epochs` epochs: rising accuracies, falling loss, validation at each epoch's end.

    Args:
        speed: how many times as fast it learns as another.

    Returns:
        What a status tells of it: the newest loss and the best accuracy.
    """
    row: dict[str, Any] = {}
    names = runs.PRETRAIN_METRICS if run.kind == "pretrain" else runs.FINETUNE_METRICS
    with open(run.metrics_path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        for epoch in range(1, epochs + 1):
            for step in range((epoch - 1) * steps_per_epoch + 4, epoch * steps_per_epoch + 1, 4):
                done = step / (20 * steps_per_epoch)
                row = {
                    "epoch": epoch,
                    "step": step,
                    "lr": 5e-4 * math.cos(done),
                    "train/loss": 4 + 2.2 * math.exp(-4 * done),
                    "train/top1": 0.7 * (1 - math.exp(-4 * done)),
                    "train/top5": 0.9 * (1 - math.exp(-6 * done)),
                    "train/mean_rank": 1 + 200 * math.exp(-5 * done),
                    "perf/images_per_second": 1800 + 60 * math.sin(step),
                    "perf/seconds": 0.2 * step,
                    "perf/cpu_seconds": 0.3 * step,
                }
                writer.writerow({name: value for name, value in row.items() if name in names})
            done = speed * epoch / 20
            row = {
                "epoch": epoch,
                "step": epoch * steps_per_epoch,
                "val/loss": 4.1 + 2.1 * math.exp(-4 * done),
                "val/top1": 0.65 * (1 - math.exp(-4 * done)),
                "val/top5": 0.85 * (1 - math.exp(-5 * done)),
                "val/mean_rank": 1 + 220 * math.exp(-5 * done),
                "val/knn_top1": 0.28 + 0.52 * (1 - math.exp(-4 * done)),
                "val/alignment": 0.9 - 0.5 * done,
                "val/uniformity": -1 - 2 * done,
                "val/positive_similarity": 0.4 + 0.4 * done,
                "val/negative_similarity": 0.1,
                "val/effective_rank": 5 + 40 * done,
                "val/effective_rank_z": 4 + 20 * done,
            }
            writer.writerow({name: value for name, value in row.items() if name in names})
        if torn:
            stream.write("99,99,0.0")
    return {"loss": row["val/loss"], "accuracy": row["val/knn_top1" if run.kind == "pretrain" else "val/top1"]}


def make_run(
    folder: Path,
    state: str = "finished",
    kind: str = "pretrain",
    epochs: int = 20,
    done: int | None = None,
    torn: bool = False,
    recipe: str | None = "quick",
    speed: float = 1.0,
    **options: Any,
) -> Run:
    """A run folder in the given state; an active one is said to be this very process, which lives."""
    values: dict[str, Any] = {"epochs": epochs} | options
    if kind == "scratch":
        values["random_weight_init"] = True
    if kind != "pretrain":
        values |= {"dataset": "shapes", "backbone": "resnet_tiny"} | options
    config = cfg.build(cfg.MODELS[kind], values)
    meta: dict[str, Any] = {"recipe": recipe} if recipe else {}
    if options.get("experiment_version"):
        meta["experiment"] = options["experiment_version"]
    run = runs.create(config, folder, **meta)
    done = epochs if done is None else done
    if state == "failed" and done == epochs:
        done = max(1, epochs // 3)
    figures = write_metrics(run, done, torn=torn, speed=speed) if done else {}
    now = time.time()
    status: dict[str, Any] = {
        "state": state,
        "phase": "training",
        "epoch": done,
        "epochs": epochs,
        "step": 16 * done,
        "steps": 16 * epochs,
        "images_per_second": 1834.0,
        "mean_images_per_second": 1612.0,
        "started": now - 40,
        "heartbeat": now,
        **figures,
    }
    if state == "queued":
        status["host"] = "another"  # whose queue it is: no page of a test may really start it
    if state in ACTIVE:
        status |= {"pid": os.getpid(), "process_start": processes.process_start(os.getpid()), "eta_seconds": 34.0}
        if state == "stopping":
            status |= {"state": "running", "stop_requested": now}
    else:
        status |= {"ended": now, "exit_code": 0 if state == "finished" else 1}
    if state == "failed":
        status |= {"error": "The loss is not a number after step 80.", "reason": "diverged"}
    runs.update_status(run.path, **status)
    (run.path / runs.LOG).write_text("".join(f"epoch {n}/{epochs}  loss 4.2\n" for n in range(1, done + 1)))
    if state == "finished":
        run.model_path.write_bytes(b"weights")
        if kind != "pretrain":
            write_evaluation(run, 0.7)
    return run


def write_evaluation(run: Run, top1: float) -> None:
    share = round(100 * top1)
    rest = 100 - share
    values = {
        "test/loss": 1.9 - top1,
        "test/top1": top1,
        "test/top5": min(1.0, top1 + 0.2),
        "num_labels": 37,
        "num_test_images": 300,
        "classes": CLASSES,
        "per_class": [top1, top1 - 0.1, top1 + 0.1],
        "confusion": [[share, rest, 0], [0, share, rest], [rest, 0, share]],
        "best_epoch": 12,
        "budget": "20 epochs of 37 images, batch 64",
    }
    (run.path / runs.EVALUATION).write_text(json.dumps(values))


SPEEDS = {"frozen": 4.0, "full": 2.0, "scratch": 1.0}


def make_experiment(
    folder: Path, fractions: tuple[float, ...] = (0.01,), seed: int = 42, better: float = 0.0
) -> tuple[Run, dict[str, Run]]:
    """A finished pre-training with its three partners per label fraction; from scratch is the worst at few labels.

    Args:
        better: added to the test accuracies of those that start from the pre-training.
    """
    pretraining = make_run(folder, seed=seed)
    found = {}
    for fraction in fractions:
        gain = 0.08 * (1 + math.log10(fraction) / 2)
        for arm, top1 in (("frozen", 0.42 + gain), ("full", 0.48 + 2 * gain), ("scratch", 0.18 + 7 * gain)):
            kind = "scratch" if arm == "scratch" else "finetune"
            run = make_run(
                folder,
                kind=kind,
                experiment_version=pretraining.id,
                label_fraction=fraction,
                freeze_encoder=arm == "frozen",
                speed=SPEEDS[arm],
                seed=seed,
            )
            (run.path / runs.META).write_text(json.dumps(run.meta | {"device": "CPU", "num_classes": 3}))
            write_evaluation(run, top1 + (better if arm != "scratch" else 0.0))
            found[f"{arm}-{fraction:g}"] = run
    return pretraining, found


def unpacked(data: bytes) -> dict[str, NDArray[np.generic]]:
    """The arrays of a message from `dashboard.components.arrays`, by name."""
    length = int.from_bytes(data[:8], "little")
    found, place = {}, 8 + length
    for name, size in json.loads(data[8:place]):
        found[name] = np.frombuffer(data[place : place + size], "<" + name[:2])
        place += -(-size // 8) * 8
    return found


def metric_columns(epochs: int = 3, steps: int = 10, first: int = 1) -> dict[str, list[float]]:
    """Columns of a `metrics.csv` by name: a row per step, one more at the end of each epoch."""
    names = ("epoch", "step", "train/loss", "val/loss", "val/knn_top1", "perf/seconds")
    rows: list[tuple[float, ...]] = []
    for epoch in range(epochs):
        for step in range(epoch * steps + 1, (epoch + 1) * steps + 1):
            rows.append((epoch + first, step, 5 - 0.1 * step, math.nan, math.nan, 0.5 * step))
        rows.append((epoch + first, (epoch + 1) * steps, math.nan, 4.0, 0.5, math.nan))
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def make_group(
    folder: Path,
    values: dict[str, list[float]],
    axis: str = "temperature",
    group_id: str = "which-x7k2",
    title: str = "Which temperature?",
    **more: Any,
) -> list[Run]:
    """A group of finished pre-trainings: one for each label and seed, whose last kNN accuracy is the value given.

    Args:
        values: label of the axis to the figures of the seeds 0, 1, ...
        more: options that all share.
    """
    found = []
    for label, figures in values.items():
        for seed, value in enumerate(figures):
            run = make_run(folder, epochs=2, seed=seed, evaluate=False, **more)
            place = {"id": group_id, "title": title, "setting": {axis: label} if axis else {}}
            runs.add_meta(run.path, group=place, num_val_images=410)
            with open(run.metrics_path, newline="", encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream))
            rows[-1]["val/knn_top1"] = str(value)
            with open(run.metrics_path, "w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            found.append(run)
    return found


def make_variants(
    folder: Path,
    values: dict[str, list[float]],
    arms: tuple[str, ...] = ("full",),
    shares: tuple[float, ...] = (1.0,),
    axis: str = "way",
    group_id: str = "ways-x7k2",
) -> list[Run]:
    """A group of supervised runs that differ in their own options behind one pre-training of each seed.

    Args:
        values: label of the axis to the best validation accuracies of the seeds 0, 1, ...; the first label is the one
            that the others are compared with. From scratch it is half of that.
    """
    place = {"id": group_id, "title": "What do they give?", "baseline": {axis: next(iter(values))}}
    found = []
    for seed in range(max(map(len, values.values()))):
        first = make_run(folder, epochs=2, seed=seed, evaluate=False)
        runs.add_meta(first.path, group=place | {"setting": {}})
        for label, share, arm in itertools.product(values, shares, arms):
            if seed >= len(values[label]):
                continue
            how = {"label_fraction": share, "seed": seed, "epochs": 2, "evaluate": False}
            kind = "scratch" if arm == "scratch" else "finetune"
            run = make_run(folder, kind=kind, experiment_version=first.id, **how)
            (run.path / runs.EVALUATION).unlink()
            runs.add_meta(run.path, group=place | {"setting": {axis: label}})
            top1 = values[label][seed] * share * (0.5 if arm == "scratch" else 1.0)
            run.metrics_path.write_text(f"epoch,step,val/top1\n1,8,{top1 / 2}\n2,16,{top1}\n")
            found.append(run)
    return found


def group_of(folder: Path) -> groups.Group:
    """The one group of a runs folder, as it is now."""
    (found,) = groups.groups(RunIndex(folder).summaries(max_age=0))
    return found


def find(folder: Path) -> groups.Find:
    """A function that gives a run of a folder by its id."""
    return lambda run_id: Run(folder / run_id) if (folder / run_id).is_dir() else None
