"""fit(...): trains a LightningModule of this package with all that belongs to a run."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from simclr import runs
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig
from simclr.hardware import ranks
from simclr.models import backbones, compute
from simclr.runs import Run, StatusWriter, extensions
from simclr.runs.health_log import HealthLog
from simclr.runs.metrics_csv import MetricsLog
from simclr.training import time_left
from simclr.training.callbacks import NullWriter, Recorder
from simclr.training.checkpoints import (
    AtomicCheckpointIO,
    Checkpoints,
    StopAndTimedCheckpoints,
    check_finite,
    load_last,
)
from simclr.training.datamodule import LabelledData, PretrainData
from simclr.training.knn_probe import MAX_BANK_IMAGES, KNNProbe
from simclr.training.modules import Classifier, SimCLR
from simclr.training.prepared import Prepared
from simclr.training.progress import Progress


class _SameStart(L.Callback):
    """Refuses to resume from different checkpoints, as when a machine does not see the newest one yet."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        steps = [trainer.global_step] * trainer.world_size
        if trainer.world_size > 1:
            dist.all_gather_object(steps, trainer.global_step)
        if len(set(steps)) > 1:
            raise ConfigError(
                f"The processes of this run would go on from steps {', '.join(map(str, steps))}; allowed: the same for "
                "all, from a folder that all machines share. Resume it in a moment."
            )


class _Launcher(_SubprocessScriptLauncher):
    """Lightning's own, without the thread that kills all processes, the main one first, when one of them failed."""

    def launch(self, function: Callable[..., Any], *args: Any, trainer: L.Trainer | None = None, **more: Any) -> Any:
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
        return function(*args, **more)


class _Strategy(DDPStrategy):
    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _Launcher(self.cluster_environment, self.num_processes, self.num_nodes)


def _resume_point(run: Run, resume: bool, data: Any) -> tuple[Path | None, int | None]:
    """The checkpoint to resume from and its step; tells the data module which batches are already done."""
    found = load_last(run.path / runs.CHECKPOINTS) if resume else None
    if found is None:
        return None, None
    path, saved = found
    progress = saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    if not progress["is_last_batch"]:
        data.skip_batches = int(progress["current"]["processed"])
    return path, int(saved["global_step"])


def is_extended_at(run: Run, step: int) -> bool:
    """Whether a run had ended at this step, and was given a later end since."""
    found = extensions.extensions_of(run)
    return bool(found) and found[-1].step == step


def _environment(place: ranks.Place) -> ClusterEnvironment:
    if place.launcher == "torchrun":
        return TorchElasticEnvironment()
    if place.launcher == "srun":
        return SLURMEnvironment(auto_requeue=False)  # this package stops and resumes runs itself
    return LightningEnvironment()


def fit(
    run: Run,
    prepared: Prepared,
    status: StatusWriter | NullWriter,
    stop: threading.Event,
    resume: bool,
    *,
    model: SimCLR | Classifier,
    data: PretrainData | LabelledData,
    checkpoints: Checkpoints,
    columns: tuple[str, ...],
    extra: list[L.Callback],
) -> bool:
    """Trains; returns True in the process that then evaluates and writes the result.

    Args:
        data: its `skip_batches` and `on_wait` are set here.
        columns: of `metrics.csv`.
        extra: callbacks of this kind of training, such as the kNN probe; they come before the training's own.
    """
    config = prepared.config
    place = ranks.place(config)
    checkpoint, step = _resume_point(run, resume, data)
    is_extended = step is not None and is_extended_at(run, step)
    checkpoints.is_extended = model.is_extended = is_extended
    log = MetricsLog(run.metrics_path, columns, keep_steps=step) if place.is_main else NullWriter()
    health_log: HealthLog | NullWriter | None = None
    if isinstance(model, SimCLR):
        health_log = HealthLog(run.health_path, keep_steps=step) if place.is_main else NullWriter()
    probe = next((item for item in extra if isinstance(item, KNNProbe)), None)
    recorder = Recorder(
        log,
        status,
        num_steps=prepared.num_steps,
        num_epochs=prepared.num_epochs,
        num_initial_steps=prepared.num_initial_steps,
        time_left=_time_left(prepared, probe),
        knn=probe,
        health_log=health_log,
    )
    device = compute.find_device(config.accelerator)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compute.is_deterministic(config):
        backbones.make_deterministic(model.encoder)
    compute.compile_network(model.encoder, config.compile)
    several = place.world_size > 1 or config.strategy == "ddp"
    interruptions = StopAndTimedCheckpoints(stop, checkpoints, config.checkpoint_every_minutes)
    trainer = L.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=_Strategy(gradient_as_bucket_view=True) if several else "auto",
        sync_batchnorm=several and device.type == "cuda",  # on a CPU each process has its own statistics
        precision=config.precision,  # type: ignore[arg-type]
        # Not max_steps: Lightning then resumes from the end of an epoch as from its middle. The recorder ends there.
        max_epochs=prepared.num_epochs,
        min_epochs=0,
        default_root_dir=run.path,
        logger=False,
        callbacks=[
            *prepared.callbacks,
            _SameStart(),
            *extra,
            recorder,
            checkpoints,
            *([Progress(recorder, prepared.num_steps)] if place.is_main else []),
            interruptions,
        ],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        plugins=[AtomicCheckpointIO(is_extended), _environment(place)],
        limit_val_batches=1.0 if "val" in data.splits else 0,
        barebones=False,
    )
    if data.choice is not None:
        data.choice.num_sharing, data.choice.on_choice = config.devices, prepared.on_readers
    data.on_wait = partial(interruptions.while_waiting, trainer)
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    # also where nothing was left to train
    done = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
    status.set(epoch=done, step=trainer.global_step)
    check_finite(model, trainer.global_step)
    trainer.strategy.barrier()  # so that no process leaves while another still sends to it
    if prepared.peers is not None:  # from here on none waits for another
        prepared.peers.rest()
    return place.is_main


def _time_left(prepared: Prepared, probe: KNNProbe | None = None) -> time_left.TimeLeft:
    """The parts of a training, and how often each passes an image through the encoder, or what costs as much."""
    config, data, epochs = prepared.config, prepared.data, prepared.num_epochs
    num_val = data.val.num_images if data.val is not None else 0
    num_bank = min(data.probe.num_images, MAX_BANK_IMAGES) if data.probe is not None else 0
    num_test = data.test.num_images if data.test is not None and data.test.labels is not None else 0
    num_test = num_test if config.evaluate else 0
    views = config.views_per_image if isinstance(config, PretrainConfig) else 1
    backward = 1 if isinstance(config, FinetuneConfig) and config.freeze_encoder else time_left.BACKWARD
    if isinstance(config, PretrainConfig):  # judged by the features of all labelled images
        is_judged = data.probe is not None and num_test
        num_test = num_test + num_val + data.probe.num_images if is_judged and data.probe is not None else 0
    reading = 0 if data.train.in_memory else time_left.READING
    initial_work = 1.0
    if isinstance(config, PretrainConfig) and config.initial_image_size is not None:
        initial_work = (config.initial_image_size / prepared.image_size) ** 2
    num_initial = prepared.num_initial_steps
    return time_left.TimeLeft(
        initial_step=time_left.Stage(num_initial, (reading + views * backward * initial_work) * config.batch_size),
        knn=time_left.Stage(
            math.ceil(epochs / probe.every_epochs) if probe is not None else 0, (reading + 1) * (num_bank + num_val)
        ),
        validation=time_left.Stage(epochs if num_val else 0, (reading + views) * num_val),
        step=time_left.Stage(prepared.num_steps - num_initial, (reading + views * backward) * config.batch_size),
        between=time_left.Stage(epochs),
        test=time_left.Stage(1, (reading + 1) * num_test),
    )
