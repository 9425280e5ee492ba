"""Whole trainings on the pretended device, each in a process of its own: prints what they did as one line of JSON.

CUDA_VISIBLE_DEVICES= python tests/gpu/walks.py RUNS_DIR [NAME ...]
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.path[:0] = [str(Path(__file__).parents[2])]

import counted  # noqa: E402
import lightning as L  # noqa: E402
import pretended  # noqa: E402
import torch  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402

from simclr import config as cfg  # noqa: E402
from simclr import runs  # noqa: E402
from simclr.embeddings import embed  # noqa: E402
from simclr.embeddings.references import resolve_encoders  # noqa: E402
from simclr.embeddings.selection import ImageSelection  # noqa: E402
from simclr.evaluation import protocols  # noqa: E402
from simclr.lifecycle import train  # noqa: E402
from simclr.runs import metrics_csv  # noqa: E402
from simclr.training import callbacks  # noqa: E402

callbacks.ROWS_PER_EPOCH = 2  # so that most steps of a short epoch write none
FEW = {
    "dataset": "shapes",
    "limit_images": 64,
    "image_size": 16,
    "epochs": 1,
    "batch_size": 8,
    "num_threads": 1,
    "accelerator": "gpu",
}
PRETRAIN = FEW | {
    "backbone": "resnet_tiny",
    "hidden_dim": 16,
    "projection_dim": 8,
    "optimizer": "adamw",
    "evaluate": False,
    "film_frames": 0,
    "knn_every_epochs": 0,
}


class _Steps:
    """What lies between one step of an optimizer and its next, and whether a row of metrics was written there."""

    def __init__(self, counts: pretended.Counts) -> None:
        self.counts, self.found, self.has_row = counts, [], False
        self.last: tuple[Any, pretended.Counts] | None = None
        register_optimizer_step_post_hook(self.step)

    def step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if isinstance(optimizer, torch.optim.LBFGS):
            return
        if self.last is not None and self.last[0] is optimizer:
            self.found.append(self.counts.since(self.last[1]) | {"has_row": self.has_row})
        self.last, self.has_row = (optimizer, self.counts.snapshot()), False


def walk(
    kind: str,
    options: dict[str, Any],
    runs_dir: Path,
    resumed: runs.Run | None = None,
    more: list[L.Callback] | None = None,
) -> dict[str, Any]:
    """A training of `kind` with options beside those of `FEW`.

    Returns:
        id, state, error, log (its end), device, precision: of the run.
        steps: what `pretended.count` returns, for each step but the first, and `has_row`: whether metrics were
            written, as at the end of an epoch, with its validation.
        plain: the steps without a row.
        total: the same of the whole training.
    """
    config = cfg.build(cfg.MODELS[kind], options)
    with pretended.counting() as counts:
        steps, append = _Steps(counts), metrics_csv.MetricsLog.append

        def noting(log: Any, row: Any) -> None:
            steps.has_row = True
            append(log, row)

        metrics_csv.MetricsLog.append = noting  # type: ignore[method-assign]
        begin = counts.snapshot()
        run = train.train(
            config,
            runs_dir=runs_dir,
            callbacks=more or [],
            run_dir=resumed.path if resumed else None,
            resume=resumed is not None,
        )
        total = counts.since(begin)
    return {
        "id": run.id,
        "state": run.status.state,
        "error": run.status.error,
        "device": run.status.device,
        "precision": run.config["precision"],
        "log": run.log_path.read_text()[-3000:],
        "steps": steps.found,
        "plain": [step for step in steps.found if not step["has_row"]],
        "total": total,
    }


class _Stop(L.Callback):
    """Asks for a clean stop, as the dashboard does."""

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)


def _stop_and_resume(runs_dir: Path) -> dict[str, Any]:
    stopped = walk("pretrain", PRETRAIN, runs_dir, more=[_Stop()])
    run = runs.Run(runs_dir / stopped["id"])
    return walk("pretrain", PRETRAIN, runs_dir, resumed=run) | {"before": stopped["state"]}


def _streamed(runs_dir: Path) -> dict[str, Any]:
    pretended.STAGED_BYTES = 1000  # less than a batch of these small images, and more than its random factors
    options = {"dataset": str(_folder(runs_dir)), "memory_share": 1e-9, "num_workers": 1}
    return walk("pretrain", PRETRAIN | options, runs_dir)


def _folder(runs_dir: Path) -> Path:
    from PIL import Image

    folder = runs_dir.parent / "images"
    generator = torch.Generator().manual_seed(0)
    for number in range(64):
        place = folder / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(256, (16, 16, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(place / f"{number}.png")
    return folder


def _first(runs_dir: Path) -> str:
    """The pre-training that the others go on from."""
    run = next(run for run in runs.list_runs(runs_dir) if run.kind == "pretrain" and run.status.state == "finished")
    return run.id


def _labelled(kind: str, runs_dir: Path, **options: Any) -> dict[str, Any]:
    scratch = {"backbone": "resnet_tiny", "random_weight_init": True}
    weights = scratch if kind == "scratch" else {"experiment_version": _first(runs_dir)}
    return walk(kind, FEW | weights | options, runs_dir)


def _embedded(runs_dir: Path) -> dict[str, Any]:
    with pretended.counting() as counts:
        begin = counts.snapshot()
        choice = ImageSelection(split="auto", num_images=24, seed=0)
        models = resolve_encoders([_first(runs_dir), "untrained"], runs_dir, None, "h")
        found = embed.compute(models, choice)
        return {"state": "finished", "images": [item.num_images for item in found], "total": counts.since(begin)}


def _evaluated(runs_dir: Path) -> dict[str, Any]:
    with pretended.counting() as counts:
        begin = counts.snapshot()
        found = protocols.evaluate_run(runs.Run(runs_dir / _first(runs_dir)))
        return {"state": "finished", "keys": sorted(found), "total": counts.since(begin)}


def _pretrain(**options: Any) -> Callable[[Path], dict[str, Any]]:
    return lambda runs_dir: walk("pretrain", PRETRAIN | options, runs_dir)


def _mixed(runs_dir: Path) -> dict[str, Any]:
    with pretended.counting():
        try:
            torch.ones(2, device="cuda") + torch.ones(2)
        except RuntimeError as error:
            return {"state": "finished", "raised": str(error)}
    return {"state": "finished"}


WALKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    # with all that belongs to it; the ones below go on from its weights
    "whole": _pretrain(evaluate=True, film_frames=3, knn_every_epochs=1, epochs=2),
    "bf16-mixed": _pretrain(backbone="resnet18", image_size=32, precision="bf16-mixed"),
    "16-mixed": _pretrain(precision="16-mixed", optimizer="lars"),
    "32-true": _pretrain(precision="32-true"),
    "streamed": _streamed,
    "micro-batched": _pretrain(micro_batch_size=4),
    "resumed": _stop_and_resume,
    "fine-tuned": lambda runs_dir: _labelled("finetune", runs_dir),
    "frozen": lambda runs_dir: _labelled("finetune", runs_dir, freeze_encoder=True),
    "scratch": lambda runs_dir: _labelled("scratch", runs_dir),
    "embedded": _embedded,
    "evaluated": _evaluated,
    "mixed": _mixed,
    "functions": lambda runs_dir: {"state": "finished", "functions": counted.all_counts()},
}


def _apart(name: str, runs_dir: Path) -> dict[str, Any]:
    """Runs a walk in a fork of this process, which has imported everything."""
    answer = Path(tempfile.mkdtemp()) / "answer.json"
    child = os.fork()
    if child == 0:
        start = time.process_time()
        try:
            with open(answer.with_suffix(".log"), "w") as said:
                os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
                try:
                    found = WALKS[name](runs_dir)
                except BaseException as error:
                    found = {"state": "raised", "error": repr(error), "log": traceback.format_exc()}
            answer.write_text(json.dumps(found | {"cpu_seconds": round(time.process_time() - start, 2)}))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    if not answer.exists():
        return {"state": "died", "log": answer.with_suffix(".log").read_text()[-3000:]}
    return json.loads(answer.read_text())


def main(arguments: list[str]) -> None:
    runs_dir = Path(arguments[0]).resolve()
    runs_dir.mkdir(parents=True, exist_ok=True)
    print(json.dumps({name: _apart(name, runs_dir) for name in arguments[1:] or WALKS}))


if __name__ == "__main__":
    main(sys.argv[1:])
