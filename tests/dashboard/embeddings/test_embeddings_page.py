"""The Embeddings page in its states, and what it computes for the component."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas
import pytest
from dashboard_fixtures import address, make_run, named, open_page, query, texts, unpacked
from PIL import Image
from quiet_cards import no_cards_job  # noqa: F401  (a fixture)
from served_files import fetched
from streamlit.testing.v1 import AppTest
from trainings import trained_run

from dashboard.components.embedding_map import MapState, selected_rows, selection_text
from dashboard.embeddings import choice, colors, export, numbers, selection, view
from dashboard.embeddings.choice import Side
from dashboard.maps import map_images
from dashboard.shared import formats, palette
from simclr import runs
from simclr.analysis import cards
from simclr.analysis.disagreement import Card
from simclr.analysis.traits import Trait
from simclr.embeddings import compare, embed, embed_job, neighbors, projections, stored
from simclr.embeddings.compare import ClassRow
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.films import film
from simclr.hardware import processes
from simclr.launch import jobs
from simclr.runs import Run, film_frames
from simclr.views import appearance

CHOICE = ImageSelection(num_images=500)  # what the page asks for when 500 is chosen


def embeddings_page(**query: str) -> AppTest:
    app = open_page("embeddings", **({"images": "500"} | query))
    assert not app.exception, [item.value for item in app.exception]
    return app


def components(app: AppTest, word: str) -> list[dict]:
    """The data of all components in which a name stands."""
    nodes = app.get("bidi_component")
    return [json.loads(node.proto.json) for node in nodes if f'"{word}"' in node.proto.json]


def maps_of(app: AppTest) -> dict | None:
    """The data of the component with points in place of their names, None where it is not drawn."""
    nodes = app.get("bidi_component")
    arrays = {name: array for node in nodes if node.proto.bytes for name, array in unpacked(node.proto.bytes).items()}
    for data in components(app, "panels"):
        for panel in data["panels"]:
            for name in ("points", "frames"):
                if name in panel:
                    panel[name] = arrays[panel[name]].reshape(-1, 2)
        data["color"]["values"] = [arrays[name] for name in data["color"]["values"]]
        return data
    return None


def figures(app: AppTest) -> list[dict]:
    return [json.loads(data["figure"]) for data in components(app, "figure")]


def buttons(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


@pytest.fixture
def pair(tiny_runs: Path) -> list[Run]:
    """A pre-training and its from-scratch partner, as if both were trained."""
    first = trained_run(tiny_runs, 1)
    second = trained_run(tiny_runs, 1, kind="scratch", experiment_version=first.id, label_fraction=0.05)
    return [first, second]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("computed")
    first = trained_run(folder, 1)
    both = [first, trained_run(folder, 1, kind="scratch", experiment_version=first.id, label_fraction=0.05)]
    compute(both, "pca")
    first, second = found_of(both)
    cards.compute(cards.of_embeddings(first, second))
    return both


@pytest.fixture
def ready(computed: list[Run], tiny_runs: Path) -> list[Run]:
    """The same pair with its PCA maps, a copy for each test."""
    return [Run(Path(shutil.copytree(run.path, tiny_runs / run.id))) for run in computed]


def compute(pair: list[Run], *methods: str) -> None:
    embed.compute([EncoderRef(run) for run in pair], CHOICE, methods)


def found_of(pair: list[Run]) -> list[Embedding]:
    """Their features, computed before."""
    found = [stored.find_embedding(EncoderRef(run), CHOICE) for run in pair]
    return [item for item in found if item is not None]


SIDES = [Side("a", "a", "First", "", "#4c6ef5"), Side("b", "b", "Second", "", "#159a74")]


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
    assert named(app.selectbox, "embeddings-left").value == run.id
    assert named(app.selectbox, "embeddings-right").value == "untrained"
    assert "start the partner on the run's page" in texts(app)
    assert "Compute" in buttons(app)
    assert maps_of(app) is None


def test_the_from_scratch_partner_is_chosen_and_the_address_reproduces_the_page(pair: list[Run]) -> None:
    app = embeddings_page()
    assert [named(app.selectbox, f"embeddings-{side}").value for side in ("left", "right")] == [run.id for run in pair]
    view = {name: query(app, name) for name in ("left", "right", "method", "images")}
    assert view == {"left": pair[0].id, "right": pair[1].id, "method": "umap", "images": "500"}
    again = embeddings_page(left=pair[1].id, right="pixels", method="tsne")
    assert [again.selectbox(key=f"embeddings-{side}").value for side in ("left", "right")] == [pair[1].id, "pixels"]
    assert again.segmented_control(key="embeddings-method").value == "tsne"


def test_another_run_on_the_left_brings_its_own_partner_and_a_choice_outlives_a_page_change(
    pair: list[Run], tiny_runs: Path
) -> None:
    other = trained_run(tiny_runs, 2)
    app = embeddings_page(left=pair[0].id)
    assert named(app.selectbox, "embeddings-right").value == pair[1].id
    named(app.selectbox, "embeddings-left").set_value(other.id).run()
    assert not app.exception
    assert named(app.selectbox, "embeddings-right").value == "untrained"
    named(app.selectbox, "embeddings-right").set_value("pixels").run()
    assert query(app, "right") == "pixels"
    app.switch_page("runs/page.py").run()
    app.query_params.clear()
    app.switch_page("embeddings/page.py").run()
    assert [named(app.selectbox, f"embeddings-{side}").value for side in ("left", "right")] == [other.id, "pixels"]


def test_names_with_markup_are_shown_as_they_are(ready: list[Run]) -> None:
    ready[0].edit(name="<img src=x onerror=alert(1)> **bold**")
    data = maps_of(embeddings_page(method="pca"))
    assert data is not None
    assert data["panels"][0]["title"] == "<img src=x onerror=alert(1)> **bold**"


def test_runs_on_other_data_are_not_offered_and_the_address_is_told_why(pair: list[Run], tiny_runs: Path) -> None:
    other = trained_run(tiny_runs, 3, image_size=32)
    app = embeddings_page(left=pair[0].id, right=other.id)
    assert not any(other.id[-4:] in option for option in named(app.selectbox, "embeddings-right").options)
    assert "image" in "".join(item.value for item in app.warning)


def test_ready_maps_are_shown_at_once(ready: list[Run]) -> None:
    app = embeddings_page(method="pca", color="hue")
    data = maps_of(app)
    assert data is not None
    assert "Compute" not in buttons(app)
    points = [panel["points"] for panel in data["panels"]]
    first, second = (stored.find_embedding(EncoderRef(run), CHOICE) for run in ready)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(points[0], first.map("pca"))
    np.testing.assert_allclose(points[1], projections.align(first.map("pca"), second.map("pca")))  # type: ignore[arg-type]
    assert data["color"]["kind"] == "cycle"
    stats = {stat["label"]: stat["value"] for stat in data["panels"][0]["stats"]}
    about = first.map_provenance("pca")
    assert stats == {
        "kNN, each left out": f"{100 * first.numbers['knn_accuracy']:.1f} %",
        "linear accuracy": f"{100 * first.numbers['linear_accuracy']:.1f} %",
        "silhouette": f"{first.numbers['silhouette']:.2f}".replace("-", "−"),
        "trustworthiness": f"{about['trustworthiness']:.2f}",
        "continuity": f"{about['continuity']:.2f}",
        "of neighbours kept": f"{100 * about['neighbors_kept']:.0f} %",
    }
    assert all(stat["help"] for stat in data["panels"][0]["stats"])
    assert query(app, "color") == "hue"


def test_cards_that_are_kept_stand_below_the_maps_and_select_their_images(ready: list[Run]) -> None:
    sides = cards.of_embeddings(*found_of(ready))
    made = [Card(1, np.array([7, 2, 9]), 0.8, 0.1, 3, 4, 0.001, (Trait("class", "all are “star”", 1e-6),))]
    values = json.loads(sides.path.read_text())
    sides.path.write_text(json.dumps(values | {"cards": [cards._values(card) for card in made]}))
    app = embeddings_page(method="pca", left=ready[0].id, right=ready[1].id)
    assert "**All are “star”**" in texts(app)
    assert "holds these 3 images together (cosine 0.80)" in texts(app)
    app.button("disagree-0").click().run()
    assert not app.exception
    assert selected_rows(query(app, "selection"), 500).tolist() == [2, 7, 9]


def test_while_cards_are_looked_for_the_page_is_whole_and_its_clicks_work(
    ready: list[Run], tiny_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards.of_embeddings(*found_of(ready)).path.unlink()
    job = tiny_runs / runs.JOBS / "job"

    def start(sides: cards.Sides, runs_dir: Path) -> Path:
        job.mkdir(parents=True)
        status = {"state": "running", "pid": os.getpid(), "process_start": processes.process_start(os.getpid())}
        runs.update_status(job, **status)
        return job

    monkeypatch.setattr(cards, "start_job", start)
    monkeypatch.setattr(cards, "find_job", lambda *_: job if job.is_dir() else None)
    app = embeddings_page(method="pca", left=ready[0].id, right=ready[1].id)
    assert "Looking for groups that one holds together" in texts(app) and maps_of(app) is not None
    named(app.selectbox, "embeddings-color").set_value("hue").run()
    assert not app.exception and query(app, "color") == "hue"
    assert "Between the two" in texts(app) and "Looking for groups" in texts(app)


def test_pca_is_shown_until_umap_is_there(ready: list[Run]) -> None:
    app = embeddings_page(method="umap")
    assert "Compute" in buttons(app)
    assert "Shown meanwhile: the PCA maps" in texts(app)
    assert maps_of(app) is not None


def test_a_chosen_image_brings_its_neighbours_and_stands_in_the_address(ready: list[Run]) -> None:
    found = [stored.find_embedding(EncoderRef(run), CHOICE) for run in ready]
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
        assert [place for place, *_ in near] == np.argsort(-similarity, kind="stable")[:20].tolist()
        assert near[0][1] == pytest.approx(similarity.max(), abs=1e-4)
    assert ["Size", view.fact_text(float(found[0].factors["size"][7]))] in data["details"]["facts"]  # type: ignore[union-attr]
    assert query(app, "image") == str(image)
    assert maps_of(embeddings_page(method="pca", image="99999999"))["details"] is None  # type: ignore[index]
    assert maps_of(embeddings_page(method="pca", image="<script>"))["details"] is None  # type: ignore[index]


def job_of(pair: list[Run], folder: Path, **status: object) -> Path:
    """The folder of a job for the PCA maps of these runs, as the launcher makes it."""
    job = folder / runs.JOBS / "20261122-101010-embed-test"
    job.mkdir(parents=True)
    runs.seal(job)
    names = [run.id for run in pair]
    (job / jobs.REQUEST).write_text(json.dumps(embed_job.request_of(names, CHOICE, ("pca",), folder)))
    runs.update_status(job, started=time.time() - 120, created=time.time() - 121, **status)
    return job


def test_a_job_that_computes_shows_its_phase_and_can_be_cancelled(pair: list[Run], tiny_runs: Path) -> None:
    # a process of its own, because cancelling sends it a signal
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        job = job_of(
            pair,
            tiny_runs,
            state="running",
            pid=process.pid,
            process_start=processes.process_start(process.pid),
            phase="Computing features of <b>x</b>",
            step=400,
            steps=1000,
            device="gpu:1",
        )
        app = embeddings_page(method="pca")
        assert "Computing features of" in texts(app)
        assert re.search(r"2 min \d\d s so far, on GPU 1", texts(app))
        runs.update_status(job, device="cpu")
        assert "so far, on the CPU" in texts(embeddings_page(method="pca"))
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
    runs.update_status(job, state="stopped", error="")
    assert "It was cancelled" in texts(embeddings_page(method="pca"))
    compute(pair, "pca")  # what is there counts more than what failed before
    assert not embeddings_page(method="pca").error


def test_compute_starts_one_job_for_both_and_its_result_is_kept(pair: list[Run], tiny_runs: Path) -> None:
    app = embeddings_page(method="pca")
    app.button(key="embedding-compute").click().run()
    assert not app.exception
    found = [path for path in (tiny_runs / runs.JOBS).iterdir() if path.is_dir()]
    assert len(found) == 1
    deadline = time.monotonic() + 120
    while runs.current_status(found[0]).is_active and time.monotonic() < deadline:
        time.sleep(0.2)
    assert runs.current_status(found[0]).state == "finished", runs.Run(found[0]).log_tail()
    assert maps_of(embeddings_page(method="pca")) is not None


def test_sheets_are_served_under_a_name_of_their_content(
    ready: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_of(ready)[0]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    address = view.sheets_of(found)[0]
    assert address == f"app/files/images-{found.provenance['images']}-16-0.png"
    assert (tmp_path / "simclr" / "sheets" / Path(address).name).read_bytes() == found.sheets[0].read_bytes()
    assert fetched(f"/{address}")[2] == found.sheets[0].read_bytes()
    for name in ("images-gone.png", "..", "%2e%2e%2fsheets%2f" + Path(address).name, "%2e%2e", "a%00b", ".hidden"):
        assert fetched(f"/app/files/{name}")[0] == 404
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "blocked"))
    assert view.sheets_of(found)[0].startswith("data:image/png;base64,")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    odd = map_images.sheet_addresses(found.sheets, "../../x", 16)[0]
    assert odd == "app/files/images-x-16-0.png"  # a run folder from elsewhere may hold any text


def test_many_classes_get_a_colour_each() -> None:
    assert len(set(palette.category_colors(100))) == 100
    assert all(len(color) == 7 for color in palette.category_colors(100))


# --- which models ---------------------------------------------------------------------------------------------------


def test_any_checkpoint_and_layer_can_be_chosen_and_stands_in_the_address(pair: list[Run]) -> None:
    folder = pair[0].path / runs.CHECKPOINTS
    folder.mkdir(exist_ok=True)
    for name in ("best", "epoch-8"):
        (folder / f"{name}.ckpt").write_bytes(name.encode())
    app = embeddings_page(left=f"{pair[0].id}@epoch-8@z", right=pair[0].id)
    assert named(app.selectbox, "embeddings-left-checkpoint").value == "epoch-8"
    assert app.segmented_control(key="embeddings-left-layer").value == "z"
    assert named(app.selectbox, "embeddings-right").value == pair[0].id  # the same run, as it ended
    assert query(app, "left") == f"{pair[0].id}@epoch-8@z"
    named(app.selectbox, "embeddings-left-checkpoint").set_value("best").run()
    assert query(app, "left") == f"{pair[0].id}@best@z"
    app.button(key="embeddings-swap").click().run()
    assert not app.exception
    assert (query(app, "left"), query(app, "right")) == (pair[0].id, f"{pair[0].id}@best@z")
    assert named(app.selectbox, "embeddings-right-checkpoint").value == "best"


def test_the_left_may_be_no_run(pair: list[Run]) -> None:
    app = embeddings_page(left="pixels", right=pair[1].id)
    assert [named(app.selectbox, f"embeddings-{side}").value for side in ("left", "right")] == ["pixels", pair[1].id]
    assert "pixels" not in named(app.selectbox, "embeddings-right").options
    assert "Compute" in buttons(app)


def test_the_same_model_twice_is_said(pair: list[Run]) -> None:
    embed.compute([EncoderRef(pair[0]), EncoderRef(pair[0])], CHOICE, ["pca"])
    assert "Both sides show the same model" in texts(embeddings_page(left=pair[0].id, right=pair[0].id, method="pca"))


def test_numbers_of_a_map_stand_in_the_address(pair: list[Run]) -> None:
    app = embeddings_page(method="umap", n_neighbors="30", min_dist="7", dims="3", split="val", k="50", by="linear")
    assert named(app.number_input, "embeddings-n_neighbors").value == 30
    assert named(app.number_input, "embeddings-min_dist").value == 0.1  # 7 is out of range
    assert query(app, "n_neighbors") == "30"
    assert "min_dist" not in address(app)
    assert (query(app, "dims"), query(app, "split")) == ("3", "val")
    assert "UMAP in 3-D maps of these two are not computed" in texts(app)


# --- colours, numbers, words ----------------------------------------------------------------------------------------


def test_colours_may_differ_between_the_models(ready: list[Run]) -> None:
    found = found_of(ready)
    for name, kind in (("predicted", "category"), ("right", "category"), ("agreement", "share")):
        data = maps_of(embeddings_page(method="pca", color=name))
        assert data is not None
        assert data["color"]["kind"] == kind
        values = data["color"]["values"]
        if name == "predicted":
            expected = [item.predictions["knn"] for item in found]
        elif name == "right":
            expected = [item.predictions["knn"] != item.labels for item in found]
        else:
            first, second = (item.neighbors[:, :20] for item in found)
            pairs = zip(first.tolist(), second.tolist(), strict=True)
            expected = [np.array([len({*a} & {*b}) / len({*a} | {*b}) for a, b in pairs])]
        assert len(values) == len(expected)
        for given, wanted in zip(values, expected, strict=True):
            np.testing.assert_allclose(given, wanted, atol=1e-6)


def test_photographs_are_coloured_by_what_was_measured_of_them(ready: list[Run]) -> None:
    import dataclasses

    first, second = (dataclasses.replace(item, factors={}) for item in found_of(ready))
    assert set(colors.MEASURED_LABELS) <= set(colors.color_choices([first, second]))
    assert not set(colors.MEASURED_LABELS) & set(colors.color_choices(found_of(ready)))  # shapes have recorded factors
    light = colors.color_of([first, second], "lightness")
    assert (light["kind"], light["low"], light["high"]) == (
        "number",
        first.measured["lightness"].min(),
        first.measured["lightness"].max(),
    )
    hue = colors.color_of([first, second], "border_hue")
    has_hue = appearance.has_direction(first.measured, "border_hue")
    assert hue["kind"] == "cycle" and has_hue.any() and not has_hue.all()
    np.testing.assert_array_equal(np.isnan(hue["values"]), ~has_hue)  # grey is of no hue
    np.testing.assert_allclose(hue["values"][has_hue], first.measured["border_hue"][has_hue])
    figure = view.space_figure(np.zeros((500, 3), np.float32), hue, 0, [""] * 500, np.empty(0, np.int64))
    assert "NaN" not in json.dumps(figure)


def test_labels_used_in_training_are_a_colour_of_training_images(pair: list[Run]) -> None:
    embed.compute([EncoderRef(run) for run in pair], ImageSelection(split="train", num_images=500), ["pca"])
    data = maps_of(embeddings_page(method="pca", split="train", color="labelled"))
    assert data is not None
    assert data["color"]["names"] == ["used", "not used"]
    own, other = data["color"]["values"]
    assert set(own.tolist()) == {255}  # a pre-training uses no label
    labelled = np.load(stored.embedding_folder(EncoderRef(pair[1]), ImageSelection("train", 500)) / "labelled.npy")
    np.testing.assert_array_equal(other == 0, labelled)
    assert 0 < labelled.sum() < 500


def row(name: str, first: float, second: float, p: float, n: int = 100) -> ClassRow:
    return ClassRow(name, n, first, second, first - second, 30, 10, p, p)


def test_the_sentence_says_no_more_than_the_numbers() -> None:
    titles = ("SimCLR", "Scratch")
    rows = [
        row("cat", 0.8, 0.5, 0.001),
        row("dog", 0.7, 0.6, 0.4),
        row("ship", 0.4, 0.6, 0.01),
        row("all", 0.65, 0.55, 0.0001, 300),
    ]
    assert numbers.verdict(rows, "knn", titles) == (
        "SimCLR has the better neighbours: a vote of the nearest neighbours gets 65.0 % of the 300 images right, "
        "10.0 points more than with Scratch (55.0 %). It is clearly ahead in one class alone: cat (+30.0). "
        "Scratch is clearly ahead in one class alone: ship (+20.0)."
    )
    turned = [row(item.name, item.second, item.first, item.p, item.n) for item in rows]
    assert numbers.verdict(turned, "linear", titles).startswith("Scratch has the better features for a linear")
    unclear = [row("cat", 0.6, 0.5, 0.3), row("all", 0.6, 0.58, 0.3)]
    text = numbers.verdict(unclear, "knn", titles)
    assert text.startswith("Neither has clearly the better neighbours")
    assert "ahead" not in text
    many = [row(name, 0.8, 0.5 - place / 100, 0.001) for place, name in enumerate("abcde")]
    text = numbers.verdict([*many, row("all", 0.8, 0.5, 0.0)], "knn", titles)
    assert "It is ahead most in e (+34.0), d (+33.0) and c (+32.0), and in 2 more." in text
    assert numbers.verdict([], "knn", titles) == ""


def test_significance_is_said_in_words() -> None:
    assert numbers.significance(row("a", 0.8, 0.5, 0.0001)) == "very clear (p < 0.001)"
    assert numbers.significance(row("a", 0.8, 0.5, 0.02)) == "clear (p = 0.020)"
    assert numbers.significance(row("a", 0.8, 0.7, 0.4)) == "may be chance (p = 0.40)"
    alike = ClassRow("a", 9, 0.5, 0.5, 0.0, 0, 0, 1.0, 1.0)
    assert numbers.significance(alike) == "both right and wrong on the same images"


def test_numbers_between_the_two_and_the_table_of_classes(ready: list[Run]) -> None:
    first, second = found_of(ready)
    app = embeddings_page(method="pca", k="10")
    between = stored.find_pair(first, second)
    assert between is not None
    shown = {metric.label: metric.value for metric in app.metric}
    overlap = compare.neighbor_jaccard(first.neighbors, second.neighbors, 10).mean()
    assert shown == {
        "Mean Jaccard of neighbours": f"{100 * overlap:.1f} %",
        "Linear CKA": f"{between.linear_cka:.2f}",
    }
    assert "by chance 1.0 %" in texts(app)
    lines = next(data["rows"] for data in components(app, "columns") if "rows" in data)
    assert [line["class"]["text"] for line in lines] == [*first.classes, "All classes"]
    assert first.labels is not None
    for number, line in enumerate(lines[:-1]):
        members = first.labels == number
        assert line["n"]["sort"] == members.sum()
        assert line["first"]["sort"] == pytest.approx((first.predictions["knn"] == number)[members].mean())
    assert "images right" in texts(app)


def test_numbers_that_were_never_computed_for_these_two_are_offered_beside_the_maps(pair: list[Run]) -> None:
    for run in pair:
        embed.compute([EncoderRef(run)], CHOICE, ["pca"])
    app = embeddings_page(method="pca")
    assert maps_of(app) is not None
    assert "The numbers between these two are not computed yet" in texts(app)
    assert "Linear CKA" not in [metric.label for metric in app.metric]


def test_damaged_features_are_offered_to_be_computed_again(ready: list[Run]) -> None:
    (found_of(ready)[1].folder / stored.NEIGHBORS).write_bytes(b"torn")
    app = embeddings_page(method="pca")
    assert maps_of(app) is None
    assert "Compute" in buttons(app)


# --- what is selected -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [[3], [3, 7, 100, 101, 499], list(range(500))], ids=["one", "some", "all"])
def test_a_selection_in_the_address_is_told_of(ready: list[Run], rows: list[int]) -> None:
    found = found_of(ready)
    first = found[0]
    app = embeddings_page(method="pca", selection=selection_text(rows, 500))
    assert f"{len(rows):,} image{'s' if len(rows) > 1 else ''} selected" in texts(app)
    data = maps_of(app)
    assert data is not None
    assert selected_rows(data["start"]["selection"], 500).tolist() == rows
    assert selected_rows(query(app, "selection"), 500).tolist() == rows
    drawn = [[item["row"] for item in data["items"]] for data in components(app, "items")]
    assert rows[: selection.MOST_IMAGES] in drawn
    assert first.labels is not None
    mix = next(figure for figure in figures(app) if figure["layout"].get("barmode") == "group")
    assert mix["data"][0]["name"] == "True class"
    for trace, classes in zip(mix["data"], [first.labels, *(item.predictions["knn"] for item in found)], strict=True):
        counted = {name: int((classes[rows] == number).sum()) for number, name in enumerate(first.classes)}
        assert dict(zip(trace["y"], trace["x"], strict=True)) == {name: counted[name] for name in trace["y"]}
        assert sum(trace["x"]) == len(rows)
    both = compare.neighbor_jaccard(first.neighbors, found[1].neighbors)
    assert f"**{formats.fine_percent(float(both[rows].mean()))}**" in texts(app)


def test_the_five_that_differ_most_lead_to_their_neighbours(ready: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = found_of(ready)
    rows = np.arange(0, 500, 7)
    found = selection.differing([first, second], rows, 20)
    overlaps = [len({*first.neighbors[place, :20]} & {*second.neighbors[place, :20]}) for place in rows]
    assert [number for _, number in found] == sorted(overlaps)[:5]
    assert all(place in rows for place, _ in found)
    kept = {selection.DIFFERING: {"clicked": 17}}
    monkeypatch.setattr(choice.st, "session_state", kept)
    choice.open_clicked(selection.DIFFERING)()
    begun = MapState(image=3, selection=np.array([1, 2]))
    kept |= {choice.START: (choice.VIEW.component_key("maps"), begun, "link"), "maps": {}}  # type: ignore[dict-item]
    state, start, token = choice.map_state("maps", first.ids)
    assert (state.image, start.image, state.selection.tolist()) == (17, 17, [1, 2])
    assert token != "link"  # else the browser would not take it up
    again = choice.map_state("maps", first.ids)
    assert (again[0].image, again[2]) == (17, token)


def test_a_damaged_address_shows_the_page_all_the_same(ready: list[Run]) -> None:
    app = embeddings_page(method="pca", selection="b!!", hidden="x.9999999", zoom="1~2", k="7", by="no", color="<b>")
    assert maps_of(app) is not None
    assert query(app, "color") == "class"
    assert "selection" not in address(app)


def test_zoom_and_legend_stand_in_the_address(ready: list[Run]) -> None:
    data = maps_of(embeddings_page(method="pca", hidden="1.3", zoom="2~0.5~-0.25_1~0~0"))
    assert data is not None
    assert data["start"]["hidden"] == [1, 3]
    assert data["start"]["zoom"] == [[2, 0.5, -0.25], [1, 0, 0]]


# --- in space -------------------------------------------------------------------------------------------------------


def test_maps_in_space_show_the_same_colours_and_the_selection(pair: list[Run]) -> None:
    embed.compute([EncoderRef(run) for run in pair], CHOICE, [Projection("pca", 3)])
    found = found_of(pair)
    image = int(found[0].ids[5])
    app = embeddings_page(method="pca", dims="3", selection=selection_text(range(50), 500), image=str(image))
    spaces = [figure for figure in figures(app) if figure["data"][0]["type"] == "scatter3d"]
    assert len(spaces) == 2
    for figure in spaces:
        clouds = {trace["name"]: len(trace["x"]) for trace in figure["data"]}
        assert clouds["not selected"] == 450
        assert sum(clouds.values()) == 501  # the open image is ringed
        assert clouds["open image"] == 1
    assert "Nearest in" in texts(app)
    near = [data["items"] for data in components(app, "items") if len(data["items"]) == 20]
    assert [item["row"] for item in near[0]] == found[0].neighbors[5, :20].tolist()
    shared = {*found[0].neighbors[5, :20].tolist()} & {*found[1].neighbors[5, :20].tolist()}
    assert {item["row"] for item in near[0] if item["mark"]} == shared
    assert maps_of(app) is None


def test_numbers_and_circles_colour_maps_in_space(ready: list[Run]) -> None:
    found = found_of(ready)
    points = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    for name, scale in (("size", "Viridis"), ("hue", view.CYCLE)):
        color = colors.color_of(found, name)
        figure = view.space_figure(points, color, 0, [""] * 500, np.array([], dtype=np.int64))
        assert figure["data"][0]["marker"]["colorscale"] == scale
        np.testing.assert_allclose(figure["data"][0]["marker"]["color"], found[0].factors[name], rtol=1e-3)


# --- the film -------------------------------------------------------------------------------------------------------


def make_film(run: Run, epochs: list[int], seed: int, images: str = "same") -> film.Film:
    """A film of 40 images in four classes whose features fall apart from epoch to epoch."""
    generator = np.random.default_rng(seed)
    labels = np.arange(40) % 4

    def write_sheets(folder: Path) -> dict:
        Image.new("RGB", (8 * 50, 8)).save(folder / "thumbnails-0.png")
        return {"side": 8, "columns": 50, "per_sheet": 2500, "sheets": ["thumbnails-0.png"]}

    folder = film_frames.begin(
        run,
        epochs,
        ids=np.arange(40) * 2,
        labels=labels,
        write_sheets=write_sheets,
        split="val",
        classes=list("abcd"),
        images=images,
    )
    for epoch in epochs:
        film_frames.write_frame(folder, epoch, generator.normal(size=(40, 6)) + (epoch + 1) * np.eye(6)[labels])
    found = film.load(run)
    assert found is not None
    return found


def test_the_film_reopens_at_its_epoch_with_both_runs_turned_alike(pair: list[Run]) -> None:
    films = [make_film(pair[0], [0, 4, 8, 12], 1), make_film(pair[1], [0, 6, 12], 2)]
    maps = [film.make_maps(item, "pca") for item in films]
    app = embeddings_page(mode="film", method="pca", epoch="8")
    data = maps_of(app)
    assert data is not None
    assert data["frame_names"] == ["0", "4", "6", "8", "12"]
    assert data["start"]["frame"] == 3
    assert query(app, "epoch") == "8"
    frames = [panel["frames"].reshape(5, 40, 2) for panel in data["panels"]]
    np.testing.assert_allclose(frames[0], maps[0][[0, 1, 1, 2, 3]])
    np.testing.assert_allclose(frames[1][-1], projections.align(maps[0][-1], maps[1][-1]), atol=1e-4)
    for before, after in zip(maps[1][[0, 0, 1, 1, 2]], frames[1], strict=True):  # turned as a whole, never bent
        middle = maps[1][-1].mean(axis=0)
        np.testing.assert_allclose(np.linalg.norm(before - middle, axis=1), np.linalg.norm(after, axis=1), atol=1e-3)
    curves = [figure for figure in figures(app) if "meta" in figure["layout"]]
    assert len(curves) == 4  # loss and accuracy of both
    assert [figure["layout"]["shapes"][0]["x0"] for figure in curves] == [8, 8, 6, 6]  # the frame that is shown
    assert curves[0]["layout"]["meta"] == {"follow": data["key"], "places": [0, 4, 4, 8, 12]}


def test_an_image_of_the_film_brings_its_neighbours_of_that_epoch(pair: list[Run]) -> None:
    films = [make_film(pair[0], [0, 4], 1), make_film(pair[1], [0, 4], 2)]
    for item in films:
        film.make_maps(item, "pca")
    data = maps_of(embeddings_page(mode="film", epoch="0", image="14"))
    assert data is not None
    for item, near in zip(films, data["details"]["neighbors"], strict=True):
        unit = neighbors.unit_rows(item.features(0))
        assert [place for place, _ in near] == neighbors.neighbors(unit, 7, 8)[0].tolist()


def test_a_film_is_drawn_on_request(pair: list[Run]) -> None:
    make_film(pair[0], [0, 4], 1)
    app = embeddings_page(mode="film", right="pixels")
    assert "is not drawn yet" in texts(app)
    assert "Raw pixels has no training, and so no film" in texts(app)
    assert "Compute" in buttons(app)


def test_films_of_other_images_are_not_shown_side_by_side(pair: list[Run]) -> None:
    for place, run in enumerate(pair):
        film.make_maps(make_film(run, [0, 4], 1, images=str(place)), "pca")
    app = embeddings_page(mode="film")
    assert "shows other images" in texts(app)
    data = maps_of(app)
    assert data is not None
    assert len(data["panels"]) == 1


def test_without_films_it_says_how_to_get_one(pair: list[Run]) -> None:
    app = embeddings_page(mode="film", image="5", selection="dAA")
    assert "No film of these two" in texts(app)
    assert "Train it again, with a film" in buttons(app)
    app.segmented_control(key="embeddings-mode").set_value("maps").run()
    assert not app.exception
    assert "image" not in address(app)  # the film's images are others


# --- exports --------------------------------------------------------------------------------------------------------


def test_tables_hold_the_maps_as_they_are_shown_and_what_is_selected(ready: list[Run], tmp_path: Path) -> None:
    found = found_of(ready)
    asked = Projection("pca")
    (tmp_path / "a.csv").write_bytes(export.table(found, asked, "csv", np.array([2, 4])))
    (tmp_path / "a.parquet").write_bytes(export.table(found, asked, "parquet", np.array([2, 4])))
    for frame in (pandas.read_csv(tmp_path / "a.csv"), pandas.read_parquet(tmp_path / "a.parquet")):
        assert frame["id"].tolist() == found[0].ids.tolist()
        assert np.flatnonzero(frame["selected"]).tolist() == [2, 4]
        right = projections.align(found[0].map("pca"), found[1].map("pca"))  # type: ignore[arg-type]
        np.testing.assert_allclose(frame[["right x", "right y"]], right, rtol=1e-5)
        assert frame["class"].tolist() == [found[0].classes[label] for label in found[0].labels]  # type: ignore[union-attr]


def test_the_html_file_holds_everything_and_asks_for_nothing(ready: list[Run]) -> None:
    found = found_of(ready)
    panels = [
        {"title": "<b>x</b>", "subtitle": "", "stats": [], "note": "", "points": item.map("pca")} for item in found
    ]
    data = view.payload(found, panels, colors.color_of(found, "class"), [])
    text = export.page_of(found, data, "<b>x</b>", "They agree.", 20, MapState(image=int(found[0].ids[1])))
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    assert "<b>x</b>" not in text
    assert "data:image/" in text
    assert "They agree." in text


def test_what_has_no_classes_is_compared_without_them(ready: list[Run]) -> None:
    import dataclasses

    bare = [dataclasses.replace(item, labels=None, predictions={}, factors={}, measured={}) for item in found_of(ready)]
    assert colors.color_choices(bare) == {"agreement": "Neighbourhood agreement"}
    assert colors.color_of(bare, "class")["kind"] == "none"
    assert numbers.class_rows(bare, "knn") == []
    details = view.details(bare, ["a", "b"], int(bare[0].ids[0]), 20)
    assert details is not None
    assert [name for name, _ in details["facts"]] == ["Shared neighbours"]
    assert selection.items_of(bare[0], [1], -1)[0]["name"] == f"Image {bare[0].ids[1]}"


def test_the_page_needs_no_torch_umap_or_sklearn(ready: list[Run], tiny_runs: Path) -> None:
    text = (
        "import sys; sys.path[:0] = ['tests/helpers', '.']; from dashboard_fixtures import open_page;"
        "app = open_page('embeddings', method='pca', images='500'); assert not app.exception, app.exception;"
        "print(*sorted({'torch', 'umap', 'sklearn', 'openTSNE', 'scipy', 'numba', 'lightning'} & set(sys.modules)), "
        "sum('panels' in node.proto.json for node in app.get('bidi_component')))"
    )
    found = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"SIMCLR_RUNS_DIR": str(tiny_runs)},
    )
    assert found.stdout.split() == ["1"], found.stdout


def test_a_group_gives_the_two_of_its_runs_that_show_its_answer(tiny_runs: Path) -> None:
    made = [trained_run(tiny_runs, 1, temperature=temperature) for temperature in (0.1, 0.2)]
    for run, label, value in zip(made, ("0.1", "0.2"), (0.6, 0.4), strict=True):
        runs.add_meta(run.path, group={"id": "which-x7k2", "setting": {"temperature": label}})
        run.metrics_path.write_text(f"step,val/knn_top1\n5,{value}\n")
    app = embeddings_page(left="which-x7k2")
    shown = [named(app.selectbox, f"embeddings-{side}").value for side in ("left", "right")]
    assert shown == [run.id for run in made]
    runs.update_status(made[1].path, state="failed")
    app = embeddings_page(left="which-x7k2")
    assert "has no two finished runs to compare" in texts(app)
