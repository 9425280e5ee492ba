"""The story that the quick recipe is there to show, on real runs: long, so only in `make test-slow`."""

from __future__ import annotations

import os
import statistics

import pytest

from simclr import config as cfg
from simclr import runs
from simclr.lifecycle.train import train

SEEDS = (0, 1, 2, 3, 4)
LABEL_FRACTION = 0.01


def test_one_short_epoch_already_learns(tmp_path):
    """A loose floor that everyday tests can afford: after a few epochs the encoder beats guessing by far."""
    values = cfg.recipe("quick") | {"epochs": "4", "limit_images": "1500", "batch_size": "64", "num_threads": "1"}
    run = train(cfg.build(cfg.PretrainConfig, values), runs_dir=tmp_path)
    metrics = run.metrics()
    ranks = [rank for rank in metrics["val/mean_rank"] if rank == rank]
    assert ranks[0] < 64  # chance is the middle of the 127 candidates
    assert ranks[-1] < 0.5 * 64


@pytest.mark.slow
def test_five_seeds_of_the_quick_recipe(tmp_path, capsys):
    """kNN 0.80 in the mean and never below 0.75; with 1 % of the labels the encoder beats scratch by 15 points."""
    rows = []
    for seed in SEEDS:
        threads = str(os.cpu_count() or 1)  # other tests share the cores; this one is timed
        values = cfg.recipe("quick") | {"seed": str(seed), "num_threads": threads}
        run = train(cfg.build(cfg.PretrainConfig, values), runs_dir=tmp_path)
        metrics = run.metrics()
        knn = [share for share in metrics["val/knn_top1"] if share == share][-1]
        seconds = max(metrics["perf/seconds"])
        accuracy = {}
        for arm in ("finetune", "scratch"):
            options = cfg.recipe("quick", arm) | {
                "seed": str(seed),
                "label_fraction": str(LABEL_FRACTION),
                "experiment_version": run.id,
                "num_threads": threads,
            }
            partner = train(cfg.build(cfg.FinetuneConfig, options), runs_dir=tmp_path)
            assert partner.status.state == "finished"
            accuracy[arm] = partner.evaluation["test/top1"]
        rows.append((seed, knn, accuracy["finetune"], accuracy["scratch"], seconds))
        with capsys.disabled():
            print(
                f"seed {seed}: kNN {knn:.3f}, 1 % labels: frozen {rows[-1][2]:.3f}, scratch {rows[-1][3]:.3f}, "
                f"{seconds:.0f} s of training",
                flush=True,
            )
    assert [run.status.state for run in runs.list_runs(tmp_path)] == ["finished"] * 3 * len(SEEDS)
    knn = [row[1] for row in rows]
    gain = [row[2] - row[3] for row in rows]
    with capsys.disabled():
        for name, values_of in (("kNN", knn), ("gain over scratch", gain), ("seconds", [row[4] for row in rows])):
            print(f"{name}: mean {statistics.mean(values_of):.3f}, sd {statistics.stdev(values_of):.3f}, n {len(rows)}")
    assert statistics.mean(knn) >= 0.80
    assert min(knn) >= 0.75
    assert statistics.mean(gain) >= 0.15
