"""Charts in words."""

import numpy as np
import pytest

from dashboard.components.live_chart.spoken import spoken
from dashboard.run.figures import per_class
from dashboard.shared import figures


def line(name, y, **more):
    return figures.line_trace(list(range(len(y))), y, name, "primary", **more)


def test_a_line_is_told_from_its_first_to_its_last_value_with_axes_and_unit():
    figure = {
        "data": [line("train", [6.2381, 5.5, 5.25]), line("validation", [6.0])],
        "layout": figures.layout("Epoch", "Loss"),
    }
    assert spoken(figure, "Loss") == "Loss (Loss by Epoch). train: from 6.238 to 5.25. validation: from 6 to 6."
    figure = {"data": [line("kNN", [0.1, 0.885], percent=True)], "layout": figures.layout("Epoch", percent=True)}
    assert spoken(figure, "kNN accuracy") == "kNN accuracy (Epoch). kNN: from 10 % to 88.5 %."


def test_bars_are_told_one_by_one_and_many_are_counted():
    figure = per_class(["cat", "dog"], [0.5, 0.25], "primary")
    assert spoken(figure, "By class") == "By class (Test accuracy). dog 25 %, cat 50 %."
    many = per_class([f"c{i}" for i in range(20)], [i / 20 for i in range(20)], "primary")
    assert spoken(many, "By class").endswith("c11 55 %, 8 more.")


def test_points_are_counted_with_their_range_and_shares_become_per_cent():
    trace = {"type": "scatter", "mode": "markers", "x": [1, 2, 3], "y": [0.5, 0.25, None], "name": "runs"}
    figure = {"data": [trace], "layout": {"yaxis": {"tickformat": ".0%"}}}
    assert spoken(figure, "T") == "T. runs: 2 points from 25 % to 50 %."


@pytest.mark.parametrize("y", [[], [None, float("nan")]])
def test_a_line_without_values_and_a_mark_without_name_say_nothing(y):
    assert spoken({"data": [{"y": y, "name": "a"}, {"y": [3.0]}, {"name": "b"}]}, "T") == "T."


def test_values_may_be_arrays_and_lines_beyond_six_are_counted():
    data = [{"y": np.array([0.0, float(place)]), "name": f"l{place}"} for place in range(9)]
    text = spoken({"data": data}, "T")
    assert "l5: from 0 to 5" in text and "l6" not in text and text.endswith(". 3 more.")
