"""Your own images on the New run page: a folder of this machine, or an upload, becomes the data set of the form."""

import io
import math
import os
import zipfile

import pytest
from conftest import make_folder
from dashboard_fixtures import make_run, named, open_page, query, shown, texts
from PIL import Image
from quiet_forms import folder  # noqa: F401  (a fixture)

from dashboard.new_run import preflight
from dashboard.new_run.own import folders
from simclr.data.folders import folder_layout
from simclr.data.own_images import uploads
from simclr.lifecycle import estimate


@pytest.fixture
def root(folder, monkeypatch):
    """The data root."""
    monkeypatch.setenv("SIMCLR_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("HOME", str(folder / "home"))
    (folder / "home").mkdir()
    return folder / "data"


@pytest.fixture
def photos(folder):
    return make_folder(folder / "home" / "photos", {"cat": 6, "dog": 6})


def opened(where="", **asked):
    app = open_page("new_run", **asked)
    app.button(key="own-images").click().run()
    if where:
        named(app.button_group, "own-images-where").set_value(where).run()
    assert not app.exception, [item.value for item in app.exception]
    return app


def labels(app):
    return [shown(button.label) for button in app.button]


def enter(app, name):
    return next(button for button in app.button if shown(button.label) == name).click().run()


def has(app, key):
    return any(button.key == key for button in app.button)


def dataset(app):
    return next(box for box in app.selectbox if box.key.partition("~")[0].endswith("-dataset")).value


def png(color=(200, 30, 30)):
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(stream, "png")
    return stream.getvalue()


def left(root):
    return sorted(os.listdir(root / uploads.FOLDER)) if (root / uploads.FOLDER).exists() else []


def files(app, number):
    return app.file_uploader[number]


SOME = [
    (f"photos/{name}/{number}.png", png((number, 9, 9)), "image/png") for name in ("cat", "dog") for number in range(6)
]


def test_a_folder_is_walked_to_and_used_with_what_was_typed_meanwhile(root, photos):
    app = open_page("new_run")
    next(item for item in app.number_input if item.key.endswith("-epochs")).set_value(7).run()
    app.button(key="own-images").click().run()
    assert named(app.text_input, folders.TYPED).value == str(photos.parent)  # the home
    enter(app, "photos")
    sentence = folder_layout.read(str(photos)).sentence(folder_layout.read(str(photos)).split_sizes(0.1, None))
    assert sentence in texts(app)
    pictures = "".join(item.proto.body for item in app.get("html"))
    assert pictures.count("<img ") == 8
    assert 'alt="cat, 000.png"' in pictures
    app.button(key="own-use").click().run()
    assert not has(app, "own-use")
    assert dataset(app) == str(photos)
    assert query(app, "dataset") == str(photos)
    assert query(app, "epochs") == "7"


def test_the_way_up_and_a_typed_path_and_one_that_is_not_there(root, photos):
    app = opened(dataset=str(photos))
    assert named(app.text_input, folders.TYPED).value == str(photos)
    app.button(key="own-up").click().run()
    assert named(app.text_input, folders.TYPED).value == str(photos.parent)
    named(app.text_input, folders.TYPED).set_value(f"{photos}/cow").run()
    assert f"{photos}/cow is no folder that exists." in texts(app)
    assert "photos" in labels(app)
    named(app.text_input, folders.TYPED).set_value(f"{photos}/cat").run()
    assert "is no folder" not in texts(app)
    assert "No classes, since all images lie in the folder itself." in texts(app)


def test_the_folder_of_a_run_is_one_of_the_places(root, photos, folder):
    other = make_folder(folder / "elsewhere" / "cells", {"a": 4, "b": 4})
    make_run(folder, dataset=str(other))
    app = opened()
    assert labels(app).index("Home") < labels(app).index("cells")
    enter(app, "cells")
    assert named(app.text_input, folders.TYPED).value == str(other)


def test_a_folder_that_cannot_be_trained_on_says_why_and_cannot_be_used(root, photos):
    app = opened()
    assert app.button(key="own-use").disabled is False  # the home holds photos/, and is read as a whole
    (photos.parent / "empty").mkdir()
    app = opened()
    enter(app, "empty")
    assert "a folder without images" in texts(app)
    assert app.button(key="own-use").disabled


def test_names_that_are_no_text_are_shown_entered_and_refused_in_a_sentence(root, photos):
    odd = os.fsencode(photos.parent) + b"/caf\xe9"
    os.mkdir(odd)
    os.rename(photos / "cat", odd + b"/cat")
    app = opened()
    enter(app, "caf\\xe9")
    assert not app.exception
    assert "allowed: text in UTF-8" in texts(app)
    assert app.button(key="own-use").disabled
    enter(app, "cat")
    app.button(key="own-up").click().run()
    assert named(app.text_input, folders.TYPED).value.endswith("caf\\xe9")


def test_of_many_folders_the_first_are_shown_and_others_found(root, photos):
    for number in range(150):
        (photos.parent / f"set{number:03d}").mkdir()
    app = opened()
    assert f"{folders.MOST_BUTTONS} of 151 folders." in texts(app)
    assert "set140" not in labels(app)
    named(app.text_input, folders.FIND).set_value("T14").run()
    assert [name for name in labels(app) if name.startswith("set")] == [f"set14{n}" for n in range(10)]
    enter(app, "set140")
    assert named(app.text_input, folders.TYPED).value.endswith("set140")


def test_an_uploaded_folder_keeps_its_classes_and_is_trained_on(root):
    app = opened("Upload", batch_size="4")
    files(app, 0).set_value([*SOME, ("photos/notes.txt", b"x", "text/plain")]).run()
    assert not app.exception
    assert "Not copied: 1 file (no image)." in texts(app)
    assert "Read as 2 classes (cat" in texts(app)
    assert len(left(root)) == 1
    app.button(key="own-train").click().run()
    assert left(root) == ["photos"]
    assert dataset(app) == str(root / uploads.FOLDER / "photos")
    assert not app.button("start").disabled
    assert "Read as 2 classes (cat" in texts(app)


def test_an_archive_is_unpacked_and_what_is_none_is_a_sentence(root):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name, content, _ in SOME:
            target.writestr(name, content)
        target.writestr("../../escaped.png", png())
    app = opened("Upload")
    files(app, 1).set_value([("pets.zip", stream.getvalue(), "application/zip")]).run()
    assert "Not copied: 1 file (the path leads out of the folder)." in texts(app)
    assert "Read as 2 classes (cat" in texts(app)
    app.button(key="own-train").click().run()
    assert left(root) == ["pets"]
    assert not list(root.parent.rglob("escaped.png"))
    app = opened("Upload")
    files(app, 1).set_value([("pets.zip", b"words", "application/zip")]).run()
    assert "pets.zip is no .zip archive" in texts(app)
    assert not has(app, "own-train")
    assert left(root) == ["pets"]


def test_without_an_image_it_is_a_sentence(root):
    app = opened("Upload")
    files(app, 0).set_value([("photos/a.txt", b"x", "text/plain"), ("photos/b.png", b"x", "image/png")]).run()
    assert "There is no image among what was given" in texts(app)
    assert not has(app, "own-train")
    assert left(root) == []


def test_what_is_not_used_is_removed(root):
    app = opened("Upload")
    files(app, 0).set_value(SOME).run()
    assert len(left(root)) == 1
    app.button(key="own-remove").click().run()
    assert left(root) == []
    assert not has(app, "own-train")
    files(app, 0).set_value(SOME).run()
    assert len(left(root)) == 1
    files(app, 0).set_value(SOME[:3]).run()  # others instead
    assert len(left(root)) == 1
    app.switch_page("runs/page.py").run()
    app.switch_page("new_run/page.py")
    app.query_params["epochs"] = "3"
    app.run()  # a new address: the dialog is over
    assert not has(app, "own-remove")
    assert left(root) == []


def test_nothing_is_measured_by_itself_while_images_are_chosen(root, monkeypatch):
    """Neither are these the options that will be started, nor may the page be drawn again under an upload."""
    started = []
    monkeypatch.setattr(preflight, "SETTLED_SECONDS", math.inf)
    monkeypatch.setattr(estimate, "start_job", lambda *asked: started.append(asked) or root)
    app = opened()
    monkeypatch.setattr(preflight, "SETTLED_SECONDS", 0.0)
    app.run()
    assert started == []
    app.session_state["own-images-open"] = False
    app.run()
    assert len(started) == 1
