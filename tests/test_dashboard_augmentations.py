"""The Augmentations page: its views are the trainer's own, and every option can be moved and carried on."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dashboard_fixtures import open_page, texts
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard import forms, gallery
from simclr import config as cfg
from simclr.config import Augmentation, ConfigError


def augmentations_page(**query: str) -> AppTest:
    app = open_page("augmentations", **query)
    assert not app.exception, [item.value for item in app.exception]
    return app


def component(app: AppTest, mode: str) -> dict[str, Any]:
    for node in app.get("bidi_component"):
        for field in ("json", "mixed"):
            value = getattr(node.proto, field, "")
            if isinstance(value, str) and f'"mode": "{mode}"' in value.replace('":"', '": "'):
                return json.loads(value)
    pytest.fail(f"no component in mode {mode}")


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
    return dict(app.query_params)


def sliders(app: AppTest) -> dict[str, Any]:
    """The sliders by the option they move."""
    return {slider.key.split("-", 2)[2]: slider for slider in app.slider}


def test_views_are_the_trainers_own(tiny_runs: Path) -> None:
    import torch

    from simclr import augment, shapes

    app = augmentations_page()
    drawn = component(app, "views")
    config = cfg.build(cfg.PretrainConfig, cfg.recipe("quick"))
    images, ids = torch.from_numpy(shapes.generate("train", 6).images), torch.arange(6)
    views = augment.two_views(images, ids, config.augmentation, seed=0, epoch=0, size=32)
    np.testing.assert_array_equal(tiles(drawn["originals"], 6, 1)[:, 0], images.numpy())
    assert_same_views(drawn["sprite"], views)


def test_every_option_of_the_augmentation_has_a_control(tiny_runs: Path) -> None:
    app = augmentations_page(blur_probability="0.5")
    shown = set(sliders(app))
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
    app.selectbox(key="augmentation-preset").set_value("none").run()
    drawn = component(app, "views")
    plain, views = tiles(drawn["originals"], 6, 1), tiles(drawn["sprite"], 6, 2)
    np.testing.assert_array_equal(views, plain.repeat(2, axis=1))
    app.selectbox(key="augmentation-preset").set_value("notebook").run()
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
    app.number_input(key="augmentation-epoch").set_value(1).run()
    assert component(app, "views")["sprite"] == before["sprite"]
    app.number_input(key="augmentation-seed").set_value(7).run()
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
    app = augmentations_page(hue="7", crop_scale_min="nan", blur_kernel_size="4", preset="x", size="9999999", epoch="-1",
                             seed="1e3", part="y", image="?")  # fmt: skip
    query = address(app)
    assert [query[name] for name in ("preset", "epoch", "seed", "part")] == ["quick", "1", "0", "pairs"]
    assert not {"hue", "crop_scale_min", "blur_kernel_size", "size"} & set(query)


def test_a_folder_can_be_shown_and_one_that_is_not_there_is_said_so(tiny_runs: Path, tmp_path: Path) -> None:
    from conftest import make_folder

    folder = make_folder(tmp_path / "images", {"train/a": 5, "train/b": 5})
    app = augmentations_page(dataset=str(folder))
    assert [row["title"] for row in component(app, "views")["rows"]][:2] == ["a 0", "a 1"]
    assert "/nowhere/at/all; allowed: shapes" in augmentations_page(dataset="/nowhere/at/all").error[0].value.replace(
        "\\", ""
    )
    assert "cifar10, which was not downloaded yet" in augmentations_page(dataset="cifar10").error[0].value.replace(
        "\\", ""
    )


def test_train_with_these_fills_the_form(tiny_runs: Path) -> None:
    app = augmentations_page(preset="notebook")
    sliders(app)["hue"].set_value(0.33).run()
    app.button(key="train-with-these").click().run()
    assert not app.exception
    form = app.session_state[forms.STATE]
    assert (form["kind"], form["recipe"]) == ("pretrain", "notebook")
    assert form["values"]["dataset"] == "shapes"
    assert form["values"]["image_size"] == 128
    assert form["values"]["augmentation.hue"] == 0.33
    config = forms.to_config("pretrain", form["values"])
    expected = cfg.build(cfg.PretrainConfig, cfg.recipe("notebook")).augmentation.model_copy(update={"hue": 0.33})
    assert config.augmentation == expected  # type: ignore[union-attr]


def test_sixteen_images_are_drawn_in_time(tiny_runs: Path) -> None:
    import torch

    torch.set_num_threads(1)
    found = gallery.load("shapes")
    strong = Augmentation(blur_probability=1.0, jitter_probability=1.0)
    gallery.draw_views(found, list(range(16)), strong, seed=0, epoch=0, size=32)
    seconds = []
    for epoch in range(5):
        start = time.process_time()
        gallery.draw_views(found, list(range(16)), strong, seed=0, epoch=epoch, size=32)
        seconds.append(time.process_time() - start)
    assert sorted(seconds)[2] < 0.05


def test_words_and_frames_say_what_was_drawn() -> None:
    drawn = {"box": [8, 16, 16, 8], "flip": True, "jitter": True, "brightness": 1.2, "contrast": 1.0, "saturation": 0.5,
             "hue": -0.25, "grayscale": True, "blur": True, "sigma": 1.23}  # fmt: skip
    assert gallery._box(drawn, 32, 32) == [0.5, 0.25, 0.25, 0.5]
    assert gallery.in_words(drawn, 32, 32) == [
        ["crop", "12 %"], ["mirrored", ""], ["brightness", "× 1.20"], ["saturation", "× 0.50"], ["hue", "-0.25"],
        ["grey", ""], ["blur σ", "1.2"],
    ]  # fmt: skip
    whole = drawn | {"box": [0, 0, 32, 32], "flip": False, "jitter": False, "grayscale": False, "blur": False}
    assert gallery._box(whole, 32, 32) is None
    assert gallery.in_words(whole, 32, 32) == [["unchanged", ""]]


def test_gallery_of_digits_and_of_what_is_not_there(tmp_path: Path) -> None:
    digits = gallery.load("digits")
    assert digits.images.shape[1:] == (3, 32, 32)
    assert set(digits.names) == {str(digit) for digit in range(10)}
    assert len(digits.draw(1, 12)) == 12
    with pytest.raises(ConfigError, match="a folder without images"):
        gallery.load(str(tmp_path))
    with pytest.raises(ConfigError, match="did you mean shapes"):
        gallery.load("shape")
