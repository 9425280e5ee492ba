"""Embeddings of other encoders on the Embeddings page: added by its form, shown beside a run, deleted."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import make_folder
from dashboard_fixtures import address, named, open_page, query, texts
from streamlit.testing.v1 import AppTest
from trainings import trained_run

from dashboard.embeddings import added_panel
from simclr.added import sets
from simclr.config import ConfigError
from simclr.embeddings import embed, references
from simclr.embeddings.selection import ImageSelection
from simclr.runs import Run

LAYOUT = {f"{split}/{name}": 60 for split in ("train", "test") for name in "ab"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "photos", LAYOUT)


@pytest.fixture
def run(tiny_runs: Path, photos: Path) -> Run:
    return trained_run(tiny_runs, dataset=str(photos))


def array_file(tmp_path: Path, num: int = 120) -> Path:
    np.save(tmp_path / "dino.npy", np.random.default_rng(0).normal(size=(num, 8)).astype(np.float32))
    return tmp_path / "dino.npy"


def opened(app: AppTest) -> AppTest:
    named(app.button, "embedding-others").click().run()
    assert not app.exception
    return app


def filled(app: AppTest, **values: str) -> AppTest:
    for name, value in values.items():
        next(item for item in app.text_input if item.key == f"added-{name}").set_value(value)
    app.selectbox(key="added-split").set_value("Test")
    named(app.button, "added-go").click().run()
    assert not app.exception
    return app


def test_the_form_adds_them_and_puts_them_on_the_right(tmp_path: Path, photos: Path, run: Run) -> None:
    app = opened(open_page("embeddings"))
    filled(app, file=str(array_file(tmp_path)), images=str(photos), name="dino")
    assert sets.find("dino", run.path.parent) is not None
    said = [item.value for item in app.success]
    assert any("dino was added" in text and "all 120 test images of" in text for text in said), said
    assert (query(app, "left"), query(app, "right")) == (run.id, "dino")
    assert "not computed yet" in texts(app)


def test_what_is_wrong_is_said_in_the_form(tmp_path: Path, photos: Path, run: Run) -> None:
    app = opened(open_page("embeddings"))
    file = str(array_file(tmp_path, 7))
    for values, sentence in (
        ({"images": str(photos), "name": "dino"}, "FILE is empty"),
        ({"file": file, "images": "", "name": "dino"}, "images is empty"),
        ({"file": file, "images": str(photos), "name": "1"}, "name is 1"),
        ({"file": file, "images": str(photos), "name": "dino"}, "has 7 rows"),
    ):
        filled(app, **values)
        assert any(sentence in item.value for item in app.error), sentence
    assert sets.find_all(run.path.parent) == []


def test_an_upload_is_read_as_a_file_and_leaves_nothing_behind(tmp_path: Path, photos: Path, run: Run) -> None:
    class Upload(io.BytesIO):
        name = "dino.npy"

    added_panel.add("", Upload(array_file(tmp_path).read_bytes()), str(photos), "dino", "test", None)
    home = sets.home(run.path.parent)
    assert [path.name for path in home.iterdir()] == ["dino"]
    with pytest.raises(ConfigError, match=r"^FILE is dino.npy, which is no whole"):
        added_panel.add("", Upload(b"no array"), str(photos), "other", "test", None)
    assert [path.name for path in home.iterdir()] == ["dino"]


def test_maps_of_shared_images_say_how_many_there_are(tmp_path: Path, photos: Path, run: Run) -> None:
    folder = run.path.parent
    file = tmp_path / "few.npz"
    paths = [str(path.relative_to(photos)) for path in sorted((photos / "test").rglob("*.png"))][:110]
    np.savez(file, h=np.random.default_rng(0).normal(size=(110, 8)), path=np.array(paths))
    added_panel.add(str(file), None, str(photos), "few", None, None)
    embed.compute(references.resolve_encoders([run.id, "few"], folder), ImageSelection(), ["pca"])
    app = open_page("embeddings", left=run.id, right="few", method="pca")
    assert not app.exception and not app.error, [item.value for item in app.error]
    assert "110 of 120 test images have embeddings on both sides." in texts(app)
    assert any('"few"' in node.proto.json for node in app.get("bidi_component"))
    assert address(app)["right"] == ["few"]
    # and the other way round; the right side then has runs alone
    app = open_page("embeddings", left="few", right=run.id, method="pca")
    assert not app.exception and "110 of 120 test images have embeddings on both sides." in texts(app)
    assert (
        named(app.selectbox, "embeddings-right").options
        and "few" not in named(app.selectbox, "embeddings-right").options
    )


def test_deleted_they_are_offered_no_more(tmp_path: Path, photos: Path, run: Run) -> None:
    added_panel.add(str(array_file(tmp_path)), None, str(photos), "dino", "test", None)
    app = open_page("embeddings", left=run.id, right="dino")
    assert query(app, "right") == "dino"
    opened(app)
    named(app.button, "added-yes-dino").click().run()
    assert not app.exception and sets.find_all(run.path.parent) == []
    assert query(app, "right") == references.UNTRAINED


def test_two_added_sets_stand_beside_each_other(tmp_path: Path, photos: Path, run: Run, tiny_runs: Path) -> None:
    other = make_folder(tmp_path / "other", LAYOUT)
    strange = trained_run(tiny_runs, dataset=str(other))  # newer, on other images
    for name in ("dino", "clip"):
        added_panel.add(str(array_file(tmp_path)), None, str(photos), name, "test", None)
    added_panel.add(str(array_file(tmp_path)), None, str(other), "elsewhere", "test", None)
    app = open_page("embeddings", left="dino", method="pca")
    assert query(app, "right") == run.id != strange.id
    assert [name for name in named(app.selectbox, "embeddings-right").options if "-" not in name][-1:] == ["clip"]

    embed.compute(references.resolve_encoders(["dino", "clip"], run.path.parent), ImageSelection(), ["pca"])
    app = open_page("embeddings", left="dino", right="clip", method="pca")
    assert not app.exception and not app.error, [item.value for item in app.error]
    assert query(app, "right") == "clip"
    assert "To try images of your own, choose a run or the raw pixels on one side" in texts(app)
    data = next(json.loads(node.proto.json) for node in app.get("bidi_component") if '"panels"' in node.proto.json)
    assert [panel["title"] for panel in data["panels"]] == ["dino", "clip"] and data["tug"] is None
