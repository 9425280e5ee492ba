"""The table of results and what decides the verdict."""

import math
import subprocess
import sys

import pytest
from dashboard_fixtures import make_experiment

from simclr.results import arms, statistics, tables
from simclr.results.index import RunIndex


def test_rows_and_verdict_come_from_the_runs_that_stand_for_their_arms(tmp_path):
    pretraining, _ = make_experiment(tmp_path, (0.01, 1.0))
    summaries = RunIndex(tmp_path).summaries()
    picked = tables.arm_runs(tables.comparable(pretraining.id, summaries))
    assert list(picked) == [(fraction, arm) for fraction in (0.01, 1.0) for arm in arms.ARMS]
    rows = tables.result_rows(picked, {})
    assert [row.accuracy for row in rows] == pytest.approx([0.42, 0.48, 0.18, 0.5, 0.64, 0.74])
    assert [row.is_best for row in rows] == [False, True, False, False, False, True]
    assert rows[1].gain == pytest.approx(0.3) and rows[2].gain is None
    found = statistics.verdict(picked)
    assert (found.fraction, found.pretrained, found.scratch) == pytest.approx((0.01, 0.48, 0.18))
    assert found.gain == pytest.approx(0.3)
    assert statistics.verdict({}) is None


def test_the_deviation_is_that_of_a_sample():
    assert statistics.mean_and_std([1.0, 3.0]) == pytest.approx((2.0, math.sqrt(2)))


def test_no_page_is_needed():
    code = (
        "import sys; from simclr.results import arms, comparisons, curves, index, statistics, tables; "
        "sys.exit('streamlit' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
