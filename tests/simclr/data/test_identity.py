"""`--dataset`: a run's own images at another place, and other images, whose results never mix with the run's."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import killable
import pytest
from conftest import TINY, TINY_PRETRAIN, flags, make_folder
from trainings import rows_of, run_and_find

from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.data import identity
from simclr.embeddings import references, selection
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import find_embedding
from simclr.launch import control

FOLDER = TINY_PRETRAIN | {"limit_images": None, "epochs": 2, "film_frames": 2}


@pytest.fixture
def images(tmp_path):
    return make_folder(tmp_path / "images", {"a": 30, "b": 30})


@pytest.fixture
def moved(tmp_path):
    """A function that gives the same images at another place, after a change to them, under a name of its own."""

    def make(name, change=lambda folder: None):
        folder = tmp_path / name
        shutil.copytree(tmp_path / "images", folder)
        change(folder)
        return folder

    return make


@pytest.fixture
def trained(tiny_runs, images):
    """A pre-training of a folder that has ended, without its figures: its test is not what these tests are about."""
    return run_and_find(tiny_runs, "pretrain", FOLDER | {"dataset": str(images)})


def refused(arguments, capsys):
    capsys.readouterr()
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    return said[0]


@pytest.mark.parametrize("streamed", [False, True], ids=["in memory", "streamed"])
def test_killed_and_moved_it_goes_on_exactly(tiny_runs, tmp_path, images, streamed):
    options = FOLDER | {"dataset": str(images), "checkpoint_every_minutes": 0.0005, "evaluate": False}
    options |= {"memory_share": 0, "num_workers": 1} if streamed else {}
    expected = run_and_find(tiny_runs, "pretrain", options)
    other, log = tmp_path / "other", tmp_path / "log"
    code = killable.run(["pretrain", *flags(options), "--runs_dir", str(other)], log, "a step", 4, signal.SIGKILL)
    assert code == -signal.SIGKILL, log.read_text()
    place = tmp_path / "elsewhere" / "images"
    place.parent.mkdir()
    os.rename(images, place)
    (run,) = runs.list_runs(other)
    assert killable.run(["resume", str(run.path)], log) == 2  # the images are not where they were
    code = killable.run(["resume", str(run.path), "--dataset", str(place)], log, "between epochs", 1, signal.SIGKILL)
    assert code == -signal.SIGKILL, log.read_text()
    assert killable.run(["resume", str(run.path)], log) == 0, log.read_text()  # the new place is recorded
    run = runs.Run(run.path)
    assert run.config["dataset"] == str(place)
    assert f"dataset is {place} from now on, where it was {images}" in run.log_tail()
    assert run.model_path.read_bytes() == expected.model_path.read_bytes()
    assert rows_of(run) == rows_of(expected)


def other_class(folder):
    os.rename(folder / "b", folder / "c")


def one_more_class(folder):
    make_folder(folder, {"c": 30})


def one_less(folder):
    (folder / "a" / "003.png").unlink()


def other_names(folder):
    for path in (folder / "a").iterdir():
        path.rename(path.with_name(f"x{path.name}"))


def other_pixels(folder):
    for number in range(1, 30):
        shutil.copyfile(folder / "b" / "000.png", folder / "b" / f"{number:03d}.png")


DIFFERENCES = {
    other_class: "whose class 2 is c where it was b",
    one_more_class: "which has 3 classes where there were 2",
    one_less: "which has 42 training images where there were 43",
    other_names: "whose files have other names",
    other_pixels: "whose training images are other pictures (43 were looked at)",
}


def test_other_images_are_refused_for_a_resume(trained, moved, capsys):
    runs.update_status(trained.path, state="stopped")
    before = (trained.path / runs.CONFIG).read_bytes()
    for change, sentence in DIFFERENCES.items():
        place = moved(change.__name__, change)
        said = refused(["resume", trained.id, "--dataset", str(place)], capsys)
        assert said.startswith(f"dataset is {place}, {sentence}") and said.endswith("or a new run.")
        assert (trained.path / runs.CONFIG).read_bytes() == before and trained.status.state == "stopped"


def test_of_a_run_that_has_recorded_no_images_numbers_and_its_film_are_compared(trained, moved):
    (trained.path / runs.DATA).unlink()
    fewer, same = str(moved("fewer", one_less)), str(moved("same"))
    assert identity.look(trained, fewer)[1].difference.startswith(DIFFERENCES[one_less])
    assert identity.look(trained, str(moved("renamed", other_class)))[1].difference.startswith(DIFFERENCES[other_class])
    place, found = identity.look(trained, same)
    assert place.is_own and found.is_proven
    shutil.rmtree(trained.path / runs.EMBEDDINGS)
    place, found = identity.look(trained, same)
    assert place.is_own and not found.is_proven
    assert not identity.find_place([trained], same).is_own  # by numbers alone: nothing is mixed


def test_without_a_place_the_sentence_says_how_to_name_it(trained, images, moved, tiny_runs, capsys):
    """A finished run stays finished: it is not begun to find that out."""
    place = moved("elsewhere")
    taken = "say where they lie now by --dataset FOLDER, which python -m simclr embed, evaluate, lab and leaks take."
    shutil.rmtree(images)
    for gone in (True, False):
        if not gone:
            images.mkdir()  # as where a disk is not mounted
        for arguments in (["embed", trained.id], ["evaluate", trained.id], ["lab", trained.id], ["leaks", trained.id]):
            said = refused(arguments, capsys)
            assert said.startswith(f"dataset is {images}, ") and said.count("If the images have moved") == 1
            assert said.endswith(taken)
            assert "--dataset" not in refused([*arguments, "--dataset", str(images / "no")], capsys)
        if not gone:
            continue
        command = f"python -m simclr resume {trained.id} --dataset FOLDER"
        assert refused(["resume", trained.id, "--epochs", "9"], capsys).endswith(f"{command}.")
        assert trained.status.state == "finished"
        runs.update_status(trained.path, state="stopped")
        with pytest.raises(ConfigError, match=re.escape(command)):
            control.resume(trained)  # as the dashboard does
        assert runs.read_status(trained.path).state == "stopped"
        runs.update_status(trained.path, state="finished")
    runs.update_status(trained.path, state="stopped")
    said = refused(["resume", trained.id], capsys)
    assert "a folder without images" in said and said.endswith(f"{command}.")
    assert trained.status.error.endswith(f"{command}.")
    assert place.is_dir()


def test_a_place_that_is_none_is_told(trained, capsys, tmp_path):
    runs.update_status(trained.path, state="stopped")
    for arguments in (["resume", trained.id], ["evaluate", trained.id], ["embed", trained.id], ["lab", trained.id]):
        said = refused([*arguments, "--dataset", str(tmp_path / "nowhere")], capsys)
        assert said.startswith(f"dataset is {tmp_path / 'nowhere'}, which is neither a data set nor a folder")


def test_moved_images_are_the_runs_own(trained, moved, capsys, images):
    """Same figures, same stored maps: nothing is computed or written a second time."""
    assert main(["embed", trained.id]) == 0
    folder = capsys.readouterr().out.splitlines()[-1]
    place = moved("moved")
    shutil.rmtree(images)
    assert main(["embed", trained.id, "--dataset", str(place)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == folder and "Computing features" not in said
    evaluation = (trained.path / runs.EVALUATION).read_bytes()
    assert main(["evaluate", trained.id, "--dataset", str(place)]) == 0
    assert "same" in capsys.readouterr().out
    assert (trained.path / runs.EVALUATION).read_bytes() == evaluation
    assert not (trained.path / runs.EVALUATIONS).exists()
    assert main(["film", trained.id, "--dataset", str(place), "--method", "pca"]) == 0
    assert main(["lab", trained.id, "--dataset", str(place), "--what", "diagram"]) == 0


def test_after_a_move_maps_are_found_and_runs_of_both_places_are_compared(trained, moved, tiny_runs, capsys):
    twin = runs.Run(shutil.copytree(trained.path, tiny_runs / "twin"))
    assert main(["embed", trained.id]) == 0
    folder = capsys.readouterr().out.splitlines()[-1]
    runs.update_status(trained.path, state="stopped")
    place = moved("moved")
    assert main(["resume", trained.id, "--dataset", str(place)]) == 0
    assert main(["embed", trained.id]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == folder
    assert runs.Run(trained.path).moved_from == (twin.config["dataset"],)
    for names in (["twin", trained.id], [trained.id, "twin"]):
        selection.check_same_data(references.resolve_encoders(names, tiny_runs), ImageSelection())
    later = runs.Run(shutil.copytree(trained.path, tiny_runs / "later"))
    runs.add_meta(later.path, moved_from=None)  # begun at the new place
    selection.check_same_data(references.resolve_encoders(["later", trained.id], tiny_runs), ImageSelection())
    with pytest.raises(ConfigError, match="allowed: runs that can be shown the same images"):
        selection.check_same_data(references.resolve_encoders(["later", "twin"], tiny_runs), ImageSelection())


def test_other_images_are_measured_apart(trained, tmp_path, capsys):
    """Of any classes and sizes, with their name at each figure; neither the run's figures nor its maps change."""
    mine = make_folder(tmp_path / "mine", {"x": 12, "y": 12, "z": 9}, side=20)
    plain = make_folder(tmp_path / "plain", {".": 12})
    evaluation = (trained.path / runs.EVALUATION).read_bytes()
    assert main(["evaluate", trained.id, "--dataset", str(mine)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"on {mine}, which {trained.id} was not trained on")
    assert main(["evaluate", trained.id, "--dataset", str(mine), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dataset"], found["same"], found["added"]) == (str(mine), True, [])
    (path,) = (trained.path / runs.EVALUATIONS).iterdir()
    assert path.name.startswith("mine-") and json.loads(path.read_text())["classes"] == ["x", "y", "z"]
    assert (trained.path / runs.EVALUATION).read_bytes() == evaluation
    assert "which has no labelled test images" in refused(["evaluate", trained.id, "--dataset", str(plain)], capsys)

    assert main(["embed", trained.id, "pixels", "--dataset", str(mine)]) == 0
    *_, said, folder = capsys.readouterr().out.splitlines()
    assert f"33 images of {mine}" in said  # all of them: nothing was trained on them
    assert find_embedding(EncoderRef(trained), ImageSelection()) is None
    assert main(["embed", trained.id, "--dataset", str(plain)]) == 0
    assert "12 images of" in capsys.readouterr().out
    (mine / "x" / "000.png").unlink()
    assert main(["embed", trained.id, "pixels", "--dataset", str(mine)]) == 0
    *_, said, again = capsys.readouterr().out.splitlines()
    assert "32 images" in said and again != folder

    assert main(["lab", trained.id, "--dataset", str(mine)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["dataset"] == str(mine)
    arguments = ["--dataset", str(mine)]
    assert "shapes that are drawn for it" in refused(["lab", trained.id, *arguments, "--what", "factors"], capsys)
    assert "images that the run trained on" in refused(["lab", trained.id, *arguments, "--what", "diagram"], capsys)
    assert "allowed: one of them." in refused(["lab", trained.id, *arguments, "--images", "x.npy"], capsys)
    assert "were kept while the run trained" in refused(["film", trained.id, *arguments], capsys)


def test_a_classifier_is_measured_on_its_own_classes_only(tiny_runs, images, moved, tmp_path, capsys):
    options = TINY | {"limit_images": None, "epochs": 1, "backbone": "resnet_tiny", "random_weight_init": True}
    run = run_and_find(
        tiny_runs, "finetune", options | {"dataset": str(images), "film_frames": 0, "label_fraction": 0.5}
    )
    three = make_folder(tmp_path / "three", {"a": 12, "b": 12, "c": 9})
    arguments = ["evaluate", run.id, "--dataset"]
    said = refused([*arguments, str(three)], capsys)
    assert (
        f"which has 3 classes, and the classifier of {run.id} knows 2; allowed: the same classes, or protocol" in said
    )
    said = refused([*arguments, str(moved("renamed", other_class))], capsys)
    assert f"which has a class c where the classifier of {run.id} knows b" in said
    assert main([*arguments, str(three), "--protocol", "knn,linear"]) == 0
    capsys.readouterr()
    fewer = moved("fewer", one_less)
    assert main([*arguments, str(fewer)]) == 0
    assert "top1" in capsys.readouterr().out and len(list((run.path / runs.EVALUATIONS).iterdir())) == 2
    for place, is_known in ((fewer, True), (tmp_path / "renamed", False)):
        assert main(["embed", run.id, "--dataset", str(place), "--method", "none"]) == 0
        folder = Path(capsys.readouterr().out.splitlines()[-1])
        numbers = json.loads((folder / "provenance.json").read_text())["numbers"]
        assert ("classifier_accuracy" in numbers) == is_known and "knn_accuracy" in numbers
