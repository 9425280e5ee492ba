"""The Run page shows what was found by words, beside guessing."""

import json

import pytest
from dashboard_fixtures import component_with, make_run, open_page, texts

from simclr import runs
from simclr.words import wording

FOUND = {
    "test/zeroshot_pair": 0.7,
    "test/seen_pair": 0.75,
    "test/held_out_pair": 0.5,
    "test/color_order": "no number",
    "protocols": {
        "words": {
            "text": "No label is used.",
            "temperature": 0.034,
            "chance": {"zeroshot_pair": 1 / 60, "seen_pair": 1 / 60, "held_out_pair": 1 / 60, "color_order": 0.5},
        }
    },
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return make_run(tmp_path, text_encoder="mean", held_out="red star")


def test_figures_stand_beside_guessing_in_the_order_of_their_labels(run):
    (run.path / runs.EVALUATION).write_text(json.dumps(FOUND))
    app = open_page("run", id=run.id, tab="test")
    assert not app.exception
    rows = component_with(app, "Found by words alone")["rows"]
    assert [row["label"]["text"] for row in rows] == [
        wording.LABELS[name] for name in ("zeroshot_pair", "seen_pair", "held_out_pair")
    ]
    assert rows[2]["value"]["text"].startswith("50") and rows[2]["chance"]["text"].startswith("1.7")
    assert rows[2]["value"]["strong"] and not rows[1]["value"]["strong"]
    assert "The temperature was learned: 0.034." in texts(app)


@pytest.mark.parametrize("damage", [{}, {"protocols": 3}, {"protocols": {"words": []}}, {"protocols": {"words": {}}}])
def test_without_them_there_is_no_table(run, damage):
    (run.path / runs.EVALUATION).write_text(json.dumps({"test/held_out_pair": 0.5} | damage))
    app = open_page("run", id=run.id, tab="test")
    assert not app.exception
    assert "Words and images" not in texts(app)


def test_the_log_names_the_first_figures():
    assert wording.sentence(FOUND) == "combinations never seen 50.00% (chance 1.67%)"
