"""What tells whether representations are learned: pure functions of features and similarities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


def positive_ranks(similarities: Tensor) -> Tensor:
    """Rank of each anchor's positive among all other rows.

    Args:
        similarities: (2N, 2N), rows z1 then z2.

    Returns:
        (2N,) float32: 1 + negatives strictly more similar + half of those equally similar. Ties count half, so an
        encoder that maps everything to one point stands at chance, N, and not at 1.
    """
    num_rows = len(similarities)
    rows = torch.arange(num_rows, device=similarities.device)
    positives = rows.roll(num_rows // 2)
    positive = similarities[rows, positives][:, None]
    # an anchor is its own most similar row, and equal to itself only if everything is: take it out of both counts
    others = similarities.masked_fill(torch.eye(num_rows, dtype=torch.bool, device=similarities.device), -torch.inf)
    above = (others > positive).sum(dim=1)
    equal = (others == positive).sum(dim=1) - 1  # without the positive itself
    return 1.0 + above + 0.5 * equal


def top_k(ranks: Tensor, k: int) -> Tensor:
    """Share of ranks that are at most k, 0..1."""
    return (ranks <= k).to(torch.float32).mean()


def contrastive_metrics(ranks: Tensor, num_candidates: int) -> dict[str, Tensor]:
    """`top1`, `top5` (best min(5, candidates)) and `mean_rank` of the positives among `num_candidates` rows each."""
    return {"top1": top_k(ranks, 1), "top5": top_k(ranks, min(5, num_candidates)), "mean_rank": ranks.mean()}


def num_processes() -> int:
    """How many processes train together; 1 where none has joined."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_processes(values: list[float]) -> list[float]:
    """The sum of each value over the processes of the run; the same in every one of them."""
    if num_processes() == 1:
        return values
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    found = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(found)
    return found.tolist()


def alignment(z1: Tensor, z2: Tensor) -> Tensor:
    """Mean squared distance of positives on the unit sphere, 0..4; lower is closer (Wang and Isola 2020)."""
    return (F.normalize(z1.float(), dim=1) - F.normalize(z2.float(), dim=1)).square().sum(dim=1).mean()


def uniformity(z: Tensor) -> Tensor:
    """Log of the mean Gaussian potential exp(-2 d^2) over all pairs on the unit sphere; lower is more spread.

    0 for a collapsed encoder (Wang and Isola 2020, t = 2).
    """
    if len(z) < 2:
        raise ValueError(f"z has {len(z)} row; allowed: at least 2")
    squared = torch.pdist(F.normalize(z.float(), dim=1)).square()
    return torch.logsumexp(-2.0 * squared, dim=0) - math.log(len(squared))


def singular_values(features: Tensor) -> Tensor:
    """Singular values of the centred (N, D) features, (min(N, D),) float64, the largest first.

    All 0 where all rows are alike, NaN if the features are not all finite. Divided by sqrt(N) they are the standard
    deviations along the principal directions.
    """
    features = features.to(torch.float64)
    centred = features - features.mean(dim=0)
    # what is left of equal rows after rounding is noise, not directions
    size, spread = float(features.norm()), float(centred.norm())
    if not math.isfinite(size) or spread <= 1e-6 * size:
        return torch.full((min(features.shape),), 0.0 if math.isfinite(size) else math.nan, device=features.device)
    # they are roots of the smaller Gram matrix's eigenvalues: much quicker than an SVD
    gram = centred.T @ centred if centred.shape[0] >= centred.shape[1] else centred @ centred.T
    return torch.linalg.eigvalsh(gram).clamp(min=0.0).sqrt().flip(0)


def effective_rank(features: Tensor) -> Tensor:
    """Exponential of the entropy of the normalised singular values of the centred (N, D) features.

    1 (all in one direction, or all rows alike) to min(N - 1, D) (Roy and Vetterli 2007; RankMe, Garrido et al. 2023).
    NaN if the features are not all finite.
    """
    return entropy_rank(singular_values(features))


def entropy_rank(singular: Tensor) -> Tensor:
    """The same from `singular_values`."""
    if not bool(singular.sum() > 0):
        return torch.tensor(math.nan if singular.isnan().any() else 1.0, device=singular.device)
    shares = singular / singular.sum()
    return torch.exp(-torch.special.xlogy(shares, shares).sum()).to(torch.float32)


def feature_std(features: Tensor) -> Tensor:
    """Mean over features of the standard deviation of (N, D) rows brought to length 1.

    0 for a collapsed encoder, 1 / sqrt(D) for rows spread evenly over the sphere (Chen and He 2021, section 4.1).
    """
    return F.normalize(features.float(), dim=1).std(dim=0, correction=0).mean()


def mean_similarities(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cosine similarity of positives, and of all pairs of different images, each -1..1."""
    z1, z2 = F.normalize(z1.float(), dim=1), F.normalize(z2.float(), dim=1)
    between = z1 @ z2.T  # (N, N)
    positive = between.diagonal().mean()
    count = len(z1) * (len(z1) - 1)
    negative = (between.sum() - between.diagonal().sum()) / max(1, count)
    return positive, negative


class Similarities(NamedTuple):
    """Numbers of pairs by cosine similarity in equal bins over -1..1 (num_bins,), and how far both kinds are apart."""

    positive: Tensor
    negative: Tensor
    d_prime: float


def similarity_histograms(z1: Tensor, z2: Tensor, num_bins: int, max_rows: int = 1000) -> Similarities:
    """Similarities of the two views of an image, and of views of different images.

    Args:
        z1, z2: (N, D) embeddings of both views, N at least 2.
        max_rows: negatives come from at most so many images, evenly picked: a million pairs fill a histogram.

    Returns:
        Histograms, and d' = (mean of positives - mean of negatives) / root mean square of both standard deviations
        (Green and Swets 1966); NaN where neither kind varies.
    """
    z1, z2 = F.normalize(z1.float(), dim=1), F.normalize(z2.float(), dim=1)
    positive = (z1 * z2).sum(dim=1)
    picked = torch.linspace(0, len(z1) - 1, min(len(z1), max_rows), dtype=torch.float64).round().long().to(z1.device)
    between = z1[picked] @ z2[picked].T  # (n, n)
    negative = between[~torch.eye(len(picked), dtype=torch.bool, device=z1.device)]
    variances = positive.var(correction=0) + negative.var(correction=0)
    # equal rows differ by rounding alone
    varies = bool(variances > 1e-12)
    d_prime = float((positive.mean() - negative.mean()) / (variances / 2).sqrt()) if varies else math.nan
    # rounding may bring a similarity out of range, where a histogram would not count it
    counts = [torch.histc(values.clamp(-1, 1).cpu(), num_bins, -1, 1) for values in (positive, negative)]
    return Similarities(counts[0], counts[1], d_prime)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of equal entries, 0..1."""
    return float((predicted == labels).float().mean())


def classification_shares(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """`top1` and `top5` (best min(5, classes)) of (N, num_classes) logits: shares of the N rows, 0..1."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (N, 5)
    hit = best == labels[:, None]
    return {"top1": hit[:, 0].float().mean(), "top5": hit.any(dim=1).float().mean()}


class RunningMeans:
    """Means over images of what was measured batch by batch: what `train/loss` and all curves of a training show.

    Each image counts once, so that a small last batch counts for little. What is summed stays on its device until it is
    asked for: no step waits for a GPU to be logged.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sums, self._num_images = torch.zeros(0), 0

    def add(self, values: dict[str, Tensor], num_images: int) -> None:
        """Takes in the means, each a scalar, over a batch of `num_images`; the names are the same every time."""
        means = torch.stack([value.detach().float() for value in values.values()])
        if not self._num_images:
            self._names, self._sums = tuple(values), torch.zeros_like(means)
        # sums that were restored from a checkpoint lie on the CPU at first
        self._sums = self._sums.to(means.device).add(means, alpha=num_images)
        self._num_images += num_images

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(zip(self._names, self._sums.tolist(), strict=True)), "images": self._num_images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "images" in state:  # an earlier version counted batches: what it had gathered fits no row of this one
            self._names, self._sums = tuple(state["sums"]), torch.tensor(list(state["sums"].values()))
            self._num_images = state["images"]

    @staticmethod
    def joined(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The state over the images of several processes, of which each gave its own; some may have seen none."""
        known = [state for state in states if state.get("images")]
        names = known[0]["sums"] if known else {}
        sums = {name: sum(state["sums"][name] for state in known) for name in names}
        return {"sums": sums, "images": sum(state["images"] for state in known)}

    def take(self) -> dict[str, float]:
        """The means since the last call, over the images of all processes, in each of which this is called."""
        sums = sum_over_processes([*self._sums.tolist(), self._num_images])
        means = {name: total / sums[-1] for name, total in zip(self._names, sums, strict=False)}
        self._clear()
        return means
