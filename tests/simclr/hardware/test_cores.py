"""Cores that this process may use: those it is bound to, and what its control groups leave of them."""

import os

import control_group_files
import pytest

from simclr.hardware import cores

FIRST = "cpu,cpuacct/a/cpu.cfs"  # of version 1


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/job", {"job/cpu.max": "150000 100000"}, 1.5),
        ("0::/job/step", {"job/cpu.max": "200000 100000", "job/step/cpu.max": "max 100000"}, 2.0),
        ("0::/", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/job", {"job/cpu.max": "1600000 100000"}, 4.0),  # more than there are
        ("3:cpu,cpuacct:/a", {f"{FIRST}_quota_us": "300000", f"{FIRST}_period_us": "100000"}, 3.0),
        ("3:cpu,cpuacct:/a", {f"{FIRST}_quota_us": "-1", f"{FIRST}_period_us": "100000"}, 4.0),
        ("0::/job", {"job/cpu.max": "nothing"}, 4.0),
        ("", {}, 4.0),
    ],
)
def test_cores_are_those_of_the_process_and_of_its_control_groups(tmp_path, monkeypatch, lines, files, expected):
    control_group_files.pretend(tmp_path, monkeypatch, lines, files)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    assert cores.num_cores() == 4
    assert cores.usable_cores() == expected
