"""The Race page in its states, from no race to a finished one."""

import json

import numpy as np
import pytest
from conftest import supervise_nothing
from dashboard_fixtures import component_with, components_with, open_page, press, query, texts
from races import make_race, write_frame

from dashboard.maps import film_maps, race_films
from simclr import runs
from simclr.launch import spawn


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    return tmp_path


def maps(app):
    return component_with(app, '"frame_names":')


def test_without_a_race_it_says_what_one_is_and_starts_it(folder):
    app = open_page("race")
    assert not app.exception
    assert "sees no label" in texts(app)
    press(app, "race-go")
    assert not app.exception
    first, second = sorted(runs.list_runs(folder), key=lambda run: run.kind)
    assert (first.kind, second.kind, second.meta["beside"]) == ("pretrain", "scratch", first.id)
    assert "Both networks are on their way" in texts(app)
    assert query(app, "id") == second.id


def test_while_they_train_both_are_shown_at_as_many_images(folder):
    found = make_race(folder, ("running", "running"), frames=(3, 4))
    app = open_page("race")
    assert not app.exception
    shown = maps(app)
    assert shown["frame_names"] == ["0", "100", "200"] and shown["grows"]  # as far as both have come
    assert "After **200 images** each" in texts(app)
    assert "trained on 6 labels" in texts(app)
    assert {button.key for button in app.button} >= {"race-stop"}
    charts = [json.loads(chart["figure"]) for chart in components_with(app, '"plotly":')]
    assert [chart["layout"]["meta"]["places"] for chart in charts] == [[0, 100, 200]] * 3
    assert [chart["layout"]["xaxis"]["range"] for chart in charts] == [[0, 400]] * 3  # the whole training
    write_frame(found.simclr, 3, 4, learns=True)
    app.run()
    assert maps(app)["frame_names"] == ["0", "100", "200", "300"]
    assert "After **300 images** each" in texts(app)


def test_a_finished_race_says_who_was_right_and_leads_on(folder):
    found = make_race(folder)
    app = open_page("race", id=found.scratch.id)
    assert not app.exception
    shown = maps(app)
    shares = [panel["stats"][0]["value"] for panel in shown["panels"]]
    assert not shown["grows"] and int(shares[0][:-2]) > 90 > 60 > int(shares[1][:-2])
    assert f"**{shares[0]}**" in texts(app) and f"**{shares[1]}**" in texts(app)
    assert {"race-umap", "race-maps"} <= {button.key for button in app.button}
    press(app, "race-maps")
    assert app.title[0].value == "Embeddings"


def test_an_address_names_race_frame_and_method(folder):
    found, other = make_race(folder), make_race(folder)
    app = open_page("race", id=found.scratch.id, seen="250", method="pca", image="1007")
    assert not app.exception
    assert maps(app)["start"]["frame"] == 2 and maps(app)["start"]["image"] == 1007
    assert (query(app, "id"), query(app, "seen"), query(app, "method")) == (found.scratch.id, "200", "pca")
    assert maps(app)["details"]["facts"] == [["After", "200 images"]]
    app = open_page("race", id="nothing")
    assert "id in the address is nothing, which is no run here; shown instead: the newest race." in texts(app)
    assert query(app, "id") == other.scratch.id
    app = open_page("race", id=found.scratch.id, seen="9e9", method="lda", image="-3", hidden="x.1")
    assert not app.exception and maps(app)["start"]["frame"] == 4 and maps(app)["start"]["hidden"] == [1]
    for name in ("seen", "method", "image", "hidden"):
        assert f"{name} in the address is " in texts(app)


@pytest.mark.parametrize("states", [("stopped", "stopped"), ("stopped", "finished"), ("failed", "running")])
def test_what_ended_too_early_is_said_and_goes_on(folder, states):
    found = make_race(folder, states, frames=(3, 3))
    app = open_page("race", id=found.scratch.id)
    assert not app.exception
    assert ("SimCLR has failed. The loss is not a number after step 80." in texts(app)) == (states[0] == "failed")
    keys = {button.key for button in app.button}
    assert ("race-resume" in keys) == ("running" not in states) and ("race-stop" in keys) == ("running" in states)
    if "race-resume" in keys:
        press(app, "race-resume")
        assert not app.exception and found.simclr.status.state in ("starting", "queued")


def test_images_without_classes_have_maps_and_no_shares(folder):
    make_race(folder, has_classes=False)
    app = open_page("race")
    assert not app.exception
    assert maps(app)["panels"][0]["stats"] == [] and "no neighbour can be right" in texts(app)


def test_films_of_other_images_are_not_laid_side_by_side(folder):
    found = make_race(folder)
    path = found.scratch.path / "embeddings" / "film" / "ids.npy"
    np.save(path, np.load(path) + 1)
    app = open_page("race")
    assert not app.exception
    assert "kept no frames that can be shown together" in texts(app)


def test_frames_lie_on_one_line_of_images_seen():
    assert race_films.timeline((0, 100, 200), (0, 60, 120, 180, 240)) == (0, 60, 100, 120, 180, 200)
    assert film_maps.newest((0, 60, 120), (0, 59, 60, 130)) == (0, 0, 1, 2)
    assert race_films.timeline((0,), (0, 50)) == (0,)


def test_the_first_page_shows_the_shipped_race(folder):
    make_race(folder / runs.EXAMPLES)
    app = open_page()
    assert not app.exception
    assert maps(app)["plays"] == 4
    assert "Neighbours are right for" in texts(app)
    press(app, "first-race")
    assert not app.exception and len(runs.list_runs(folder)) == 4
    assert "Both networks are on their way" in texts(app)
