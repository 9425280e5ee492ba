"""What a GPU gives: its bf16 peak, images per second, kernels of a step, views, the loss, and the tutorials' loop.

Every figure is a line of text, since it is to be read and sent back as it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any


class Sizes:
    """What is measured on a GPU, and tiny in a rehearsal.

    Args:
        rehearse: "cpu", or "pretended" where `cuda` has shapes and no values; empty on a real GPU.
    """

    def __init__(self, rehearse: str = "") -> None:
        real = not rehearse
        self.device = "cpu" if rehearse == "cpu" else "cuda"
        self.accelerator = "cpu" if rehearse == "cpu" else "gpu"
        self.backbone = "resnet18" if real else "resnet_tiny"
        self.product, self.images = (8192, 512) if real else (128, 16)
        self.rows: tuple[int, ...] = (1024, 8192) if real else (64,)
        self.batches: tuple[int, ...] = (512, 1024) if real else (16,)
        self.steps = 24 if real else 6
        self.workers = min(16, os.cpu_count() or 1) if real else 1
        self.modes: tuple[Any, ...] = (False, True, "max-autotune") if real else (False,)
        self.repeats = 20 if real else 2


def _seconds(work: Callable[[], Any], repeats: int) -> list[float]:
    """Of each of `repeats` calls, after two that warm up, on the wall clock with the device waited for."""
    import torch

    found = []
    for turn in range(repeats + 2):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if turn >= 2:
            found.append(time.perf_counter() - start)
    return found


def _spread(values: list[float], scale: Callable[[float], float], unit: str) -> str:
    from statistics import median

    low, high = sorted((scale(min(values)), scale(max(values))))
    return f"{scale(median(values)):,.4g} {unit} (median of {len(values)}, {low:,.4g} to {high:,.4g})"


def peak(sizes: Sizes) -> str:
    import torch

    a, b = (torch.randn(sizes.product, sizes.product).to(sizes.device, torch.bfloat16) for _ in range(2))
    return _spread(_seconds(lambda: a @ b, sizes.repeats), lambda s: 2 * sizes.product**3 / s / 1e12, "TFLOP/s")


def views(sizes: Sizes, blur: float) -> str:
    from simclr.bench import augmentation
    from simclr.config import Augmentation

    images = augmentation.photos(sizes.images, augmentation.SIDE).to(sizes.device)
    work = augmentation.own_views(images, Augmentation(blur_probability=blur), augmentation.SIDE)
    return _spread(_seconds(work, sizes.repeats), lambda s: 2 * sizes.images / s, "views/s")


def loss(sizes: Sizes, num_rows: int) -> str:
    from simclr.bench import loss

    said = []
    functions = loss.loss_functions(())
    for name in ("own with ranks", "matrix + cross_entropy"):
        work = loss.loss_work(functions[name], num_rows)
        said.append(f"{name} {_spread(_seconds(work, sizes.repeats), lambda s: 1e3 * s, 'ms')}")
    floor = _spread(_seconds(loss.matrix_product_floor(num_rows), sizes.repeats), lambda s: 1e3 * s, "ms")
    return "; ".join([*said, f"three products {floor}"])


def _train(sizes: Sizes, batch: int, mode: Any, callback: Any) -> None:
    """Steps of one epoch as `pretrain` trains them; the device is waited for by the callback alone."""
    from simclr import config as cfg
    from simclr.lifecycle import train

    options: dict[str, Any] = {
        "dataset": "shapes",
        "limit_images": batch * sizes.steps,
        "image_size": 32,
        "backbone": sizes.backbone,
        "batch_size": batch,
        "val_fraction": 0,
        "evaluate": False,
        "knn_every_epochs": 0,
        "film_frames": 0,
        "epochs": 1,
        "optimizer": "adamw",
        "compile": mode,
        "accelerator": sizes.accelerator,
        "checkpoint_every_minutes": 0,
    }
    config = cfg.build(cfg.PretrainConfig, options)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        status = train.train(config, runs_dir=Path(folder), callbacks=[callback]).status
    if status.state != "finished":
        raise RuntimeError(status.error)


def _rate_clock(steps: int) -> Any:
    import lightning as L
    import torch

    class Clock(L.Callback):
        """From the end of one step to that of the one before the last, without a wait between."""

        def __init__(self) -> None:
            self.marks: list[float] = []

        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step in (steps // 3, steps - 1):
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                self.marks.append(time.perf_counter())

    return Clock()


def images_per_second(sizes: Sizes, batch: int, mode: Any) -> str:
    from simclr.bench import budget
    from simclr.config import ConfigError

    clock = _rate_clock(sizes.steps)
    try:
        _train(sizes, batch, mode, clock)
    except ConfigError as error:
        return f"not offered: {error}"
    seconds = (clock.marks[1] - clock.marks[0]) / (sizes.steps - 1 - sizes.steps // 3)
    flops = 6 * budget.forward_work(sizes.backbone).products * 2 * batch
    return f"{batch / seconds:,.0f} images/s, {1e3 * seconds:.2f} ms a step, {flops / seconds / 1e12:.1f} TFLOP/s"


def steps_seen(sizes: Sizes) -> str:
    """Kernels and waits of each of three steps in the middle, from the profiler and CUDA's own warnings."""
    import lightning as L
    import torch

    first, last = sizes.steps // 2, sizes.steps // 2 + 3
    heard: list[str] = []
    on_gpu = sizes.device == "cuda" and torch.cuda.is_initialized()
    kinds = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * on_gpu
    profiler = torch.profiler.profile(activities=kinds)

    class Look(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step == first:
                if on_gpu:
                    torch.cuda.set_sync_debug_mode("warn")
                profiler.__enter__()
            elif trainer.global_step == last:
                profiler.__exit__(None, None, None)
                if on_gpu:
                    torch.cuda.set_sync_debug_mode("default")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, kind, file, number, *_: heard.append(f"{Path(file).name}:{number}")
        _train(sizes, sizes.batches[0], False, Look())
    events = profiler.events()
    kernels = [event for event in events if "CUDA" in str(event.device_type)]
    waits = [event for event in events if "Synchronize" in event.name or event.name == "cudaMemcpy"]
    busy = sum(event.self_device_time_total for event in kernels) / 3e3
    launches = sum("LaunchKernel" in event.name for event in events)
    return (
        f"{len(kernels) / 3:.0f} kernels, {launches / 3:.0f} launches, {busy:.2f} ms of the GPU and "
        f"{len(waits) / 3:.1f} waits a step; warned of: {', '.join(sorted(set(heard))) or 'none'}"
    )


def pil_loop(sizes: Sizes) -> str:
    """The tutorials' way: PIL in reading processes, float images copied, the loss with the whole matrix."""
    import torch
    from torchvision.transforms.functional import to_pil_image

    from simclr.bench import augmentation
    from simclr.bench.loss import loss_functions
    from simclr.models import backbones
    from simclr.models.heads import projection_head

    batch = sizes.batches[0]
    pictures = [to_pil_image(image) for image in augmentation.photos(batch, augmentation.SIDE)]
    transform = augmentation.textbook_transform(augmentation.SIDE, blur=False)

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return batch * sizes.steps

        def __getitem__(self, index: int) -> Any:
            picture = pictures[index % batch]
            return transform(picture), transform(picture)

    loader = torch.utils.data.DataLoader(
        Pictures(), batch, num_workers=sizes.workers, pin_memory=sizes.device == "cuda", drop_last=True
    )
    encoder = backbones.build_encoder(sizes.backbone, augmentation.SIDE)
    network = torch.nn.Sequential(
        encoder.network, torch.nn.Flatten(1), projection_head(encoder.num_features, 512, 128)
    ).to(sizes.device)
    optimizer = torch.optim.AdamW(network.parameters())
    matrix_loss = loss_functions(())["matrix + cross_entropy"]
    marks = []
    for first, second in loader:
        both = torch.cat([first.to(sizes.device, non_blocking=True), second.to(sizes.device, non_blocking=True)])
        with torch.autocast(sizes.device, torch.bfloat16):
            z = network(both).float()
        value = matrix_loss(*z.chunk(2))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        marks.append(time.perf_counter())
    seconds = (marks[-1] - marks[len(marks) // 3]) / (len(marks) - 1 - len(marks) // 3)
    return f"{batch / seconds:,.0f} images/s with {sizes.workers} reading processes"


def on_paper() -> Iterator[tuple[str, str]]:
    from simclr.bench import budget

    for row in budget.measure((), 1):
        yield f"on paper: {row.what}", f"{row.figure:.2f} ms; {row.note}"


def lines(sizes: Sizes, rehearse: str = "") -> list[tuple[str, Callable[[], str]]]:
    """The name of each figure and what measures it, the most telling first and what is slow to start last."""
    found: list[tuple[str, Callable[[], str]]] = [("bf16 peak", lambda: peak(sizes))]
    steps = {
        f"step, batch {batch}{f', compile {mode}' if mode else ''}": partial(images_per_second, sizes, batch, mode)
        for mode in sizes.modes
        for batch in sizes.batches
    }
    first = list(steps)[: len(sizes.batches)]
    found += [(name, steps[name]) for name in first]
    if rehearse != "pretended":  # which has no profiler
        found += [("a step in the profiler", lambda: steps_seen(sizes))]
        found += [("PIL loop with the whole matrix", lambda: pil_loop(sizes))]
    found += [("views, no blur", lambda: views(sizes, 0.0)), ("views, blur", lambda: views(sizes, 0.5))]
    found += [(f"NT-Xent, 2N = {num_rows}", partial(loss, sizes, num_rows)) for num_rows in sizes.rows]
    found += [(name, partial(str, text)) for name, text in on_paper()]
    return found + [(name, steps[name]) for name in steps if name not in first]
