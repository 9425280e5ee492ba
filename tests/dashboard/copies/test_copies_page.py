"""The page of copies, and what stands beside figures on other pages."""

import dataclasses
import shutil

import pytest
from dashboard_fixtures import named, open_page, query, texts
from leaky_runs import leaky, pair

from simclr.evaluation.leaks import record
from simclr.runs import Run
from simclr.views import sheets


@pytest.fixture
def own_run(tiny_runs, finished_run):
    shutil.copytree(finished_run.path, tiny_runs / finished_run.id)
    return Run(tiny_runs / finished_run.id)


def test_pairs_are_shown_by_kind_with_what_the_accuracy_is_without_them(own_run):
    leaky(own_run, [pair(0, is_exact=True, distance=0.0), pair(1, color=0.3), pair(2, train_class="dog"), pair(3)])
    app = open_page("copies", id=own_run.id)
    assert not app.exception
    words = texts(app)
    assert "4 of 500 test images (0.8 %) are copies of training images, or nearly; 1 has the same pixels." in words
    assert "kNN accuracy is 85.00 % instead of 90.00 %" in words
    assert "two images that differ in colour alone look like copies" in words
    assert len(app.get("image")) == 4
    assert "t1.png" in words and "r2.png" in words and "other class" in words
    assert app.metric[0].value == "4"
    app.button_group[0].set_value("color").run()
    words = texts(app)
    assert "t1.png" in words and "t3.png" not in words and "other colours" in words
    assert query(app, "show") == "color"


def test_a_run_whose_options_cannot_be_read_has_its_pairs(own_run):
    leaky(own_run, [pair(0), pair(1)])
    (own_run.path / "config.yaml").write_text("[")
    app = open_page("copies", id=own_run.id)
    assert not app.exception and "2 of 500 test images" in texts(app)


def test_many_pairs_come_a_page_at_a_time(own_run):
    leaky(own_run, [pair(number) for number in range(30)])
    app = open_page("copies", id=own_run.id)
    assert len(app.get("image")) == 24 and "t23.png" in texts(app) and "t24.png" not in texts(app)
    app.number_input[0].set_value(2).run()
    assert len(app.get("image")) == 6 and "t24.png" in texts(app)


def test_another_run_is_a_second_opinion(own_run, tiny_runs):
    leaky(own_run, [pair(0), pair(1)])
    other = Run(shutil.copytree(own_run.path, tiny_runs / f"{own_run.id}x"))
    leaky(other, [pair(1)])
    app = open_page("copies", id=own_run.id, second=other.id)
    words = texts(app)
    assert "1 of these 2 test images are copies by the second opinion too" in words
    assert words.index("t1.png") < words.index("t0.png") and "both agree" in words


def test_a_draw_decodes_the_pictures_once_and_reads_only_new_files(own_run, tiny_runs, monkeypatch):
    leaky(own_run, [pair(0, color=0.3), pair(1)])
    others = [Run(shutil.copytree(own_run.path, tiny_runs / f"{own_run.id}{end}")) for end in "xy"]
    decoded, files = [], []
    read_tiles, read_file = sheets.read_tiles, record.read_file
    monkeypatch.setattr(sheets, "read_tiles", lambda *rest: decoded.append(rest[0]) or read_tiles(*rest))
    monkeypatch.setattr(record, "read_file", lambda path: files.append(path.parent.name) or read_file(path))
    app = open_page("copies", id=own_run.id, second=others[0].id)
    assert len(app.get("image")) == 2 and len(decoded) == 1
    assert files.count(own_run.id) == files.count(others[1].id) == 1 and files.count(others[0].id) <= 2
    files.clear()
    app.button_group[0].set_value("color").run()
    assert len(app.get("image")) == 1 and len(decoded) == 2 and files == []
    leaky(others[0], [pair(1)])  # looked for again
    app.button_group[0].set_value("all").run()
    assert set(files) == {others[0].id} and "1 of these 2 test images" in texts(app)


def test_without_images_the_names_stay(own_run):
    found = leaky(own_run, [pair(0)])
    record.write(own_run.path, dataclasses.replace(found, num_shown=0), None)
    app = open_page("copies", id=own_run.id)
    assert not app.exception and not app.get("image")
    assert "The images do not come with this run" in texts(app) and "t0.png" in texts(app)


def test_a_run_that_was_not_checked_offers_the_job(own_run, monkeypatch):
    from simclr.analysis.leaks import copies

    (own_run.path / record.FILE).unlink()
    started = []
    monkeypatch.setattr(copies, "start_job", lambda run, runs_dir, dataset: started.append((run.id, dataset)))
    app = open_page("run", id=own_run.id)
    assert "were not checked for copies" in texts(app)
    named(app.button, "check-copies").click().run()
    assert started == [(own_run.id, "")]
    app = open_page("copies", id=own_run.id)
    assert "Are test images among the training images?" in texts(app)
    app.text_input[0].set_value(" /data/moved ").run()
    named(app.button, "copies-start").click().run()
    assert started[1:] == [(own_run.id, "/data/moved")]


def test_the_figures_have_the_sentence_beside_them(own_run):
    for page, values in (("run", {"id": own_run.id}), ("results", {"experiment": own_run.id})):
        leaky(own_run, [pair(0)])
        app = open_page(page, **values)
        assert not app.exception
        assert "Copies in the test images" in texts(app), page
        assert "1 of 500 test images (0.2 %) is a copy of training images, or nearly. Without it kNN" in texts(app)
        leaky(own_run, [])
        app = open_page(page, **values)
        assert "No copies were found: 500 test images" in texts(app), page
        assert "Copies in the test images" not in texts(app)


def test_an_address_that_names_no_run_is_answered(tiny_runs):
    app = open_page("copies", id="nothing-here")
    assert not app.exception and "nothing-here is no run here" in texts(app)
