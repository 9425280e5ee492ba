"""The Embeddings page in its states, and what it computes for the component."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dashboard_fixtures import make_run, open_page, texts, unpacked
from streamlit.testing.v1 import AppTest
from test_embed import trained_run

from dashboard import embedding_view
from simclr import embed, embeddings, reduce, runs
from simclr.embeddings import Choice, Model
from simclr.runs import Run

CHOICE = Choice(num_images=500)  # what the page asks for when 500 is chosen


def embeddings_page(**query: str) -> AppTest:
    app = open_page("embeddings", **({"images": "500"} | query))
    assert not app.exception, [item.value for item in app.exception]
    return app


def maps_of(app: AppTest) -> dict | None:
    """The data of the component with points in place of their names, None where it is not drawn."""
    nodes = app.get("bidi_component")
    arrays = {name: array for node in nodes if node.proto.bytes for name, array in unpacked(node.proto.bytes).items()}
    for node in nodes:
        if '"panels"' in node.proto.json:
            data = json.loads(node.proto.json)
            for panel in data["panels"]:
                panel["points"] = arrays[panel["points"]].reshape(-1, 2)
            return data
    return None


def buttons(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


@pytest.fixture
def pair(tiny_runs: Path) -> list[Run]:
    """A pre-training and its from-scratch partner, as if both were trained."""
    first = trained_run(tiny_runs, 1)
    second = trained_run(tiny_runs, 1, kind="scratch", experiment_version=first.id, label_fraction=0.05)
    return [first, second]


def compute(pair: list[Run], *methods: str) -> None:
    embed.compute([Model(run) for run in pair], CHOICE, methods)


def test_without_runs_it_says_what_to_do_next(tiny_runs: Path) -> None:
    app = embeddings_page()
    assert "No trained network yet" in texts(app)
    assert buttons(app).count("Start a pre-training") == 1


def test_while_the_first_run_trains_it_leads_to_it(tiny_runs: Path) -> None:
    make_run(tiny_runs, "running", done=3)
    app = embeddings_page()
    assert "One is on its way" in texts(app)
    assert "Start a pre-training" not in buttons(app)


def test_one_run_is_compared_with_its_untrained_network(tiny_runs: Path) -> None:
    run = trained_run(tiny_runs)
    app = embeddings_page()
    assert app.selectbox(key="embeddings-left").value == run.id
    assert app.selectbox(key="embeddings-right").value == "untrained"
    assert "start the partner on the run's page" in texts(app)
    assert "Compute" in buttons(app)
    assert maps_of(app) is None


def test_the_from_scratch_partner_is_chosen_and_the_address_reproduces_the_page(pair: list[Run]) -> None:
    app = embeddings_page()
    assert [app.selectbox(key=f"embeddings-{side}").value for side in ("left", "right")] == [run.id for run in pair]
    query = {name: app.query_params[name] for name in ("left", "right", "method", "images")}
    assert query == {"left": pair[0].id, "right": pair[1].id, "method": "umap", "images": "500"}
    again = embeddings_page(left=pair[1].id, right="pixels", method="tsne")
    assert [again.selectbox(key=f"embeddings-{side}").value for side in ("left", "right")] == [pair[1].id, "pixels"]
    assert again.segmented_control(key="embeddings-method").value == "tsne"


def test_another_run_on_the_left_brings_its_own_partner_and_a_choice_outlives_a_page_change(
    pair: list[Run], tiny_runs: Path
) -> None:
    other = trained_run(tiny_runs, 2)
    app = embeddings_page(left=pair[0].id)
    assert app.selectbox(key="embeddings-right").value == pair[1].id
    app.selectbox(key="embeddings-left").set_value(other.id).run()
    assert not app.exception
    assert app.selectbox(key="embeddings-right").value == "untrained"
    app.selectbox(key="embeddings-right").set_value("pixels").run()
    assert app.query_params["right"] == "pixels"
    app.switch_page("app_pages/runs.py").run()
    app.switch_page("app_pages/embeddings.py").run()
    assert [app.selectbox(key=f"embeddings-{side}").value for side in ("left", "right")] == [other.id, "pixels"]


def test_names_with_markup_are_shown_as_they_are(pair: list[Run]) -> None:
    pair[0].edit(name="<img src=x onerror=alert(1)> **bold**")
    compute(pair, "pca")
    data = maps_of(embeddings_page(method="pca"))
    assert data is not None
    assert data["panels"][0]["title"] == "<img src=x onerror=alert(1)> **bold**"


def test_runs_on_other_data_are_not_offered_and_the_address_is_told_why(pair: list[Run], tiny_runs: Path) -> None:
    other = trained_run(tiny_runs, 3, image_size=32)
    app = embeddings_page(left=pair[0].id, right=other.id)
    assert not any(other.id[-4:] in option for option in app.selectbox(key="embeddings-right").options)
    assert "image" in "".join(item.value for item in app.warning)


def test_ready_maps_are_shown_at_once(pair: list[Run]) -> None:
    compute(pair, "pca")
    app = embeddings_page(method="pca", color="hue")
    data = maps_of(app)
    assert data is not None
    assert "Compute" not in buttons(app)
    points = [panel["points"] for panel in data["panels"]]
    first, second = (embeddings.find_embedding(Model(run), CHOICE) for run in pair)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(points[0], first.map("pca"))
    np.testing.assert_allclose(points[1], reduce.align(first.map("pca"), second.map("pca")))  # type: ignore[arg-type]
    assert data["color"]["kind"] == "cycle"
    assert data["panels"][0]["stats"][0]["value"] == f"{100 * first.knn_accuracy:.1f} %"  # type: ignore[operator]
    assert app.query_params["color"] == "hue"


def test_pca_is_shown_until_umap_is_there(pair: list[Run]) -> None:
    compute(pair, "pca")
    app = embeddings_page(method="umap")
    assert "Compute" in buttons(app)
    assert "Shown meanwhile: the PCA maps" in texts(app)
    assert maps_of(app) is not None


def test_a_chosen_image_brings_its_neighbours_and_stands_in_the_address(pair: list[Run]) -> None:
    compute(pair, "pca")
    found = [embeddings.find_embedding(Model(run), CHOICE) for run in pair]
    image = int(found[0].ids[7])  # type: ignore[union-attr]
    app = embeddings_page(method="pca", image=str(image))
    data = maps_of(app)
    assert data is not None
    assert data["details"]["index"] == 7
    for embedding, near in zip(found, data["details"]["neighbors"], strict=True):
        unit = np.array(embedding.features)  # type: ignore[union-attr]
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        similarity = unit @ unit[7]
        similarity[7] = -1
        assert [place for place, _ in near] == np.argsort(-similarity, kind="stable")[:8].tolist()
        assert near[0][1] == pytest.approx(similarity.max(), abs=1e-4)
    assert ["Size", embedding_view.fact_text(float(found[0].factors["size"][7]))] in data["details"]["facts"]  # type: ignore[union-attr]
    assert app.query_params["image"] == str(image)
    assert maps_of(embeddings_page(method="pca", image="99999999"))["details"] is None  # type: ignore[index]
    assert maps_of(embeddings_page(method="pca", image="<script>"))["details"] is None  # type: ignore[index]


def job_of(pair: list[Run], folder: Path, **status: object) -> Path:
    """The folder of a job for the PCA maps of these runs, as the launcher makes it."""
    job = folder / runs.JOBS / "20261122-101010-embed-test"
    job.mkdir(parents=True)
    names = [run.id for run in pair]
    (job / embeddings.REQUEST).write_text(json.dumps(embeddings.request_of(names, CHOICE, ("pca",), folder)))
    runs.update_status(job, started=time.time() - 12, created=time.time() - 13, **status)
    return job


def test_a_job_that_computes_shows_its_phase_and_can_be_cancelled(pair: list[Run], tiny_runs: Path) -> None:
    # a process of its own, because cancelling sends it a signal
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        job = job_of(pair, tiny_runs, state="running", pid=process.pid, process_start=runs.process_start(process.pid),
                     phase="Computing features of <b>x</b>", step=400, steps=1000)  # fmt: skip
        app = embeddings_page(method="pca")
        assert "Computing features of" in texts(app)
        assert "12 s so far" in texts(app)
        assert "Compute" not in buttons(app)
        app.button(key="embedding-cancel").click().run()
        assert not app.exception
        process.wait(timeout=10)
        assert runs.read_status(job).stop_requested is not None
    finally:
        process.kill()
        process.wait()


def test_a_failed_job_says_why_and_offers_another_try(pair: list[Run], tiny_runs: Path) -> None:
    job = job_of(pair, tiny_runs, state="failed", error="There was not enough memory; try fewer images.")
    (job / runs.LOG).write_text("Traceback")
    app = embeddings_page(method="pca")
    assert "not enough memory" in app.error[0].value
    assert "Try again" in buttons(app)
    compute(pair, "pca")  # what is there counts more than what failed before
    assert not embeddings_page(method="pca").error


def test_compute_starts_one_job_for_both_and_its_result_is_kept(pair: list[Run], tiny_runs: Path) -> None:
    app = embeddings_page(method="pca")
    app.button(key="embedding-compute").click().run()
    assert not app.exception
    jobs = list((tiny_runs / runs.JOBS).iterdir())
    jobs = [path for path in jobs if path.is_dir()]
    assert len(jobs) == 1
    deadline = time.monotonic() + 60
    while runs.current_status(jobs[0]).is_active and time.monotonic() < deadline:
        time.sleep(0.2)
    assert runs.current_status(jobs[0]).state == "finished", runs.Run(jobs[0]).log_tail()
    assert maps_of(embeddings_page(method="pca")) is not None


def test_sheets_are_served_under_a_name_of_their_content(
    pair: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(pair)
    found = embeddings.find_embedding(Model(pair[0]), CHOICE)
    assert found is not None
    monkeypatch.setattr(embedding_view, "SHEET_CACHE", tmp_path / "cache")
    address = embedding_view.sheet_addresses(found, "base")[0]
    assert address == f"/base/app/static/cache/images-{found.provenance['images']}-16-0.png"
    assert (tmp_path / "cache" / Path(address).name).read_bytes() == found.sheets[0].read_bytes()
    (tmp_path / "blocked").write_text("")
    monkeypatch.setattr(embedding_view, "SHEET_CACHE", tmp_path / "blocked")
    assert embedding_view.sheet_addresses(found)[0].startswith("data:image/png;base64,")


def test_many_classes_get_a_colour_each() -> None:
    assert len(set(embedding_view.category_colors(100))) == 100
    assert all(len(color) == 7 for color in embedding_view.category_colors(100))


def test_the_page_needs_no_torch_umap_or_sklearn(pair: list[Run], tiny_runs: Path) -> None:
    compute(pair, "pca")
    text = (
        "import sys; sys.path[:0] = ['tests', '.']; from dashboard_fixtures import open_page;"
        "app = open_page('embeddings', method='pca', images='500'); assert not app.exception, app.exception;"
        "print(*sorted({'torch', 'umap', 'sklearn', 'openTSNE', 'scipy', 'numba', 'lightning'} & set(sys.modules)), "
        "sum('panels' in node.proto.json for node in app.get('bidi_component')))"
    )
    found = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
        env=os.environ | {"SIMCLR_RUNS_DIR": str(tiny_runs)},
    )  # fmt: skip
    assert found.stdout.split() == ["1"], found.stdout
