"""What maps of features cost: PCA, UMAP and t-SNE."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from functools import partial

from simclr.bench.features.probe import labelled_features
from simclr.bench.timing import Row, seconds_of, speedup
from simclr.embeddings import projections


def measure(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """Maps of 10,000 x 512 features, neighbours looked for within, UMAP and t-SNE compiled and loaded before."""
    features = labelled_features(10_000, 512, 10)[0].numpy()
    seconds: dict[str, list[float]] = {}
    for method in projections.METHODS:
        projections.reduce(method, features[:1000])
        draw = partial(projections.reduce, method, features)
        seconds[method] = [seconds_of(draw, time.perf_counter) for _ in range(2)]
        label = projections.LABELS[method]
        if method == "tsne" and "sklearn" in peers:
            from sklearn.manifold import TSNE

            # as ours: the same number of iterations, metric and start, and all cores
            other = TSNE(metric="cosine", init="pca", max_iter=750, random_state=0, n_jobs=-1)
            theirs = [seconds_of(partial(other.fit_transform, features), time.perf_counter)]
            yield Row(
                "maps", label, min(seconds[method]), "s", "scikit-learn", repeats=1, **speedup(seconds[method], theirs)
            )
        else:
            yield Row("maps", label, statistics.median(seconds[method]), "s", repeats=2)
