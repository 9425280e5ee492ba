"""NT-Xent, the loss of SimCLR (Chen et al. 2020, equation 1), in one process or several.

Similarities are computed in blocks and never held as a 2N x 2N matrix. With u the normalized rows, s = u u^T and T the
temperature, the loss of anchor i and the gradient of the sum of all losses are

    loss_i = log(1 + sum_k exp((s_ik - s_ip) / T))                    p: the positive of i; k: its 2N - 2 negatives
    dL / du_i = (sum_k (P_ik + P_ki) u_k - (Q_i + Q_p) u_p) / T       P_ik: softmax of s_ik / T over p and all k

with Q_i = sum_k P_ik, which is 1 - exp(-loss_i). Sums go over negatives alone. The usual form, log sum exp over all and
P_ip - 1 for the positive, loses its digits once the loss is small: P_ip is rounded to a multiple of 6e-8 then, and
Q_i is what is left of it.

s and P + P^T are symmetric, so each block above the diagonal serves its rows and, transposed, its columns. A first pass
sums the exponentials, a second computes each block again and multiplies it with the rows: two full matrix products in
all, where the plain formula takes three.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

# Rows of a block, by type of device. On a CPU a block and its spare copy should stay near (1024: 2 x 4 MiB); smaller
# ones are hardly quicker, and have threads wait for each other more often. A GPU needs large ones (4096: 2 x 64 MiB).
BLOCK_ROWS = {"cpu": 1024}
LARGE_BLOCK_ROWS = 4096
# Up to so many images one block holds all rows of both views, where blocks are that long (on a GPU 2 x 256 MiB).
ONE_BLOCK_IMAGES = {"cpu": 512}


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """Normalised-temperature cross-entropy: each of 2N rows has to find its positive among the 2N - 1 others.

    Exact at any temperature and any loss: float32 rounds a similarity by 1e-7, which changes loss and gradient by that
    share over the temperature, and nothing else is lost. Memory grows with N and not with its square. Never waits for
    the device. The gradient is computed along with the loss, where one is needed; it cannot be differentiated again.

    Args:
        z1, z2: (N, D) embeddings of two views of the same N images, any scale. float64 stays float64, every other type
            is computed in float32, under autocast too: bfloat16 keeps 8 bits, and a similarity of 0.99 divided by a
            temperature of 0.01 would be off by half a nat. A row of zeros has no direction: its similarity to every
            row is 0, and so is its gradient.
        temperature: above 0.

    Returns:
        Scalar: mean over the 2N anchors, in nats. ln(2N - 1) when all similarities are equal.

    Raises:
        ValueError: for shapes that differ, fewer than two images, or a temperature that is not above 0.
        RuntimeError: from `backward(create_graph=True)`.
    """
    loss, _ = _contrast(z1, z2, temperature, with_ranks=False, world=1)
    return loss


def nt_xent_with_ranks(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """`nt_xent`, and the rank of each anchor's positive from the same similarities.

    Returns:
        Loss as `nt_xent` gives it, and (2N,) float32 ranks without gradient: 1 + negatives strictly more similar + half
        of those equally similar, as `metrics.positive_ranks` counts them; the rows of z1, then those of z2.
    """
    return _contrast(z1, z2, temperature, with_ranks=True, world=1)


def contrast(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """`nt_xent_with_ranks` against the rows of all processes; in a single process the very same.

    With torch.distributed initialized, each process takes its own 2N rows as anchors and the 2 * world * N rows of all
    as candidates, and returns the mean loss and the ranks of its own anchors. Its gradient is that of the sum of all
    processes' losses with respect to its own rows. Averaged over the processes, as DistributedDataParallel does, loss
    and gradient of the weights are exactly those of one process with the whole batch.

    Every process has to call this at the same time, with the same number of rows, temperature and need of a gradient.
    It gathers the rows and then one number per row; the backward pass communicates nothing.
    """
    return _contrast(z1, z2, temperature, with_ranks=True, world=_num_processes())


class NTXentLoss(nn.Module):
    """NT-Xent (Chen et al. 2020, equation 1) as a module, `nt_xent` in one process.

    With torch.distributed initialized each process contrasts its own images with those of all, as `contrast` says:
    averaged over the processes, as DistributedDataParallel does, the gradient is that of the whole batch in one.

    Args:
        temperature: above 0.

    Raises:
        ValueError: for another temperature.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        _check_temperature(temperature)
        self.temperature = temperature

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scalar loss in nats of the embeddings of two views, each (N, D), as of `nt_xent`."""
        loss, _ = _contrast(z1, z2, self.temperature, with_ranks=False, world=_num_processes())
        return loss

    def extra_repr(self) -> str:
        return f"temperature={self.temperature:g}"


def _num_processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _check_temperature(temperature: float) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature is {temperature}; allowed: a number above 0")


def _contrast(z1: Tensor, z2: Tensor, temperature: float, *, with_ranks: bool, world: int) -> tuple[Tensor, Tensor]:
    if z1.shape != z2.shape or z1.ndim != 2:
        raise ValueError(f"z1 is {tuple(z1.shape)} and z2 {tuple(z2.shape)}; allowed: two equal shapes (N, D)")
    _check_temperature(temperature)
    if len(z1) * world < 2:
        raise ValueError(f"the batch has {len(z1)} image; allowed: at least 2, or there is nothing to contrast")
    z = torch.cat([z1, z2])  # (2N, D)
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    with torch.autocast(device_type=z.device.type, enabled=False):
        loss, ranks = _NTXent.apply(z, temperature, with_ranks, world)
    return loss, ranks


class _NTXent(torch.autograd.Function):
    """Loss and ranks of own rows (2N, D). The loss is a scalar, so its gradient is ready before backward is called."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, temperature: float, with_ranks: bool, world: int) -> tuple[Tensor, Tensor | None]:
        # By a power of two near the largest entry first: exact, and no square overflows or vanishes afterwards.
        largest = z.abs().amax(dim=1, keepdim=True)  # (2N, 1)
        size = largest.clamp(min=torch.finfo(z.dtype).tiny)
        size /= 2.0 * torch.frexp(size).mantissa
        rows = z / size
        norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp(min=1.0)  # below 1 for rows of zeros alone
        rows /= norm
        blocks = _Blocks(_gather(rows, world), world, dist.get_rank() if world > 1 else 0, temperature)
        losses, levels, ranks = blocks.losses(with_ranks)
        if ctx.needs_input_grad[0]:
            gradient = blocks.gradient(losses, _gather(levels, world)).div_(len(z))  # of the mean over own anchors
            gradient -= (gradient * rows).sum(dim=1, keepdim=True) * rows  # lengths do not matter: the tangent part
            gradient *= torch.where(largest > 0, 1.0 / (size * norm), 0.0)
            ctx.save_for_backward(gradient)
        if ranks is not None:
            ctx.mark_non_differentiable(ranks)
        return losses.mean(), ranks

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor | None) -> tuple[Tensor, None, None, None]:
        # once_differentiable would let a penalty on the gradient pass as a constant: it looks at `upstream` alone
        if torch.is_grad_enabled():
            raise RuntimeError("the gradient of NT-Xent cannot be differentiated again: leave out create_graph=True")
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None, None


def _gather(own: Tensor, world: int) -> Tensor:
    """(2n, ...) of each process, view 1 then view 2, to (2 * world * n, ...): view 1 of all, then view 2 of all."""
    if world == 1:
        return own
    parts = [torch.empty_like(own) for _ in range(world)]
    dist.all_gather(parts, own.contiguous())
    return torch.stack(parts).unflatten(1, (2, -1)).transpose(0, 1).flatten(0, 2)


class _Blocks:
    """Similarities of own anchors to the rows of all processes, block by block.

    Args:
        rows: (R, D) unit rows of all processes, view 1 then view 2.
        world, rank: each view is cut in `world` equal parts, of which this process owns number `rank`.
    """

    def __init__(self, rows: Tensor, world: int, rank: int, temperature: float) -> None:
        self.rows, self.temperature, self.num_rows, self.world, self.rank = rows, temperature, len(rows), world, rank
        limit = BLOCK_ROWS.get(rows.device.type, LARGE_BLOCK_ROWS)
        n = self.num_rows // 2
        if world == 1 and n <= min(
            limit, ONE_BLOCK_IMAGES.get(rows.device.type, limit)
        ):  # so little that the whole matrix is kept from one pass to the next
            own, others = [slice(0, 2 * n)], []
        else:
            first, last = rank * n // world, (rank + 1) * n // world
            own = _slices(first, last, limit) + _slices(n + first, n + last, limit)
            ends = (0, first), (last, n + first), (n + last, 2 * n)
            others = [part for start, stop in ends for part in _slices(start, stop, limit)]
        self.slices, self.num_own = own + others, len(own)
        pairs = [(a, b) for a in range(len(own)) for b in range(a, len(self.slices))]
        self.pairs = sorted(pairs, key=lambda pair: not self.holds_positives(*pair))  # those first: ranks need them
        size = max(part.stop - part.start for part in self.slices) ** 2
        self.buffer, self.spare = rows.new_empty(size), rows.new_empty(size)
        self.parts, self.positive = self.cut(rows), rows.new_zeros(self.num_rows)
        # Are all exp(s / T), sums of them and ratios of such sums within range, without subtracting a maximum?
        self.in_range = 2.0 / temperature + math.log(self.num_rows) < math.log(torch.finfo(rows.dtype).max) - 1.0
        self.scale = math.log2(math.e) / temperature  # exp2 takes a third of the time of exp on a CPU

    def cut(self, values: Tensor) -> list[Tensor]:
        """Views of `values` (R, ...), one for each block of rows."""
        return [values[part] for part in self.slices]

    def own(self, values: Tensor) -> Tensor:
        """The own rows of `values` (R, ...), view 1 then view 2."""
        return values.unflatten(0, (2, self.world, -1))[:, self.rank].flatten(0, 1)

    def holds_positives(self, a: int, b: int) -> bool:
        """Whether blocks a and b are the same images in view 1 and 2, or one block holds all rows."""
        return b == a + self.num_own // 2 and b < self.num_own

    def similarities(self, a: int, b: int) -> Tensor:
        """Cosines of row blocks a and b, in the buffer; those of positives go to `positive`, and only negatives stay.

        -inf stands in their place, and in that of an anchor with itself.
        """
        block = self.buffer[: len(self.parts[a]) * len(self.parts[b])].view(len(self.parts[a]), len(self.parts[b]))
        torch.mm(self.parts[a], self.parts[b].T, out=block)
        if a == b:
            block.fill_diagonal_(-math.inf)
        if self.holds_positives(a, b):
            if a == b:
                pairs = block.diagonal(self.num_rows // 2), block.diagonal(-self.num_rows // 2)
                torch.cat(pairs, out=self.positive)
            else:
                pairs = block.diagonal(), block.diagonal()
                self.positive[self.slices[a]], self.positive[self.slices[b]] = pairs
            for values in pairs:
                values.fill_(-math.inf)
        return block

    def sides(self, a: int, b: int, block: Tensor) -> list[tuple[int, int, Tensor]]:
        """(anchors, candidates, matrix) for each direction in which a block counts."""
        return [(a, b, block)] + ([(b, a, block.T)] if a != b and b < self.num_own else [])

    def spare_for(self, block: Tensor) -> Tensor:
        """Room for a result as large as `block`, in its memory order."""
        return self.spare[: block.numel()].as_strided(block.shape, block.stride())

    def losses(self, with_ranks: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Per own anchor (2n,): loss, level and rank; exp((s_ik - level_i) / T) is the softmax over candidates k."""
        signs = self.rows.new_zeros(self.num_rows)
        total = self.rows.new_full((self.num_rows,), 0.0 if self.in_range else -math.inf)
        positives, sign_parts, totals = self.cut(self.positive), self.cut(signs), self.cut(total)
        for a, b in self.pairs:
            block = self.similarities(a, b)
            if with_ranks or not self.in_range:
                for anchors, _, matrix in self.sides(a, b, block):
                    differences = torch.sub(matrix, positives[anchors][:, None], out=self.spare_for(matrix))
                    if not self.in_range:  # log-sum-exp, relative to the positive
                        here = torch.logsumexp(differences / self.temperature, dim=1)
                        torch.logaddexp(totals[anchors], here, out=totals[anchors])
                    if with_ranks:
                        sign_parts[anchors].add_(differences.sign_().sum(dim=1))
            if self.in_range:
                block.mul_(self.scale).exp2_()
                for anchors, _, matrix in self.sides(a, b, block):
                    totals[anchors].add_(matrix.sum(dim=1))
        positive, signs, total = self.own(self.positive), self.own(signs), self.own(total)
        if self.in_range:
            losses = torch.log1p(total * torch.exp2(positive * -self.scale))
        else:
            losses = torch.logaddexp(total, torch.zeros_like(total))
        # signs sum to (above - below - 2 for itself and the positive), and above + equal + below = R - 2
        ranks = (0.5 * (signs + (self.num_rows + 2))).to(torch.float32) if with_ranks else None
        return losses, positive + self.temperature * losses, ranks

    def gradient(self, losses: Tensor, level: Tensor) -> Tensor:
        """Gradient (2n, D) of the sum of all anchors' losses with respect to the own unit rows.

        Args:
            losses: (2n,) of own anchors.
            level: (R,) of all processes. Call it after `losses`, whose last block is used again if it was the only one.
        """
        gradient = torch.zeros_like(self.rows)
        gradients, levels = self.cut(gradient), self.cut(level)
        factors = self.cut(torch.exp2(level * -self.scale))
        for a, b in self.pairs:
            if len(self.pairs) > 1:
                block = self.similarities(a, b)
                if self.in_range:
                    block.mul_(self.scale).exp2_()
            else:
                block = self.buffer.view(self.num_rows, self.num_rows)
            spare = self.spare_for(block)
            if self.in_range:
                block.mul_(torch.add(factors[a][:, None], factors[b], out=spare))  # P + P^T
            else:
                torch.sub(block, levels[a][:, None], out=spare).mul_(self.scale).exp2_()
                block.sub_(levels[b]).mul_(self.scale).exp2_().add_(spare)
            for anchors, candidates, matrix in self.sides(a, b, block):
                gradients[anchors].addmm_(matrix, self.parts[candidates])
        share = -torch.expm1(-losses)  # of an anchor's negatives in its softmax
        n = len(losses) // 2
        partners = self.own(self.rows).roll(n, dims=0).mul_((share + share.roll(n))[:, None])
        return self.own(gradient).sub_(partners).div_(self.temperature)


def _slices(start: int, stop: int, limit: int) -> list[slice]:
    """start..stop in as few parts as `limit` rows each allow, equally long to within a row."""
    if start == stop:
        return []
    count = -(-(stop - start) // limit)
    ends = [start + (stop - start) * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]
