"""The menu that makes a report: offered, told of while it is made, given, and explained where it failed."""

import json

import pytest
from dashboard_fixtures import make_group, make_run, open_page, press, texts

from dashboard.experiments import page as experiments
from dashboard.shared import jobs as page_jobs
from simclr import runs
from simclr.cli.main import main
from simclr.launch import jobs
from simclr.report import made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def job_of(folder, name, **status):
    """The folder of a job for the report of one id, as the launcher makes it."""
    job = folder / runs.JOBS / "20261122-101010-report-test"
    job.mkdir(parents=True, exist_ok=True)
    runs.seal(job)
    (job / jobs.REQUEST).write_text(json.dumps(made.request_of([name])))
    if status:
        runs.update_status(job, **status)
    return job


def test_a_report_is_made_in_a_job_and_then_given(folder, monkeypatch):
    run = make_run(folder, epochs=2)
    started = []
    monkeypatch.setattr(
        jobs, "start", lambda name, request, arguments, runs_dir: started.append(arguments) or job_of(folder, run.id)
    )
    app = open_page("run", id=run.id)
    assert not app.get("download_button") and "opens without a network" in texts(app)
    app = press(app, "report-make")
    assert started == [["report", run.id, "--runs_dir", str(folder.resolve())]]

    assert main([*started[0], "--no_images", "--job_dir", str(job_of(folder, run.id))]) == 0
    app = open_page("run", id=run.id)
    (button,) = [each for each in app.get("download_button") if "Download" in each.proto.label]
    assert button.proto.label.endswith("MB") and app.button("report-make").label == "Make it again"
    path = made.file_of(made.find_job([run.id], folder))
    assert path is not None and made.MARK in path.read_bytes()


@pytest.mark.parametrize("page", ["experiments", "results"])
def test_other_pages_offer_it_too(folder, page):
    group = make_group(folder, {"0.1": [0.5], "0.2": [0.6]})
    app = open_page(page, **({"group": "which-x7k2"} if page == "experiments" else {"experiment": group[0].id}))
    assert not app.exception and app.button("report-make").label == "Make the report"


def test_a_report_that_failed_says_why(folder):
    run = make_run(folder, epochs=2)
    job = job_of(folder, run.id)
    assert main(["report", "nothing", "--runs_dir", str(folder), "--job_dir", str(job)]) == 2
    app = open_page("run", id=run.id)
    assert "RUN is nothing; allowed" in texts(app) and app.button("report-make").label == "Make the report"


@pytest.mark.parametrize("page", ["experiments", "results"])
def test_the_table_is_given_in_three_forms(folder, page):
    group = make_group(folder, {"0.1": [0.5, 0.6, 0.7], "0.2": [0.6, 0.6, 0.8]})
    app = open_page(page, **({"group": "which-x7k2"} if page == "experiments" else {"experiment": group[0].id}))
    labels = [each.proto.label for each in app.get("download_button")]
    assert {"CSV", "Markdown", "LaTeX"} <= set(labels)


def test_a_table_is_made_when_it_is_asked_for(folder):
    make_group(folder, {"0.1": [0.5, 0.6, 0.7], "0.2": [0.6, 0.6, 0.8]})
    rows = experiments.table_rows("which-x7k2", "val_knn", "", "")
    assert [row[0] for row in rows] == ["temperature", "0.1", "0.2"]
    assert r"\toprule" in page_jobs._table_text("latex", lambda: rows)
    assert experiments.table_rows("nothing", "val_knn", "", "") == [["The experiment is not there any more."]]
