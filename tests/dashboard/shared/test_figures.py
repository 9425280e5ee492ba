"""Figures as plain values: places on the axis, thinning, smoothing, and what each figure says."""

import json

import pytest
from dashboard_fixtures import metric_columns

from dashboard.results import figures as result_figures
from dashboard.results.figures import Arm
from dashboard.run import figures as run_figures
from dashboard.shared import figures
from simclr.results import convergence
from simclr.results.convergence import Training
from simclr.results.statistics import Spread


def test_run_figure_has_both_splits_and_the_line_of_chance():
    figure = figures.run_figure(metric_columns(), "loss", "#123456", chance=6.24)
    assert [trace["name"] for trace in figure["data"]] == ["Training", "Validation", "equal similarities"]
    assert figure["data"][2]["y"] == [6.24, 6.24]
    assert "6.24" in figure["layout"]["annotations"][0]["text"]
    json.dumps(figure, allow_nan=False)


def test_accuracies_are_shown_in_per_cent():
    figure = figures.run_figure(metric_columns(), "knn_top1", "#123456")
    assert figure["data"][0]["y"] == [50.0, 50.0, 50.0]
    assert figure["layout"]["yaxis"]["ticksuffix"] == " %"


def test_a_run_without_metrics_gives_a_figure_without_lines():
    assert figures.run_figure({}, "loss", "#123456", chance=6.0)["data"] == []


def test_overlay_lists_each_arm_once():
    arms = [Arm(name, color, (metric_columns(),)) for name, color in (("a", "#111111"), ("b", "#222222"))]
    figure = result_figures.overlay(arms, "loss")
    listed = [trace["name"] for trace in figure["data"] if trace["showlegend"]]
    assert listed == ["a", "b"]
    assert len(figure["data"]) == 6  # two arms, each with training, validation and its entry
    json.dumps(figure, allow_nan=False)
    assert result_figures.overlay([Arm("a", "#111111", ({},))], "loss")["data"] == []


def test_several_seeds_are_drawn_as_their_mean_with_its_deviation():
    seeds = tuple({"step": [1.0, 2.0], "val/top1": [low, 0.5]} for low in (0.1, 0.3))
    figure = result_figures.overlay([Arm("a", "#102030", seeds)], "top1")
    band, line, entry = figure["data"]
    assert (line["x"], line["y"]) == ([1.0, 2.0], [20.0, 50.0])
    deviation = 100 * 0.2 / 2**0.5
    assert band["y"] == pytest.approx([20 - deviation, 50, 50, 20 + deviation], rel=1e-4)
    assert (band["fill"], band["fillcolor"]) == ("toself", "rgba(16,32,48,0.14)")
    assert {trace["legendgroup"] for trace in figure["data"]} == {"arm-0"} and entry["showlegend"]


def reach(ours, scratch):
    def trained(*values):
        steps = [float(n + 1) for n in range(len(values))]
        return Training(convergence.validations({"step": steps, "val/top1": values}))

    return convergence.over_seeds([convergence.pair(trained(*ours), trained(*scratch))], "wall")


def test_the_level_is_a_thin_line_and_each_arm_has_a_ring_where_it_comes_to_it():
    scratch, ours, never = [0.1, 0.4, 0.5], [0.5, 0.6], [0.1, 0.2]
    arms = [
        Arm(name, color, ({"step": [1.0, 2.0, 3.0][: len(values)], "val/top1": values},), reach(values, scratch))
        for name, color, values in (("a", "#111111", ours), ("s", "#222222", scratch), ("n", "#333333", never))
    ]
    figure = result_figures.overlay(arms, "top1")
    (level,) = [trace for trace in figure["data"] if trace.get("line", {}).get("color") == "muted"]
    assert (level["x"], level["y"]) == ([0, 3.0], [pytest.approx(45)] * 2) and level["line"]["width"] == 1
    rings = {trace["name"]: (trace["x"], trace["y"]) for trace in figure["data"] if trace["mode"] == "markers"}
    assert rings == {"a": ([1.0], [50.0]), "s": ([3.0], [50.0])}  # on the curve, not on the line; one is never there
    assert "45.0 %" in figure["layout"]["annotations"][0]["text"]
    assert not [trace for trace in result_figures.overlay(arms, "loss")["data"] if trace["mode"] == "markers"]
    json.dumps(figure, allow_nan=False)


def test_lines_of_one_colour_differ_in_their_dashes():
    assert figures.dashes(["r", "g", "r", "r", "r", "r"]) == [
        "solid",
        "solid",
        "dash",
        "dashdot",
        "longdash",
        "solid",
    ]


def test_label_efficiency_sorts_the_fractions_and_names_them():
    figure = result_figures.label_efficiency(
        [("Frozen", "#111111", [(1.0, Spread(0.8, 0.01, 3)), (0.01, Spread(0.4, 0.02, 3))]), ("Scratch", "#222222", [])]
    )
    assert len(figure["data"]) == 1
    assert figure["data"][0]["x"] == [0.01, 1.0]
    assert figure["data"][0]["error_y"]["array"] == [2.0, 1.0]  # of the seeds, in points
    assert figure["layout"]["xaxis"]["ticktext"] == ["1 %", "100 %"]


def test_the_best_class_stands_on_top_and_each_has_its_name():
    figure = run_figures.per_class(["a", "b"], [0.9, 0.2], "#111111")
    assert figure["data"][0]["y"] == ["b", "a"]
    assert figure["layout"]["yaxis"]["dtick"] == 1
    assert run_figures.per_class_height(100) >= 100 * 20


def test_charts_import_no_streamlit():
    import subprocess
    import sys

    code = "import sys; from dashboard.shared import figures; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0


def test_log_ticks_are_round_and_few():
    assert figures.log_ticks([30, 256]) == [50, 100, 200]
    assert figures.log_ticks([1, 1e9])[0] == 1
    assert figures.log_ticks([]) == []
    assert all(len(figures.log_ticks([1, 10.0**power])) <= max(6, power + 1) for power in range(1, 9))


def test_a_single_label_fraction_is_drawn_as_bars():
    figure = result_figures.label_efficiency(
        [("Frozen", "#111111", [(0.1, Spread(0.8, 0.02, 3))]), ("Scratch", "#222222", [(0.1, Spread(0.3))])]
    )
    assert figure["data"][0]["type"] == "bar"
    assert figure["data"][0]["x"] == [30.0, 80.0]
    assert figure["data"][0]["y"] == ["Scratch", "Frozen"]
    assert figure["data"][0]["text"] == ["30.0 %", "80.0 ± 2.0 %"]


def test_plotly_is_served_from_here_under_a_name_with_its_version():
    from importlib import metadata, resources

    from served_files import fetched

    from dashboard.components import live_chart

    url = live_chart.plotly_url()
    packaged = resources.files("plotly") / "package_data" / "plotly.min.js"
    assert metadata.version("plotly") in url
    status, headers, content = fetched(f"/{url}")
    assert (status, content) == (200, packaged.read_bytes()) and "immutable" in headers["cache-control"]
