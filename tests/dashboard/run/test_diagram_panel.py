"""The diagram on the Run page: its boxes and where they lead, with and without pictures, and when it asks for them."""

from urllib.parse import parse_qs, urlsplit

import pytest
from dashboard_fixtures import component_with, make_experiment, make_run, open_page, texts

from dashboard.run import diagram_panel
from simclr import runs
from simclr.analysis import diagram
from simclr.config import ConfigError

PICTURE = "data:image/png;base64,iVBORw0KGgo="
FOUND = {
    "format": diagram.FORMAT,
    "image": PICTURE,
    "title": "<b>star</b>",
    "side": 32,
    "views": [PICTURE, PICTURE],
    "num_images": 2,
    "dims": {"h": 128, "z": 64},
    "parameters": {"encoder": 308_000, "head": 65_900},
    "h": [[0.5, -1.0], [1.0, 0.0]],
    "z": [[0.5, -1.0], [1.0, 0.0]],
    "similarities": [[1.0, 0.5, 0.1, 0.0]] * 4,
    "loss": 1.05,
    "top1": 0.75,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def stored(folder, monkeypatch):
    """A diagram that was computed, wherever it would lie."""
    monkeypatch.setattr(diagram, "path_of", lambda run: folder / "diagram.json")
    monkeypatch.setattr(diagram, "load", lambda path: FOUND)


def figure(app):
    return component_with(app, '"stages":')


def test_a_pretraining_has_eight_boxes_that_lead_to_their_pages(folder, stored):
    run = make_run(folder, temperature=0.2)
    app = open_page("run", id=run.id)
    assert not app.exception
    data = figure(app)
    assert [stage["title"] for stage in data["stages"]] == [
        "Image",
        "Two views",
        "Encoder",
        "h",
        "Projection head",
        "z",
        "Similarities",
        "Loss",
    ]
    assert not data["wanted"] and not [stage for stage in data["stages"] if "empty" in stage]
    places = {stage["title"]: urlsplit(stage["href"]) for stage in data["stages"]}
    assert places["Two views"].path == places["Similarities"].path == "augmentations"
    assert (places["h"].path, places["Loss"].path) == ("embeddings", "curves")
    assert all(run.id in place.query for place in places.values())
    assert parse_qs(places["Similarities"].query)["show"] == ["batch"]
    assert all(stage["about"] for stage in data["stages"])  # what a screen reader says
    notes = {stage["title"]: stage["note"].replace("\N{NO-BREAK SPACE}", " ") for stage in data["stages"]}
    assert notes["Encoder"].endswith("308 k weights") and notes["z"] == "64 numbers"
    assert notes["Loss"].startswith("NT-Xent at T = 0.2")
    assert "75 % of the views" in texts(app)


def test_before_it_is_computed_the_boxes_are_there_and_a_browser_asks(folder, monkeypatch):
    monkeypatch.setattr(diagram, "path_of", lambda run: folder / "none.json")
    asked = []
    monkeypatch.setattr(diagram, "start_job", lambda run, runs_dir: asked.append((run.id, runs_dir)))
    run = make_run(folder)
    app = open_page("run", id=run.id)
    data = figure(app)
    assert data["wanted"] and len(data["stages"]) == 8
    assert [stage["empty"] for stage in data["stages"] if "empty" in stage] == [
        "image",
        "images",
        "vectors",
        "vectors",
        "matrix",
    ]
    assert not asked  # a page that nobody looks at computes nothing
    diagram_panel._start_for(run.id)()
    assert asked == [(run.id, folder)]
    diagram_panel._start_for("gone")()


def test_a_run_that_is_going_on_has_the_boxes_alone(folder):
    run = make_run(folder, "running", done=5)
    app = open_page("run", id=run.id)
    assert not app.exception
    assert not figure(app)["wanted"]
    assert "when its network is trained" in texts(app)


def test_why_there_are_no_pictures_is_said_and_not_tried_again(folder, monkeypatch):
    run = make_run(folder)
    job = folder / ".jobs" / "20260101-000000-diagram-abcd"
    job.mkdir(parents=True)
    runs.update_status(job, state="failed", error="dataset is gone; allowed: shapes.")
    monkeypatch.setattr(diagram, "path_of", lambda run: folder / "none.json")
    monkeypatch.setattr(diagram, "find_job", lambda run, runs_dir: job)
    app = open_page("run", id=run.id)
    assert not app.exception
    assert "cannot be shown: dataset is gone" in texts(app)
    assert not figure(app)["wanted"]

    def refuse(run):
        raise ConfigError("Its weights are damaged.")

    monkeypatch.setattr(diagram, "path_of", refuse)
    diagram_panel._path.clear()
    app = open_page("run", id=run.id)
    assert not app.exception and "Its weights are damaged" in texts(app)


def test_supervised_runs_have_the_shorter_one(folder, monkeypatch):
    own = {name: FOUND[name] for name in ("format", "image", "title", "side", "parameters")}
    own |= {
        "views": [PICTURE],
        "h": [[1.0]],
        "dims": {"h": 128, "classes": 3},
        "classes": [["star", 0.7], ["ring", 0.2]],
    }
    monkeypatch.setattr(diagram, "path_of", lambda run: folder / "diagram.json")
    monkeypatch.setattr(diagram, "load", lambda path: own)
    source, found = make_experiment(folder)
    for arm, run in found.items():
        app = open_page("run", id=run.id)
        assert not app.exception
        stages = figure(app)["stages"]
        assert [stage["title"] for stage in stages if stage["title"] != "View"] == [
            "Image",
            "Encoder",
            "h",
            "Classifier",
            "Classes",
        ]
        assert stages[-1]["shares"] == [["star", 0.7], ["ring", 0.2]]
        assert source.id in stages[-1]["href"]
        encoder = next(stage for stage in stages if stage["title"] == "Encoder")
        assert ("run?" in encoder["href"]) == (not arm.startswith("scratch"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"crop_probability": 1, "blur_probability": 0.5}, "crop, blur"),
        ({"crop_probability": 0}, "none"),
        (None, "random views"),
        ({"crop_probability": "x"}, "none"),
    ],
)
def test_operations_in_words(values, words):
    assert diagram_panel.operations(values) == words


def test_counts_are_short():
    assert [diagram_panel.count_text(number) for number in (870, 65_900, 23_508_032)] == ["870", "65.9 k", "23.5 M"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ""),
        ({"mixup_alpha": 0.0, "cutmix_alpha": None}, ""),
        ({"cutmix_alpha": 1}, "; mixed by CutMix"),
        ({"mixup_alpha": 0.2, "cutmix_alpha": 1}, "; mixed by MixUp or CutMix"),
        ({"mixup_alpha": "x"}, ""),
    ],
)
def test_how_batches_are_mixed_in_words(values, words):
    assert diagram_panel.mixed(values) == words
