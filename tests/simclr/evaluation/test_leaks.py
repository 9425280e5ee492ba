"""Copies among test images: the rule against slow references, planted copies found, clean images left alone."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from conftest import TINY, make_folder
from PIL import Image

from simclr import config as cfg
from simclr import runs
from simclr.analysis.leaks import planted
from simclr.cli.encoders import leaks as leaks_command
from simclr.cli.main import main
from simclr.config import FinetuneConfig
from simclr.data.loading import load_data
from simclr.data.splits import ImageData, Split
from simclr.evaluation.leaks import nearest, record, search
from simclr.lifecycle.train import train
from simclr.runs import Run


def rows(count, dim, seed):
    return nearest.unit_rows(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)))


# --- formulas ---------------------------------------------------------------------------------------------------------


def slow_nearest(queries, bank, itself=None):
    """One minus the cosine of every pair, one after the other."""
    indices, distances = [], []
    for number, query in enumerate(queries.double()):
        each = [1 - float(query @ row) for row in bank.double()]
        if itself is not None:
            each[int(itself[number])] = float("inf")
        indices.append(int(np.argmin(each)))
        distances.append(min(each))
    return indices, distances


@pytest.mark.parametrize("with_itself", [False, True])
def test_nearest_is_that_of_all_pairs_whatever_the_blocks(monkeypatch, with_itself):
    bank = rows(53, 7, 0)
    queries = bank[5:30] if with_itself else rows(25, 7, 1)
    itself = torch.arange(5, 30) if with_itself else None
    expected = slow_nearest(queries, bank, itself)
    for block in (4, 10, 1000):
        monkeypatch.setattr(nearest, "ROWS", block)
        monkeypatch.setattr(nearest, "COLUMNS", block)
        found = nearest.nearest(queries, bank, itself)
        assert found.indices.tolist() == expected[0]
        assert found.distances == pytest.approx(expected[1], abs=1e-6)
    again = nearest.of_known(queries, bank, torch.tensor(expected[0]))
    assert again.distances.tolist() == found.distances.tolist()


def test_two_banks_together_give_what_one_bank_gives():
    bank, queries = rows(40, 6, 2), rows(30, 6, 3)
    both = nearest.nearer(nearest.nearest(queries, bank[:25]), nearest.nearest(queries, bank[25:]), 25)
    whole = nearest.nearest(queries, bank)
    assert both.indices.tolist() == whole.indices.tolist() and both.distances.tolist() == whole.distances.tolist()


def test_a_small_distance_keeps_its_digits():
    """One minus a cosine in float32 knows nothing below 6e-8."""
    first = nearest.unit_rows(torch.tensor([[1.0, 0.0, 0.0]]))
    second = nearest.unit_rows(torch.tensor([[1.0, 1e-5, 0.0]]))
    found = nearest.nearest(first, second)
    assert found.distances[0] == pytest.approx(5e-11, rel=1e-3)
    assert nearest.nearest(first, first).distances[0] == 0


def test_the_rule_is_cleanlabs():
    distances = np.array([0.0, 0.1, 0.19999, 0.2, 1.0, 1.0, 1.0])
    assert nearest.is_near(distances, 1.0, 0.2).tolist() == [True, True, True, False, False, False, False]
    assert not nearest.is_near(np.zeros(3), 0.0).any()  # all images look alike to a collapsed encoder
    assert nearest.Medians(0.1, 0.3).counted == 0.3 and nearest.Medians(0.3, 0.1).counted == 0.3


def test_the_median_within_a_bank_leaves_out_the_row_itself():
    bank = rows(60, 5, 4)
    _, distances = slow_nearest(bank, bank, torch.arange(60))
    assert nearest.median_within(bank) == pytest.approx(np.median(distances), rel=1e-4)
    assert nearest.median_within(bank[:1]) == 0


def test_same_pixels_are_found_by_their_hash_and_no_others():
    images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    test = images[[3, 7]].clone()
    test[1, 0, 0, 0] ^= 1  # the last bit of one value
    hashes = nearest.pixel_hashes(images.split(6))
    assert len(set(hashes)) == 20
    assert nearest.same_pixels(nearest.pixel_hashes([test]), hashes).tolist() == [3, -1]
    assert nearest.same_pixels(hashes[:1], [hashes[0], hashes[0]]).tolist() == [0]


def test_differences_in_brightness_and_in_colour_are_told_apart():
    gray = np.full((3, 4, 4), 100, dtype=np.uint8)
    assert nearest.pixel_difference(gray, gray) == (0, 0)
    luma, color = nearest.pixel_difference(gray, gray + 51)
    assert luma == pytest.approx(0.2, rel=1e-5) and color == pytest.approx(0, abs=1e-6)
    red, green = gray.copy(), gray.copy()
    red[0] += 100
    green[1] += round(100 * 0.299 / 0.587)  # as bright
    luma, color = nearest.pixel_difference(red, green)
    assert luma < 0.002 and color > 0.1


# --- searching --------------------------------------------------------------------------------------------------------


def random_data(num_copies=0, seed=0, num_test=60, num_train=200):
    """Random images and features in which the first test images are training images, the second of them by pixels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (num_train + num_test, 3, 8, 8), dtype=torch.uint8, generator=generator)
    features = torch.randn(num_train + num_test, 24, generator=generator)
    labels = torch.arange(num_train + num_test) % 3
    cut, end = num_train - 50, num_train
    test_images, test_features = images[end:].clone(), features[end:].clone()
    for copy in range(num_copies):
        original = 3 * copy if copy % 2 == 0 else cut + copy  # of the training, or of the validation images
        test_features[copy] = features[original] + 0.01 * features[copy + 9]
        if copy == 1:
            test_images[copy] = images[original]
    splits = {
        "train": Split("train", torch.arange(cut), labels[:cut], images[:cut]),
        "val": Split("val", torch.arange(cut, end), labels[cut:end], images[cut:end]),
        "test": Split("test", torch.arange(num_test), labels[end:], test_images),
    }
    data = ImageData("digits", 8, ("a", "b", "c"), probe=splits["train"], **splits)
    return search.checked_images(data), [test_features, features[:cut], features[cut:end]]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_among_clean_random_images(seed):
    images, features = random_data(seed=seed)
    found, sheet = search.find_copies(images, features)
    assert (found.num_copies, found.num_exact, found.pairs, len(sheet)) == (0, 0, (), 0)
    assert record.sentence(found) == (
        "No copies were found: 60 test images were compared with 200 training and validation images."
    )


def test_planted_copies_are_found_and_named_and_no_others(tmp_path):
    images, features = random_data(num_copies=6)
    right = {"knn": np.arange(60) % 2 == 0}  # of the copies 0, 2 and 4
    found, sheet = search.find_copies(images, features, right=right, used=torch.arange(10))
    assert (found.num_test, found.num_train, found.num_copies, found.num_exact) == (60, 200, 6, 1)
    assert found.pairs[0].is_exact and found.pairs[0].distance == 0 and found.pairs[0].test == 1
    expected = {copy: (3 * copy, "train") if copy % 2 == 0 else (150 + copy, "val") for copy in range(6)}
    assert {pair.test: (pair.train, pair.split) for pair in found.pairs} == expected
    assert [pair.distance for pair in found.pairs] == sorted(pair.distance for pair in found.pairs)
    assert all(pair.distance < nearest.SHARE for pair in found.pairs)
    assert found.accuracy["knn"] == (0.5, 27 / 54)
    assert found.num_used == 2  # copies of the training images 0 and 6, and not of 12
    assert "6 of 60 test images (10.0 %) are copies of training images, or nearly; 1 has the same" in record.sentence(
        found
    )
    assert record.table(found.pairs)[1][:3] == ["test image 1", "training image 151", "validation"]

    # with the nearest training images known, the same
    known = torch.from_numpy(nearest.nearest(*map(nearest.unit_rows, features[:2])).indices)
    again, _ = search.find_copies(images, features, known=known)
    assert again.pairs == found.pairs

    # kept, and read again
    run = Run(tmp_path / "a-run")
    record.write(run.path, found, sheet)
    assert record.read(run) == found
    pictures = record.pictures(run, found, [0, 3])
    pair = found.pairs[3]
    assert np.array_equal(pictures[1, 0], images.test.images[pair.test].numpy())
    place = pair.train - (150 if pair.split == "val" else 0)
    assert np.array_equal(
        pictures[1, 1], {"train": images.training[0], "val": images.training[1]}[pair.split].images[place]
    )
    assert np.array_equal(pictures[0, 0], pictures[0, 1])  # the same pixels
    record.write(run.path, *search.find_copies(*random_data()))  # nothing is left of what was found before
    assert record.read(run).num_copies == 0 and not list(run.path.glob("*.png"))
    (run.path / record.FILE).write_text("{")
    assert record.read(run) is None


def test_an_evaluation_looks_for_copies_only_where_pixels_are_in_memory():
    images, features = random_data(num_copies=6)
    names = ("test", "training", "validation")
    kept = {"features": dict(zip(names, features, strict=True)), "predicted": {"knn": images.test.labels}}
    found, _ = search.of_evaluation(images.data, kept, "ab")
    assert found == dataclasses.replace(
        search.find_copies(images, features)[0], weights="ab", accuracy={"knn": (1.0, 1.0)}, created=found.created
    )
    for name in ("train", "val", "test"):
        streamed = dataclasses.replace(getattr(images.data, name), images=None)
        data = dataclasses.replace(images.data, **{name: streamed})
        assert search.of_evaluation(data, kept, "ab") is None
    del kept["features"]["validation"]
    assert search.of_evaluation(images.data, kept, "ab") is None


def test_copies_are_found_where_most_of_the_test_set_is_copies():
    images, features = random_data(num_copies=50)
    found, _ = search.find_copies(images, features)
    assert found.median_test < 0.01 * found.median_train
    assert found.num_copies == 50


def test_a_collapsed_encoder_tells_exact_copies_alone():
    images, features = random_data(num_copies=6)
    found, _ = search.find_copies(images, [torch.ones_like(part) for part in features])
    assert found.is_collapsed and (found.num_copies, found.num_exact) == (1, 1)


# --- planted copies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", planted.STRENGTHS)
def test_planted_copies_are_changed_the_more_the_stronger(operation):
    images = load_data("shapes", image_size=32, limit_images=60).train.images_at(range(30)).numpy()
    differences = []
    for strength in planted.STRENGTHS[operation]:
        changed = planted.change(images, operation, strength, seed=0)
        assert changed.shape == images.shape and changed.dtype == np.uint8
        assert np.array_equal(changed, planted.change(images, operation, strength, seed=0))
        differences.append(np.abs(changed.astype(int) - images).mean())
    assert differences == sorted(differences) and differences[0] > 0


def test_brightness_goes_both_ways():
    images = np.full((40, 3, 8, 8), 100, dtype=np.uint8)
    found = {int(image.max()) for image in planted.change(images, "brightness", 1.25, seed=1)}
    assert found == {125, 80}
    with pytest.raises(ValueError, match="operation is turn"):
        planted.change(images, "turn", 1, 0)


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_run(tiny_runs, finished_run):
    shutil.copytree(finished_run.path, tiny_runs / finished_run.id)
    return Run(tiny_runs / finished_run.id)


def test_a_pretraining_looks_when_it_is_tested_and_the_command_finds_the_same(own_run, capsys):
    kept = record.read(own_run)
    assert kept is not None and kept.num_test == own_run.evaluation["num_test_images"]
    assert kept.accuracy["knn"][0] == pytest.approx(own_run.evaluation["test/knn_top1"])
    assert kept.accuracy["linear"][0] == pytest.approx(own_run.evaluation["test/linear_top1"])
    assert record.sentence(kept) in own_run.log_path.read_text()
    assert main(["leaks", own_run.id, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    again = record.read(own_run)
    assert found["num_copies"] == again.num_copies == kept.num_copies
    assert again.pairs == kept.pairs and again.weights == kept.weights
    assert again.median_test == pytest.approx(kept.median_test, rel=1e-4)


def test_figures_are_shown_with_the_sentence_or_that_nothing_was_looked_for(own_run, capsys):
    for command in (["evaluate", own_run.id, "--protocol", "knn"], ["results", own_run.id]):
        (own_run.path / record.FILE).unlink(missing_ok=True)
        main(command)
        assert f"python -m simclr leaks {own_run.id}" in capsys.readouterr().out
        main(["leaks", own_run.id])
        sentence = capsys.readouterr().out.splitlines()[-1] if not record.read(own_run).pairs else ""
        main(command)
        out = capsys.readouterr().out
        assert record.sentence(record.read(own_run)) in out and sentence in out
    main(["results", own_run.id, "--json"])
    assert json.loads(capsys.readouterr().out)["copies"]["num_test"] == record.read(own_run).num_test


def leaky_folder(root):
    """Photographs of noise; of the test images one is a training image, and one the same as JPEG."""
    folder = make_folder(root, {f"{split}/{name}": 24 for split in ("train", "test") for name in "ab"}, side=24)
    draw = np.random.default_rng(1)
    for path in sorted(folder.rglob("*.png")):
        small = Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((24, 24), Image.Resampling.BICUBIC).save(path)
    shutil.copy(folder / "train/a/003.png", folder / "test/b/001.png")
    with Image.open(folder / "train/b/005.png") as image:
        image.save(folder / "test/b/002.jpg", quality=92)
    (folder / "test/b/002.png").unlink()
    return folder


def test_a_supervised_run_on_a_leaky_folder_names_the_files(tiny_runs, tmp_path, capsys):
    folder = leaky_folder(tmp_path / "noise")
    options = TINY | {
        "dataset": str(folder),
        "random_weight_init": True,
        "backbone": "resnet_tiny",
        "limit_images": None,
    }
    run = train(cfg.build(FinetuneConfig, options | {"epochs": 1, "label_fraction": 0.5}), runs_dir=tiny_runs)
    assert record.read(run) is None  # its training images are not encoded when it is tested
    table = tmp_path / "pairs.csv"
    assert main(["leaks", run.id, "--out", str(table)]) == 0
    out = capsys.readouterr().out
    assert "of 48 test images" in out and "1 has the same pixels" in out
    with open(table, newline="") as stream:
        found = list(csv.DictReader(stream))
    pairs = {row["test image"]: row for row in found}
    exact = pairs["test/b/001.png"]
    assert exact["training image"] == "train/a/003.png" and exact["same pixels"] == "yes"
    assert (exact["test class"], exact["training class"]) == ("b", "a")
    assert pairs["test/b/002.jpg"]["training image"] == "train/b/005.png"
    kept = record.read(run)
    assert kept.accuracy["classifier"][0] == pytest.approx(run.evaluation["test/top1"])
    assert kept.num_used is not None and kept.num_used <= kept.num_copies
    # of other images nothing is kept
    before = (run.path / record.FILE).read_bytes()
    assert main(["leaks", run.id, "--dataset", "digits"]) == 0
    assert (run.path / record.FILE).read_bytes() == before
    assert main(["leaks", run.id, "--model", "pixels"]) == 0
    assert (run.path / record.FILE).read_bytes() == before


def test_of_an_example_it_is_kept_beside_the_users_runs(tiny_runs, finished_run, capsys):
    example = Run(shutil.copytree(finished_run.path, tiny_runs / runs.EXAMPLES / finished_run.id))
    (example.path / record.FILE).unlink()
    assert main(["leaks", example.id]) == 0
    assert not (example.path / record.FILE).exists() and record.read(example) is not None
    assert (tiny_runs / runs.OF_EXAMPLES / example.id / record.FILE).is_file()


def test_planted_copies_are_counted_by_the_command(own_run, capsys):
    assert main(["leaks", own_run.id, "--planted", "--n", "20", "--seeds", "0,1", "--json"]) == 0
    trials = json.loads(capsys.readouterr().out)
    assert [trial["seed"] for trial in trials] == [0, 1]
    assert len(trials[0]["found"]) == sum(map(len, planted.STRENGTHS.values()))
    found = [item for trial in trials for item in trial["found"]]
    assert all(0 <= item["recall"] <= 1 for item in found)
    assert all((item["origin"] is None) == (item["recall"] == 0) for item in found)
    assert all(item["precision"] is None or item["recall"] <= item["precision"] <= 1 for item in found)
    assert any(item["precision"] is None for item in found) and any(item["recall"] > 0 for item in found)
    assert main(["leaks", own_run.id, "--planted", "--n", "20", "--seeds", "0,1", "--model", "pixels"]) == 0
    out = capsys.readouterr().out
    assert "raw pixels: 20 of" in out and "jpeg 90" in out and " ± " in out


def test_a_share_of_nothing_is_a_dash():
    def trial(seed, recall, origin, precision):
        found = (planted.Found("crop", 0.6, 0.2, recall, origin, precision),)
        return planted.Trial("a run", seed, 20, 100, 300, found, {0.2: 0.0})

    def row(*trials):
        (line,) = (line for line in leaks_command.text_of(trials).splitlines() if line.startswith("crop"))
        return line.split("  ")[1:]

    nothing, some = trial(0, 0.0, None, None), trial(1, 0.1, 1.0, 0.5)
    assert [cell.strip() for cell in row(nothing, nothing) if cell] == ["0.0 ± 0.0", "-", "-"]
    assert [cell.strip() for cell in row(nothing, some) if cell] == [
        "5.0 ± 7.1",
        "100.0 (1 of 2 draws)",
        "50.0 (1 of 2 draws)",
    ]
    assert [cell.strip() for cell in row(trial(0, 0.0, None, 0.0)) if cell] == ["0.0", "-", "0.0"]  # false alarms alone


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--n", "5"], "n is 5; allowed: with --planted."),
        (["--planted", "--n", "0"], "n is 0; allowed: a whole number from 1 to 10,000."),
        (["--planted", "--seeds", "1,x"], "seeds is 1,x; allowed: whole numbers"),
        (["--planted", "--out", "a.csv"], "out is a.csv and --planted is set"),
        (["--model", "z"], "model is z; allowed: weights, untrained, pixels."),
        (["--out", "a.txt"], "out is a.txt; allowed: a file that ends in"),
        (["--dataset", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_gets_a_sentence(own_run, capsys, arguments, sentence):
    assert main(["leaks", own_run.id, *arguments]) == runs.BAD_INPUT_EXIT_CODE
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error


def test_a_run_that_is_trained_longer_takes_its_record_aside(own_run):
    from simclr.lifecycle import extend

    extend.extend(own_run, 4)
    assert record.read(own_run) is None
    assert list(own_run.path.glob("earlier/*/leaks.json"))
