"""A supervised training: fine-tuning, a head on a frozen encoder, or from scratch."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from simclr import runs
from simclr.config import FinetuneConfig
from simclr.evaluation import kept, protocols
from simclr.models import compute, state_dicts
from simclr.runs import Run, StatusWriter, extensions
from simclr.training.callbacks import NullWriter
from simclr.training.checkpoints import Checkpoints, save_atomically
from simclr.training.datamodule import LabelledData
from simclr.training.film import film_callbacks
from simclr.training.fit import fit
from simclr.training.frozen_head import train_on_features
from simclr.training.modules import Classifier
from simclr.training.prepared import Prepared
from simclr.training.progress import reporter


def _accuracy_then_loss(measured: Any) -> tuple[float, ...] | None:
    """Best by validation accuracy; a small split has many ties, and the lower loss decides them."""
    return (measured["val/top1"], -measured["val/loss"]) if "val/top1" in measured else None


def finetune(
    run: Run, prepared: Prepared, status: StatusWriter | NullWriter, stop: threading.Event, resume: bool
) -> None:
    """Trains a classifier on labels, and writes `model.pt` of the epoch that was best on validation.

    It is tested once, where `evaluate` says so.

    Args:
        status: where progress goes; a NullWriter in the run's other processes.
        stop: ends the training at the next step, with its state saved.
        resume: start from the newest checkpoint, if any.

    Raises:
        StopRequested: once `stop` is set and the state is saved.
        DivergedError: if the loss or the weights are not finite; the checkpoint before is kept.
    """
    config, train_split = prepared.config, prepared.train
    assert isinstance(config, FinetuneConfig) and train_split is not None
    checkpoints = Checkpoints(run.path / runs.CHECKPOINTS, _accuracy_then_loss, patience=config.early_stopping_patience)
    model = Classifier(
        config,
        prepared.encoder,
        config.num_classes or 0,
        num_steps=prepared.num_steps,
        warmup_steps=prepared.warmup_steps,
    )
    if config.trains_on_features:
        assert isinstance(status, StatusWriter)
        train_on_features(run, prepared, status, stop, resume, model, checkpoints)
    else:
        loader = LabelledData(
            train_split,
            prepared.data.val,
            config.augmentation,
            batch_size=config.batch_size,
            seed=config.seed,
            size=prepared.image_size,
            num_workers=config.num_workers,
            images_per_epoch=config.images_per_epoch,
        )
        extra = film_callbacks(run, prepared, compute.find_device(config.accelerator))
        goes_on = fit(
            run,
            prepared,
            status,
            stop,
            resume,
            model=model,
            data=loader,
            checkpoints=checkpoints,
            columns=runs.FINETUNE_METRICS,
            extra=extra,
        )
        if not goes_on:
            return
        if checkpoints.best_epoch is not None:
            best = torch.load(run.path / runs.CHECKPOINTS / runs.BEST_CHECKPOINT, map_location="cpu", weights_only=True)
            model.load_state_dict(best["state_dict"])
    assert isinstance(status, StatusWriter)
    state = state_dicts.join_state(model.parts, model.head)
    save_atomically(state, run.model_path)
    _evaluate(run, prepared, status, state, checkpoints.best_epoch, stop)


def _evaluate(
    run: Run,
    prepared: Prepared,
    status: StatusWriter,
    state: dict[str, Tensor],
    best_epoch: int | None,
    stop: threading.Event,
) -> None:
    """Writes `evaluation.json`: what was allowed, and of the test images what the weights best on validation reach."""
    config, data = prepared.config, prepared.data
    assert isinstance(config, FinetuneConfig) and prepared.train is not None
    device = compute.find_device(config.accelerator)
    found: dict[str, Any] = {
        "num_labels": prepared.train.num_images,
        "label_fraction": config.label_fraction,
        "labels_per_class": config.labels_per_class,
        "arm": protocols.arm_of(config),
        "best_epoch": best_epoch,
        "budget": budget_of(config, prepared, extensions.text_of(extensions.extensions_of(run))),
    }
    measured = {}
    if config.evaluate:
        status.set(phase="testing")
        measured = protocols.classifier_figures(config, state, data, device, reporter(status, stop))
    if measured:
        found |= kept.with_viewing_note(measured, "finetune")
        print(
            f"test top-1 {found['test/top1']:.2%}, loss {found['test/loss']:.4f}, {found['num_labels']:,} labels",
            flush=True,
        )
    else:
        why = "there are no labelled test images" if config.evaluate else "evaluate is false"
        print(f"{why}, so nothing was tested", flush=True)
    runs.write_evaluation(run.path, found)


def budget_of(config: FinetuneConfig, prepared: Prepared, longer: str = "") -> str:
    """What this arm was allowed, in one sentence, so that arms can be compared fairly.

    Args:
        longer: how it was trained longer than planned, if it was.
    """
    assert prepared.train is not None
    num_val_images = prepared.data.val.num_images if prepared.data.val is not None else 0
    batch_size = min(config.batch_size, prepared.images_per_epoch)
    sentence = f"{prepared.num_epochs} epochs, {prepared.num_steps:,} steps of batch {batch_size}"
    if longer:
        sentence += f" (trained longer than planned: {longer})"
    if config.images_per_epoch is not None:
        sentence += f", {config.images_per_epoch:,} images in an epoch"
    if num_val_images:
        sentence += f"; best epoch chosen on {num_val_images:,} labelled validation images"
        if config.early_stopping_patience is not None:
            sentence += f", ended after {config.early_stopping_patience} epochs without a better one"
    else:
        sentence += "; no validation images, so the last epoch counts"
    return sentence + "."
