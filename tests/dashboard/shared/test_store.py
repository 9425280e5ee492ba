"""The readers behind the pages: summaries, colours, words, and the partners of a pre-training."""

import os

import pytest
from dashboard_fixtures import make_run

from dashboard.shared import formats, store
from simclr import runs
from simclr.files import safe_read
from simclr.results import index


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def test_a_relative_runs_folder_lies_in_the_repository(monkeypatch):
    monkeypatch.delenv("SIMCLR_RUNS_DIR", raising=False)
    assert store.runs_dir() == store.ROOT / "runs"


def test_runs_are_found_by_exact_id_only(folder):
    run = make_run(folder)
    assert store.find(run.id).id == run.id
    for text in ("", run.id[:-1], "..", f"../{folder.name}/{run.id}", str(run.path), ".trash"):
        assert store.find(text) is None


def test_colours_stay_when_another_run_is_deleted(folder):
    ids = [make_run(folder).id for _ in range(4)]
    before = store.colors(ids)
    assert len(set(before.values())) == 4
    runs.delete(store.find(sorted(ids)[0]), folder)
    assert store.colors(ids) == before


def test_one_look_serves_all_who_ask_within_a_second(folder, monkeypatch):
    make_run(folder)
    looks = []
    original = os.scandir

    def scandir(place):
        looks.extend([place] if place == folder else [])
        return original(place)

    monkeypatch.setattr(index.os, "scandir", scandir)
    clock = [50.0]
    monkeypatch.setattr(index.time, "monotonic", lambda: clock[0])
    first = store.get().summaries()
    clock[0] += 0.9
    make_run(folder, version=7)  # asked for the next one, it would look at the folder too
    assert store.get().summaries() == first
    assert store.num_active() == 0
    assert len(looks) == 1
    assert len(store.get().summaries(max_age=0)) == 2
    clock[0] += 1.1
    store.get().summaries()
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (42.4, "42 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"), (273_600, "3 d 4 h")],
)
def test_durations(seconds, text):
    assert formats.duration(seconds) == text


def test_words():
    assert formats.ago(100, now=110) == "just now"
    assert formats.ago(0, now=7300) == "2 h ago"
    assert formats.percent(0.4567) == "45.7 %"
    assert formats.percent(None) == "–"
    assert formats.fraction_text(0.01) == "1 %"
    assert index.short_id("20261122-142233-pretrain-cifar10-resnet18-x7k2") == "pretrain-cifar10-resnet18-x7k2"
    assert index.short_id("version_3") == "version_3"
    assert safe_read.finite_number(True) is None
    assert safe_read.finite_number(float("nan")) is None
