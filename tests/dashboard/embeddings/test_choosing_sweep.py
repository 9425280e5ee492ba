"""Maps of runs whose sweep still chooses on validation images: no test image is looked at before the choice is."""

import json
import time
from pathlib import Path

import pytest
from dashboard_fixtures import named, open_page
from quiet_cards import no_cards_job  # noqa: F401  (a fixture)
from streamlit.testing.v1 import AppTest
from trainings import trained_run

from simclr import runs
from simclr.cli.main import main
from simclr.embeddings import stored
from simclr.runs import Run


@pytest.fixture
def pair(tiny_runs: Path) -> list[Run]:
    """Two settings of one sweep."""
    made = []
    for label in ("0.1", "0.5"):
        run = trained_run(tiny_runs, 1, temperature=float(label), evaluate=False, val_fraction=0.1)
        runs.add_meta(run.path, group={"id": "which-1", "title": "Which?", "setting": {"temperature": label}})
        made.append(run)
    return made


def splits_of(run: Run) -> set[str]:
    found = (stored.load_embedding(path) for path in (run.path / runs.EMBEDDINGS).iterdir())
    return {item.provenance["split"] for item in found if item is not None}


def embed(*arguments: str) -> None:
    assert main(["embed", *arguments, "--method", "none", "--num_images", "50"]) == 0


def test_the_command_takes_validation_images_unless_it_is_told_otherwise(pair, capsys):
    embed(*(run.id for run in pair))
    assert [splits_of(run) for run in pair] == [{"val"}, {"val"}]
    said = capsys.readouterr()
    assert "still chooses on validation images" in said.err
    assert ", each image left out" in said.out  # not the kNN accuracy that has neighbours among training images
    embed(pair[0].id, "--split", "test")
    assert splits_of(pair[0]) == {"val", "test"}


def test_a_run_that_was_tested_shows_test_images(pair, capsys):
    (pair[0].path / runs.EVALUATION).write_text(json.dumps({"test/knn_top1": 0.5}))
    embed(pair[0].id)
    assert splits_of(pair[0]) == {"test"}
    assert not capsys.readouterr().err


def of_split(app: AppTest) -> tuple[str, list[str]]:
    control = named(app.segmented_control, "embeddings-split")
    return control.value, list(control.options)


def test_the_page_offers_no_test_images_until_the_choice_is_tested(pair):
    app = open_page("embeddings", left=pair[0].id, right=pair[1].id)
    assert not app.exception
    assert of_split(app) == ("val", ["Validation", "Training"])
    tested = {"role": "chosen", "measure": "val_knn", "num_settings": 2, "time": time.time()}
    runs.add_meta(pair[1].path, tested=tested)
    app = open_page("embeddings", left=pair[0].id, right=pair[1].id)
    assert of_split(app) == ("auto", ["Test", "Validation", "Training"])
