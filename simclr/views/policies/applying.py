"""Applies what a policy drew: images grouped by operation, each group at once on its device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from simclr.data.transfer import all_to_device
from simclr.views.policies import operations
from simclr.views.policies.drawing import GEOMETRIC, OPERATIONS, PolicyDraw

MOVE = "move"  # shear, translate and rotate, which differ only in where each pixel comes from


def _groups(found: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Operations (n,) of images to the rows of each group, by name; an identity is in none."""
    for code in found.unique().tolist():
        if code > len(GEOMETRIC):
            yield OPERATIONS[code], (found == code).nonzero()[:, 0]
    moved = ((found >= 1) & (found <= len(GEOMETRIC))).nonzero()[:, 0]
    if len(moved):
        yield MOVE, moved


class PolicyPlan:
    """Which images of each chunk an operation changes: found on the CPU, so that nobody waits for a GPU.

    Args:
        draw: of M views, on the CPU.
        chunks: indices into them, (n,) each: the views that are drawn at once.
        size: side of a view in pixels.
        device: of the views.
    """

    def __init__(self, draw: PolicyDraw, chunks: list[Tensor], size: int, device: torch.device) -> None:
        codes = torch.where(draw.applied, draw.operations, 0)  # (M, K)
        kinds: dict[tuple[int, float], int] = {}  # of moves: code and strength to a number
        numbers: list[Tensor] = []
        names: list[list[list[str]]] = []  # of each chunk, of each operation in turn
        for chunk in chunks:
            rows = codes[chunk].any(dim=1).nonzero()[:, 0]
            numbers.append(rows)
            names.append([])
            for found, strengths in zip(codes[chunk][rows].T, draw.strengths[chunk][rows].T, strict=True):
                names[-1].append([])
                for name, group in _groups(found):
                    names[-1][-1].append(name)
                    values = strengths[group]
                    if name == MOVE:
                        pairs = zip(found[group].tolist(), values.tolist(), strict=True)
                        values = torch.tensor([kinds.setdefault(pair, len(kinds)) for pair in pairs])
                    numbers += [group, values]
        self._numbers = iter(all_to_device(numbers, device))
        maps = [operations.source_map(OPERATIONS[code], strength, size, device) for code, strength in kinds]
        self._maps = torch.stack(maps) if maps else None  # (number of kinds, size * size)
        self._names = iter(names)

    def apply_(self, planes: Tensor) -> None:
        """Changes planes (3, n, H, W) in 0..1, those of the next chunk. What it changes is rounded to bytes first."""
        rows, names = next(self._numbers), next(self._names)
        if not len(rows):
            return
        some = planes.index_select(1, rows).mul_(operations.LARGEST).round_().clamp_(0.0, operations.LARGEST)
        for of_slot in names:
            for name in of_slot:
                group, values = next(self._numbers), next(self._numbers)
                part = some.index_select(1, group)
                if name == MOVE:
                    assert self._maps is not None
                    part = operations.move(part, self._maps.index_select(0, values))
                else:
                    part = operations.BY_NAME[name](part, values)
                some.index_copy_(1, group, part)
        planes.index_copy_(1, rows, some.mul_(1.0 / operations.LARGEST))
