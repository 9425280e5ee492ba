"""What NT-Xent costs: time and memory, beside matrix products and other implementations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.bench.peak_memory import peak_memory
from simclr.bench.timing import Row, speedup, take_turns, threads
from simclr.objectives import nt_xent


def random_embeddings(num_rows: int, dim: int = 128) -> tuple[Tensor, Tensor]:
    """z1 and z2, each (num_rows / 2, dim), on the GPU if there is one."""
    generator = torch.Generator().manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    z = torch.randn(num_rows, dim, generator=generator).to(device)
    return z[: num_rows // 2].requires_grad_(), z[num_rows // 2 :].requires_grad_()


def matrix_product_floor(num_rows: int, dim: int = 128) -> Callable[[], Any]:
    """Normalizes and computes three matrix products into allocated memory: no loss by the formula is faster."""
    z = torch.cat(random_embeddings(num_rows, dim)).detach()
    unit, similarities = torch.empty_like(z), z.new_empty(num_rows, num_rows)
    first, second = torch.empty_like(z), torch.empty_like(z)

    def work() -> None:
        torch.div(z, z.norm(dim=1, keepdim=True), out=unit)
        torch.mm(unit, unit.T, out=similarities)
        torch.mm(similarities, unit, out=first)
        torch.mm(similarities.T, unit, out=second)

    return work


def loss_work(function: Callable[[Tensor, Tensor], Tensor], num_rows: int, dim: int = 128) -> Callable[[], Any]:
    z1, z2 = random_embeddings(num_rows, dim)

    def work() -> None:
        torch.autograd.grad(function(z1, z2), (z1, z2))

    return work


def loss_functions(peers: Iterable[str]) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    def matrix(z1: Tensor, z2: Tensor) -> Tensor:
        z = F.normalize(torch.cat([z1, z2]), dim=1)
        logits = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
        return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(z) // 2))

    found: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "own": lambda z1, z2: nt_xent.nt_xent(z1, z2, 0.5),
        "own with ranks": lambda z1, z2: nt_xent.nt_xent_with_ranks(z1, z2, 0.5)[0],
        "matrix + cross_entropy": matrix,
    }
    if "lightly" in peers:
        from lightly.loss import NTXentLoss

        found["lightly"] = NTXentLoss(temperature=0.5)
    return found


def loss_peak(function: str, num_rows: int) -> Callable[[], Any]:
    """The work whose peak memory is that of one of the loss functions, by its name."""
    torch.set_num_threads(1)
    functions = loss_functions((function,))
    loss_work(functions[function], 64)()  # so that the memory which libraries take on first use is not counted
    return loss_work(functions[function], num_rows)


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """NT-Xent forward and backward, D = 128, float32, against three matrix products and against others."""
    clocks = [(1, time.process_time, "one thread")]
    if (cores := torch.get_num_threads()) > 1:
        clocks.append((cores, time.perf_counter, f"{cores} threads"))
    for num_rows in (512, 2048, 8192):
        turns = {512: 20 * repeats, 2048: 3 * repeats}.get(num_rows, repeats)
        for count, clock, name in clocks:
            candidates = {name: loss_work(function, num_rows) for name, function in loss_functions(peers).items()}
            candidates["the floor of three products"] = matrix_product_floor(num_rows)
            with threads(count):
                seconds = take_turns(candidates, turns, clock)
            pairs = [("own with ranks", "the floor of three products")]
            pairs += [("own", other) for other in reversed(candidates) if not other.startswith("own")]
            for own, other in pairs:
                what = "NT-Xent" if own == "own" else "NT-Xent with ranks"
                yield Row(
                    "loss",
                    f"{what}, 2N = {num_rows}, {name}",
                    1e3 * min(seconds[own]),
                    "ms",
                    other,
                    **speedup(seconds[own], seconds[other]),
                    repeats=turns,
                )
    mine = peak_memory(loss_peak, function="own with ranks", num_rows=8192)
    for other in ("matrix + cross_entropy", *peers):
        theirs = peak_memory(loss_peak, function=other, num_rows=8192)
        ratio = theirs / mine
        yield Row("loss", "peak memory beyond the rows, 2N = 8192", mine, "MiB", other, ratio, ratio, ratio)
