"""The Run page says how an encoder is used, and exports it in a job."""

import json

import pytest
from dashboard_fixtures import open_page, press, texts
from trainings import trained_run

from dashboard.run import use_panel
from simclr import runs
from simclr.cli.main import main
from simclr.encoders import exported
from simclr.launch import jobs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def job_of(folder, run_id, formats):
    job = folder / runs.JOBS / f"20261130-000000-{exported.JOB_NAME}-test"
    job.mkdir(parents=True, exist_ok=True)
    runs.seal(job)
    (job / jobs.REQUEST).write_text(json.dumps(exported._request(run_id, formats)))
    return job


def test_an_encoder_is_exported_in_a_job_and_then_given(folder, monkeypatch):
    run = trained_run(folder)
    started = []
    monkeypatch.setattr(
        jobs,
        "start",
        lambda name, request, arguments, runs_dir: (
            started.append(arguments) or job_of(folder, run.id, request["formats"])
        ),
    )
    app = open_page("run", id=run.id)
    assert f'encoder = simclr.load_encoder("{run.path.resolve()}")' in app.code[0].value
    assert not app.get("download_button")
    app = press(app, "export-make")
    assert started == [["export", run.id, "--format", "safetensors", "--runs_dir", str(folder.resolve())]]

    job = job_of(folder, run.id, ["safetensors"])
    assert main([*started[0], "--job_dir", str(job)]) == 0
    (job / runs.LOG).write_text(f"Writing\n{job}/export/model.safetensors: on 64 images, they agree\n")
    app = open_page("run", id=run.id)
    (button,) = app.get("download_button")
    assert button.proto.label.startswith("Download,") and app.button("export-make").label == "Export again"
    assert "model.safetensors: on 64 images, they agree." in texts(app)


def test_an_export_that_was_refused_says_why(folder):
    run = trained_run(folder)
    job = job_of(folder, run.id, ["safetensors"])
    assert main(["export", "nothing", "--runs_dir", str(folder), "--job_dir", str(job)]) == 2
    app = open_page("run", id=run.id)
    assert "RUN is nothing" in texts(app) and app.button("export-make").label == "Export"


def test_a_run_without_final_weights_offers_none(folder):
    run = trained_run(folder)
    assert use_panel.can_be_used(run)
    run.model_path.unlink()
    assert not use_panel.can_be_used(run)
    assert not [button for button in open_page("run", id=run.id).button if button.key == "export-make"]
