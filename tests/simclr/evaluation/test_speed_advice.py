"""Advice on speed and memory: at the boundaries of each rule, by what a run has measured of itself."""

from dataclasses import replace

import pytest

from simclr.evaluation import health
from simclr.runs.status import Status

GIB = 2**30
STATUS = Status(state="finished", usage_samples=15, mean_gpu_percent=95.0, peak_gpu_memory=20 * GIB)
CONFIG = {"batch_size": 256, "num_workers": 2, "temperature": 0.5}
META = {"in_memory": True, "device": "NVIDIA H200", "device_bytes": 40 * GIB}


def states(status=STATUS, config=CONFIG, meta=META):
    return [item.state for item in health.advice(status, config, meta)]


def test_a_gpu_that_is_busy_and_half_full_needs_no_advice():
    assert states() == []


@pytest.mark.parametrize(("load", "expected"), [(69.9, ["idle gpu"]), (70.0, [])])
def test_a_gpu_that_waits(load, expected):
    assert states(replace(STATUS, mean_gpu_percent=load)) == expected


def test_what_helps_a_gpu_that_waits_depends_on_where_the_images_are():
    status = replace(STATUS, mean_gpu_percent=30.0)
    (kept,), (read,) = (health.advice(status, CONFIG, META | {"in_memory": value}) for value in (True, False))
    assert "batch" in kept.advice and "num_workers is 2" in read.advice
    assert kept.sentence == "The GPU worked 30 % of the time."


@pytest.mark.parametrize(("share", "expected"), [(0.449, ["room"]), (0.45, [])])
def test_a_batch_that_fits_twice(share, expected):
    assert states(replace(STATUS, peak_gpu_memory=round(share * 40 * GIB))) == expected


def test_it_names_the_batch_that_fits():
    (found,) = health.advice(replace(STATUS, peak_gpu_memory=8 * GIB), CONFIG, META)
    assert found.sentence == "At most 8.0 of the GPU's 40 GiB were used." and "512" in found.advice


def test_few_samples_say_nothing():
    status = replace(STATUS, usage_samples=14, mean_gpu_percent=5.0, peak_gpu_memory=GIB)
    assert states(status) == []


@pytest.mark.parametrize(("share", "expected"), [(0.31, ["slow images"]), (0.3, []), (None, [])])
def test_images_that_come_slowly_on_a_cpu(share, expected):
    status = Status(state="running", wait_share=share, usage_samples=100)
    assert states(status, meta={"in_memory": False, "device": "CPU"}) == expected
    assert states(status, meta={"in_memory": True, "device": "CPU"}) == []
    assert states(status, meta={"in_memory": False, "device": "a GPU"}) == []  # its clock is not the CPU's


def test_a_head_on_kept_features_gets_none():
    status = replace(STATUS, mean_gpu_percent=5.0, peak_gpu_memory=GIB)
    assert states(status, CONFIG | {"freeze_encoder": True}) == []
    assert states(status, CONFIG | {"freeze_encoder": True, "augmentation": {"crop_probability": 1}}) != []


def test_a_run_that_measured_nothing_gets_none():
    assert health.advice(Status(), {}, {}) == []


@pytest.mark.parametrize(
    ("mean", "now", "samples", "expected"),
    [
        (0.31, None, 3, ["crowded"]),
        (0.3, None, 3, []),
        (0.1, 0.8, 3, ["crowded"]),
        (0.9, 0.9, 2, []),
        (None, None, 9, []),
        (1.0, None, 9, []),
        (float("nan"), None, 9, []),
    ],
)
def test_other_processes_that_hold_the_processor(mean, now, samples, expected):
    status = Status(state="running", mean_held_up=mean, held_up=now, usage_samples=samples)
    assert states(status, meta={"in_memory": True, "device": "CPU"}) == expected
    assert states(status) == []  # its work is done elsewhere


def test_it_says_how_much_faster_a_run_is_without_them():
    status = Status(state="running", mean_held_up=0.75, usage_samples=9)
    (found,) = health.advice(status, CONFIG, {"in_memory": True, "device": "CPU"})
    assert found.sentence == "This run waits 75 % of its time for a core that other processes hold."
    assert found.advice == "Without them it is about 4 times as fast."
    (found,) = health.advice(replace(status, state="finished"), CONFIG, {"in_memory": True, "device": "CPU"})
    assert "waited 75 %" in found.sentence
