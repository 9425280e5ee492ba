"""Maps of a film that is being taken: from the past alone, without jumps, and no frame twice."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from simclr.films import film, growing
from simclr.runs import Run, film_frames, list_runs

NUM, DIM = 90, 16


def clouds(seed=0, num_classes=3):
    """Rows of a few groups, (N, D), and their labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(NUM) % num_classes
    middles = generator.normal(size=(num_classes, DIM)) * 3
    return (middles[labels] + generator.normal(size=(NUM, DIM))).astype(np.float32), labels


def drifting(count):
    """Frames in which the groups come apart bit by bit."""
    rows, labels = clouds()
    noise = np.random.default_rng(9).normal(size=rows.shape).astype(np.float32)
    return [rows * share + noise * (1 - share) for share in np.linspace(0, 1, count)], labels


def variance(points):
    return float(np.square(points).sum(axis=1).mean())


def best_variance(rows):
    return float(np.linalg.eigvalsh(np.cov(rows.T, bias=True))[-2:].sum())


def test_the_first_plane_is_the_pca():
    rows = growing.centered_unit_rows(clouds()[0])
    assert variance(growing.next_plane(rows, None)) == pytest.approx(best_variance(rows - rows.mean(axis=0)), rel=0.05)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(NUM), abs=1e-6)


def test_what_stays_does_not_move_and_what_is_turned_is_turned_back():
    rows = growing.centered_unit_rows(clouds()[0])
    first = growing.next_plane(rows, None)
    assert growing.next_plane(rows, first) == pytest.approx(first, abs=1e-5)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(DIM, DIM)))[0].astype(np.float32)
    assert growing.next_plane(rows @ turn, first) == pytest.approx(first, abs=1e-4)  # the same features in other axes
    assert growing.next_plane(rows, -first[:, ::-1].copy()) == pytest.approx(-first[:, ::-1], abs=1e-4)


def test_each_step_towards_the_plane_makes_what_it_seeks_larger(monkeypatch):
    frames, _ = drifting(2)
    before = growing.next_plane(growing.centered_unit_rows(frames[0]), None)
    rows = growing.centered_unit_rows(frames[1])

    def sought(points):
        return variance(points) / 2 + growing.HOLD * float((points * before).sum(axis=1).mean())

    found = []
    for steps in (0, 1, 2, 5, 30):
        monkeypatch.setattr(growing, "HOLD_STEPS", steps)
        found.append(sought(growing.next_plane(rows, before)))
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(found))
    generator = np.random.default_rng(1)
    others = [np.linalg.qr(generator.normal(size=(DIM, 2)))[0] for _ in range(300)]
    assert found[-1] >= max(sought(rows @ other) for other in others)


def test_where_two_directions_change_places_the_held_plane_moves_less(monkeypatch):
    generator = np.random.default_rng(5)
    base = generator.normal(size=(NUM, 3))
    frames = []
    for share in np.linspace(0.8, 1.2, 9):  # the third direction overtakes the second
        rows = np.zeros((NUM, DIM), dtype=np.float32)
        rows[:, :3] = base * (2.0, 1.0, share)
        frames.append(rows)

    def motion():
        found, before = [], None
        for rows in frames:
            points = growing.next_plane(rows, before)
            found += [] if before is None else [float(np.linalg.norm(points - before, axis=1).mean())]
            before = points
        return max(found)

    held = motion()
    monkeypatch.setattr(growing, "HOLD", 0.0)
    assert held < 0.5 * motion()


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "20260101-000000-pretrain-shapes-resnet_tiny-aaaa")


def begin(run, labels, count):
    def sheets(folder):
        (folder / "thumbnails-0.png").write_bytes(b"")
        return {"side": 16, "columns": 10, "per_sheet": 100, "sheets": ["thumbnails-0.png"]}

    return film_frames.begin(
        run,
        range(count),
        ids=np.arange(NUM),
        labels=labels,
        write_sheets=sheets,
        images="digest",
        images_seen=[100 * epoch for epoch in range(count)],
    )


def grown(run, method="tsne"):
    found = growing.GrowingFilm(method)
    found.take_in(film.load(run, min_frames=1))
    return found


@pytest.mark.parametrize("method", growing.METHODS)
def test_a_later_frame_changes_no_earlier_map(run, monkeypatch, method):
    frames, labels = drifting(5)
    folder = begin(run, labels, 5)
    film_frames.write_frame(folder, 0, frames[0])
    live = growing.GrowingFilm(method)
    counted = []
    real = growing.neighbors.nearest
    monkeypatch.setattr(growing.neighbors, "nearest", lambda *arguments: counted.append(1) or real(*arguments))
    seen = []
    for epoch, rows in enumerate(frames):
        film_frames.write_frame(folder, epoch, rows)
        live.take_in(film.load(run, min_frames=1))
        live.take_in(film.load(run, min_frames=1))
        seen.append(live.maps[-1])
    assert len(counted) == 5  # each frame once
    assert all(np.array_equal(kept, shown) for kept, shown in zip(live.maps, seen, strict=True))
    whole = grown(run, method)  # who comes later sees the same film
    assert all(np.array_equal(first, second) for first, second in zip(whole.maps, live.maps, strict=True))
    assert all(np.linalg.norm(points, axis=1).max() <= growing.EXTENT + 1e-5 for points in live.maps)
    assert film.load(run).images_seen == (0, 100, 200, 300, 400)


def test_neighbours_are_right_once_the_groups_are_apart_and_maps_show_it(run):
    frames, labels = drifting(5)
    folder = begin(run, labels, 5)
    for epoch, rows in enumerate(frames):
        film_frames.write_frame(folder, epoch, rows)
    found = grown(run)
    assert found.right[0] < 0.55 and found.right[-1] > 0.95
    distance = np.linalg.norm(found.maps[-1][:, None] - found.maps[-1][None], axis=2) + 9 * np.eye(NUM)
    assert (labels[distance.argmin(axis=1)] == labels).mean() > 0.9


def test_frames_that_are_written_again_are_drawn_again(run):
    frames, labels = drifting(3)
    folder = begin(run, labels, 3)
    for epoch, rows in enumerate(frames):
        film_frames.write_frame(folder, epoch, rows)
    found = grown(run)
    before = list(found.maps)
    film_frames.write_frame(folder, 1, frames[2] * 2)
    found.take_in(film.load(run, min_frames=1))
    assert np.array_equal(found.maps[0], before[0]) and not np.array_equal(found.maps[1], before[1])
    assert len(found.maps) == len(found.right) == 3


@pytest.mark.parametrize("method", growing.METHODS)
def test_the_maps_of_a_whole_film_are_drawn_once_for_all_servers(run, method, monkeypatch):
    frames, labels = drifting(3)
    folder = begin(run, labels, 3)
    for epoch, rows in enumerate(frames[:2]):
        film_frames.write_frame(folder, epoch, rows)
    grown(run, method)
    assert not list(folder.glob("growing-*"))  # not before its end
    film_frames.write_frame(folder, 2, frames[2])
    first = grown(run, method)
    (kept,) = folder.glob("growing-*")
    for epoch in range(3):
        os.utime(film_frames.frame_path(folder, epoch), (1, 1))  # as a clone or a copy has it

    drawn = []
    real = growing.neighbors.nearest
    monkeypatch.setattr(growing.neighbors, "nearest", lambda *arguments: drawn.append(1) or real(*arguments))
    again = grown(run, method)
    assert not drawn
    assert np.array_equal(again.maps, first.maps) and again.right == first.right
    film_frames.write_frame(folder, 1, frames[2] * 2)
    other = grown(run, method)
    assert len(drawn) == 3 and np.array_equal(other.maps[0], first.maps[0])
    assert not kept.exists() and len(list(folder.glob("growing-*"))) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "shape", "infinite", "no member"])
def test_damaged_kept_maps_are_drawn_again(run, damage):
    frames, labels = drifting(3)
    folder = begin(run, labels, 3)
    for epoch, rows in enumerate(frames):
        film_frames.write_frame(folder, epoch, rows)
    first = grown(run)
    (kept,) = folder.glob("growing-*")
    with np.load(kept) as stored:
        held = dict(stored)
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:-40])
    elif damage in ("empty", "text"):
        kept.write_bytes(b"" if damage == "empty" else b"maps")
    else:
        held |= {"shape": {"maps": held["maps"][:2]}, "infinite": {"newest": held["newest"] * np.inf}}.get(damage, {})
        if damage == "no member":
            del held["right"]
        np.savez(kept, **held)
    again = grown(run)
    assert np.array_equal(again.maps, first.maps) and again.right == first.right
    with np.load(kept) as stored:
        assert np.array_equal(stored["maps"], first.maps)  # mended


def test_images_that_are_all_alike_and_images_without_classes(run):
    folder = begin(run, None, 2)
    film_frames.write_frame(folder, 0, np.ones((NUM, DIM)))
    film_frames.write_frame(folder, 1, clouds()[0])
    for method in growing.METHODS:
        found = grown(run, method)
        assert all(np.isfinite(points).all() for points in found.maps) and found.right == []


def test_a_film_of_an_older_version_or_a_damaged_one_says_no_numbers(run):
    folder = begin(run, None, 2)
    for epoch in range(2):
        film_frames.write_frame(folder, epoch, clouds()[0])
    path = folder / film_frames.ABOUT
    text = path.read_text()
    for damaged in ('"images_seen": null', '"images_seen": [1]', '"images_seen": ["a", "b"]'):
        path.write_text(text.replace('"images_seen": [\n  0,\n  100\n ]', damaged))
        assert film.load(run).images_seen == ()


@pytest.mark.parametrize("method", growing.METHODS)
def test_the_shipped_race_is_on_the_first_page_without_drawing_it(method, monkeypatch):
    monkeypatch.setattr(growing.neighbors, "nearest", None)
    found = [film.load(item) for item in list_runs(Path(__file__).parents[3] / "runs")]
    films = [each for each in found if each is not None]
    assert len(films) >= 2
    for each in films:
        kept = growing.GrowingFilm(method)
        kept.take_in(each)
        assert len(kept.maps) == len(each.epochs)
