"""Search, tags, tables and folders on the Embeddings page."""

from __future__ import annotations

import html
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from dashboard_fixtures import open_page, query, texts
from photos import pack_example
from quiet_cards import no_cards_job  # noqa: F401  (a fixture)
from streamlit.testing.v1 import AppTest
from trainings import trained_run

from dashboard.components.embedding_map import selected_rows, selection_text
from dashboard.embeddings import colors, export, searching
from simclr.embeddings import embed, stored
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.image_sets import tags
from simclr.runs import Run

CHOICE = ImageSelection(num_images=500)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("computed")
    first = trained_run(folder, 1)
    both = [first, trained_run(folder, 1, kind="scratch", experiment_version=first.id)]
    embed.compute([EncoderRef(run) for run in both], CHOICE, ["pca"])
    return both


@pytest.fixture
def pair(computed: list[Run], tiny_runs: Path) -> list[Embedding]:
    """The maps of a pre-training and its partner, a copy for each test."""
    found = [Run(Path(shutil.copytree(run.path, tiny_runs / run.id))) for run in computed]
    return [item for run in found if (item := stored.find_embedding(EncoderRef(run), CHOICE)) is not None]


def maps_page(**more: str) -> AppTest:
    app = open_page("embeddings", images="500", method="pca", **more)
    assert not app.exception, [item.value for item in app.exception]
    return app


def component(app: AppTest) -> dict:
    return next(json.loads(node.proto.json) for node in app.get("bidi_component") if '"panels"' in node.proto.json)


def test_factors_are_searched_where_they_are_recorded_and_measures_where_not(pair: list[Embedding]) -> None:
    first = pair[0]
    assert {field["name"] for field in searching.fields(first)} == set(first.factors)
    photo = Embedding(**{**first.__dict__, "factors": {}})
    fields = searching.fields(photo)
    names = [field["name"] for field in fields]
    assert {"lightness", "middle_hue", "edges", "border"} <= set(names)
    hue = next(field["values"] for field in fields if field["name"] == "middle_hue")
    assert np.isnan(hue).any() and np.isfinite(hue).any()  # grey has no hue
    words = next(field["values"] for field in fields if field["name"] == "edges")
    assert set(words) <= {"", "horizontal", "vertical", "diagonal"}


def test_tags_colour_the_maps_and_an_image_in_two_of_them_has_a_group_of_its_own(pair: list[Embedding]) -> None:
    rows = {"a": np.array([0, 1, 2]), "b": np.array([2, 3])}
    assert colors.TAGS not in colors.color_choices(pair)
    assert colors.color_choices(pair, rows)[colors.TAGS] == "Tags"
    found = colors.color_of(pair, colors.TAGS, tags=rows)
    assert (found["kind"], found["names"]) == ("category", ["a", "b", colors.SEVERAL])
    assert found["values"][:5].tolist() == [0, 0, 2, 1, -1] and (found["values"][5:] == -1).all()
    apart = colors.color_of(pair, colors.TAGS, tags={"a": np.array([0]), "b": np.array([1])})
    assert apart["names"] == ["a", "b"]
    assert colors.color_of(pair, colors.TAGS)["label"] == ""  # the last tag was deleted


def test_the_table_of_a_selection_has_its_images_with_files_tags_and_places_on_both_maps(
    pair: list[Embedding], tiny_runs: Path
) -> None:
    first, rows = pair[0], np.array([4, 7, 30])
    tags.save(tiny_runs, "shapes", "one", "test", first.ids[rows[:2]])
    tags.save(tiny_runs, "shapes", "two", "test", first.ids[rows[1:2]])
    paths = [f"{row}.png" for row in range(500)]
    columns = {**searching.file_columns(first), "paths": paths}
    content = export.table(pair, Projection("pca"), "csv", rows, only_selected=True, **columns)
    frame = pandas.read_csv(io.BytesIO(content), keep_default_na=False)
    assert frame["id"].tolist() == first.ids[rows].tolist()
    assert frame["file"].tolist() == ["4.png", "7.png", "30.png"]
    assert frame["tags"].tolist() == ["one", "one; two", ""]
    assert first.labels is not None
    assert frame["class"].tolist() == [first.classes[label] for label in first.labels[rows]]
    np.testing.assert_allclose(frame["factor:hue"], first.factors["hue"][rows], rtol=1e-5)
    points = first.map("pca")
    assert points is not None
    np.testing.assert_allclose(frame[["left x", "left y"]], points[rows], rtol=1e-4)
    assert {"right x", "right y"} <= set(frame.columns) and "selected" not in frame.columns
    whole = pandas.read_csv(io.BytesIO(export.table(pair, Projection("pca"), "csv", rows)))
    assert len(whole) == 500 and whole["selected"].sum() == 3 and "file" not in whole.columns


def test_a_link_brings_search_and_drawing_and_says_what_makes_no_sense(pair: list[Embedding]) -> None:
    app = maps_page(search="hue > 0.5", drawing="outlines")
    data = component(app)
    assert (data["start"]["search"], data["start"]["drawing"]) == ("hue > 0.5", "outlines")
    assert (query(app, "search"), query(app, "drawing")) == ("hue > 0.5", "outlines")
    assert {field["name"] for field in data["search"]["fields"]} == set(pair[0].factors)
    app = maps_page(drawing="fog")
    assert "drawing in the address is fog, which is not points, outlines or density; shown instead: points." in texts(
        app
    )


def test_tags_are_listed_with_their_numbers_selected_and_searched(pair: list[Embedding], tiny_runs: Path) -> None:
    assert "Tags of these images" not in [item.label for item in maps_page().expander]
    rows = np.array([3, 5, 8])
    gone = np.append(pair[0].ids[rows], 10**6)
    tags.save(tiny_runs, "shapes", "odd *ones*", "test", gone)
    app = maps_page(search="hue > 0.5")
    assert "Tags of these images (1)" in [item.label for item in app.expander]
    assert "4 images, 3 on these maps" in texts(app)
    assert component(app)["search"]["tags"] == [{"name": "odd *ones*", "rows": selection_text(rows, 500)}]
    next(button for button in app.button if button.label == "Select").click().run()
    assert not app.exception
    start = component(app)["start"]
    assert selected_rows(start["selection"], 500).tolist() == rows.tolist() and start["search"] == ""
    assert "3 images selected" in texts(app)
    app.button("tags-color").click().run()
    assert not app.exception and query(app, "color") == "tags"
    assert component(app)["color"]["names"] == ["odd *ones*"]


def test_damaged_tags_are_said_and_the_maps_stay(pair: list[Embedding], tiny_runs: Path) -> None:
    path = tags.path_of(tiny_runs, "shapes")
    path.parent.mkdir()
    path.write_text("{")
    app = maps_page()
    assert "does not hold tags as they were written" in texts(app)
    assert component(app)["search"]["tags"] == []


def opened(name: str, folder: Path) -> AppTest:
    """A page with nothing but a dialog about three selected images: one that a click opens ends with the next run."""

    def page(name: str, folder: str) -> None:
        from pathlib import Path

        import numpy as np

        from dashboard.embeddings import searching, selection_tools, tags_panel
        from simclr.embeddings import stored

        embedding = stored.load_embedding(Path(folder))
        assert embedding is not None
        files = searching.image_files(embedding)
        rows = np.array([3, 5, 8])
        if name == "tag":
            tags_panel.make(embedding, rows, files.paths if files else None)
        elif name == "rename":
            tags_panel.rename("shapes", "mine")
        elif name == "delete":
            tags_panel.delete("shapes", "mine", 3)
        else:
            selection_tools.copy(embedding, rows, files)

    app = AppTest.from_function(page, default_timeout=60, kwargs={"name": name, "folder": str(folder)}).run()
    assert not app.exception, [item.value for item in app.exception]
    return app


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, [item.value for item in app.exception]


def errors(app: AppTest) -> list[str]:
    return [html.unescape(item.value) for item in app.error]


def test_selected_images_become_a_tag_that_is_renamed_and_deleted(pair: list[Embedding], tiny_runs: Path) -> None:
    app = opened("tag", pair[0].folder)
    app.text_input("tag-name").set_value('a "b"')
    press(app, "Make the tag")
    assert "without quotation marks" in errors(app)[0] and tags.read(tiny_runs, "shapes") == []
    app.text_input("tag-name").set_value("mine")
    next(button for button in app.button if button.label == "Make the tag").click().run()
    found = tags.read(tiny_runs, "shapes")
    assert [(tag.name, tag.images) for tag in found] == [("mine", {"test": pair[0].ids[[3, 5, 8]].tolist()})]
    app = opened("rename", pair[0].folder)
    app.text_input("tag-new-name-mine").set_value(" ")
    press(app, "Rename")
    assert "name is empty; allowed: 1 to 60 signs" in errors(app)[0]
    app.text_input("tag-new-name-mine").set_value("yours")
    press(app, "Rename")
    assert [tag.name for tag in tags.read(tiny_runs, "shapes")] == ["yours"]
    tags.rename(tiny_runs, "shapes", "yours", "mine")
    press(opened("delete", pair[0].folder), "Keep it")
    assert tags.read(tiny_runs, "shapes") != []
    press(opened("delete", pair[0].folder), "Delete the tag")
    assert tags.read(tiny_runs, "shapes") == []


def test_selected_images_become_a_folder(pair: list[Embedding], tmp_path: Path) -> None:
    app = opened("copy", pair[0].folder)
    app.text_input("copies-folder").set_value("relative")
    press(app, "Write them")
    assert "folder is relative, which is no full path" in errors(app)[0]
    app.text_input("copies-folder").set_value(str(tmp_path / "chosen"))
    press(app, "Write them")
    assert [html.unescape(item.value) for item in app.success] == [f"3 images were written to {tmp_path / 'chosen'}."]
    assert len(list((tmp_path / "chosen").rglob("*.png"))) == 3
    press(app, "Write them")
    assert "which holds files already" in errors(app)[0]


def test_maps_that_came_without_photographs_know_their_files(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = pack_example(tmp_path_factory.mktemp("packed"))
    runs_dir = Path(shutil.copytree(root / "runs", tmp_path / "home" / "runs"))
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(runs_dir))
    monkeypatch.setenv("SIMCLR_DATA_DIR", str(tmp_path / "data"))
    folder = next(path.parent for path in runs_dir.rglob("paths.txt"))
    app = opened("copy", folder)
    app.text_input("copies-folder").set_value(str(tmp_path / "chosen"))
    press(app, "Write them")
    assert "folder of photos is empty; allowed: the folder below which" in errors(app)[0]
    app.text_input("copies-source").set_value(str(root / "photos"))
    press(app, "Write them")
    assert errors(app) == []
    assert len(list((tmp_path / "chosen").rglob("*.png"))) == 3
