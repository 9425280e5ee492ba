"""Shifted test images: the head is the source's, the images are changed as stated, and targets match by class name."""

import json
import random
import shutil

import numpy as np
import pytest
import torch
from conftest import make_folder
from PIL import Image

from simclr.cli.main import main
from simclr.data.loading import load_data
from simclr.embeddings.references import EncoderRef
from simclr.evaluation import linear_probe
from simclr.models import backbones, state_dicts, weight_reading
from simclr.runs import Run
from simclr.transfer import shift
from simclr.views import augment, corruptions


@pytest.fixture
def trained(finished_run, tiny_runs):
    return Run(shutil.copytree(finished_run.path, tiny_runs / finished_run.id))


def printed(capsys, *arguments):
    capsys.readouterr()
    assert main(["shift", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_shifted_accuracy_is_that_of_the_sources_head_on_changed_images(trained):
    """One plain forward pass over images corrupted one by one, the head fitted on clean ones."""
    asked = shift.conditions(["contrast", "gaussian_noise"], [2, 5], [])
    assert [condition.text for condition in asked] == [
        "clean", "gaussian_noise 2", "gaussian_noise 5", "contrast 2", "contrast 5",
    ]  # fmt: skip
    found = shift.measure(EncoderRef(trained), "shapes", asked)
    data = load_data("shapes", image_size=16, seed=trained.config["seed"])
    encoder = backbones.build_encoder(trained.config["backbone"], 16)
    state_dicts.load_encoder(encoder, weight_reading.read_state(trained.model_path), trained.model_path)

    def features(images):
        with torch.no_grad():
            return encoder.network.eval()(augment.normalize(augment.to_float(images))).flatten(1)

    def whole(split):
        return split.images_at(range(split.num_images))

    probe = linear_probe.fit_linear_probe(
        features(whole(data.train)), data.train.labels, (features(whole(data.val)), data.val.labels), 10
    )
    assert found.num_test[asked[0]] == 2000 == data.test.num_images
    for condition in asked:
        images = whole(data.test)
        if condition.severity:
            changed = [
                corruptions.corrupt(images[i : i + 1], condition.kind, condition.severity, data.test.ids[i : i + 1])
                for i in range(2000)
            ]
            images = torch.cat(changed)
        right = (probe(features(images)).argmax(dim=1) == data.test.labels).float().mean()
        assert found.accuracies[condition] == pytest.approx(float(right), abs=0.002)
    assert len(set(found.accuracies.values())) > 2


def test_an_untrained_network_and_several_runs_in_a_row(trained, capsys, tiny_runs):
    other = Run(shutil.copytree(trained.path, tiny_runs / "copy"))
    arguments = ["--corruption", "contrast", "--severity", "5", "--protocol", "knn"]
    both = f"{trained.id},{other.id}"
    said = json.loads(printed(capsys, both, f"untrained:{trained.id}", *arguments, "--format", "json"))
    pair, alone = said["rows"]
    assert (said["source"], said["protocol"]) == ("shapes", "knn")
    assert [item["kind"] for item in pair["conditions"]] == ["clean", "contrast"]
    for condition in pair["conditions"]:
        first, second = condition["accuracies"]
        assert first == second and condition["num_test"] == 2000
    assert alone["encoders"] == [f"untrained:{trained.id}"]
    assert alone["conditions"][0]["accuracies"] != pair["conditions"][0]["accuracies"][:1]
    table = printed(capsys, both, *arguments, "--format", "csv").splitlines()
    assert table[0] == "Encoder,n,clean,contrast 5"
    assert table[1].split(",")[1] == "2" and table[1].endswith("± 0.0 %")


@pytest.fixture
def corrupted_set(tmp_path, tiny_runs, capsys):
    folder = tmp_path / "sets" / "faded"
    arguments = ["corrupt", "shapes", "--corruption", "contrast", "--severity", "5", "--limit_images", "60"]
    assert main([*arguments, "--out", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == f"{folder}: 2,060 images"
    return folder


def test_a_corrupted_copy_holds_each_image_changed_under_its_class(corrupted_set, tiny_runs, capsys):
    source = load_data("shapes", val_fraction=0, limit_images=60)
    for split in (source.train, source.test):
        for row in (0, 7, split.num_images - 1):
            name = source.classes[int(split.labels[row])]
            path = corrupted_set / split.name / name / f"{int(split.ids[row]):07d}.png"
            expected = corruptions.corrupt(split.images_at([row]), "contrast", 5, split.ids[row : row + 1])[0]
            assert np.array_equal(np.asarray(Image.open(path)).transpose(2, 0, 1), expected.numpy())
    assert len(list(corrupted_set.parent.iterdir())) == 1
    assert main(["corrupt", "shapes", "--corruption", "contrast", "--out", str(corrupted_set)]) == 2
    assert "which is there already; allowed: a new or an empty folder." in capsys.readouterr().err


def test_a_target_is_judged_by_class_names_whatever_their_order(trained, corrupted_set, capsys):
    """The folder of the corrupted copy gives what the corruption of the source itself gives."""
    arguments = [trained.id, "--corruption", "contrast", "--severity", "5", "--format", "json"]
    found = json.loads(printed(capsys, *arguments, "--target", corrupted_set))["rows"][0]["conditions"]
    clean, faded, target = (item["accuracies"][0] for item in found)
    assert [item["kind"] for item in found] == ["clean", "contrast", "target"]
    assert faded != clean
    assert target == pytest.approx(faded, abs=0.02)  # shrunk from 32 px, where shapes are drawn at 16


def test_wrong_targets_are_refused(trained, tmp_path, capsys):
    other = make_folder(tmp_path / "other", {"circle": 8, "zebra": 8})
    plain = make_folder(tmp_path / "plain", {".": 12})
    few = ["--corruption", "none", "--target"]
    for place, words in (
        (other, "which has a class zebra that shapes has not; allowed: the classes of shapes."),
        (plain, "which has no labelled test images"),
        (tmp_path / "nowhere", "nowhere, which is neither a data set nor a folder"),
    ):
        assert main(["shift", trained.id, *few, str(place)]) == 2
        captured = capsys.readouterr()
        assert words in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    fewer = make_folder(tmp_path / "fewer", {"circle": 8, "ring": 8})
    assert main(["shift", trained.id, *few, str(fewer)]) == 2
    assert "which has no class arrow; allowed" in capsys.readouterr().err


WRONG = {
    "RUN": ["nothing", ",", "untrained:"],
    "--corruption": ["snow", "", "contrast,snow"],
    "--severity": ["0", "6", "1.5", "two", "1,9", ""],
    "--protocol": ["fewshot", ""],
    "--format": ["html", ""],
    "--dataset": ["nowhere", ""],
    "--target": ["nowhere"],
}
WRONG_COPY = {
    "DATASET": ["nowhere", ""],
    "--corruption": ["snow", ""],
    "--severity": ["0", "6", "x", "1,2", ""],
    "--out": ["", "/proc/nothing/here"],
    "--seed": ["-1", "x", "1e9", "99999999999"],
    "--limit_images": ["0", "x", "-5", "3"],
}


@pytest.mark.parametrize(("command", "wrong"), [("shift", WRONG), ("corrupt", WRONG_COPY)])
def test_every_pair_of_wrong_options_is_one_sentence(trained, capsys, tmp_path, command, wrong):
    good = {"RUN": trained.id, "DATASET": "shapes", "--corruption": "contrast", "--out": str(tmp_path / "out")}
    random.seed(2)
    names = list(wrong)
    for first in names:
        for second in names:
            for value in wrong[first]:
                chosen = {name: good[name] for name in names if name in good} | {first: value}
                if second != first:
                    chosen[second] = random.choice(wrong[second])
                place = [chosen.pop(name) for name in ("RUN", "DATASET") if name in chosen]
                arguments = [command, *place, *(f"{name}={text}" for name, text in chosen.items())]
                assert main(arguments) == 2, arguments
                captured = capsys.readouterr()
                assert captured.out == "" and captured.err.strip().count("\n") == 0, (arguments, captured.err)
                assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*.part"))
    if command == "corrupt":
        for missing in ("--corruption", "--out"):
            chosen = {name: good[name] for name in ("--corruption", "--out") if name != missing}
            assert main([command, "shapes", *(f"{name}={text}" for name, text in chosen.items())]) == 2
            assert f"{missing[2:]} is unset; allowed" in capsys.readouterr().err
