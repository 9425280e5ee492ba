"""The Augmentations page: its views are the trainer's own, and every option can be moved and carried on."""

from __future__ import annotations

import base64
import io
import shutil
import time
from pathlib import Path
from typing import Any

import dashboard_fixtures
import numpy as np
import pytest
from conftest import TINY_PRETRAIN, make_folder
from dashboard_fixtures import component_with, follow, make_run, named, open_page, shown, texts
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.shared import forms
from simclr import config as cfg
from simclr import runs
from simclr.analysis import color_shortcut
from simclr.config import Augmentation, ConfigError
from simclr.views import pictures, sample_images

OTHER_BOXES = {"dataset", "size", "preset"}


def augmentations_page(**query: str) -> AppTest:
    app = open_page("augmentations", **query)
    assert not app.exception, [item.value for item in app.exception]
    return app


def component(app: AppTest, mode: str) -> dict[str, Any]:
    return component_with(app, f'"mode":"{mode}"')


def pixels(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def tiles(address: str, rows: int, columns: int) -> np.ndarray:
    """A sprite as (rows, columns, 3, size, size) uint8."""
    sheet = pixels(address)
    size = len(sheet) // rows
    assert sheet.shape == (rows * size, columns * size, 3)
    return sheet.reshape(rows, size, columns, size, 3).transpose(0, 2, 4, 1, 3)


def assert_same_views(address: str, views: Any) -> None:
    """The sprite shows these views (N, 3, S, S), float in 0..1, to the bit that 8 bits can hold."""
    expected = np.stack([(view * 255).round().numpy().astype(np.uint8) for view in views], axis=1)
    np.testing.assert_array_equal(tiles(address, len(expected), len(views)), expected)


def address(app: AppTest) -> dict[str, str]:
    return {name: values[-1] for name, values in dashboard_fixtures.address(app).items()}


def sliders(app: AppTest) -> dict[str, Any]:
    """The sliders by the option they move."""
    return {slider.key.split("~")[0].split("-", 1)[1]: slider for slider in app.slider}


def test_views_are_the_trainers_own(tiny_runs: Path) -> None:
    import torch

    from simclr.data import shapes
    from simclr.views import augment

    app = augmentations_page()
    drawn = component(app, "views")
    config = cfg.build(cfg.PretrainConfig, cfg.recipe("quick"))
    images, ids = torch.from_numpy(shapes.generate("train", 6).images), torch.arange(6)
    views = augment.two_views(images, ids, config.augmentation, seed=config.seed, epoch=0, size=32)
    np.testing.assert_array_equal(tiles(drawn["originals"], 6, 1)[:, 0], images.numpy())
    assert_same_views(drawn["sprite"], views)


def test_every_option_of_the_augmentation_has_a_control(tiny_runs: Path) -> None:
    app = augmentations_page(blur_probability="0.5", policy="randaugment")
    shown = {*sliders(app), *(box.key.split("~")[0].split("-", 1)[1] for box in app.selectbox)} - OTHER_BOXES
    shown |= {f"{name[:-4]}_max" for name in shown if name.endswith("_min")}
    assert shown == set(Augmentation.model_fields)
    for name, slider in sliders(app).items():
        assert Augmentation.model_fields[name].description in slider.help


def test_a_slider_changes_the_views_and_the_address(tiny_runs: Path) -> None:
    app = augmentations_page()
    before = component(app, "views")["sprite"]
    sliders(app)["hue"].set_value(0.0).run()
    assert not app.exception
    assert component(app, "views")["sprite"] != before
    assert address(app)["hue"] == "0"
    assert "1 value changed" in texts(app)
    again = augmentations_page(**address(app))
    assert component(again, "views")["sprite"] == component(app, "views")["sprite"]


def test_a_range_moves_both_its_options(tiny_runs: Path) -> None:
    app = augmentations_page()
    sliders(app)["crop_scale_min"].set_value((0.5, 0.9)).run()
    assert (address(app)["crop_scale_min"], address(app)["crop_scale_max"]) == ("0.5", "0.9")
    assert "crop_ratio_max" not in address(app)  # 4/3 is not what its slider rounds it to


def drawn_words(app: AppTest) -> set[str]:
    return {pair[0] for row in component(app, "views")["rows"] for view in row["words"] for pair in view}


def test_a_policy_is_chosen_shown_in_words_and_kept_in_the_address(tiny_runs: Path) -> None:
    app = augmentations_page(jitter_probability="0", grayscale_probability="0")
    plain = component(app, "views")["sprite"]
    assert drawn_words(app) <= {"crop", "mirrored", "unchanged"}
    next(item for item in app.toggle if item.key.split("~")[0].endswith("-policy-on")).set_value(True).run()
    assert not app.exception
    assert address(app)["policy"] == "randaugment"
    assert component(app, "views")["sprite"] != plain
    assert drawn_words(app) & {"rotate", "shear x", "shift y", "equalize", "posterize", "sharpness"}
    sliders(app)["randaugment_ops"].set_value(1).run()
    assert address(app)["randaugment_ops"] == "1"
    box = next(item for item in app.selectbox if item.key.split("~")[0].endswith("-policy"))
    box.set_value("autoaugment_cifar").run()
    assert "randaugment_ops" not in sliders(app)
    assert address(app)["policy"] == "autoaugment_cifar"
    again = augmentations_page(**address(app))
    assert component(again, "views")["sprite"] == component(app, "views")["sprite"]
    next(item for item in app.toggle if item.key.split("~")[0].endswith("-policy-on")).set_value(False).run()
    assert "policy" not in address(app)
    assert component(app, "views")["sprite"] == plain


def test_the_strip_shows_each_operation_of_a_policy(tiny_runs: Path) -> None:
    app = augmentations_page(policy="autoaugment_cifar", part="steps", image="3")
    drawn = component(app, "steps")
    for view in drawn["views"]:
        titles = [title for title, _, _ in view["steps"]]
        assert len(titles) == 10
        assert [title.startswith("Policy: ") for title in titles[1:5]] == [False, True, True, False]
        for title, words, applied in view["steps"][2:4]:
            assert title.removeprefix("Policy: ")
            assert (words == "not drawn") is not applied


def test_a_wrong_policy_in_an_address_is_said(tiny_runs: Path) -> None:
    app = augmentations_page(policy="randaug")
    assert "policy" not in address(app)
    assert any("randaug" in str(text) for text in texts(app).split("\n"))


def test_a_switch_turns_an_operation_off_and_on_again(tiny_runs: Path) -> None:
    app = augmentations_page()
    switch = next(item for item in app.toggle if item.key.endswith("-jitter"))
    switch.set_value(False).run()
    assert address(app)["jitter_probability"] == "0"
    assert "hue" not in sliders(app)
    words = [pair[0] for row in component(app, "views")["rows"] for view in row["words"] for pair in view]
    assert "hue" not in words
    next(item for item in app.toggle if item.key.endswith("-jitter")).set_value(True).run()
    assert "jitter_probability" not in address(app)
    assert sliders(app)["jitter_probability"].value == 0.9


def test_presets(tiny_runs: Path) -> None:
    app = augmentations_page()
    named(app.selectbox, "augmentation-preset").set_value("none").run()
    drawn = component(app, "views")
    plain, views = tiles(drawn["originals"], 6, 1), tiles(drawn["sprite"], 6, 2)
    np.testing.assert_array_equal(views, plain.repeat(2, axis=1))
    named(app.selectbox, "augmentation-preset").set_value("notebook").run()
    assert not app.exception
    assert address(app)["size"] == "128"
    assert sliders(app)["blur_kernel_size"].value == 9
    assert tiles(component(app, "views")["sprite"], 6, 2).shape[-1] == 128


def test_a_new_draw_gives_other_views_of_the_same_images(tiny_runs: Path) -> None:
    app = augmentations_page()
    before = component(app, "views")
    app.button(key="augmentation-draw").click().run()
    after = component(app, "views")
    assert before["originals"] == after["originals"]
    assert before["sprite"] != after["sprite"]
    assert address(app)["epoch"] == "2"
    assert "epoch 2" in texts(app)
    named(app.number_input, "augmentation-epoch").set_value(1).run()
    assert component(app, "views")["sprite"] == before["sprite"]
    named(app.number_input, "augmentation-seed").set_value(7).run()
    assert component(app, "views")["sprite"] != before["sprite"]
    assert address(app)["seed"] == "7"
    assert component(augmentations_page(**address(app)), "views")["sprite"] == component(app, "views")["sprite"]


def test_images_are_chosen_by_address_and_drawn_anew(tiny_runs: Path) -> None:
    app = augmentations_page(images="3,17,99999,x")
    assert [row["title"] for row in component(app, "views")["rows"]] == ["triangle 3", "heart 17"]
    assert component(app, "picker")["picked"] == [3, 17]
    app.button(key="augmentation-others").click().run()
    assert not app.exception
    assert len(component(app, "views")["rows"]) == 6
    assert component(app, "picker")["picked"] != [3, 17]


def test_wrong_addresses_are_as_if_unsaid(tiny_runs: Path) -> None:
    wrong = {"size": "9999999", "epoch": "-1", "seed": "1e3", "part": "y", "image": "?", "preset": "x"}
    app = augmentations_page(hue="7", crop_scale_min="nan", blur_kernel_size="4", **wrong)
    query = address(app)
    assert [query[name] for name in ("preset", "epoch", "seed", "part")] == ["quick", "1", "42", "pairs"]
    assert not {"hue", "crop_scale_min", "blur_kernel_size", "size"} & set(query)


def test_a_folder_can_be_shown_and_one_that_is_not_there_is_said_so(tiny_runs: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "images", {"train/a": 5, "train/b": 5})
    app = augmentations_page(dataset=str(folder))
    assert [row["title"] for row in component(app, "views")["rows"]][:2] == ["a 0", "a 1"]
    app = augmentations_page(dataset="/nowhere/at/all")
    assert "/nowhere/at/all, which is neither a data set nor a folder that exists; shown instead: shapes." in texts(app)
    assert [row["title"] for row in component(app, "views")["rows"]][:1] == ["circle 0"]
    assert "cifar10, which is not on this machine yet; shown instead: shapes." in texts(
        augmentations_page(dataset="cifar10")
    )


def test_train_with_these_fills_the_form(tiny_runs: Path) -> None:
    app = augmentations_page(preset="notebook")
    sliders(app)["hue"].set_value(0.33).run()
    follow(app.button(key="train-with-these").click().run())
    assert not app.exception
    form = app.session_state[forms.STATE]
    assert (form["kind"], form["recipe"]) == ("pretrain", "notebook")
    assert form["values"]["dataset"] == "shapes"
    assert form["values"]["image_size"] == 128
    assert form["values"]["augmentation.hue"] == 0.33
    config = forms.to_config("pretrain", form["values"])
    expected = cfg.build(cfg.PretrainConfig, cfg.recipe("notebook")).augmentation.model_copy(update={"hue": 0.33})
    assert config.augmentation == expected  # type: ignore[union-attr]


def test_the_form_says_what_the_preset_would_not(tiny_runs: Path) -> None:
    app = augmentations_page(preset="notebook")
    app.selectbox(key=next(item.key for item in app.selectbox if item.key.endswith("-size"))).set_value(0).run()
    follow(app.button(key="train-with-these").click().run())
    assert app.session_state[forms.STATE]["values"]["image_size"] is None  # the recipe has 128


# --- one image step by step ---------------------------------------------------------------------------------------


def test_the_last_step_is_the_view_of_the_grid(tiny_runs: Path) -> None:
    settings = {"blur_probability": "1", "grayscale_probability": "0.5", "seed": "5", "epoch": "3", "size": "48"}
    grid = tiles(component(augmentations_page(images="0,1,2,3,4,5", **settings), "views")["sprite"], 6, 2)
    for number in range(6):
        app = augmentations_page(part="steps", image=str(number), **settings)
        drawn = component(app, "steps")
        found = tiles(drawn["sprite"], 2, 8)
        np.testing.assert_array_equal(found[:, -1], grid[number])
        for view in drawn["views"]:
            names = [name for name, _, _ in view["steps"]]
            assert names[:2] + names[6:] == ["Crop", "Mirror", "Grey", "Blur"]
            assert sorted(names[2:6]) == ["Brightness", "Contrast", "Hue", "Saturation"]
    assert address(app)["image"] == "5"


def test_steps_say_what_was_drawn() -> None:
    drawn = {
        "box": [8, 4, 16, 8],
        "flip": False,
        "jitter": True,
        "brightness": 1.2,
        "contrast": 1.0,
        "saturation": 0.5,
        "hue": -0.25,
        "grayscale": True,
        "blur": True,
        "sigma": 1.234,
    }
    words = {name: pictures._step(name, drawn, 32, 32) for name in ("crop", "flip", "brightness", "hue", "blur")}
    assert words == {
        "crop": ("12 %: 8 × 16 at 4, 8", True),
        "flip": ("not drawn", False),
        "brightness": ("× 1.20", True),
        "hue": ("-0.25 turn, -90°", True),
        "blur": ("σ 1.23 px", True),
    }
    without = drawn | {"jitter": False, "box": [0, 0, 32, 32]}
    assert pictures._step("contrast", without, 32, 32) == ("not drawn", False)
    assert pictures._step("crop", without, 32, 32) == ("whole image", False)


# --- from a run ---------------------------------------------------------------------------------------------------


def test_a_run_shows_the_very_pairs_its_training_drew(tiny_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simclr.lifecycle.train import train
    from simclr.views import augment, factors

    seen: dict[int, list[Any]] = {}
    two_views = augment.two_views

    def watched(images: Any, ids: Any, augmentation: Augmentation, *, seed: int, epoch: int, size: int) -> Any:
        views = two_views(images, ids, augmentation, seed=seed, epoch=epoch, size=size)
        if epoch != factors.VALIDATION_EPOCH:
            seen.setdefault(epoch, []).append((ids.numpy(), [view.clone() for view in views]))  # normalized in place
        return views

    monkeypatch.setattr(augment, "two_views", watched)
    options = TINY_PRETRAIN | {"seed": 7, "augmentation": {"hue": 0.4, "blur_probability": 0.5}}
    run = train(cfg.build(cfg.PretrainConfig, options), runs_dir=tiny_runs)
    monkeypatch.setattr(augment, "two_views", two_views)
    assert {epoch: len(batches) for epoch, batches in seen.items()} == {0: 3, 1: 3}
    for epoch, batches in seen.items():
        for batch, (ids, views) in enumerate(batches):
            images = ",".join(map(str, ids))
            app = augmentations_page(run=run.id, epoch=str(epoch + 1), batch=str(batch + 1), images=images)
            assert component(app, "picker")["picked"] == ids.tolist()
            assert [item["number"] for item in component(app, "picker")["items"]] == ids.tolist()
            assert_same_views(component(app, "views")["sprite"], views)
    assert "its images, seed and augmentation" in texts(app)
    query = address(app)
    assert (query["run"], query["seed"], query["preset"]) == (run.id, "7", "run")
    assert not {"dataset", "size", "hue"} & set(query)
    # first the start of the batch; the same images in another epoch; then the next batch
    app = augmentations_page(run=run.id)
    assert component(app, "picker")["picked"] == seen[0][0][0][:6].tolist()
    named(app.number_input, "augmentation-epoch").set_value(2).run()
    assert component(app, "picker")["picked"] == seen[0][0][0][:6].tolist()
    app.button(key="augmentation-others").click().run()
    assert component(app, "picker")["picked"] == seen[1][1][0][:6].tolist()
    assert (address(app)["epoch"], address(app)["batch"]) == ("2", "2")
    sliders(app)["hue"].set_value(0.1).run()
    assert "not its own any more" in texts(app)


def test_what_is_trained_with_these_draws_these(tiny_runs: Path) -> None:
    app = augmentations_page(seed="7", size="24", blur_probability="0", hue="0.3", images="2,5,11")
    shown = component(app, "views")
    follow(app.button(key="train-with-these").click().run())
    form = app.session_state[forms.STATE]
    config = forms.to_config("pretrain", form["values"])
    run = runs.create(config, tiny_runs)
    runs.update_status(run.path, state="finished")
    written = runs.load_config(run)
    quick = cfg.build(cfg.PretrainConfig, cfg.recipe("quick")).augmentation
    assert written.augmentation == quick.model_copy(update={"hue": 0.3, "blur_probability": 0.0})
    assert (written.seed, written.image_size, written.dataset) == (7, 24, "shapes")
    again = component(augmentations_page(run=run.id, images="2,5,11"), "views")
    titles = [row["title"] for row in again["rows"]]
    assert titles, "all three validate"
    places = [row for row, item in enumerate(shown["rows"]) if item["title"] in titles]
    np.testing.assert_array_equal(tiles(again["sprite"], len(titles), 2), tiles(shown["sprite"], 3, 2)[places])
    np.testing.assert_array_equal(tiles(again["originals"], len(titles), 1), tiles(shown["originals"], 3, 1)[places])


def test_train_with_these_of_a_run_keeps_its_other_options(tiny_runs: Path) -> None:
    run = make_run(tiny_runs, temperature=0.13, batch_size=64, dataset="shapes", name="Cold")
    app = augmentations_page(run=run.id)
    sliders(app)["hue"].set_value(0.2).run()
    follow(app.button(key="train-with-these").click().run())
    config = forms.to_config("pretrain", app.session_state[forms.STATE]["values"])
    expected = runs.load_config(run)
    changed = cfg.differences(config, expected)
    assert {name: value for name, value in changed.items() if name != "version"} == {
        "augmentation.hue": 0.2,
        "name": "Cold copy",
    }


def test_a_run_without_its_data_or_pairs_costs_a_sentence(tiny_runs: Path) -> None:
    gone = make_run(tiny_runs, dataset="/nowhere/at/all")
    assert "/nowhere/at/all, which is neither" in shown_error(augmentations_page(run=gone.id))
    absent = make_run(tiny_runs, dataset="cifar10")
    assert "cifar10, which was not downloaded yet" in shown_error(augmentations_page(run=absent.id))
    tuned = make_run(tiny_runs, kind="scratch")
    assert "draws no pairs of views; shown instead: the data set shapes." in texts(augmentations_page(run=tuned.id))
    app = augmentations_page(run="nothing")
    assert "run in the address is nothing, which is no run here; shown instead: the data set shapes." in texts(app)
    assert "run" not in address(app)
    damaged = make_run(tiny_runs)
    (damaged.path / runs.CONFIG).write_text("temperature: [")
    assert "options that cannot be read" in texts(augmentations_page(run=damaged.id))


def shown_error(app: AppTest) -> str:
    [found] = app.error
    return shown(found.value)


def test_a_run_that_waits_has_the_size_it_will_train_at(tiny_runs: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "large", {"a": 6, "b": 6}, side=400)
    run = make_run(tiny_runs, "queued", dataset=str(folder), val_fraction=0, batch_size=4)
    assert runs.load_config(run).image_size is None
    app = augmentations_page(run=run.id)
    assert tiles(component(app, "views")["sprite"], 4, 2).shape[-1] == 224  # kept larger, for crops
    assert "of the run" in str(named(app.selectbox, "augmentation-dataset").options)


def test_a_link_from_a_run_replaces_what_was_shown(tiny_runs: Path) -> None:
    run = make_run(tiny_runs, seed=3, dataset="digits")
    app = augmentations_page(hue="0.4", seed="9", part="shortcut")
    app.switch_page("run/page.py")
    app.query_params["id"] = run.id
    app.run()
    app.switch_page("augmentations/page.py")
    app.query_params.clear()
    app.query_params["run"] = run.id
    app.run()
    assert not app.exception
    query = address(app)
    assert (query["run"], query["seed"], query["part"]) == (run.id, "3", "pairs")
    assert "hue" not in query
    assert named(app.number_input, "augmentation-seed").value == 3
    named(app.selectbox, "augmentation-dataset").set_value("shapes").run()
    assert not app.exception
    assert (address(app)["dataset"], "run" in address(app)) == ("shapes", False)


def test_what_the_encoder_makes_of_it_keeps_its_own_parameters(tiny_runs: Path, finished_run: runs.Run) -> None:
    shutil.copytree(finished_run.path, tiny_runs / finished_run.id)
    app = augmentations_page(run=finished_run.id, part="encoder", show="batch")
    assert not app.error
    query = address(app)
    assert (query["run"], query["encoder"], query["show"]) == (finished_run.id, finished_run.id, "batch")
    app.segmented_control(key="augmentation-part").set_value("pairs").run()
    assert not app.exception
    assert not {"encoder", "show"} & set(address(app))


# --- images of the visitor's own ----------------------------------------------------------------------------------


def encoded(image_format: str, side: int = 40, color: tuple[int, int, int] = (200, 30, 60)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side + 8), color).save(stream, image_format)
    return stream.getvalue()


def test_images_of_ones_own_are_read_and_broken_ones_named() -> None:
    files = [
        ("a.png", encoded("PNG")),
        ("b.JPG", encoded("JPEG")),
        ("c.webp", encoded("WEBP", 60)),
        ("cut.png", encoded("PNG")[:60]),
        ("words.jpg", b"words"),
        ("film.mp4", b"1"),
        ("none.png", b""),
        ("big.png", bytes(sample_images.MAX_UPLOAD_MIB * 2**20 + 1)),
    ]
    found, problems = sample_images.uploaded(files)
    assert found is not None
    assert found.images.shape == (3, 3, 40, 40)
    assert [found.title(place) for place in range(3)] == ["a.png", "b.JPG", "c.webp"]
    np.testing.assert_array_equal(found.images[0, :, 20, 20], [200, 30, 60])
    assert problems == [
        "cut.png cannot be read: it is cut short or damaged.",
        "words.jpg cannot be read: it is not an image.",
        "film.mp4 is no PNG, JPEG or WebP image.",
        "none.png cannot be read: it is empty.",
        "big.png has 10 MiB; allowed: up to 10 MiB.",
    ]
    many, problems = sample_images.uploaded([("a.png", encoded("PNG"))] * 70)
    assert many is not None
    assert (len(many.ids), problems) == (64, ["70 images were given; the first 64 are shown."])
    assert sample_images.uploaded([("words.png", b"words")])[0] is None


def test_uploaded_images_are_shown(tiny_runs: Path) -> None:
    app = augmentations_page(dataset=sample_images.UPLOADED)
    assert "Add images to see their views" in texts(app)
    app.file_uploader[0].set_value([("a.png", encoded("PNG"), "image/png"), ("bad.png", b"bad", "image/png")]).run()
    assert not app.exception
    assert [row["title"] for row in component(app, "views")["rows"]] == ["a.png"]
    assert [shown(item.value) for item in app.warning] == ["bad.png cannot be read: it is not an image."]
    follow(app.button(key="train-with-these").click().run())
    assert not app.exception
    assert "Your images were only looked at and are kept nowhere" in texts(app)
    assert not app.error
    assert not app.button("start").disabled
    app.button(key="own-images-add").click().run()  # where they can be given
    assert len(app.file_uploader) == 2
    named(app.selectbox, "form-pretrain-dataset").set_value("cifar10").run()
    assert "only looked at" not in texts(app)
    app.switch_page("augmentations/page.py").run()
    assert [row["title"] for row in component(app, "views")["rows"]] == ["a.png"]
    app.file_uploader[0].set_value([("b.png", encoded("PNG"), "image/png")]).run()
    assert [row["title"] for row in component(app, "views")["rows"]] == ["b.png"]
    app.file_uploader[0].set_value([]).run()
    assert not app.exception
    assert "Add images to see their views" in texts(app)


# --- the colour shortcut ------------------------------------------------------------------------------------------


def test_histograms_and_intersections_against_plain_loops() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 3, 3, 5, 4)).astype(np.float32)
    first[0, 0, 0, 0] = 1.0  # belongs to the last bin
    found = [color_shortcut.histograms(views) for views in (first, second)]
    for views, counted in zip((first, second), found, strict=True):
        for image in range(3):
            for channel in range(3):
                expected = [0.0] * 16
                for value in views[image, channel].ravel():
                    expected[min(15, int(value * 16))] += 1 / 20
                np.testing.assert_allclose(counted[image, channel], expected, rtol=1e-5)
    for i in range(3):
        for j in range(3):
            common = sum(min(a, b) for a, b in zip(found[0][i].ravel(), found[1][j].ravel(), strict=True)) / 3
            np.testing.assert_allclose(color_shortcut.intersections(*found)[i, j], common, rtol=1e-5)


def test_partners_are_counted_and_ties_shared() -> None:
    assert color_shortcut.top1(np.eye(5, dtype=np.float32)) == 1.0
    assert color_shortcut.top1(np.roll(np.eye(5, dtype=np.float32), 1, axis=1)) == 0.0
    assert color_shortcut.top1(np.ones((5, 5), np.float32)) == pytest.approx(1 / 5)
    # row 0 finds its partner, row 1 does not; both columns' best is row 0: (1/2 + 1/2) / 2
    assert color_shortcut.top1(np.array([[0.9, 0.8], [0.7, 0.3]], np.float32)) == pytest.approx(0.5)


def test_colour_jitter_closes_the_shortcut(tiny_runs: Path) -> None:
    app = augmentations_page(part="shortcut")
    crops, jitter, chance = (float(metric.value.rstrip("\u202f %")) for metric in app.metric)
    assert crops > 75
    assert jitter < 25
    assert chance == 1.6
    drawn = component(app, "shortcut")
    assert tiles(drawn["sprite"], 6, 4).shape[-1] == 32
    np.testing.assert_allclose(np.sum(drawn["rows"][0]["arms"][0]["histograms"], axis=-1), 1000, atol=16)
    off = augmentations_page(part="shortcut", jitter_probability="0", grayscale_probability="0")
    assert off.metric[0].value == off.metric[1].value == app.metric[0].value


def test_a_batch_is_mixed_as_in_training(tiny_runs: Path) -> None:
    """Its weights and box are those of a training's step, and the targets in words have them."""
    import torch

    from simclr.objectives import mixing
    from simclr.views import augment

    app = augmentations_page(
        part="mixed", preset="paper", seed="7", epoch="3", images="4,1,2", mixup_alpha="1.5", size="32"
    )
    drawn = component(app, "views")
    found = sample_images.load("shapes", size=32)
    places = found.places([4, 1, 2])
    chosen, ids = torch.from_numpy(found.images[places]), torch.from_numpy(found.ids[places])
    views = augment.random_view(chosen, ids, Augmentation(), seed=7, epoch=2, view=0, size=32)
    mixes = [mixing.draw_mix(*alphas, 1.0, seed=7, step=2, height=32, width=32) for alphas in ((1.5, 0.0), (0.0, 1.0))]
    others = views.roll(1, 0)
    assert_same_views(drawn["sprite"], [mixing.mix_images(views, others, mix) for mix in mixes])
    assert_same_views(drawn["originals"], [views])
    assert drawn["names"] == ["MixUp", "CutMix"]
    names = [found.names[place] for place in places]
    for number, row in enumerate(drawn["rows"]):
        for mix, words in zip(mixes, row["words"], strict=True):
            shares = dict(words)
            own, other = names[number], names[number - 1]
            assert shares[own] == ("100 %" if own == other else f"{100 * mix.weight:.0f} %")
            assert set(shares) == {own, other}
    assert "step 3 of a training with seed 7" in texts(app)
    assert address(app)["mixup_alpha"] == "1.5" and "cutmix_alpha" not in address(app)
    app.slider(key="augmentation-cutmix_alpha").set_value(3.0).run()
    assert address(app)["cutmix_alpha"] == "3"
    assert component(app, "views")["revision"] != drawn["revision"]


def test_one_image_alone_is_not_mixed(tiny_runs: Path) -> None:
    app = augmentations_page(part="mixed", images="4", cutmix_alpha="-3")
    assert "add at least one more" in texts(app)
    assert app.slider(key="augmentation-cutmix_alpha").value == 1.0


def test_sixteen_images_are_drawn_in_one_go(tiny_runs: Path) -> None:
    """They cost some three times what one does, and not sixteen times."""
    import torch

    torch.set_num_threads(1)
    found = sample_images.load("shapes")
    strong = Augmentation(blur_probability=1.0, jitter_probability=1.0)
    seconds: dict[int, list[float]] = {1: [], 16: []}
    for epoch in range(6):
        for number, taken in seconds.items():
            start = time.thread_time()
            pictures.draw_views(found, list(range(number)), strong, seed=0, epoch=epoch, size=32)
            taken.append(time.thread_time() - start)
    assert min(seconds[16]) < 8 * min(seconds[1])


def test_words_and_frames_say_what_was_drawn() -> None:
    drawn = {
        "box": [8, 16, 16, 8],
        "flip": True,
        "jitter": True,
        "brightness": 1.2,
        "contrast": 1.0,
        "saturation": 0.5,
        "hue": -0.25,
        "grayscale": True,
        "blur": True,
        "sigma": 1.23,
    }
    assert pictures._box(drawn, 32, 32) == [0.5, 0.25, 0.25, 0.5]
    assert pictures.in_words(drawn, 32, 32) == [
        ["crop", "12 %"],
        ["mirrored", ""],
        ["brightness", "× 1.20"],
        ["saturation", "× 0.50"],
        ["hue", "-0.25"],
        ["grey", ""],
        ["blur σ", "1.2"],
    ]
    whole = drawn | {"box": [0, 0, 32, 32], "flip": False, "jitter": False, "grayscale": False, "blur": False}
    assert pictures._box(whole, 32, 32) is None
    assert pictures.in_words(whole, 32, 32) == [["unchanged", ""]]


def test_gallery_of_digits_and_of_what_is_not_there(tmp_path: Path) -> None:
    digits = sample_images.load("digits")
    assert digits.images.shape[1:] == (3, 32, 32)
    assert set(digits.names) == {str(digit) for digit in range(10)}
    assert len(digits.draw(1, 12)) == 12
    with pytest.raises(ConfigError, match="a folder without images"):
        sample_images.load(str(tmp_path))
    with pytest.raises(ConfigError, match="did you mean shapes"):
        sample_images.load("shape")
