"""Series as plain numbers: places on the axis, thinning, smoothing and bands."""

import math
import random

import numpy as np
import pytest
from dashboard_fixtures import metric_columns

from simclr.curves import metric_info, smoothing

NAN = float("nan")


def test_chance_loss_is_the_log_of_the_number_of_candidates():
    assert metric_info.chance_loss(256) == pytest.approx(math.log(511))


@pytest.mark.parametrize("first", [0, 1])
def test_epochs_have_fractions_inside_and_whole_numbers_at_their_end(first):
    x, y = smoothing.points(metric_columns(first=first), "train/loss")
    assert x[:2] == pytest.approx([0.1, 0.2])
    assert x[-1] == pytest.approx(3)
    assert y[0] == pytest.approx(4.9)
    assert smoothing.points(metric_columns(first=first), "val/loss")[0] == pytest.approx([1, 2, 3])


def test_a_log_that_counts_epochs_and_steps_from_zero_ends_at_whole_epochs_too():
    columns = {"epoch": [], "step": [], "train_loss": [], "val_loss": []}  # as Lightning's CSVLogger does it
    for epoch in range(4):
        for step in (1, 3, 5, 7):
            for name, value in zip(columns, (epoch, 8 * epoch + step, 0.5, NAN), strict=True):
                columns[name].append(value)
        for name, value in zip(columns, (epoch, 8 * epoch + 7, NAN, 0.4), strict=True):
            columns[name].append(value)
    assert smoothing.points(columns, "val_loss")[0] == pytest.approx([1, 2, 3, 4])
    assert smoothing.points(columns, "train_loss")[0][:4] == pytest.approx([0.25, 0.5, 0.75, 1])


def test_points_by_step_and_by_time_leave_out_missing_values():
    columns = metric_columns()
    assert smoothing.points(columns, "val/knn_top1", "step") == ([10, 20, 30], [0.5, 0.5, 0.5])
    assert smoothing.points(columns, "val/knn_top1", "time")[0] == pytest.approx([5 / 60, 10 / 60, 15 / 60])
    assert smoothing.points(columns, "no such column") == ([], [])


def test_thinning_keeps_ends_and_every_spike():
    random.seed(0)
    y = [random.random() for _ in range(10_000)]
    y[4321], y[777] = 50.0, -50.0
    x, thinned = smoothing.thin(list(range(len(y))), y, 500)
    assert len(x) <= 500
    assert x == sorted(x)
    assert (x[0], x[-1]) == (0, 9999)
    assert max(thinned) == 50.0
    assert min(thinned) == -50.0
    assert all(y[int(place)] == value for place, value in zip(x, thinned, strict=True))


def test_few_points_are_left_alone():
    assert smoothing.thin([1, 2], [3, 4]) == ([1, 2], [3, 4])


def test_smoothing_of_a_constant_is_the_constant_and_zero_changes_nothing():
    assert smoothing.smooth([2.0] * 5, 0.9) == pytest.approx([2.0] * 5)
    assert smoothing.smooth([1.0, 5.0, 2.0], 0) == [1.0, 5.0, 2.0]
    rough = [1.0, 5.0, 1.0, 5.0, 1.0]
    assert max(smoothing.smooth(rough, 0.8)) < 5
    with pytest.raises(ValueError, match="below 1"):
        smoothing.smooth(rough, 1.0)


def slow_smooth(values, weight):
    average, result = 0.0, []
    for count, value in enumerate(values, start=1):
        average = weight * average + (1 - weight) * value
        result.append(average / (1 - weight**count))
    return result


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.95, 0.99])
def test_smoothing_equals_the_slow_way(weight):
    random.seed(1)
    values = [random.gauss(0, 1) for _ in range(2000)]
    assert smoothing.smooth(values, weight) == pytest.approx(slow_smooth(values, weight), abs=1e-9)


def test_thinning_for_a_logarithmic_axis_keeps_the_beginning():
    x = np.arange(1, 100_001, dtype=float)
    kept = smoothing.thinned(np.sin(x), 200, x)
    assert len(kept) <= 200
    assert (kept < 1000).sum() > 80  # two of five powers of ten; by count it would be two points


def test_the_mean_over_seeds_has_the_band_of_the_sample_and_ends_where_the_first_ends():
    x = np.arange(5.0)
    found = smoothing.band([(x, x), (x, x + 2), (x[:4], x[:4] + 4)])
    assert found.num_runs == 3
    assert found.x.tolist() == [0, 1, 2, 3]
    assert found.mean == pytest.approx([2, 3, 4, 5])
    assert found.high - found.mean == pytest.approx([2.0] * 4)  # the standard deviation of 0, 2, 4 is 2
    around = smoothing.band([(x, x), (x, x + 2), (x, x + 4)], "range")
    assert (around.low.tolist(), around.high.tolist()) == (x.tolist(), (x + 4).tolist())


def test_the_mean_reads_between_points_and_one_line_is_its_own_mean():
    found = smoothing.band(
        [(np.array([0.0, 2.0]), np.array([0.0, 2.0])), (np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0, 2.0]))]
    )
    assert found.x.tolist() == [0, 1, 2]
    assert found.mean.tolist() == [0, 2, 2]
    alone = smoothing.band([(np.array([1.0, 2.0]), np.array([5.0, 6.0]))])
    assert alone.low.tolist() == alone.high.tolist() == [5, 6]
    assert smoothing.band([]).num_runs == 0
    apart = smoothing.band([(np.array([0.0, 1.0]), np.array([0.0, 1.0])), (np.array([5.0, 6.0]), np.array([0.0, 1.0]))])
    assert len(apart.x) == 0
