"""A run under a real Slurm from the pages alone: started, watched and stopped."""

import pytest
from conftest import TINY_PRETRAIN
from dashboard_fixtures import open_page, press, query, texts
from test_slurm import here, watch  # noqa: F401

from dashboard.shared import store
from simclr import config as cfg
from simclr import runs

pytestmark = pytest.mark.slurm


def test_a_run_is_started_watched_and_stopped_from_the_pages(tmp_path):
    options = TINY_PRETRAIN | {"limit_images": 300, "epochs": 10_000, "knn_every_epochs": 0, "evaluate": False}
    address = {name: cfg.option_text(value) for name, value in options.items()}
    app = open_page("new_run", kind="pretrain", recipe="none", place="slurm", **address)
    assert not app.exception
    assert "--backend slurm" in app.code[0].value
    press(app, "start")
    assert not app.exception and not app.error, [item.value for item in app.error]
    (run,) = runs.list_runs(tmp_path / "runs")
    assert run.status.backend == "slurm"
    assert query(app, "id") == run.id
    watch(run, lambda status: status.step > 0)
    app = open_page("run", id=run.id)
    assert f"Slurm job {run.status.job_id}" in texts(app)
    assert {item.label: item.value for item in app.metric}["Step"].endswith(f"of {10_000 * 16:,}")
    app.button("stop").click().run()
    app.button("stop-yes").click().run()
    status, _ = watch(run, lambda status: not status.is_active)
    assert (status.state, status.reason) == ("stopped", "on request"), run.log_tail()
    assert runs.has_checkpoint(store.find(run.id).path)
    app = open_page("run", id=run.id)
    assert app.button("resume").label == "Resume"
