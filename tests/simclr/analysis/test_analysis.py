"""What an encoder makes of augmented images: formulas against slow references, and the command on a real tiny run."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from simclr import runs
from simclr.analysis import encoders, factors, invariance, similarity, stored
from simclr.cli.main import main
from simclr.data import shapes
from simclr.embeddings.references import EncoderRef, open_weights
from simclr.launch import jobs
from simclr.objectives import nt_xent
from simclr.views import augment, resampling
from simclr.views.factors import Factors


def random_batch(num: int, dim: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    first = generator.normal(size=(num, dim))
    return first, first + 0.6 * generator.normal(size=(num, dim))


# --- a batch and its temperature ------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.01, 0.07, 0.5, 2.0])
def test_the_loss_is_that_of_training(temperature: float) -> None:
    first, second = random_batch(9)
    expected = nt_xent.nt_xent(torch.from_numpy(first), torch.from_numpy(second), temperature)
    found = similarity.at_temperature(similarity.similarity_matrix(similarity.interleave(first, second)), temperature)
    assert found.loss == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_weights_are_the_gradients_of_the_negatives(temperature: float) -> None:
    """By autograd of the plain formula: shares of the push on the negatives, equal to the pull on the positive."""
    similarities = torch.from_numpy(
        similarity.similarity_matrix(similarity.interleave(*random_batch(5)))
    ).requires_grad_()
    weights = similarity.at_temperature(similarities.detach().numpy(), temperature).weights
    for i in range(10):
        others = [k for k in range(10) if k != i]
        anchor = torch.logsumexp(similarities[i, others] / temperature, 0) - similarities[i, i ^ 1] / temperature
        (gradient,) = torch.autograd.grad(anchor, similarities)
        pull = -float(gradient[i, i ^ 1])
        for k in range(10):
            is_negative = k not in (i, i ^ 1)
            assert weights[i, k] == pytest.approx(float(gradient[i, k]) / pull if is_negative else 0.0, abs=1e-9)


def test_effective_number_of_negatives_against_plain_python() -> None:
    similarities = similarity.similarity_matrix(similarity.interleave(*random_batch(4)))
    found = similarity.at_temperature(similarities, 0.3)
    for i in range(8):
        parts = [math.exp(similarities[i, k] / 0.3) for k in range(8) if k not in (i, i ^ 1)]
        shares = [part / sum(parts) for part in parts]
        assert found.effective[i] == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))


def test_equal_similarities_give_the_chance_line_and_all_negatives() -> None:
    found = similarity.at_temperature(np.ones((12, 12)), 0.1)
    assert found.loss == pytest.approx(math.log(11))
    np.testing.assert_allclose(found.effective, 10)


def test_a_low_temperature_leaves_the_most_similar_negative() -> None:
    similarities = similarity.similarity_matrix(similarity.interleave(*random_batch(8)))
    effective = [similarity.at_temperature(similarities, value).effective.mean() for value in (0.002, 0.05, 0.5, 50.0)]
    assert effective == sorted(effective)
    assert effective[0] < 1.5
    assert effective[-1] == pytest.approx(14, abs=1e-3)
    assert np.isfinite(similarity.at_temperature(similarities, 1e-4).loss)


@pytest.mark.parametrize(("size", "temperature"), [(2, 0.5), (5, 0.5), (8, 0.0), (8, math.inf), (8, math.nan)])
def test_what_cannot_be_a_batch_is_refused(size: int, temperature: float) -> None:
    with pytest.raises(ValueError, match="allowed"):
        similarity.at_temperature(np.zeros((size, size)), temperature)


def test_bright_pairs_against_a_loop() -> None:
    similarities = similarity.similarity_matrix(similarity.interleave(*random_batch(7)))
    names = ["cat", "cat", "dog", "", "dog", "cat", "owl"]
    best = {}
    for row in range(14):
        for column in range(row + 1, 14):
            pair = row // 2, column // 2
            if pair[0] != pair[1] and similarities[row, column] > best.get(pair, (-2.0,))[0]:
                best[pair] = similarities[row, column], row, column
    expected = sorted(best.values(), reverse=True)[:5]
    found = similarity.likely_false_negatives(similarities, names, 5)
    assert [(item.similarity, item.row, item.column) for item in found] == expected
    for item in found:
        words = names[item.row // 2], names[item.column // 2]
        assert item.same_class == (words[0] == words[1] if all(words) else None)


def test_pair_numbers_against_a_loop() -> None:
    similarities = similarity.similarity_matrix(similarity.interleave(*random_batch(6)))
    found = similarity.pair_numbers(similarities)
    wins = 0
    for i in range(12):
        others = [similarities[i, k] for k in range(12) if k // 2 != i // 2]
        wins += similarities[i, i ^ 1] > max(others)
        if i % 2 == 0:
            assert found.pairs[i // 2] == similarities[i, i + 1]
            assert found.others[i // 2].tolist() == others
    assert found.top1 == wins / 12
    assert similarity.pair_numbers(np.ones((6, 6))).top1 == 0.5  # all alike: a tie counts half


# --- invariance -----------------------------------------------------------------------------------------------------


def images_of(num: int, side: int = 16) -> torch.Tensor:
    return augment.to_float(torch.from_numpy(shapes.generate("test", num, side).images))


def test_operations_are_those_of_the_trainer() -> None:
    """Each operation at one strength is the view that explicit factors give."""
    images, num = images_of(4), 4
    still = {
        "box": torch.tensor([[0, 0, 16, 16]]).repeat(num, 1),
        "flip": torch.zeros(num, dtype=torch.bool),
        "jitter": torch.zeros(num, dtype=torch.bool),
        "order": torch.arange(4).repeat(num, 1),
        "brightness": torch.ones(num),
        "contrast": torch.ones(num),
        "saturation": torch.ones(num),
        "hue": torch.zeros(num),
        "grayscale": torch.zeros(num, dtype=torch.bool),
        "blur": torch.zeros(num, dtype=torch.bool),
        "sigma": torch.ones(num),
    }
    on, signs = torch.ones(num, dtype=torch.bool), torch.tensor([1.0, -1.0, 1.0, -1.0])
    cases = {
        ("flip", 1.0): {"flip": on},
        ("brightness", 0.4): {"jitter": on, "brightness": 1 + 0.4 * signs},
        ("contrast", 0.6): {"jitter": on, "contrast": 1 + 0.6 * signs},
        ("saturation", 0.8): {"jitter": on, "saturation": 1 + 0.8 * signs},
        ("hue", 0.2): {"jitter": on, "hue": 0.2 * signs},
        ("grayscale", 1.0): {"grayscale": on},
        ("blur", 0.07): {"blur": on, "sigma": torch.full((num,), 0.07 * 16)},
    }
    for (operation, strength), drawn in cases.items():
        window = 2 * max(1, round(3 * 0.07 * 16)) + 1
        expected = augment.apply_factors(images, Factors(**still | drawn), 16, window)
        torch.testing.assert_close(invariance.apply_operation(images, operation, strength), expected, atol=2e-5, rtol=0)
        assert not torch.allclose(expected, images, atol=0.01)


def test_crops_keep_the_area_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = []
    real = resampling.resized_crop
    monkeypatch.setattr(resampling, "resized_crop", lambda x, box, side: boxes.append(box) or real(x, box, side))
    for strength in invariance.STRENGTHS["crop"]:
        assert invariance.apply_operation(images_of(8, 32), "crop", strength).shape == (8, 3, 32, 32)
        area = boxes[-1][:, 2] * boxes[-1][:, 3] / 32**2
        np.testing.assert_allclose(area, 1 - strength, atol=0.05)
    assert len({tuple(box) for box in boxes[-1].tolist()}) > 1  # not always the middle


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match="operation is sharpen; allowed: crop, flip"):
        invariance.apply_operation(images_of(2), "sharpen", 0.5)


class MeanColour(torch.nn.Module):
    """Features that know of an image its mean colour alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


def test_a_network_that_sees_colour_alone_ignores_mirroring_and_not_hue() -> None:
    images = shapes.generate("test", 16).images
    found = invariance.invariance(encoders.FrozenEncoder(MeanColour(), None, None), images)["layers"]
    assert list(found) == ["h"]
    curves, others = found["h"]["curves"], found["h"]["others"]
    assert curves["flip"][0] == pytest.approx(1.0, abs=1e-5)
    assert curves["hue"][-1] < 0.9
    assert all(len(curves[operation]) == len(strengths) for operation, strengths in invariance.STRENGTHS.items())
    rows = augment.normalize(augment.to_float(torch.from_numpy(images))).mean(dim=(2, 3)).double().numpy()
    cosines = [
        rows[i] @ rows[k] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[k])
        for i in range(16)
        for k in range(16)
        if i != k
    ]
    assert others == pytest.approx(np.mean(cosines), abs=1e-5)


def test_relative_similarity() -> None:
    assert invariance.relative(1.0, 0.95) == 1.0
    assert invariance.relative(0.95, 0.95) == 0.0
    assert invariance.relative(0.9, 0.95) < 0
    assert invariance.relative(1.0, 1.0) is None


# --- factors --------------------------------------------------------------------------------------------------------


def test_ridge_against_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(40, 7)), generator.normal(size=(40, 2))
    weight, offset = factors.ridge(x, y, 0.3)
    expected = Ridge(alpha=0.3 * len(x)).fit(x, y)
    np.testing.assert_allclose(weight, expected.coef_.T, atol=1e-9)
    np.testing.assert_allclose(offset, expected.intercept_, atol=1e-9)


def test_r_squared_by_hand() -> None:
    truth = np.array([[0.0], [1.0], [2.0]])
    assert factors.r_squared(truth, truth) == 1.0
    assert factors.r_squared(truth, np.ones((3, 1))) == 0.0
    assert factors.r_squared(truth, truth[::-1]) == -3.0


def planted(num: int, split: str, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features that hold hue on the circle, size and the class, mixed, and know nothing of the rest."""
    truth = shapes.generate(split, num, 8).factors
    generator = np.random.default_rng(seed)
    one_hot = np.array(shapes.CLASSES)[None] == truth["shape"][:, None]
    parts = [factors.on_circle(truth["hue"]), truth["size"][:, None], one_hot, generator.normal(size=(num, 4))]
    mix = np.random.default_rng(9).normal(size=(17, 17))
    return np.concatenate(parts, axis=1) @ mix, truth


def test_factors_that_are_there_are_found_and_others_are_not() -> None:
    found = factors.factor_scores(*planted(600, "train", 1), *planted(300, "test", 2))
    assert set(found) == set(factors.FACTORS)
    assert found["shape"] > 0.99
    assert found["hue"] > 0.99 and found["size"] > 0.99
    for name in ("background", "position_x", "position_y", "rotation"):
        assert abs(found[name]) < 0.1, name


def test_hue_wraps() -> None:
    """Reds at both ends of the scale are one colour: a plain number would be torn there."""
    turns = np.array([0.995, 0.005])
    first, second = factors.on_circle(turns)
    assert np.linalg.norm(first - second) < 0.1
    np.testing.assert_allclose(np.linalg.norm(factors.on_circle(np.linspace(0, 1, 9)), axis=1), 1)


def test_the_shapes_left_out_of_rotation_are_those_that_look_alike() -> None:
    x, y = np.meshgrid(*[np.linspace(-1.2, 1.2, 81, dtype=np.float32)] * 2)
    turn = np.deg2rad(20)
    for name, outline in shapes.OUTLINES.items():
        one, other = outline(x, y), outline(np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x)
        looks_alike = np.abs((one < 0) ^ (other < 0)).mean() < 0.01
        assert looks_alike == (name in factors.ROUND_SHAPES), name


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(finished_run: runs.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runs.Run:
    """The tiny pre-training in a runs folder of the test's own, and a probe of few images."""
    shutil.copytree(finished_run.path, tmp_path / "runs" / finished_run.id)
    monkeypatch.setattr(factors, "NUM_TRAIN", 200)
    monkeypatch.setattr(factors, "NUM_TEST", 100)
    return runs.Run(tmp_path / "runs" / finished_run.id)


def test_the_command_computes_once_and_keeps_it(copy: runs.Run, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["lab", copy.id, f"untrained:{copy.id}", "--runs_dir", str(copy.path.parent)]
    assert main(arguments) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line["what"] for line in lines] == ["profile", "profile", "factors", "factors"]
    assert all(set(line) == {"model", "what", "h", "z"} for line in lines)
    assert lines[0]["h"] != lines[1]["h"]
    files = sorted((copy.path / "embeddings" / "lab").glob("*.json"))
    assert len(files) == 4
    times = [path.stat().st_mtime_ns for path in files]
    assert main(arguments) == 0
    assert [path.stat().st_mtime_ns for path in files] == times


def test_features_are_those_of_embed(copy: runs.Run) -> None:
    from simclr.embeddings import embed, selection
    from simclr.embeddings.selection import ImageSelection

    (stored,) = embed.compute([EncoderRef(copy, layer="z")], ImageSelection(num_images=20), [])
    pictures = selection.load_selection(copy, ImageSelection(num_images=20)).chosen
    with open_weights(EncoderRef(copy)) as weights:
        encoder = encoders.load_encoder(EncoderRef(copy), weights)
    found = encoder(augment.to_float(pictures.images_at(range(20))))
    np.testing.assert_allclose(found["z"], stored.features, atol=1e-6)
    assert found["h"].shape == (20, 128)


def test_other_weights_are_another_result(copy: runs.Run) -> None:
    before = stored.result_path(EncoderRef(copy), "factors")
    assert stored.result_path(EncoderRef(copy, "untrained"), "factors") != before
    assert stored.result_path(EncoderRef(copy), "profile", "a") != stored.result_path(EncoderRef(copy), "profile", "b")
    state = torch.load(copy.model_path, weights_only=True)
    torch.save(
        {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}, copy.model_path
    )
    assert stored.result_path(EncoderRef(copy), "factors") != before


@pytest.mark.parametrize("moment", ["model_values", "load", "load_encoder", "factor_probe"])
def test_a_result_is_of_the_weights_it_is_named_after(
    copy: runs.Run, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A training puts another checkpoint in its place at any moment."""
    folder = copy.path / runs.CHECKPOINTS
    model, last = EncoderRef(copy, checkpoint="last"), folder / runs.LAST_CHECKPOINT
    state = torch.load(last, weights_only=True)["state_dict"]
    changed = {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}
    torch.save({"state_dict": changed}, folder / "next")
    expected = stored.compute(model, "factors")["layers"]
    path = stored.result_path(model, "factors")
    path.unlink()
    real = getattr(stored, moment)

    def replacing(*arguments):
        found = real(*arguments) if moment == "model_values" else None  # this one after it was named
        if (folder / "next").exists():
            os.replace(folder / "next", last)
        return found or real(*arguments)

    monkeypatch.setattr(stored, moment, replacing)
    assert stored.compute(model, "factors")["layers"] == expected
    assert stored.load(path)["layers"] == expected  # type: ignore[index]
    monkeypatch.undo()
    assert stored.result_path(model, "factors") != path


def test_a_damaged_result_is_computed_anew(copy: runs.Run) -> None:
    path = stored.result_path(EncoderRef(copy), "factors")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"layers": ')
    assert stored.load(path) is None
    assert set(stored.compute(EncoderRef(copy), "factors")["layers"]) == {"h", "z"}
    assert stored.load(path) is not None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "RUN is nowhere"),
        (["RUN", "--what", "hue"], "what is hue; allowed: profile, factors"),
        (["RUN@epoch-7"], "checkpoint is epoch-7"),
        (["RUN", "--images", "missing.npy"], "images is missing.npy; allowed: a NumPy file"),
    ],
)
def test_bad_input_is_one_sentence(
    copy: runs.Run, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.replace("RUN", copy.id) for word in arguments]
    assert main(["lab", *words, "--runs_dir", str(copy.path.parent)]) == runs.BAD_INPUT_EXIT_CODE
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


def test_damaged_weights_are_one_sentence(copy: runs.Run, capsys: pytest.CaptureFixture[str]) -> None:
    copy.model_path.write_bytes(b"no weights")
    assert main(["lab", copy.id, "--what", "factors", "--runs_dir", str(copy.path.parent)]) == 2
    told = capsys.readouterr().err
    assert "allowed" in told and "Traceback" not in told


def test_the_status_of_a_job_says_how_it_ended(copy: runs.Run, tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    options = ["--what", "factors", "--runs_dir", str(copy.path.parent), "--job_dir", str(job)]
    assert main(["lab", copy.id, *options]) == 0
    status = runs.read_status(job)
    assert (status.state, status.step) == ("finished", jobs.STEPS)
    copy.model_path.write_bytes(b"no weights")
    assert main(["lab", copy.id, *options]) == 2
    status = runs.read_status(job)
    assert status.state == "failed" and "allowed" in (status.error or "")


@pytest.mark.slow
def test_a_job_of_its_own_process_writes_the_results(copy: runs.Run) -> None:
    images = shapes.generate("train", 6, 16).images
    models = [EncoderRef(copy), EncoderRef(copy, "untrained")]
    runs_dir = copy.path.parent
    job = stored.start_job(models, "profile", images, runs_dir)
    assert stored.find_job(models, "profile", stored.images_key(images), runs_dir) == job
    deadline = time.monotonic() + 60
    while (status := runs.current_status(job)).is_active and time.monotonic() < deadline:
        time.sleep(0.2)
    assert status.state == "finished", status.error
    for model in models:
        found = stored.load(stored.result_path(model, "profile", stored.images_key(images)))
        assert found is not None and found["num_images"] == 6
    assert jobs.find("lab", {"results": []}, runs_dir) is None


@pytest.mark.slow
def test_colour_jitter_makes_an_encoder_forget_hue(tmp_path: Path) -> None:
    """Two short pre-trainings that differ in their colour operations alone; all other options are of `quick`."""
    from simclr import config as cfg
    from simclr.lifecycle.train import train

    found = {}
    for name, changes in (("on", {}), ("off", {"jitter_probability": 0.0, "grayscale_probability": 0.0})):
        values = cfg.recipe("quick") | {"epochs": 8, "accelerator": "cpu"}
        values["augmentation"] = values["augmentation"] | changes
        run = train(cfg.build(cfg.PretrainConfig, values), runs_dir=tmp_path)
        found[name] = stored.compute(EncoderRef(run), "factors")["layers"]["z"]
    assert found["on"]["hue"] < found["off"]["hue"] - 0.3, found
    assert found["on"]["shape"] > found["off"]["shape"] + 0.2
