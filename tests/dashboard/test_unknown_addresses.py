"""Whatever an address asks for that is not there or makes no sense: every page says so, and what it shows instead.

Generated over pages, their parameters, and what may stand there: a name that is unknown, text that is garbage, nothing,
a run that was deleted, a run of another kind, and lists of which only some are known.
"""

from types import SimpleNamespace

import pytest
from dashboard_fixtures import address, make_experiment, make_run, open_page, query, texts

from simclr import runs

RUN, WORD, NUMBER, TEXT = "run", "word", "number", "text"
# Of each page its parameters, by what they name. Of the options of a run and of the augmentation one of each type.
PARAMETERS = {
    "runs": {"filter-kind": WORD, "filter-state": WORD, "filter-text": TEXT},
    "experiments": {"measure": WORD},
    "race": {"id": RUN, "method": WORD, "seen": NUMBER, "image": NUMBER, "hidden": NUMBER},
    "new_run": {
        "kind": WORD,
        "recipe": WORD,
        "arm": WORD,
        "place": WORD,
        "clone": RUN,
        "edit": RUN,
        "experiment": RUN,
        "epochs": NUMBER,
        "learning_rate": NUMBER,
        "precision": WORD,
        "evaluate": WORD,
        "augmentation.hue": NUMBER,
        "name": TEXT,
        "tags": TEXT,
    },
    "run": {"id": RUN, "epoch": NUMBER},
    "curves": {
        "runs": RUN,
        "metric": WORD,
        "x": WORD,
        "splits": WORD,
        "seeds": WORD,
        "smoothing": NUMBER,
        "log": WORD,
        "log_x": WORD,
        "large": WORD,
        "folder": TEXT,
    },
    "lessons": {"lesson": WORD},
    "results": {"experiment": RUN, "labels": NUMBER, "seeds": WORD},
    "embeddings": {
        "left": RUN,
        "right": RUN,
        "mode": WORD,
        "method": WORD,
        "dims": NUMBER,
        "images": NUMBER,
        "split": WORD,
        "k": NUMBER,
        "n_neighbors": NUMBER,
        "min_dist": NUMBER,
        "perplexity": NUMBER,
        "epoch": NUMBER,
        "image": NUMBER,
        "selection": WORD,
        "hidden": NUMBER,
        "zoom": NUMBER,
        "color": TEXT,  # known only once there are maps
        "by": TEXT,
    },
    "augmentations": {
        "run": RUN,
        "preset": WORD,
        "dataset": WORD,
        "size": NUMBER,
        "seed": NUMBER,
        "epoch": NUMBER,
        "batch": NUMBER,
        "part": WORD,
        "image": NUMBER,
        "images": NUMBER,
        "hue": NUMBER,
        "blur_kernel_size": NUMBER,
    },
}
ENCODER = {"encoder": RUN, "against": RUN, "weights": WORD, "show": WORD}  # of Augmentations, where it is asked
GARBAGE = "\0<b>../%%2 _*x*\n"
UNKNOWN = {RUN: "nope", WORD: "nope", NUMBER: "1e99", TEXT: "nope"}
# Which of several is looked at: the others would be noted in an address of their own.
ALONE = {("new_run", "edit"), ("new_run", "experiment"), ("new_run", "augmentation.hue"), ("new_run", "evaluate")}
BASE = {
    ("new_run", "experiment"): {"kind": "finetune"},
    ("new_run", "arm"): {"kind": "finetune"},
}
# The kind of run that a parameter takes is not this one.
OTHER_KIND = {
    ("race", "id"): "pretrain",
    ("new_run", "experiment"): "scratch",
    ("results", "experiment"): "scratch",
    ("augmentations", "run"): "scratch",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs of each kind, one of them deleted."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMCLR_RUNS_DIR", str(folder))
        patch.setenv("SIMCLR_DATA_DIR", str(folder / "data"))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "settings"))
        pretraining, partners = make_experiment(folder, (0.01, 1.0))
        deleted = make_run(folder, epochs=2)
        runs.delete(deleted, folder)
        yield SimpleNamespace(
            pretrain=pretraining.id, scratch=partners["scratch-0.01"].id, deleted=deleted.id, folder=folder
        )


def noted(app):
    """What the page says of its address, by parameter."""
    sentences = texts(app).splitlines()
    return {text.split(" in the address is ")[0]: text for text in sentences if " in the address is " in text}


def opened(page, **parameters):
    app = open_page(page, **parameters)
    assert not app.exception, (page, parameters)
    return app


def checked(page):
    """The parameters of a page that one address can name together, and that are noted where they make no sense."""
    return {name: kind for name, kind in PARAMETERS[page].items() if kind != TEXT and (page, name) not in ALONE}


@pytest.mark.parametrize("page", PARAMETERS)
@pytest.mark.parametrize("case", ["unknown", "garbage"])
def test_everything_that_makes_no_sense_is_said_with_what_is_shown_instead(made, page, case):
    asked = {name: UNKNOWN[kind] if case == "unknown" else GARBAGE for name, kind in checked(page).items()}
    if page == "run":  # without a run there is no epoch to be shown
        asked["id"] = made.pretrain
    found = noted(opened(page, **asked))
    missing = set(asked) - set(found) - ({"id"} if page == "run" else set())
    if page == "augmentations" and case == "garbage":
        missing -= {"batch"}
    assert not missing
    assert all("shown instead: " in sentence.lower() for sentence in found.values()), found
    assert all(sentence.endswith(".") and len(sentence) < 300 for sentence in found.values())


@pytest.mark.parametrize(("page", "name"), sorted(ALONE))
@pytest.mark.parametrize("case", ["unknown", "garbage"])
def test_so_are_those_that_stand_alone(made, page, name, case):
    value = UNKNOWN[PARAMETERS[page][name]] if case == "unknown" else GARBAGE
    assert set(noted(opened(page, **BASE.get((page, name), {}), **{name: value}))) == {name}


@pytest.mark.parametrize("case", ["unknown", "garbage"])
def test_so_is_what_the_encoder_part_is_asked_for(made, case):
    asked = {name: UNKNOWN[kind] if case == "unknown" else GARBAGE for name, kind in ENCODER.items()}
    found = noted(
        opened("augmentations", part="encoder", show="pairs", **{k: v for k, v in asked.items() if k != "show"})
    )
    assert {"encoder", "weights"} <= set(found)
    assert "against" in noted(opened("augmentations", part="encoder", show="invariance", against=asked["against"]))
    assert "show" in noted(opened("augmentations", part="encoder", show=asked["show"]))


@pytest.mark.parametrize("page", PARAMETERS)
def test_what_is_empty_says_nothing(made, page):
    app = opened(page, **dict.fromkeys(PARAMETERS[page], ""))
    assert not noted(app)
    assert set(address(app)) <= set(PARAMETERS[page]) | {"experiment"}  # all that it writes is tried here


@pytest.mark.parametrize(
    ("page", "name"),
    [(page, name) for page, names in PARAMETERS.items() for name, kind in names.items() if kind == RUN],
)
def test_a_deleted_run_is_said_to_lie_in_the_trash(made, page, name):
    app = opened(page, **BASE.get((page, name), {}), **{name: made.deleted})
    assert made.deleted in texts(app) and "was deleted and lies in the trash" in texts(app)
    assert query(app, name) != made.deleted or page == "run"


@pytest.mark.parametrize(("page", "name"), OTHER_KIND)
def test_a_run_of_another_kind_is_said_to_be_one(made, page, name):
    other = getattr(made, OTHER_KIND[page, name])
    (sentence,) = noted(opened(page, **BASE.get((page, name), {}), **{name: other})).values()
    assert other in sentence
    assert any(
        word in sentence
        for word in (
            "is a pre-training and not",
            "is a training from scratch",
            "is a scratch run",
            "is no pre-training",
        )
    )


def test_the_known_ones_of_a_list_are_shown(made):
    app = opened("curves", runs=f"nope,{made.scratch},{made.deleted},{made.pretrain}", metric="loss")
    assert query(app, "runs").split(",") == [made.scratch, made.pretrain]
    said = texts(app)
    assert "runs in the address is nope, which is no run here; shown instead: the other 2." in said
    assert f"runs in the address is {made.deleted}, which was deleted and lies in the trash; shown instead" in said
    app = opened("curves", runs=",".join(f"nope{n}" for n in range(9)))
    assert query(app, "runs") == made.pretrain or made.scratch in query(app, "runs")
    said = (
        "runs in the address is nope0, nope1 and 7 more, each of which is no run here; shown instead: the newest runs."
    )
    assert said in texts(app)
    app = opened("augmentations", dataset="shapes", images="0,99999999,2")
    assert query(app, "images") == "0,2"
    assert "images in the address is 99999999, which is not here; shown instead: the others." in texts(app)
    app = opened("runs", **{"filter-kind": ["pretrain", "nope"]})
    assert "filter-kind in the address is nope" in texts(app)
    assert address(app)["filter-kind"] == ["pretrain"]


def test_a_run_that_is_not_there_leads_to_all_that_are(made):
    app = opened("run", id="nope")
    assert f"There is no run nope in {made.folder}; all that are there are one click away." in texts(app)
    assert [link.proto.label for link in app.get("page_link")] == ["All runs"]
    assert "The address names no run" in texts(opened("run"))


def test_what_was_said_goes_when_something_else_is_chosen(made):
    app = opened("curves", x="moon")
    assert "x in the address is moon, which is not epoch, step or time; shown instead: epoch." in texts(app)
    assert "x in the address" in texts(app.run())  # a page that draws itself again has not been answered
    next(group for group in app.button_group if group.key.startswith("curves-splits")).set_value("val").run()
    assert "x in the address" not in texts(app)
    app = opened("curves", x="moon")
    app.switch_page("results/page.py").run()
    assert "x in the address" not in texts(app)
    app.switch_page("curves/page.py")
    app.query_params.clear()
    assert "x in the address" not in texts(app.run())


def test_on_an_empty_folder_nothing_breaks_either(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    monkeypatch.setenv("SIMCLR_DATA_DIR", str(tmp_path / "data"))
    for page, parameters in PARAMETERS.items():
        asked = {name: "nope" for name, kind in parameters.items() if kind == RUN and (page, name) not in ALONE}
        app = opened(page, **asked)
        assert set(noted(app)) >= set(asked) or (page == "run" and "There is no run nope" in texts(app)), page


def test_a_page_that_is_not_there_is_named_on_the_first_one(tiny_runs):
    make_run(tiny_runs)
    app = open_page(None, **{"asked-page": "no <b>such</b>"})
    assert not app.exception
    assert "which is no page here; shown instead: Runs" in texts(app)
