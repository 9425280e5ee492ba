"""What the encoder makes of it, on the Augmentations page: every state, and values that are those of the formulas."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dashboard_fixtures import component_with, components_with, make_run, query, texts
from streamlit.testing.v1 import AppTest

from dashboard.augmentations import encoder_batch, encoder_choice, encoder_figures, encoder_results, outline
from dashboard.shared import jobs
from simclr import config as cfg
from simclr import runs
from simclr.analysis import encoders, factors, invariance, similarity, stored
from simclr.config import Augmentation
from simclr.data import shapes
from simclr.embeddings.references import EncoderRef, open_weights
from simclr.hardware import processes
from simclr.objectives import nt_xent
from simclr.views import augment, sample_images

PAGE = str(Path(__file__).parents[2] / "browser" / "lab_app.py")


def open_lab(**query: str) -> AppTest:
    app = AppTest.from_file(PAGE, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, [item.value for item in app.exception]
    return app


def component(app: AppTest, field: str) -> dict[str, Any]:
    """The data of the component that has a field of this name."""
    return component_with(app, f'"{field}"')


@pytest.fixture
def run(tiny_runs: Path, finished_run: runs.Run) -> runs.Run:
    shutil.copytree(finished_run.path, tiny_runs / finished_run.id)
    return runs.Run(tiny_runs / finished_run.id)


def views_of(run: runs.Run, num: int) -> dict[str, np.ndarray]:
    """Unit rows of the first images, as the trainer's code draws their views."""
    images, ids = torch.from_numpy(shapes.generate("train", num).images), torch.arange(num)
    options = Augmentation(**Augmentation().model_dump() | {"hue": 0.5})
    first, second = augment.two_views(images, ids, options, seed=0, epoch=1, size=32)
    with open_weights(EncoderRef(run)) as weights:
        encoder = encoders.load_encoder(EncoderRef(run), weights)
    one, other = encoder(first), encoder(second)
    return {layer: similarity.interleave(one[layer], other[layer]) for layer in one}


def test_without_runs_there_is_one_step_to_take(tiny_runs: Path) -> None:
    app = open_lab()
    assert "No encoder yet" in texts(app)
    assert [button.label for button in app.button] == ["Start a run"]


def test_a_run_that_still_trains_is_no_encoder(tiny_runs: Path) -> None:
    make_run(tiny_runs, "running")
    assert "No encoder yet" in texts(open_lab())


@pytest.mark.parametrize("layer", ["h", "z"])
def test_the_matrix_is_that_of_the_views(run: runs.Run, layer: str) -> None:
    app = open_lab(show="batch", batch_of="chosen", layer=layer)
    data = component(app, "similarities")
    shown = np.frombuffer(base64.b64decode(data["similarities"]), "<f4").reshape(12, 12)
    expected = similarity.similarity_matrix(views_of(run, 6)[layer])
    np.testing.assert_allclose(shown, expected, atol=1e-5)
    assert data["titles"][:2] == ["circle 0", "ring 1"]
    assert data["temperature"] == run.config["temperature"]
    assert ("not h" in texts(app)) == (layer == "h")
    rows = torch.from_numpy(views_of(run, 6)[layer])
    assert similarity.at_temperature(expected, 0.3).loss == pytest.approx(
        float(nt_xent.nt_xent(rows[::2], rows[1::2], 0.3))
    )


def test_marks_name_both_images_and_what_they_are(run: runs.Run) -> None:
    data = component(open_lab(show="batch", batch_of="32"), "similarities")
    assert len(data["titles"]) == 32
    assert len(data["marks"]) == 6
    values = np.frombuffer(base64.b64decode(data["similarities"]), "<f4").reshape(64, 64)
    for mark in data["marks"]:
        assert values[mark["row"], mark["column"]] == pytest.approx(mark["similarity"], abs=1e-6)
        first, second = data["titles"][mark["row"] // 2], data["titles"][mark["column"] // 2]
        same = first.split()[0] == second.split()[0]
        assert mark["words"] == (
            f"{first} · {second}, " + ("same class: a false negative" if same else "other class: a hard negative")
        )


def test_pairs_are_shown_beside_others(run: runs.Run) -> None:
    app = open_lab(layer="z")
    expected = similarity.similarity_matrix(views_of(run, 6)["z"])[range(0, 12, 2), range(1, 12, 2)]
    assert app.metric[0].value == f"{expected.mean():.2f}"
    figure = json.loads(component(app, "figure")["figure"])
    np.testing.assert_allclose(figure["data"][1]["y"], expected, atol=1e-4)


def test_the_address_brings_the_view_back(run: runs.Run) -> None:
    view = {"show": "batch", "batch_of": "8", "layer": "h", "weights": "untrained", "temperature": "0.07"}
    app = open_lab(**view)
    assert {name: query(app, name) for name in view} == view
    assert query(app, "encoder") == run.id
    assert component(app, "similarities")["temperature"] == 0.07


@pytest.mark.parametrize("temperature", ["0", "-1", "nan", "high", "1e9"])
def test_a_temperature_that_cannot_be_is_passed_over(run: runs.Run, temperature: str) -> None:
    app = open_lab(show="batch", batch_of="8", temperature=temperature)
    assert component(app, "similarities")["temperature"] == run.config["temperature"]


def test_an_unknown_run_in_the_address_is_said(run: runs.Run) -> None:
    app = open_lab(encoder="../nowhere")
    assert "encoder in the address is ../nowhere, which is no run here; shown instead: " in texts(app)


def test_one_image_has_no_negatives(run: runs.Run) -> None:
    app = open_lab(show="batch", batch_of="chosen", images="3")
    assert "One image has no negatives" in texts(app)


def test_views_of_another_size_are_said_to_be_resized(run: runs.Run) -> None:
    assert "made for 16 pixels: views of 32 pixels are resized" in texts(open_lab())


def test_damaged_weights_are_one_sentence(run: runs.Run) -> None:
    run.model_path.write_bytes(b"no weights")
    for show in ("pairs", "batch"):
        app = open_lab(show=show)
        assert len(app.error) == 1
        assert "allowed" in app.error[0].value


def test_a_slow_network_waits_for_a_click(run: runs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_batch, "AT_ONCE_SECONDS", 0.0)
    app = open_lab(show="batch", batch_of="8")
    assert "Encoding these 16 views takes about" in texts(app)
    app.button(key="lab-encode").click().run()
    assert not app.exception
    assert len(component(app, "similarities")["titles"]) == 8


@pytest.mark.parametrize(("show", "kind"), [("invariance", "profile"), ("factors", "factors")])
def test_what_takes_long_is_offered_and_then_shown(
    run: runs.Run, monkeypatch: pytest.MonkeyPatch, show: str, kind: str
) -> None:
    monkeypatch.setattr(factors, "NUM_TRAIN", 200)
    monkeypatch.setattr(factors, "NUM_TEST", 100)
    started: list[tuple[list[EncoderRef], str, Any]] = []
    monkeypatch.setattr(
        stored, "start_job", lambda models, kind, images, folder: started.append((models, kind, images))
    )
    app = open_lab(show=show)
    assert "not measured yet" in texts(app)
    app.button(key=f"lab-{kind}").click().run()
    assert not app.exception
    (models, asked_kind, images) = started[0]
    assert asked_kind == kind
    assert [model.what for model in models] == ["weights", "untrained"]
    results = [stored.compute(model, kind, images) for model in models]
    app = open_lab(show=show)
    assert "not measured yet" not in texts(app)
    if show == "factors":
        value = results[0]["layers"]["h"]["hue"]
        assert f"| Hue, R² | {value:.2f} |" in texts(app)
    else:
        assert "best" in texts(app) and "reacts most to" in texts(app)
        figures = [json.loads(figure) for figure in all_figures(app)]
        assert len(figures) == len(encoder_figures.CURVES) + 1
        hue = figures[encoder_figures.CURVES.index("hue")]
        measured = results[0]["layers"]["h"]
        expected = [1.0, *(invariance.relative(value, measured["others"]) for value in measured["curves"]["hue"])]
        np.testing.assert_allclose(hue["data"][0]["y"], expected, atol=1e-4)
        assert hue["data"][0]["x"] == [0.0, *invariance.STRENGTHS["hue"]]


def test_what_there_will_be_is_drawn_once_while_the_network_is_read(
    run: runs.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, Any, int]] = []
    original = outline.draw

    def draw(text: str, figures: Any, height: int) -> None:
        drawn.append((text, figures, height))
        original(text, figures, height)

    monkeypatch.setattr(outline, "draw", draw)
    app = open_lab()
    ((text, figures, _),) = drawn
    assert "is read, and looks at the images" in text
    assert [metric.label for metric in app.metric] == list(figures)
    assert "…" not in {metric.value for metric in app.metric}
    assert text not in texts(app)
    app.run()
    assert len(drawn) == 1


def test_how_long_it_takes_is_said_of_the_last_one_that_ended(run: runs.Run, tiny_runs: Path) -> None:
    assert "was not measured here yet" in texts(open_lab(show="factors"))

    def job(second: int, kind: str, number: int, state: str, seconds: float) -> None:
        folder = tiny_runs / runs.JOBS / f"20260101-0000{second:02d}-{stored.JOB_NAME}-abcd"
        folder.mkdir(parents=True)
        (folder / "request.json").write_text(json.dumps({"results": [f"x/{kind}-{n}.json" for n in range(number)]}))
        runs.update_status(folder, state=state, started=1000.0, ended=1000.0 + seconds)

    job(1, "factors", 3, "finished", 500.0)
    job(2, "factors", 2, "finished", 110.0)
    job(3, "factors", 2, "failed", 7.0)
    job(4, "profile", 1, "finished", 4.0)
    assert "The last one here took 1 min 50 s for 2 encoders." in texts(open_lab(show="factors"))
    assert "The last one here took 4 s for 1 encoder." in texts(open_lab(show="invariance"))


def all_figures(app: AppTest) -> list[str]:
    return [data["figure"] for data in components_with(app, '"figure"')]


def test_a_job_that_failed_says_why(run: runs.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    runs.update_status(job, state="failed", error="There was not enough memory; try fewer images.")
    monkeypatch.setattr(stored, "find_job", lambda *_: job)
    app = open_lab(show="factors")
    assert "not enough memory" in app.error[0].value
    assert app.button(key="lab-factors").label == "Try again"


def test_a_job_that_goes_on_shows_its_bar_and_can_be_cancelled(
    run: runs.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    job.mkdir()
    own = {"pid": os.getpid(), "process_start": processes.process_start(os.getpid())}
    runs.update_status(
        job, state="running", phase="Reading factors from it", step=400, steps=1000, heartbeat=time.time(), **own
    )
    monkeypatch.setattr(stored, "find_job", lambda *_: job)
    stopped = []
    monkeypatch.setattr(jobs.control, "request_stop", stopped.append)
    app = open_lab(show="factors")
    assert "Reading factors from it" in texts(app)
    app.button(key="embedding-cancel").click().run()
    assert stopped == [job]


def test_runs_that_never_saw_shapes_are_named(run: runs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace("dataset: shapes", "dataset: digits"))
    assert "never trained on them" in texts(open_lab(show="factors"))


def test_what_is_compared_can_be_chosen_and_stands_in_the_address(run: runs.Run) -> None:
    app = open_lab(show="factors", against="untrained")
    assert app.multiselect[0].value == ["untrained"]
    app.multiselect[0].set_value([]).run()
    assert not app.exception
    assert query(app, "against") == ""


def test_other_moments_of_a_training_can_be_compared(run: runs.Run) -> None:
    app = open_lab(show="factors", against=f"untrained,{run.id}@best")
    assert app.multiselect[0].value == ["untrained", f"{run.id}@best"]
    assert len(app.multiselect[0].options) == 3  # and the last checkpoint
    app = open_lab(show="factors", weights="best", against=f"{run.id}@")
    assert app.multiselect[0].value == [f"{run.id}@"]


def test_extremes_name_the_best_and_the_worst() -> None:
    curves = {operation: [0.9] * len(strengths) for operation, strengths in invariance.STRENGTHS.items()}
    curves["hue"], curves["crop"] = [1.0] * 6, [0.5] * 6
    assert encoder_results.extremes({"others": 0.5, "curves": curves}) == (
        "ignores hue best (1.00) and reacts most to crop (0.00; 1 is unchanged, 0 like another image)."
    )
    assert encoder_results.extremes({"others": 1.0, "curves": curves}) == ""


def test_others_are_never_among_the_chosen() -> None:
    found = sample_images.load("shapes")
    others = encoder_batch._others(found, [0, 5], 30, seed=3)
    assert len(set(others)) == 30
    assert not {0, 5} & set(others)
    assert len(encoder_batch._others(found, [0, 5], 10**6, seed=3)) == len(found.ids) - 2


def test_broken_options_are_one_sentence(run: runs.Run) -> None:
    choice = encoder_choice.ChosenEncoder(EncoderRef(run), "", "")
    kept = {"values": Augmentation().model_dump() | {"hue": 3.0}, "size": None, "seed": 0, "epoch": 1}
    with pytest.raises(cfg.ConfigError, match="hue"):
        encoder_batch._batch(choice, kept, sample_images.load("shapes"), [0, 1])
