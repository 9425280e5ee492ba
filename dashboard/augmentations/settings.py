"""What the Augmentations page shows: presets, the state of the page, and the address that brings it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.augmentations import encoder_state
from dashboard.shared import asked, forms, store, url_state
from simclr import config as cfg
from simclr import runs
from simclr.config import Augmentation, ConfigError, PretrainConfig
from simclr.files.user_paths import existing_folder
from simclr.views import sample_images

PAGE = STATE = "augmentations"
PARTS = {
    "pairs": "Pairs",
    "steps": "One image step by step",
    "shortcut": "Shortcut check",
    "mixed": "MixUp and CutMix",
    "encoder": "What the encoder makes of it",
}
MOST_IMAGES = 16
SEED = PretrainConfig.model_fields["seed"]
MAX_SEED = int(cfg.bounds(SEED)["le"])
MAX_EPOCH = 10**6
NAMES = tuple(Augmentation.model_fields)
PAPER, IMAGENET, NONE = "paper", "imagenet", "none"
# Titles of the operations in the order they are applied; an option belongs to the one its name begins with.
OPERATIONS = {
    "crop": "Random crop",
    "flip": "Mirror",
    "jitter": "Colour jitter",
    "grayscale": "Grey",
    "blur": "Gaussian blur",
}
# Of the batch that is mixed: those of Zhang et al. 2018 and Yun et al. 2019 on CIFAR-10, and any weight is as likely.
ALPHAS = {"mixup_alpha": 1.0, "cutmix_alpha": 1.0}
MAX_ALPHA = cfg.bounds(cfg.FinetuneConfig.model_fields["mixup_alpha"])["le"]
WIDGETS = ("dataset", "preset", "seed", "epoch", "batch", "part", "size", *NAMES, *OPERATIONS, *ALPHAS, "policy-on")
OF_RUN = "run"  # stands for a preset and for a data set: those of the run that the page was opened from


# --- presets -------------------------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False)
def presets() -> dict[str, tuple[str, dict[str, Any], int | None, str | None]]:
    """Name to label, values, view size where it matters, and the recipe the rest of a training is taken from."""
    default = Augmentation().model_dump()
    found: dict[str, tuple[str, dict[str, Any], int | None, str | None]] = {}
    like_paper = []
    for name in cfg.recipe_names():
        try:
            config = cfg.build(cfg.PretrainConfig, cfg.recipe(name))
        except ConfigError:
            continue
        values = config.augmentation.model_dump()
        if values == default:
            like_paper.append(name)
        else:
            found[name] = (f"Recipe {name}", values, config.image_size, name)
    more = f" (recipes {', '.join(like_paper)})" if like_paper else ""
    found[PAPER] = (f"Paper, CIFAR-10{more}", default, None, None)
    strong = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2, "blur_probability": 0.5}
    # Chen et al. 2020, appendix A: the blur's window is a tenth of the image
    found[IMAGENET] = ("Paper, ImageNet", default | strong | {"blur_kernel_size": 23}, 224, None)
    nothing = {name: 0.0 for name in NAMES if name.endswith("_probability")}
    found[NONE] = ("None: two equal views", default | nothing, None, None)
    return found


# --- the state of the page -----------------------------------------------------------------------------------------


def state() -> dict[str, Any]:
    """What the page shows, kept under a key of its own.

    `dataset`, `preset`, `values` (of the augmentation), `size` (None: the data set's own), `seed`, `epoch` and `batch`
    (counted from 0, as in a training; on screen from 1), `part`, `mixup_alpha`, `cutmix_alpha`, `picked` (numbers of
    images), `image` (the one shown step by step), `run` (id of the run it was opened from, or ""), `origin` (that run's
    own settings).
    """
    return st.session_state[STATE]


def enter() -> None:
    """Takes the state from a new address, and at the first visit."""
    query = url_state.news(PAGE)
    if STATE in st.session_state and not query:
        return
    before = st.session_state.get(STATE, {}).get("round", -1)
    st.session_state[STATE] = from_address(query or {})
    state()["round"] = before + 1
    encoder_state.VIEW.take(query or {})
    forget(*WIDGETS)


def widget(name: str) -> str:
    """What a widget of this page is called."""
    return f"augmentation-{name}"


def forget(*names: str) -> None:
    """Lets widgets take their values again."""
    url_state.forget(*map(widget, names))


def from_address(query: url_state.Query) -> dict[str, Any]:
    """The page's state that an address asks for.

    What it does not say is as at first, and so is what it says wrongly, which is noted.
    """
    one = url_state.last_values(query)
    origin = None
    if named := one.get("run"):
        try:
            origin = of_run(named)
        except ConfigError as error:
            asked.say_instead("run", named, str(error), "the data set shapes")
    known = bases(origin)
    preset = asked.one_of(query, "preset", {name: name for name in known}, known[next(iter(known))][0])
    preset = preset or next(iter(known))
    _, base, size = known[preset]
    seed = origin["seed"] if origin else SEED.default
    last = origin["epochs"] if origin else MAX_EPOCH
    parts = {name: name for name in PARTS}
    found = {
        "seed": asked.number_in(query, "seed", 0, MAX_SEED, str(seed), whole=True),
        "size": asked.number_in(query, "size", 8, 512, "the usual size", whole=True),
        "epoch": asked.number_in(query, "epoch", 1, last, "1", whole=True),
        "batch": asked.number_in(query, "batch", 1, MAX_EPOCH, "1", whole=True),
        "image": asked.number_in(query, "image", 0, 2**53, "the first one", whole=True),
        **{name: asked.number_in(query, name, 0.01, MAX_ALPHA, f"{usual:g}") for name, usual in ALPHAS.items()},
    }
    return {
        "run": one["run"] if origin else "",
        "origin": origin,
        "preset": preset,
        "values": _values(one, base),
        "dataset": origin["dataset"] if origin else _dataset(one.get("dataset", "")),
        "size": found["size"] or size,
        "seed": seed if found["seed"] is None else found["seed"],
        "epoch": int(found["epoch"] or 1) - 1,
        "batch": int(found["batch"] or 1) - 1,
        "part": asked.one_of(query, "part", parts, PARTS["pairs"]) or "pairs",
        **{name: found[name] or usual for name, usual in ALPHAS.items()},
        "show": 0,
        "round": 0,
        "image": found["image"],
        "picked": asked.numbers(query, "images", "the others, or the first ones", digits=15)[:MOST_IMAGES],
        "is_asked": bool(one),
    }


def _values(one: Mapping[str, str], base: dict[str, Any]) -> dict[str, Any]:
    """The options of the augmentation: those of the preset with what the address says of them."""
    values = dict(base)
    for name in NAMES:
        if not (text := one.get(name)):
            continue
        info = Augmentation.model_fields[name]
        typed = forms.typed(info, text)
        is_unset = cfg.is_optional(info) and text.strip().lower() in forms.UNSET_WORDS
        if (typed is not None or is_unset) and not problem(values | {name: typed}):
            values[name] = typed
        else:
            instead = "none" if values[name] is None else cfg.option_text(values[name])
            asked.say_instead(name, text, f"is not {cfg.allowed(info)} that goes with the others", instead)
    return values


def _dataset(text: str) -> str:
    """The data set that an address names, if it can be shown without a download."""
    if text in ("", sample_images.UPLOADED, *sample_images.present()):
        return text or "shapes"
    if existing_folder(text) is not None:
        return text
    why = "is not on this machine yet" if text in cfg.DATASETS else "is neither a data set nor a folder that exists"
    asked.say_instead("dataset", text, why, "shapes")
    return "shapes"


def of_run(run_id: str) -> dict[str, Any]:
    """A pre-training's own settings.

    Raises:
        ConfigError: in words that follow "which", if there is no such run or it draws no pairs.
    """
    run = store.find(run_id)
    if run is None:
        raise ConfigError(asked.why_not(run_id))
    if run.kind == "unknown":
        raise ConfigError("has options that cannot be read")
    title = store.get().summary(run).title
    if run.kind != "pretrain":
        raise ConfigError("is no pre-training: it learns from labels and draws no pairs of views")
    try:
        config = runs.load_config(run)
    except ConfigError:
        raise ConfigError("has options that cannot be read") from None
    assert isinstance(config, PretrainConfig)
    return {
        "title": title,
        "dataset": config.dataset,
        "values": config.augmentation.model_dump(),
        "size": config.image_size,
        "seed": config.seed,
        "epochs": config.epochs,
    }


def bases(origin: dict[str, Any] | None) -> dict[str, tuple[str, dict[str, Any], int | None]]:
    """What can be started from: name to label, values and view size."""
    found = {name: (label, values, size) for name, (label, values, size, _) in presets().items()}
    if origin:
        return {OF_RUN: (f"Run {origin['title']}", origin["values"], origin["size"])} | found
    return found


def to_address(kept: dict[str, Any]) -> dict[str, str]:
    """Query parameters that bring the same view back."""
    _, base, size = bases(kept["origin"])[kept["preset"]]
    query = {"run": kept["run"]} if kept["run"] else {"dataset": kept["dataset"]}
    query |= {"preset": kept["preset"], "seed": str(kept["seed"]), "epoch": str(kept["epoch"] + 1)}
    if kept["run"]:
        query["batch"] = str(kept["batch"] + 1)
    if kept["size"] and not (kept["preset"] == OF_RUN and kept["size"] == size):
        query["size"] = str(kept["size"])
    query["part"] = kept["part"]
    if kept["part"] == "steps" and kept["image"] is not None:
        query["image"] = str(kept["image"])
    if kept["part"] == "mixed":
        query |= {name: cfg.option_text(kept[name]) for name, usual in ALPHAS.items() if kept[name] != usual}
    query["images"] = ",".join(map(str, kept["picked"]))
    return query | {name: cfg.option_text(value) for name, value in kept["values"].items() if value != base[name]}


def write_address(kept: dict[str, Any]) -> None:
    own = encoder_state.address() if kept["part"] == "encoder" else {}
    url_state.write(to_address(kept) | own, "explorer")


def problem(values: dict[str, Any]) -> str:
    """What is wrong with the values, as one sentence; empty where nothing is."""
    try:
        cfg.build(cfg.PretrainConfig, {"augmentation": values})
    except ConfigError as error:
        return str(error)
    return ""


def use_preset() -> None:
    kept = state()
    name = url_state.value_of(widget("preset"))
    _, values, size = bases(kept["origin"])[name]
    kept |= {"preset": name, "values": dict(values), "size": size}
    forget(*NAMES, *OPERATIONS, "policy-on", "size")


def use_dataset() -> None:
    kept = state()
    chosen = url_state.value_of(widget("dataset"))
    kept |= {"picked": [], "image": None, "show": 0}
    if chosen == OF_RUN:
        return
    kept |= {"dataset": chosen or "shapes", "run": ""}
    if kept["origin"]:
        kept |= {"origin": None, "preset": PAPER if kept["preset"] == OF_RUN else kept["preset"]}
        forget("preset")


def new_draw() -> None:
    kept = state()
    kept["epoch"] = kept["epoch"] + 1 if kept["epoch"] + 1 < last_epoch(kept) else 0
    forget("epoch")


def last_epoch(kept: dict[str, Any]) -> int:
    return kept["origin"]["epochs"] if kept["run"] else MAX_EPOCH


def other_images(num_batches: int) -> None:
    """Others of the data set; of a run, those of its next batch."""
    kept = state()
    kept["show"] += 1
    kept["batch"] = (kept["batch"] + 1) % num_batches
    kept["round"] += 1
    kept |= {"picked": [], "image": None}
    forget("batch")


def use_part() -> None:
    state()["part"] = url_state.value_of(widget("part"))
