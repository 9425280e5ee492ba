"""Cards as files beside the features: found once, in either order, and again when anything they depend on changes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from races import make_race
from trainings import trained_run

from simclr import runs
from simclr.analysis import cards, disagreement
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.embeddings import embed, stored
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.films import film
from simclr.runs import Run, film_frames

NUM = 240


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    embed.compute([EncoderRef(trained_run(folder, seed)) for seed in (1, 2)], ImageSelection(num_images=NUM), [])
    return folder


@pytest.fixture
def pair(computed: Path, tmp_path: Path) -> list[Embedding]:
    """Two embeddings, of which one sees hues and the other classes."""
    folder = Path(shutil.copytree(computed, tmp_path / "runs"))
    found = []
    for number, run in enumerate(reversed(runs.list_runs(folder))):
        (place,) = (run.path / runs.EMBEDDINGS).iterdir()
        item = stored.load_embedding(place)
        assert item is not None and item.labels is not None
        angle = 2 * np.pi * item.factors["hue"]
        what = [np.stack([np.cos(angle), np.sin(angle)], axis=1), np.eye(10)[item.labels]][number]
        noise = np.random.default_rng(number).normal(size=(NUM, 12))
        features = np.hstack([3 * what, 0.3 * noise]).astype(np.float32)
        np.save(place / stored.FEATURES, features)
        about = json.loads((place / stored.PROVENANCE).read_text())
        about["features_sha256"] = stored.file_hash(place / stored.FEATURES)
        (place / stored.PROVENANCE).write_text(json.dumps(about))
        again = stored.load_embedding(place)
        assert again is not None
        found.append(again)
    return found


def changed(item: Embedding, **values: Any) -> Embedding:
    return dataclasses.replace(item, **values)


def test_cards_are_kept_and_found_again_whichever_encoder_comes_first(
    pair: list[Embedding], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = cards.of_embeddings(*pair)
    assert cards.load(sides) is None
    made = cards.compute(sides)
    assert {card.together for card in made} == {0, 1} and sides.path.parent in {item.folder for item in pair}
    by_hue = [trait.name for card in made if card.together == 0 for trait in card.traits]
    assert by_hue and set(by_hue) == {"hue"}
    monkeypatch.setattr(disagreement, "find_cards", lambda *_: pytest.fail("they were looked for again"))
    swapped = cards.of_embeddings(*reversed(pair))
    assert swapped.path == sides.path
    for one, kept, other in zip(made, cards.compute(sides), cards.load(swapped) or [], strict=True):
        assert (kept.together, other.together) == (one.together, 1 - one.together)
        np.testing.assert_array_equal(kept.rows, one.rows)
        assert kept.traits == one.traits == other.traits
        assert (kept.p, kept.similarity, kept.elsewhere) == (one.p, one.similarity, one.elsewhere)


def test_the_name_follows_all_that_cards_depend_on(pair: list[Embedding], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = pair
    labels = first.labels
    assert labels is not None
    others = [
        changed(first, provenance=first.provenance | {"features_sha256": "x"}),
        changed(first, provenance=first.provenance | {"images": "x"}),
        changed(first, provenance=first.provenance | {"classes": [*first.classes[:-1], "x"]}),
        changed(first, labels=labels[::-1]),
        changed(first, labels=None),
        changed(first, factors=first.factors | {"hue": first.factors["hue"][::-1]}),
        changed(first, factors={}),
    ]
    names = [cards.of_embeddings(item, second).path.name for item in [first, *others]]
    monkeypatch.setattr(disagreement, "VERSION", disagreement.VERSION + 1)
    names.append(cards.of_embeddings(first, second).path.name)
    assert len(set(names)) == len(names)
    moved = Path(shutil.copytree(first.folder.parents[2], first.folder.parents[3] / "elsewhere"))
    again = [stored.load_embedding(moved / item.folder.relative_to(item.folder.parents[2])) for item in pair]
    assert again[0] is not None and again[1] is not None
    assert cards.of_embeddings(again[0], again[1]).path.name == names[-1]  # a copied folder has its cards


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: [],
        lambda values: values | {"cards": 7},
        lambda values: values | {"cards": [{}]},
        lambda values: values | {"cards": [values["cards"][0] | {"rows": [0, NUM]}]},
        lambda values: values | {"cards": [values["cards"][0] | {"rows": []}]},
        lambda values: values | {"cards": [values["cards"][0] | {"rows": [0.5]}]},
        lambda values: values | {"cards": [values["cards"][0] | {"together": 2}]},
        lambda values: values | {"cards": [values["cards"][0] | {"spread": "many"}]},
        lambda values: values | {"cards": [values["cards"][0] | {"similarity": "near"}]},
        lambda values: values | {"cards": [values["cards"][0] | {"p": float("inf")}]},
        lambda values: values | {"cards": [values["cards"][0] | {"traits": [{"name": "hue"}]}]},
    ],
)
def test_damaged_cards_are_none_and_are_found_again(pair: list[Embedding], damage: Any) -> None:
    sides = cards.of_embeddings(*pair)
    made = cards.compute(sides)
    sides.path.write_text(json.dumps(damage(json.loads(sides.path.read_text()))))
    assert cards.load(sides) is None
    assert len(cards.compute(sides)) == len(made)
    sides.path.write_text('{"cards": [')
    assert cards.load(sides) is None


def test_photographs_are_measured_where_no_factors_are_recorded(pair: list[Embedding]) -> None:
    first, second = (changed(item, factors={}) for item in pair)
    found = cards.compute(cards.of_embeddings(first, second))
    names = {trait.name for card in found for trait in card.traits}
    assert names and names <= {"class", "lightness", "contrast", "middle", "border", "edges"}
    assert "middle" in {trait.name for card in found if card.together == 0 for trait in card.traits}  # hue of the shape


def test_what_cannot_be_done_is_said(pair: list[Embedding], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [changed(item, ids=item.ids[:60]) for item in pair]
    with pytest.raises(ConfigError, match="num_images is 60; allowed: at least 100"):
        cards.compute(cards.of_embeddings(*few))
    sides = cards.of_embeddings(*pair)
    gone = dataclasses.replace(sides, features=lambda side: np.load(tmp_path / "nothing.npy"))
    with pytest.raises(ConfigError, match="cannot be read"):
        cards.compute(gone)

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cards.writing, "write_atomically", full)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        cards.compute(sides)
    assert cards.load(sides) is None


# --- films ----------------------------------------------------------------------------------------------------------


def with_many_images(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Run]:
    monkeypatch.setattr("races.NUM_IMAGES", 200)
    return list(make_race(folder))


def test_films_are_compared_by_their_last_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = with_many_images(monkeypatch, tmp_path)
    films = [film.load(run) for run in pair]
    assert films[0] is not None and films[1] is not None
    sides = cards.of_films(films[0], films[1])
    np.testing.assert_array_equal(sides.features(0), films[0].features(4))
    found = cards.compute(sides)
    of_classes = [card for card in found if [trait.name for trait in card.traits] == ["class"]]
    assert {card.together for card in of_classes} == {0}  # the one that learns
    assert not any(card.traits for card in found if card.together == 1)  # the sheet of this film is no picture
    path = film_frames.frame_path(films[0].folder, 4)
    path.write_bytes(path.read_bytes())  # written again with the same content
    again = film.load(pair[0])
    assert again is not None and cards.of_films(again, films[1]).path == sides.path
    np.save(path, np.load(path) * 2)
    again = film.load(pair[0])
    assert again is not None and cards.of_films(again, films[1]).path != sides.path


def test_a_film_keeps_recorded_factors_and_a_damaged_file_costs_only_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_many_images(monkeypatch, tmp_path)[0]
    path = film_frames.folder_of(run) / film_frames.FACTORS
    assert film.load(run).factors == {}  # type: ignore[union-attr]
    np.savez(path, hue=np.linspace(0, 1, 200))
    assert film.load(run).factors["hue"][-1] == 1  # type: ignore[union-attr]
    for damage in (b"PK", b""):
        path.write_bytes(damage)
        assert film.load(run).factors == {}  # type: ignore[union-attr]
    np.savez(path, hue=np.zeros(7))
    assert film.load(run).factors == {}  # type: ignore[union-attr]


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_prints_a_sentence_for_each_group_and_where_they_lie(
    pair: list[Embedding], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["disagree", *(str(item.folder) for item in pair)]) == 0
    *_, last = lines = capsys.readouterr().out.splitlines()
    sides = cards.of_embeddings(*pair)
    assert Path(last) == sides.path
    made = cards.load(sides)
    assert made and len([line for line in lines if " scatters them over " in line]) == len(made)
    runs_dir = pair[0].folder.parents[2]
    names = [item.folder.parents[1].name for item in pair]
    assert main(["disagree", *names, "--num_images", str(NUM), "--runs_dir", str(runs_dir)]) == 0
    assert Path(capsys.readouterr().out.splitlines()[-1]) == sides.path


def test_films_are_named_by_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = with_many_images(monkeypatch, tmp_path)
    folders = [film_frames.folder_of(run) for run in pair]
    assert main(["disagree", *map(str, folders)]) == 0
    assert "all are “" in capsys.readouterr().out.lower()
    np.save(folders[1] / film_frames.IDS, np.arange(200))
    assert main(["disagree", *map(str, folders)]) == 2
    assert "which show different images; allowed: two of the same images." in capsys.readouterr().err


def test_what_is_no_pair_is_refused_in_a_sentence(pair: list[Embedding], capsys: pytest.CaptureFixture[str]) -> None:
    runs_dir = str(pair[0].folder.parents[2])
    assert main(["disagree", "nothing", "nowhere", "--runs_dir", runs_dir]) == 2
    assert capsys.readouterr().err.startswith("RUN is nothing")
    (pair[1].folder / stored.FEATURES).write_bytes(b"")
    assert main(["disagree", *(str(item.folder) for item in pair)]) == 2
    assert "allowed: two runs, or two folders of features or of films that are whole." in capsys.readouterr().err


def test_a_job_is_asked_for_once_and_found_again(
    pair: list[Embedding], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def supervise(
        folder: Path, command: list[str], environment: Any, changes: dict[str, Any], check: Any = None
    ) -> None:
        started.append(command)
        runs.update_status(folder, **changes)

    monkeypatch.setattr("simclr.launch.spawn._supervise", supervise)
    sides, runs_dir = cards.of_embeddings(*pair), pair[0].folder.parents[2]
    assert cards.find_job(sides, runs_dir) is None
    job = cards.start_job(sides, runs_dir)
    assert cards.start_job(cards.of_embeddings(*reversed(pair)), runs_dir) == job == cards.find_job(sides, runs_dir)
    (command,) = started
    place = command.index("disagree")
    assert main(command[place:]) == 0 and cards.load(sides)  # what the job does
