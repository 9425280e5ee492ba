"""A pre-training, from its prepared options to its weights and figures."""

from __future__ import annotations

import threading
from typing import Any

import lightning as L

from simclr import runs
from simclr.config import PretrainConfig
from simclr.evaluation import kept, protocols
from simclr.evaluation.leaks import record, search
from simclr.models import compute, state_dicts
from simclr.models.weights import file_hash
from simclr.runs import Run, StatusWriter
from simclr.training.callbacks import NullWriter
from simclr.training.checkpoints import Checkpoints, save_atomically
from simclr.training.datamodule import PretrainData
from simclr.training.film import film_callbacks
from simclr.training.fit import fit
from simclr.training.image_text.batches import CaptionedData
from simclr.training.image_text.module import ImageText
from simclr.training.knn_probe import KNNProbe, knn_measure
from simclr.training.modules import SimCLR
from simclr.training.prepared import Prepared
from simclr.training.progress import reporter
from simclr.words import wording


def pretrain(
    run: Run, prepared: Prepared, status: StatusWriter | NullWriter, stop: threading.Event, resume: bool
) -> None:
    """Pre-trains an encoder with SimCLR, writes `model.pt`, and tests it by kNN and a linear probe.

    Args:
        status: where progress goes; a NullWriter in the run's other processes.
        stop: ends the training at the next step, with its state saved.
        resume: start from the newest checkpoint, if any.

    Raises:
        StopRequested: once `stop` is set and the state is saved.
        DivergedError: if the loss or the weights are not finite; the checkpoint before is kept.
    """
    config, data = prepared.config, prepared.data
    assert isinstance(config, PretrainConfig)
    device = compute.find_device(config.accelerator)
    kind, loader_kind = (SimCLR, PretrainData) if config.text_encoder is None else (ImageText, CaptionedData)
    model = kind(config, prepared.encoder, num_steps=prepared.num_steps, warmup_steps=prepared.warmup_steps)
    loader = loader_kind(
        data,
        config.augmentation,
        batch_size=config.batch_size,
        seed=config.seed,
        size=prepared.last_view_size,
        num_workers=config.num_workers,
        initial_size=config.initial_image_size,
        num_initial_steps=prepared.num_initial_steps,
    )
    if data.val is not None and data.val.num_images < 2:
        loader.splits.pop("val")
    extra: list[L.Callback] = film_callbacks(run, prepared, device)
    if (measure := knn_measure(config, data, prepared.image_size, model, device)) is not None:
        extra.append(KNNProbe(measure, config.knn_every_epochs))
    has_knn = measure is not None

    def score(measured: Any) -> tuple[float, ...] | None:
        if has_knn:
            return (measured["val/knn_top1"],) if "val/knn_top1" in measured else None
        return (-measured["val/loss"],) if "val/loss" in measured else None

    checkpoints = Checkpoints(run.path / runs.CHECKPOINTS, score, config.checkpoint_every_epochs)
    goes_on = fit(
        run,
        prepared,
        status,
        stop,
        resume,
        model=model,
        data=loader,
        checkpoints=checkpoints,
        columns=runs.PRETRAIN_METRICS,
        extra=extra,
    )
    if not goes_on:
        return
    state = state_dicts.join_state(model.parts, model.head)
    if isinstance(model, ImageText):  # before the weights, which say that the training is over
        save_atomically(model.text.cpu().content(), run.path / runs.TEXT_ENCODER)
    save_atomically(state, run.model_path)
    if not config.evaluate:
        print("evaluate is false, so nothing was tested", flush=True)
        return
    assert isinstance(status, StatusWriter)
    status.set(phase="testing")
    held: dict[str, Any] = {}
    text = model.text if isinstance(model, ImageText) else None
    found = protocols.pretrain_figures(config, state, data, device, reporter(status, stop), held, text)
    if not found:
        print("there are no labelled test images, so nothing was tested", flush=True)
        return
    runs.write_evaluation(run.path, kept.with_viewing_note(found, "pretrain"))
    print(f"test kNN {found['test/knn_top1']:.2%}, linear probe {found['test/linear_top1']:.2%}", flush=True)
    if text is not None:
        print(wording.sentence(found), flush=True)
    # features and pixels are at hand, so that a look for copies costs little; else it is left to the job
    copies = search.of_evaluation(data, held, file_hash(run.model_path), reporter(status, stop))
    if copies is not None:
        record.write(run.path, *copies)
    print(record.unchecked(run.id) if copies is None else record.sentence(copies[0]), flush=True)
