"""Embeddings that were added as rows of the matrix: the figures of a run's features, and what they cannot have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_folder
from trainings import trained_run

from simclr import runs
from simclr.added import adding, sets
from simclr.added.sets import AddedSet
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.embeddings.references import EncoderRef
from simclr.encoders.load import load_encoder
from simclr.report import page
from simclr.runs import Run
from simclr.transfer import added_figures, matrix
from simclr.transfer.matrix import Pair

LAYOUT = {f"{split}/{name}": count for split, count in (("train", 20), ("test", 12)) for name in "abc"}
FIGURES = [matrix.FIGURES[key] for key in ("knn", "linear", "1-mean", "5-logistic")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "photos", LAYOUT, side=20)


@pytest.fixture
def run(tmp_path: Path, photos: Path) -> Run:
    """A network on these images, with the usual cut and seed."""
    return trained_run(tmp_path / "runs", seed=0, dataset=str(photos), val_fraction=0.1)


def added(run: Run, photos: Path, name: str = "same", keep: Any = lambda path: True) -> AddedSet:
    """What the run's own network makes of the images, as another program would hand it on."""
    h, paths = load_encoder(run).embed_folder(photos)
    rows = [row for row, path in enumerate(paths) if keep(str(path))]
    return adding.add(h[rows], str(photos), name, run.path.parent, paths=[str(paths[row]) for row in rows])[0]


def test_the_features_of_a_network_have_the_figures_of_the_network(run: Run, photos: Path) -> None:
    item = added(run, photos)
    both = [EncoderRef(run), item]
    assert matrix.lacking(item, str(photos)) == list(matrix.PROTOCOLS)
    failed = matrix.measure(matrix.work_of(both, [str(photos)]), lambda phase, share: None)
    assert failed == {} and matrix.work_of(both, [str(photos)]) == []
    for figure in FIGURES:
        own, others = matrix.cells(both, [str(photos)], figure).values()
        assert own.state == others.state == "done"
        assert others.value == own.value and own.value is not None and own.value.num in (36, 100)
    (file,) = (item.folder / runs.EVALUATIONS).iterdir()
    kept = json.loads(file.read_text())
    assert kept["protocols"]["knn"]["num_train"] == 54 and kept["protocols"]["knn"]["num_val"] == 6
    assert "weights" not in kept["protocols"]["knn"]


def test_what_a_set_cannot_have_is_said_and_not_tried(
    run: Run, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tested = added(run, photos, "tested", lambda path: path.startswith("test"))
    most = added(run, photos, "most", lambda path: not path.endswith("a/003.png"))
    whole = added(run, photos, "whole")
    assert [item.name for item, *_ in matrix.work_of([tested, most, whole], [str(photos), "digits"])] == ["whole"]
    assert "has no features of 60 of 60 train images" in matrix.why_not(tested, str(photos))
    assert matrix.why_not(tested, "digits") == matrix.why_not(tested, str(photos))  # said once, not in two ways
    assert "has no features of 1 of 60 train and 1 of 36 test images" in matrix.why_not(most, str(photos))
    elsewhere = f"whole has features of images of {photos} alone, and came without an encoder for others."
    assert matrix.why_not(whole, "digits") == elsewhere
    cells = matrix.cells([tested, whole], [str(photos), "digits"], FIGURES[0])
    assert [cell.state for cell in cells.values()] == ["none", "none", "empty", "none"]
    names = ["transfer", "whole", run.id, "--runs_dir", str(run.path.parent), "--protocol", "knn"]
    assert main([*names, "--dataset", str(photos), "digits", "--format", "json"]) == 0
    said = capsys.readouterr()
    assert elsewhere in said.err
    found = {(cell["encoder"], cell["dataset"]): cell for cell in json.loads(said.out)["cells"]}
    assert found["whole", str(photos)]["accuracy"] == found[run.id, str(photos)]["accuracy"]
    assert found["whole", "digits"]["error"] == elsewhere and "accuracy" in found[run.id, "digits"]
    assert found["whole", str(photos)]["weights"] == "Another encoder"
    assert main(["transfer", "whole", "--runs_dir", str(run.path.parent), "--protocol", "knn", "--no_measure"]) == 0
    assert "whole" in capsys.readouterr().out  # its own data set where none is named
    assert main(["evaluate", "whole", "--runs_dir", str(run.path.parent)]) == 2
    assert "RUN is whole, which are embeddings of another encoder; allowed: a run." in capsys.readouterr().err


def test_other_embeddings_under_the_same_name_have_no_figures_yet(run: Run, photos: Path) -> None:
    item = added(run, photos)
    added_figures.measure(item, ["knn"])
    before = (item.folder / runs.EVALUATIONS).rename(photos.parent / "kept")
    sets.delete(item.name, run.path.parent)
    other = adding.add(np.random.default_rng(0).normal(size=(96, 4)), str(photos), "same", run.path.parent)[0]
    before.rename(other.folder / runs.EVALUATIONS)
    assert matrix.cells([other], [str(photos)], FIGURES[0])[Pair("same", str(photos))].state == "empty"


def test_images_without_classes_and_images_that_have_changed_are_refused(run: Run, tmp_path: Path) -> None:
    plain = make_folder(tmp_path / "plain", {".": 12}, side=20)
    item = adding.add(np.eye(12), str(plain), "plain", run.path.parent)[0]
    report = lambda phase, share: None  # noqa: E731
    assert (
        "no labelled test images"
        in matrix.measure(matrix.work_of([item], [str(plain)]), report)[Pair("plain", str(plain))]
    )
    labelled = make_folder(tmp_path / "labelled", LAYOUT, side=20)
    item = adding.add(np.eye(96), str(labelled), "labelled", run.path.parent)[0]
    (labelled / "train" / "a" / "000.png").unlink()
    failed = matrix.measure(matrix.work_of([item], [str(labelled)], ["knn"]), report)
    assert "has other files than when the embeddings labelled were added" in failed[Pair("labelled", str(labelled))]


def test_a_report_has_their_maps_and_figures_beside_those_of_the_run(run: Run, photos: Path, tmp_path: Path) -> None:
    item = added(run, photos, "dino")
    images = ["--dataset", str(photos), "--runs_dir", str(run.path.parent)]
    assert main(["embed", run.id, "dino", "--method", "pca", "--num_images", "20", *images[2:]]) == 0
    assert main(["embed", run.id, "--method", "pca", *images[2:]]) == 0  # of more images, which dino has no map of
    text = page.make([run.id, "dino"], run.path.parent)
    assert "No figures of dino are kept" in text
    assert re.search(r"<strong>dino</strong>: 128 features of 60 of 60 train and 36 of 36 test images", text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    assert [len(each["panels"]) for each in data["maps"]] == [2] and len(data["maps"][0]["ids"]) == 20
    assert "beside Pre-training, the 19 nearest neighbours have a Jaccard index of 100.0 %" in text
    assert matrix.measure(matrix.work_of([EncoderRef(run), item], [str(photos)], ["knn"]), lambda *_: None) == {}
    text = page.make(["dino", run.id], run.path.parent, with_images=False)
    (rows,) = re.findall(r'aria-label="Figures on photos">.*?</table>', text, re.S)
    cells = re.findall(r"<td>(.*?)</td>", rows)
    assert re.findall(r'<th scope="col">(.*?)</th>', rows) == ["test accuracy", "Pre-training", "dino"]
    assert re.findall(r'<th scope="row">(.*?)</th>', rows) == ["kNN"]
    assert len(cells) == 2 and cells[0] == cells[1] and cells[0].endswith(")")
    assert "No figures of" not in text
    assert "Other encoders" not in page.make([run.id], run.path.parent, with_images=False)
    with pytest.raises(ConfigError, match="RUN is dino; allowed: at least one run or group beside"):
        page.make(["dino"], run.path.parent)
