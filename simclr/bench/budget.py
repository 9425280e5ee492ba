"""The time budget of a pre-training step on a GPU, computed on paper and never measured: `bench --only budget`.

An item is a part of the step: what it would take, how that was computed, and what would remove it. Measured times
are compared with it, so that the first minutes on a GPU show which item is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simclr.bench.timing import Row
from simclr.models import backbones
from simclr.models.heads import projection_head

# NVIDIA H100 SXM, from its data sheet: bfloat16 products without sparsity, and memory.
PEAK_FLOPS, MEMORY_BYTES = 989e12, 3.35e12  # per second
# Guesses: shares of those peaks that convolutions and elementwise kernels reach; host time of an operation.
PRODUCT_SHARE, MEMORY_SHARE = 0.6, 0.85
LAUNCH_SECONDS, KERNEL_SECONDS = 5e-6, 3e-6  # on the host in eager mode; the least that a kernel takes
FACTOR_SECONDS = 1e-3  # drawing the random factors of a batch on the CPU, before any launch
# Counted on the simulated device of `tests/gpu`, ResNet-18, 32 px, bf16-mixed, AdamW.
OPERATIONS = {"step": 418, "views": 118, "loss": 66}


@dataclass(frozen=True)
class Item:
    """milliseconds: of the GPU; `hidden` ones are of the host while the GPU works, and are not added."""

    what: str
    milliseconds: float
    how: str
    removed_by: str
    hidden: bool = False


@dataclass
class Work:
    """Of one forward pass of one view: multiply-adds, and number of values that each kind of layer returns."""

    products: float = 0.0
    normalized: float = 0.0
    rectified: float = 0.0
    added: float = 0.0


def forward_work(backbone: str = "resnet18", side: int = 32) -> Work:
    """Counted by passing one view without values through the network."""
    work = Work()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            work.products += output.numel() * module.weight[0].numel()
        elif isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            work.normalized += output.numel()
        elif isinstance(module, nn.ReLU):
            work.rectified += output.numel()
        elif type(module).__name__ in ("BasicBlock", "Bottleneck"):
            work.added += output.numel()

    with torch.device("meta"):
        encoder = backbones.build_encoder(backbone, side)
        network = nn.Sequential(encoder.network, nn.Flatten(1), projection_head(encoder.num_features, 512, 128)).eval()
        for module in network.modules():
            module.register_forward_hook(note)
        network(torch.empty(1, 3, side, side))
    return work


def step_budget(batch_size: int = 512, side: int = 32) -> list[Item]:
    """Items for ResNet-18 in bf16-mixed, two views of each image, on an H100."""
    work, views = forward_work(side=side), 2 * batch_size

    def pass_ms(values: float, passes: int) -> float:
        return 1e3 * views * values * 2 * passes / (MEMORY_BYTES * MEMORY_SHARE)  # two bytes a value

    flops = 3 * 2 * work.products * views  # backward is twice forward
    view_bytes = views * 3 * side**2 * 4
    view_seconds = max(KERNEL_SECONDS, 2 * view_bytes / (MEMORY_BYTES * MEMORY_SHARE))
    loss_flops = 4 * 2 * views**2 * 128
    num_weights = 11.5e6
    return [
        Item("convolutions and matrix products", 1e3 * flops / (PEAK_FLOPS * PRODUCT_SHARE),
             f"{flops / 1e12:.2f} TFLOP at {PRODUCT_SHARE:.0%} of the peak", "compile with max-autotune"),
        Item("BatchNorm", pass_ms(work.normalized, 8), "reads 2, writes 1; backward reads 4, writes 1", "compile"),
        Item("ReLU", pass_ms(work.rectified, 5), "reads 1, writes 1; backward reads 2, writes 1",
             "compile, which fuses it into BatchNorm"),
        Item("residual sums", pass_ms(work.added, 6), "reads 2, writes 1; the same backward", "compile"),
        Item("views", 1e3 * OPERATIONS["views"] * view_seconds,
             f"{OPERATIONS['views']} operations, each reads and writes {view_bytes / 1e6:.0f} MB", "fewer operations"),
        Item("loss and ranks", 1e3 * (OPERATIONS["loss"] * KERNEL_SECONDS + loss_flops / (PEAK_FLOPS * 0.1)),
             f"{OPERATIONS['loss']} operations, float32 products", "compile, or a CUDA graph"),
        Item("weights: casts and AdamW", 1e3 * num_weights * 40 / (MEMORY_BYTES * MEMORY_SHARE),
             "11.5 million, 40 bytes each read or written", "nothing: it is fused"),
        Item("random factors", 1e3 * FACTOR_SECONDS, "drawn on the CPU while the step before runs", "nothing",
             hidden=True),
        Item("launches", 1e3 * OPERATIONS["step"] * LAUNCH_SECONDS,
             f"{OPERATIONS['step']} operations at {LAUNCH_SECONDS * 1e6:.0f} us of the host",
             "fewer operations, or a CUDA graph", hidden=True),
    ]  # fmt: skip


def total(items: list[Item], batch_size: int = 512) -> tuple[float, float]:
    """Milliseconds of the whole step, and the share of the bfloat16 peak that it reaches, 0..1."""
    milliseconds = sum(item.milliseconds for item in items if not item.hidden)
    flops = 3 * 2 * forward_work().products * 2 * batch_size
    return milliseconds, flops / PEAK_FLOPS / (milliseconds / 1e3)


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """A step of ResNet-18, batch 512, 32 px, bf16-mixed on an H100: computed on paper, never measured."""
    items = step_budget()
    for item in items:
        hidden = " (passes while the GPU works)" if item.hidden else ""
        note = f"{item.how}; removed by {item.removed_by}"
        yield Row("budget", item.what + hidden, item.milliseconds, "ms, computed", note=note)
    milliseconds, share = total(items)
    note = f"{512e3 / milliseconds:,.0f} images/s, {share:.0%} of the bf16 peak"
    yield Row("budget", "the whole step", milliseconds, "ms, computed", note=note)
