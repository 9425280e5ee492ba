"""Cards of disagreement: as they are drawn, while they are looked for, and when that fails."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import supervise_nothing
from dashboard_fixtures import texts
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.maps import disagreement_cards
from simclr import runs
from simclr.analysis import cards
from simclr.analysis.disagreement import Card
from simclr.analysis.traits import Trait
from simclr.launch import jobs, spawn

CARD = Card(
    together=0,
    rows=np.array([3, 5, 8, 1]),
    similarity=0.82,
    elsewhere=0.03,
    spread=3,
    num_groups=4,
    p=0.001,
    traits=(Trait("class", "all are ring", 1e-4), Trait("hue", "pink in colour", 0.01)),
)


def cards_page() -> None:
    """The cards alone, beside no map."""
    from pathlib import Path

    import numpy as np
    import streamlit as st

    from dashboard.maps import disagreement_cards
    from simclr.analysis.cards import Sides

    folder, count = Path(st.session_state["folder"]), st.session_state["count"]
    generator = np.random.default_rng(0)
    features = [np.repeat(np.eye(4), count // 4, axis=0) + 0.1 * generator.normal(size=(count, 4)) for _ in range(2)]
    sides = Sides((folder / "a", folder / "b"), ("1", "2"), count, "x", features.__getitem__, dict)
    tiles = {"side": 4, "columns": 5, "per_sheet": 25}

    def select(card: object) -> None:
        st.session_state["selected"] = card.rows.tolist()

    st.session_state["sides"] = sides
    disagreement_cards.panel(sides, ["SimCLR <b>", "Scratch"], [folder / "nowhere.png"], tiles, select)


@pytest.fixture
def open_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)

    def opened(found: list[Card] | None, count: int = 200) -> AppTest:
        if found is not None:
            monkeypatch.setattr(cards, "load", lambda sides: found)
        app = AppTest.from_function(cards_page, default_timeout=30)
        app.session_state["folder"], app.session_state["count"] = str(tmp_path / "run" / "embeddings"), count
        app.run()
        assert not app.exception, [item.value for item in app.exception]
        return app

    return opened


def test_a_card_says_what_is_shared_by_whom_and_selects_its_images(open_cards: Any) -> None:
    app = open_cards([CARD])
    assert "**All are ring; pink in colour**" in texts(app)
    assert "SimCLR <b> holds these 4 images together (cosine 0.82), Scratch scatters them over 3 of 4 groups" in texts(
        app
    )
    app.button("disagree-0").click().run()
    assert not app.exception
    assert app.session_state["selected"] == [3, 5, 8, 1]
    assert [toast.value for toast in app.toast] == ["4 images are selected on both maps above."]


def test_without_cards_or_with_few_images_it_says_so(open_cards: Any, tmp_path: Path) -> None:
    assert "No group of images is held together by one" in texts(open_cards([]))
    assert "among at least 100 images" in texts(open_cards(None, count=60))
    assert not (tmp_path / runs.JOBS).exists()


def test_what_was_never_looked_for_is_looked_for_once_and_the_page_says_so(open_cards: Any, tmp_path: Path) -> None:
    app = open_cards(None)
    assert "Looking for groups that one holds together and the other scatters" in texts(app)
    app.run()
    open_cards(None)
    (job,) = [path for path in (tmp_path / runs.JOBS).iterdir() if path.is_dir()]
    assert runs.current_status(job).state == "starting"
    assert not app.button  # nothing to click: the cards come by themselves
    cards.compute(app.session_state["sides"])
    runs.update_status(job, state="finished", ended=time.time())
    app.run()
    assert "No group of images is held together by one" in texts(app)
    assert "Looking for groups" not in texts(app)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ({"state": "failed", "error": "There was not enough memory; try fewer images."}, "There was not enough memory"),
        ({"state": "failed"}, "It failed."),
        ({"state": "stopped"}, "It was stopped."),
        ({"state": "finished"}, "What was found is not there any more."),
    ],
)
def test_what_failed_is_said_in_a_sentence_and_tried_again_by_a_click_alone(
    open_cards: Any, tmp_path: Path, status: dict[str, Any], sentence: str
) -> None:
    app = open_cards(None)
    job = cards.find_job(app.session_state["sides"], tmp_path)
    assert job is not None
    runs.update_status(job, **status, ended=time.time())
    app.run()
    assert f"Groups could not be looked for. {sentence}" in texts(app)
    app.run()
    assert len(jobs.all_of(cards.JOB_NAME, tmp_path)) == 1  # it does not start by itself again
    time.sleep(1.1)  # folders of jobs are named by the second
    app.button("disagree-again").click().run()
    assert not app.exception
    assert len(jobs.all_of(cards.JOB_NAME, tmp_path)) == 2
    assert "Looking for groups" in texts(app)


def test_a_folder_that_takes_no_job_is_said(open_cards: Any, tmp_path: Path) -> None:
    (tmp_path / runs.JOBS).write_text("in the way")
    app = open_cards(None)
    assert "Groups could not be looked for. runs_dir is" in texts(app)
    assert [button.key for button in app.button] == ["disagree-again"]


def test_contact_sheets_show_the_images_of_each_card(tmp_path: Path) -> None:
    paths, tiles = [], np.random.default_rng(0).integers(0, 256, (50, 3), dtype=np.uint8)
    for number in range(2):
        grid = tiles[25 * number : 25 * number + 25].reshape(5, 5, 3).repeat(4, axis=0).repeat(4, axis=1)
        paths.append(tmp_path / f"thumbnails-{number}.png")
        Image.fromarray(grid).save(paths[-1])
    about = {"side": 4, "columns": 5, "per_sheet": 25}
    rows = [np.array([0, 7, 24, 26]), np.arange(30)]
    found = disagreement_cards.contact_sheets([dataclasses.replace(CARD, rows=each) for each in rows], paths, about)
    side = disagreement_cards.TILE_SIDE
    for sheet, each in zip(found, rows, strict=True):
        assert sheet is not None
        shown = each[: disagreement_cards.TILES]
        assert sheet.shape == (-(-len(shown) // 3) * (side + 3) - 3, 3 * side + 6, 4)
        for place, row in enumerate(shown):
            y, x = divmod(place, 3)
            assert sheet[(side + 3) * y + 5, (side + 3) * x + 5, :3].tolist() == tiles[row].tolist()
    assert disagreement_cards.contact_sheets([CARD], [], about) == [None]
    far = dataclasses.replace(CARD, rows=np.array([77]))
    assert disagreement_cards.contact_sheets([far, CARD], paths, about) == [None, None]
    paths[0].write_bytes(b"no picture")
    assert disagreement_cards.contact_sheets([CARD], paths, about) == [None]
    paths[0].unlink()
    assert disagreement_cards.contact_sheets([CARD], paths, about) == [None]
