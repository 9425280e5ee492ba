"""Images that a user gives on the Embeddings page, and the open one under all strengths: what the page makes of it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dashboard_fixtures import open_page, query, texts, unpacked
from PIL import Image
from quiet_cards import no_cards_job  # noqa: F401  (a fixture)
from streamlit.testing.v1 import AppTest
from trainings import trained_run

from dashboard.components.embedding_map import extras
from dashboard.embeddings.trying import own_images, tug_panel
from simclr.added import adding
from simclr.analysis import tugs
from simclr.config import ConfigError
from simclr.embeddings import embed
from simclr.embeddings.references import EncoderRef, resolve_encoders
from simclr.embeddings.selection import ImageSelection
from simclr.runs import Run

CHOICE = ImageSelection(num_images=500)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("computed")
    first = trained_run(folder, 1)
    both = [first, trained_run(folder, 1, kind="scratch", experiment_version=first.id, label_fraction=0.05)]
    embed.compute([EncoderRef(run) for run in both], CHOICE, ["pca", "tsne"])
    return both


@pytest.fixture
def ready(computed: list[Run], tiny_runs: Path) -> list[Run]:
    return [Run(Path(shutil.copytree(run.path, tiny_runs / run.id))) for run in computed]


def png(*size: int, mode: str = "RGB", color: Any = (200, 30, 30), **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, color).save(stream, options.pop("format", "png"), **options)
    return stream.getvalue()


def page(*files: tuple[str, bytes], **asked: str) -> AppTest:
    app = open_page("embeddings", images="500", **({"method": "pca"} | asked))
    if files:
        app.session_state[own_images.TRIED] = list(files)
        app.run()
    assert not app.exception, [item.value for item in app.exception]
    return app


def component(app: AppTest) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    nodes = app.get("bidi_component")
    arrays = {name: array for node in nodes if node.proto.bytes for name, array in unpacked(node.proto.bytes).items()}
    data = next(json.loads(node.proto.json) for node in nodes if '"panels"' in node.proto.json)
    return data, arrays


# --- one's own images -----------------------------------------------------------------------------------------------


def test_nothing_is_loaded_before_an_image_is_given(ready: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_images.encoders, "placers", lambda *_: pytest.fail("loaded"))
    app = page()
    assert "Try images of your own" in texts(app)
    data, _ = component(app)
    assert data["guests"] is None and data["tug"] == {"first": "hue"}


@pytest.mark.parametrize(("method", "words"), [("pca", "exactly"), ("tsne", "weighted mean of its 15 nearest")])
def test_an_image_of_the_map_falls_on_itself(ready: list[Run], method: str, words: str) -> None:
    embedding = embed.compute([EncoderRef(ready[0])], CHOICE, [])[0]
    row = 8
    tiles = Image.open(embedding.sheets[0])
    stream = io.BytesIO()
    tiles.crop((row * 16, 0, row * 16 + 16, 16)).save(stream, "png")
    app = page(("mine.png", stream.getvalue()), ("other.png", png(40, 30)), method=method)
    shown = texts(app)
    assert "1 · mine.png" in shown and "2 · other.png" in shown and words in shown
    assert "40 × 30 pixels, its middle square" in shown
    assert "kNN vote" in shown
    data, arrays = component(app)
    guests = data["guests"]
    assert guests["names"] == ["mine.png", "other.png"] and guests["exact"] == (method == "pca")
    for panel, places in zip(data["panels"], guests["points"], strict=True):
        points = arrays[panel["points"]].reshape(-1, 2)
        extent = np.ptp(points, axis=0).max()
        np.testing.assert_allclose(arrays[places].reshape(-1, 2)[0], points[row], atol=2e-3 * extent)
    sheet = Image.open(io.BytesIO(arrays[guests["sheet"]].tobytes()))
    assert sheet.size == (2 * guests["side"], guests["side"])
    grids = [json.loads(node.proto.json) for node in app.get("bidi_component") if '"items"' in node.proto.json]
    near = [grid["items"] for grid in grids if grid["side"] == 56]
    assert len(near) == 4 and near[2][0]["row"] == near[3][0]["row"] == row  # the newest image stands first
    assert near[2][0]["caption"].startswith("1.000")


def read(name: str, content: bytes) -> own_images.Tried | str:
    from simclr.encoders.images import Preprocessing

    how = (Preprocessing(16), Preprocessing(32, 32))
    return own_images._read(name, "", name + str(len(content)), content, how)


def test_files_that_are_no_images_are_said_in_one_sentence() -> None:
    assert read("a.png", b"no image") == "a.png cannot be read: it is not an image."
    assert read("b.png", b"") == "b.png cannot be read: it is empty."
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(noise, "png")
    assert read("c.png", noise.getvalue()[:6000]) == "c.png cannot be read: it is cut short or damaged."
    assert read("d.heic", png(8, 8)) == "d.heic is no PNG, JPEG, WebP or GIF image."
    huge = read("e.png", png(9000, 9000, mode="1", color=0))
    assert huge == "e.png has 9000 x 9000 pixels; allowed: up to 50 million."
    assert read("f.png", b"0" * (11 * 2**20)) == "f.png has 11 MiB; allowed: up to 10 MiB."


def test_alpha_orientation_and_animations_are_read_as_they_are_seen() -> None:
    clear = read("clear.png", png(32, 32, mode="RGBA", color=(0, 0, 0, 0)))
    assert isinstance(clear, own_images.Tried) and clear.squares[1].min() == 255  # what is transparent is white
    assert [square.shape for square in clear.squares] == [(3, 24, 24), (3, 32, 32)]

    halves = Image.new("RGB", (32, 32), "black")
    halves.paste("white", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    stream = io.BytesIO()
    halves.save(stream, "jpeg", exif=exif, quality=95)
    turned = read("phone.jpg", stream.getvalue())
    assert isinstance(turned, own_images.Tried)
    assert turned.squares[1][:, :8].mean() < 20 and turned.squares[1][:, -8:].mean() > 235

    stream = io.BytesIO()
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    frames[0].save(stream, "gif", save_all=True, append_images=frames[1:])
    first = read("moving.gif", stream.getvalue())
    assert isinstance(first, own_images.Tried)
    assert first.note == "32 × 32 pixels, the first picture of the animation"
    assert first.squares[1][0].min() > 250 and first.squares[1][2].max() < 5


def test_more_images_than_are_shown_are_counted(ready: list[Run]) -> None:
    app = page(*[(f"{number}.png", png(20 + number, 20)) for number in range(14)])
    assert "14 images were given; the first 12 are shown." in texts(app)
    assert len(component(app)[0]["guests"]["names"]) == 12


def test_an_encoder_that_is_gone_or_another_is_said(ready: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("First has other weights than these maps were drawn of; compute them again.")

    monkeypatch.setattr(own_images.encoders, "load_map_encoder", refuse)
    own_images.encoders._encoder.clear()
    image = np.load(next((ready[0].path / "embeddings").glob("auto-*")) / "ids.npy")[0]
    app = page(("mine.png", png(20, 20)), image=str(image), tug="hue~16")
    assert "other weights than these maps were drawn of" in texts(app)
    data, _ = component(app)
    assert data["guests"] is None and "other weights" in data["tug"]["problem"]


@pytest.mark.parametrize("is_left", [True, False])
def test_a_side_without_an_encoder_leaves_the_other_one_its_images(
    ready: list[Run], tmp_path: Path, is_left: bool
) -> None:
    folder = ready[0].path.parent
    np.save(tmp_path / "dino.npy", np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32))
    adding.add(tmp_path / "dino.npy", "shapes", "dino", folder, split="test")
    names = ["dino", ready[0].id] if is_left else [ready[0].id, "dino"]
    embedding = embed.compute(resolve_encoders(names, folder), CHOICE, ["pca"])[0]
    image = str(embedding.ids[5])
    app = page(("mine.png", png(20, 20)), left=names[0], right=names[1], image=image, tug="hue~16")
    has_none = names.index("dino")
    data, arrays = component(app)
    points, panels = data["guests"]["points"], data["tug"]["panels"]
    assert points[has_none] is None and arrays[points[1 - has_none]].shape == (2,)
    assert "without an encoder" in panels[has_none]["missing"] and "arrays" not in panels[has_none]
    assert arrays[panels[1 - has_none]["arrays"]["moved"]].reshape(6, 32)[0, 16] > 0.01
    shown = texts(app)
    assert shown.count("dino came as a file of embeddings, without an encoder that could take an image.") == 1
    assert "kNN vote" in shown and "Framed neighbours" not in shown


# --- changed step by step -------------------------------------------------------------------------------------------


def test_the_open_image_is_sent_once_under_all_strengths(ready: list[Run]) -> None:
    embedding = embed.compute([EncoderRef(ready[0])], CHOICE, [])[0]
    row = 5
    app = page(image=str(embedding.ids[row]), tug="hue~16")
    assert query(app, "tug") == "hue~16"
    data, arrays = component(app)
    tug = data["tug"]
    assert (tug["row"], data["start"]["tug"]) == (row, "hue~16")
    assert [item["name"] for item in tug["operations"]] == list(tugs.OPERATIONS)
    assert tug["operations"][0]["texts"][16] == "180° of the circle"
    for panel, given in zip(data["panels"], tug["panels"], strict=True):
        assert given["exact"]
        points = arrays[panel["points"]].reshape(-1, 2)
        way = arrays[given["arrays"]["points"]].reshape(6, 32, 2)
        np.testing.assert_allclose(way[0, 0], points[row], atol=1e-3 * np.ptp(points))
        moved = arrays[given["arrays"]["moved"]].reshape(6, 32)
        assert moved[0, 0] == pytest.approx(0, abs=1e-3) and moved[0, 16] > 0.01
        assert len(given["average"]) == 6
    sheet = Image.open(io.BytesIO(arrays[tug["sheet"]].tobytes()))
    assert sheet.size == (32 * 16, 6 * 16)
    names = [name for given in tug["panels"] for name in given["arrays"].values()] + [tug["sheet"]]
    assert sum(arrays[name].nbytes for name in set(names)) < 250_000
    assert page(image=str(embedding.ids[row])) and query(page(tug="hue~16"), "tug") == ""


def test_an_address_without_sense_is_noted(ready: list[Run]) -> None:
    app = page(image="1", tug="<b>")
    assert "is not a way to change an image" in texts(app)
    assert component(app)[0]["tug"] == {"first": "hue"}


def test_images_that_are_gone_are_said(ready: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    tug_panel._split.clear()
    tug_panel._image.clear()
    monkeypatch.setattr(tug_panel.selection, "open_split", gone)
    embedding = embed.compute([EncoderRef(ready[0])], CHOICE, [])[0]
    data, _ = component(page(image=str(embedding.ids[3]), tug="hue~0"))
    assert data["tug"]["problem"] == "The images of these maps cannot be read: No such file or directory."


def test_what_is_not_computed_travels_as_it_is() -> None:
    assert extras.described_tug(None) == (None, {})
    assert extras.described_tug({"first": "hue", "problem": "no"}) == ({"first": "hue", "problem": "no"}, {})
    assert extras.described_guests(None) == (None, {})
