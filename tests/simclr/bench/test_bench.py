"""The bench command: input, arithmetic, what it counts as waiting, and that each part gives what it says."""

import contextlib
import json
import time

import numpy as np
import pytest
import torch
from conftest import make_folder

from simclr.bench import accuracy, budget, growth, listing, loss, parts, run_table, step, timing
from simclr.bench.gpu import table
from simclr.bench.peak_memory import peak_memory
from simclr.cli.main import main
from simclr.objectives import nt_xent
from simclr.results.index import RunIndex
from simclr.run_table import run_filter
from simclr.run_table.late_values import LateValues
from simclr.runs import Run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--only", "speed"],
            f"only is speed; allowed: {', '.join([*parts.PARTS, *parts.ON_REQUEST])}.",
        ),
        (["--against", "nobody"], "against is nobody; allowed: lightly, sklearn."),
        (["--repeats", "1"], "repeats is 1; allowed: a whole number from 2 to 100."),
        (["--only", "accuracy"], "data is unset; allowed for accuracy: a folder that holds train/ and test/."),
        (["--repeats", "many"], "repeats is many; allowed: a whole number from 2 to 100."),
        (["--gpu", "--only", "loss"], "only is loss, and gpu is asked for; allowed beside gpu: json."),
        (["--gpu", "--json", "nowhere/at/all"], "json is nowhere/at/all; allowed: a file in a folder that exists."),
        (["--plot", "nowhere/at/all.html"], "plot is nowhere/at/all.html; allowed: a file in a folder that exists."),
    ],
)
def test_bad_input_is_one_sentence(capsys, arguments, sentence):
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr().err == f"{sentence}\n"


def test_candidates_take_turns_after_one_that_does_not_count():
    order = []
    found = timing.take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4
    assert [len(seconds) for seconds in found.values()] == [3, 3]


def test_a_ratio_is_that_of_the_best_turns():
    found = timing.speedup([1.0, 50.0, 2.0], [8.0, 4.0, 100.0])
    assert found["ratio"] == 4.0
    assert (found["low"], found["high"]) == tuple(np.quantile([8.0, 0.08, 50.0], (0.25, 0.75)))
    line = timing.Row("loss", "it", 1.5, "ms", "others", **found, repeats=3).text()
    assert "4.00 x others (4.04 to 29.00, n 3)" in line


def test_waiting_is_what_lies_between_steps():
    clock = step.StepClock()
    clock.began, clock.ended = [0.0, 10.0, 12.0, 14.0], [9.0, 11.5, 13.5, 15.0]
    assert clock.step_seconds() == [2.0, 2.0]
    assert clock.waiting_share() == pytest.approx((0.5 + 0.5) / 4.0)


def test_a_real_training_is_clocked():
    clock = step.own_steps(4, backbone="resnet_tiny", batch_size=16, image_size=16, limit_images=128)
    assert len(clock.step_seconds()) == 2
    assert all(seconds > 0 for seconds in clock.step_seconds())
    assert 0 <= clock.waiting_share() < 1


@pytest.mark.slow
def test_peak_memory_counts_what_is_taken_and_given_back(monkeypatch):
    matrix = peak_memory(loss.loss_peak, function="matrix + cross_entropy", num_rows=2048)
    own = peak_memory(loss.loss_peak, function="own", num_rows=2048)
    assert matrix > 2048**2 * 4 / 2**20  # at least the matrix itself
    assert own < matrix / 2


def test_the_functions_compared_are_the_same_function():
    z1, z2 = loss.random_embeddings(64)
    values = [function(z1, z2).item() for function in loss.loss_functions(()).values()]
    assert values == pytest.approx([nt_xent.nt_xent(z1, z2, 0.5).item()] * 3, rel=1e-5)


def test_figures_go_to_the_terminal_and_a_file(tmp_path, capsys):
    path = tmp_path / "costs.json"
    assert main(["bench", "--only", "augmentation", "--repeats", "2", "--json", str(path)]) == 0
    said = capsys.readouterr().out
    assert "processor" in said and "views of 32 px, with blur, one thread" in said
    found = json.loads(path.read_text())
    assert found["machine"]["torch"] == torch.__version__
    of_policies = ["plain views", "torchvision (PIL)"] * 2
    assert [row["against"] for row in found["rows"]] == ["torchvision (PIL)"] * 6 + of_policies
    assert all(row["ratio"] > 1 for row in found["rows"] if row["against"] == "torchvision (PIL)")


def test_the_drawing_opens_without_a_network(tmp_path):
    path = tmp_path / "costs.html"
    growth.draw([growth.CostCurve("NT-Xent", "rows", "s", [256, 512], [0.1, 0.4])] * 3, path)
    text = path.read_text(encoding="utf-8")
    assert "NT-Xent" in text
    assert '<script src="http' not in text


def test_seconds_follow_the_clock():
    assert timing.seconds_of(lambda: time.sleep(0.05), time.perf_counter) >= 0.05
    assert timing.seconds_of(lambda: time.sleep(0.05), time.process_time) < 0.04


def test_the_budget_on_paper_adds_up(tmp_path, capsys):
    path = tmp_path / "budget.json"
    assert main(["bench", "--only", "budget", "--json", str(path)]) == 0
    assert "computed on paper, never measured" in capsys.readouterr().out
    rows = json.loads(path.read_text())["rows"]
    *parts, whole = rows
    assert whole["figure"] == pytest.approx(sum(row["figure"] for row in parts if "passes while" not in row["what"]))
    assert all("removed by" in row["note"] for row in parts)
    # ResNet-18 with the small stem: 0.56 billion multiplications with additions for an image of 32 px (He et al. 2015)
    assert budget.forward_work().products == pytest.approx(0.56e9, rel=0.02)


def test_the_table_of_runs_is_measured_on_runs_as_training_leaves_them(tmp_path, monkeypatch):
    run_table.make_runs(tmp_path, 36)
    read = []
    monkeypatch.setattr(Run, "config", property(lambda run: read.append(run.id)))
    found = RunIndex(tmp_path).summaries()
    assert not read  # their options are in meta.json, as they are of a run made here
    assert [item.name for item in found] == [f"Run {number}" for number in reversed(range(36))]
    passing = run_filter.passing(run_filter.parse(run_table.FILTER), found, LateValues(tmp_path).value)
    assert 0 < len(passing) < len(found)
    rows = list(run_table.measure_size(36, repeats=2))
    assert [row.repeats for row in rows] == [2] * 4 and all(row.unit == "CPU-ms" for row in rows)
    assert rows[0].figure > rows[1].figure > 0  # the first look reads files, the second looks at their times


def test_a_large_folder_is_read_as_a_run_reads_it(monkeypatch):
    monkeypatch.setattr(listing, "LINKS", 40)  # three files for all
    rows = list(listing.measure_size(3, 30, repeats=2))
    assert {row.what.partition(", ")[0] for row in rows} == {"90 images in 3 classes"}
    assert [row.repeats for row in rows] == [1, 2, 2, 2, 2, 1]
    assert [row.unit for row in rows] == ["CPU-s"] * 5 + ["MiB"] and all(row.figure >= 0 for row in rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_no_table_of_one(capsys):
    assert main(["bench", "--gpu"]) == 2
    sentence = "gpu is asked for, and torch finds no CUDA device that it can use here; allowed: with one."
    assert capsys.readouterr() == ("", f"{sentence}\n")


def test_a_line_of_the_gpu_table_has_a_limit_and_what_fails_is_named(capsys):
    def failing():
        print("progress")
        raise RuntimeError("too large")

    works = [("product", lambda: 7), ("fail", failing), ("sleep", lambda: time.sleep(60)), ("late", failing)]
    done, failed, slow, late = table.play(works, seconds=1.0)
    assert (done["found"], failed["found"]) == ("7", "RuntimeError: too large")
    assert not slow["ok"] and slow["found"] == "TimeoutError: not done after 1 s"
    assert late["found"] == "left out: 1 s are over"
    machine, *rows = table.text([done, failed, slow, late]).splitlines()
    assert torch.__version__ in machine
    assert [row.split()[:2] for row in rows] == [
        ["ok", "product"],
        ["FAILED", "fail"],
        ["FAILED", "sleep"],
        ["ok", "late"],
    ]
    assert capsys.readouterr().out == ""  # what is printed on the way is no part of the table


def test_a_line_ends_though_it_is_told_so_in_vain_at_first():
    def stubborn():
        with contextlib.suppress(TimeoutError):
            time.sleep(60)
        time.sleep(60)

    line = table.measured("stubborn", stubborn, seconds=0.2)
    assert not line["ok"] and line["seconds"] < 30


@pytest.fixture(scope="module")
def small_accuracy(tmp_path_factory):
    """A folder of images with its test images, and the recipe cut down to it."""
    folder = tmp_path_factory.mktemp("images")
    make_folder(folder / "train", {"a": 80, "b": 80})
    make_folder(folder / "test", {"a": 20, "b": 20})
    config = accuracy.recipe_config(folder, seed=3, epochs=2)
    small = {"batch_size": 32, "image_size": 16, "initial_image_size": 12, "val_fraction": 0.2}
    return config.model_copy(update=small)


def test_accuracy_is_that_of_a_whole_training(small_accuracy):
    outcome, complete = accuracy.own_outcome(small_accuracy)
    assert (complete.backbone, complete.seed, complete.num_threads) == ("cnn_tiny", 3, 1)
    assert outcome.steps == 2 * (128 // 32)
    assert outcome.cpu_seconds > 0
    assert 0 <= outcome.knn <= 1 and 0 <= outcome.linear <= 1


def test_lightly_gets_as_many_processor_seconds(small_accuracy):
    pytest.importorskip("lightly")
    _, complete = accuracy.own_outcome(small_accuracy)
    outcome = accuracy.lightly_outcome(complete, cpu_seconds=6)
    assert 4 < outcome.cpu_seconds < 9
    assert outcome.steps > 5 * accuracy.WARM_UP_STEPS
    assert 0 <= outcome.knn <= 1 and 0 <= outcome.linear <= 1
