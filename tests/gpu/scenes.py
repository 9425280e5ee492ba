"""What has to work on a GPU, one short scene for each; `test_real.py` and `first_minutes.py` play them.

No scene has ever been played on a GPU. They are rehearsed on the CPU and, as far as they go, on the pretended GPU.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

from simclr import config as cfg
from simclr import runs
from simclr.embeddings import embed
from simclr.embeddings.references import resolve_encoders
from simclr.embeddings.selection import ImageSelection
from simclr.hardware import devices, nvidia
from simclr.launch import control, spawn
from simclr.lifecycle import train as lifecycle_train

WAIT_SECONDS = 90.0
LEFT_BYTES = 64 * 2**20  # that a GPU may hold more after a run than before it
TINY = {"dataset": "shapes", "limit_images": 256, "image_size": 32, "batch_size": 32, "num_threads": 1, "epochs": 2}


@dataclass
class Stage:
    """Where scenes are played: `accelerator` gpu or cpu, and a folder for runs."""

    accelerator: str
    runs_dir: Path
    is_pretended: bool = False
    pretrained: str | None = None

    @property
    def backbone(self) -> str:
        return "resnet18" if self.on_gpu and not self.is_pretended else "resnet_tiny"

    @property
    def on_gpu(self) -> bool:
        return self.accelerator == "gpu"

    def train(self, kind: str, callbacks: list[L.Callback] | None = None, **options: Any) -> runs.Run:
        values = TINY | {"accelerator": self.accelerator} | options
        run = lifecycle_train.train(
            cfg.build(cfg.MODELS[kind], values), runs_dir=self.runs_dir, callbacks=callbacks or []
        )
        return runs.Run(run.path)

    def first(self) -> str:
        """The id of a finished pre-training."""
        if self.pretrained is None:
            run = self.train("pretrain", backbone=self.backbone)
            _expect(run.status.state == "finished", run.status.error)
            self.pretrained = run.id
        return self.pretrained


def _expect(holds: Any, words: object) -> None:
    if not holds:
        raise AssertionError(words)


def _wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {WAIT_SECONDS:.0f} s for {what}")


def _used_bytes() -> int:
    """Of all GPUs, as the driver sees them."""
    library = nvidia.nvml()
    count = library.nvmlDeviceGetCount()
    handles = [library.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    return sum(int(library.nvmlDeviceGetMemoryInfo(handle).used) for handle in handles)


def stop_and_resume(stage: Stage) -> str:
    """A pre-training in the background: GPU figures in its folder, stop, resume, and its memory is returned."""
    before = _used_bytes() if stage.on_gpu else 0
    options = TINY | {"accelerator": stage.accelerator, "backbone": "resnet_tiny", "epochs": 100_000, "evaluate": False}
    run = spawn.start(cfg.build(cfg.PretrainConfig, options | {"knn_every_epochs": 0}), stage.runs_dir)
    try:
        _wait_for(lambda: run.status.step > 0 or not run.status.is_active, "the first step")
        _expect(run.status.state == "running", f"{run.status.state}: {run.log_tail()}")
        held = 0
        if stage.on_gpu:
            held = _wait_for(lambda: run.status.gpu_memory, "the memory that it takes of its GPU")
            _wait_for(lambda: run.status.gpu_percent is not None, "the share of time in which its GPU works")
        control.request_stop(run.path)
        _wait_for(lambda: not run.status.is_active, "the stop")
        step = run.status.step
        _expect(run.status.state == "stopped", run.status.error)
        spawn.check_exited(run)
        control.resume(run)
        _wait_for(lambda: run.status.step > step or not run.status.is_active, "a step after the resume")
        _expect(run.status.state == "running", f"{run.status.state}: {run.log_tail()}")
    finally:
        if run.status.is_active:
            control.stop(run.path)
    if stage.on_gpu:
        _wait_for(lambda: _used_bytes() <= before + LEFT_BYTES, "its GPU memory to be returned")
    return f"stopped after step {step}, resumed to {run.status.step}; {held / 2**20:.0f} MiB of GPU memory"


def auto_precision(stage: Stage) -> str:
    """A whole pre-training, with kNN and test figures, in the precision that the card is made for."""
    run = runs.Run(stage.runs_dir / stage.first())
    _expect(run.evaluation, "no test figures")
    found = run.config["precision"]
    if stage.on_gpu:
        device = torch.device("cuda", 0)
        _expect(run.meta["device"] == torch.cuda.get_device_name(device), run.meta["device"])
        if torch.cuda.get_device_capability(device) >= (8, 0):
            _expect(found == "bf16-mixed", found)
    return found


def fine_tuning(stage: Stage) -> str:
    """Full, frozen, and from scratch."""
    arms = {
        "full": {"experiment_version": stage.first()},
        "frozen": {"experiment_version": stage.first(), "freeze_encoder": True},
        "scratch": {"backbone": stage.backbone, "random_weight_init": True},
    }
    said = []
    for name, options in arms.items():
        run = stage.train("scratch" if name == "scratch" else "finetune", **options)
        _expect(run.status.state == "finished", f"{name}: {run.status.error}")
        said.append(f"{name} {run.status.accuracy:.0%}")
    return ", ".join(said)


def embeddings(stage: Stage) -> str:
    """Features of the pre-trained and of the untrained network."""
    choice = ImageSelection(split="auto", num_images=24, seed=0)
    models = resolve_encoders([stage.first(), "untrained"], stage.runs_dir, None, "h")
    found = embed.compute(models, choice)
    _expect([item.num_images for item in found] == [24, 24], found)
    return f"2 x 24 x {found[0].features.shape[1]}"


class _Full(L.Callback):
    """Stands in for a GPU without room."""

    def on_train_batch_start(self, *_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")


def out_of_memory(stage: Stage) -> str:
    """One sentence with the batch to try, and a process that can go on."""
    is_real = stage.on_gpu and not stage.is_pretended
    options: dict[str, Any] = {"backbone": stage.backbone, "evaluate": False, "knn_every_epochs": 0, "film_frames": 0}
    options |= {"limit_images": 2400, "batch_size": 2048, "epochs": 1} if is_real else {}
    if is_real:
        gc.collect()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**30) / total)
    try:
        run = stage.train("pretrain", None if is_real else [_Full()], **options)
    finally:
        if is_real:
            torch.cuda.set_per_process_memory_fraction(1.0)
    _expect(run.status.reason == "out of memory", (run.status.state, run.status.error))
    smaller = run.config["batch_size"] // 2
    _expect(f"try batch_size {smaller}" in (run.status.error or ""), run.status.error)
    return run.status.error or ""


def memory_returned(stage: Stage) -> str:
    """After trainings in this process, next to nothing is held."""
    gc.collect()
    held = torch.cuda.memory_allocated() if stage.on_gpu and not stage.is_pretended else 0
    _expect(held < LEFT_BYTES, f"{held / 2**20:.0f} MiB held")
    return f"{held / 2**20:.0f} MiB held"


def cpu_means_no_cuda(stage: Stage) -> str:
    """A process that was given the CPU finds no GPU."""
    code = "import torch; print(torch.cuda.is_available())"
    environment = os.environ | devices.environment(devices.CPU)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment).stdout.strip()
    _expect(said == "False", f"torch.cuda.is_available() is {said} there")
    return "no GPU there"


SCENES = [
    auto_precision,
    fine_tuning,
    embeddings,
    out_of_memory,
    memory_returned,
    cpu_means_no_cuda,
    stop_and_resume,
]
