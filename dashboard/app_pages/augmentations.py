"""Augmentations: two random views of chosen images, drawn by the trainer's own code as the sliders move."""

from __future__ import annotations

import gc
import importlib.util
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import forms, gallery, shortcut, store, ui
from dashboard.components.view_grid import picker, view_grid
from simclr import config as cfg
from simclr import runs
from simclr.config import Augmentation, ConfigError, PretrainConfig

QUESTION = (
    "What do two views of one image still have in common? That is what the network learns to see; "
    "whatever the augmentation changes, it learns to ignore."
)
STATE = "augmentations"
PICKER = "augmentation-picker"
UPLOADS = "augmentation-uploads"
PARTS = {
    "pairs": "Pairs",
    "steps": "One image step by step",
    "shortcut": "Shortcut check",
    "encoder": "What the encoder makes of it",
}
MOST_IMAGES = 16
FIRST_IMAGES = 6
MOST_CHECKED = 6  # images whose histograms are drawn
MAX_SEED = int(cfg.bounds(PretrainConfig.model_fields["seed"])["le"])
MAX_EPOCH = 10**6
SIZES = (32, 64, 96, 128, 224)
OWN_SIZE = 0  # stands for "unset" among the sizes
NAMES = tuple(Augmentation.model_fields)
# Titles of the operations in the order they are applied; an option belongs to the one its name begins with.
OPERATIONS = {
    "crop": "Random crop",
    "flip": "Mirror",
    "jitter": "Colour jitter",
    "grayscale": "Grey",
    "blur": "Gaussian blur",
}
JITTER_PARTS = ("brightness", "contrast", "saturation", "hue")
# Of a wide allowed range, the part that is worth a slider.
SLIDER_RANGES = {"crop_ratio": (0.25, 4.0), "blur_sigma": (0.1, 5.0), "blur_kernel_size": (1, 31)}
SHORT_LABELS = {
    "crop_scale": "Area of the crop",
    "crop_ratio": "Width / height",
    "blur_sigma": "Strength, sigma (pixels)",
    "blur_kernel_size": "Window (pixels)",
}
PAPER, IMAGENET, NONE = "paper", "imagenet", "none"
OF_RUN = "run"  # stands for a preset and for a data set: those of the run that the page was opened from
PARAMETERS = {"run", "dataset", "preset", "size", "seed", "epoch", "batch", "part", "image", "images", *NAMES}


# --- presets -------------------------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False)
def presets() -> dict[str, tuple[str, dict[str, Any], int | None, str | None]]:
    """Name to label, values, view size where it matters, and the recipe the rest of a training is taken from."""
    default = Augmentation().model_dump()
    found, like_paper = {}, []
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
    (counted from 0, as in a training; on screen from 1), `part`, `picked` (numbers of images), `image` (the one shown
    step by step), `run` (id of the run it was opened from, or ""), `origin` (that run's own settings).
    """
    return st.session_state[STATE]


def enter() -> None:
    """Takes the state from the address at the first visit, and when a link of another page leads here."""
    query = st.query_params.to_dict()
    if STATE in st.session_state and ("run" not in query or "epoch" in query):
        return  # an address with an epoch was written by this page
    generation = st.session_state.get(STATE, {}).get("generation", -1)
    st.session_state[STATE] = from_address(query) | {"generation": generation + 1}
    forget("dataset", "preset", "seed", "epoch", "batch", "part")


def forget(*names: str) -> None:
    """Lets widgets take their values anew."""
    for name in names:
        st.session_state.pop(f"augmentation-{name}", None)


def from_address(query: Mapping[str, str]) -> dict[str, Any]:
    """The page's state that an address asks for; what it does not say, or says wrongly, is as at first."""
    origin = None
    if query.get("run"):
        try:
            origin = of_run(query["run"])
        except ConfigError as error:
            st.session_state["message"] = str(error)
    known = presets()
    if origin:
        preset = query.get("preset") if query.get("preset") in known else OF_RUN
        base = origin if preset == OF_RUN else {"values": known[str(preset)][1], "size": known[str(preset)][2]}
    else:
        preset = query.get("preset") if query.get("preset") in known else next(iter(known))
        base = {"values": known[str(preset)][1], "size": known[str(preset)][2]}
    values = dict(base["values"])
    for name in NAMES:
        if name in query:
            typed = forms.typed(Augmentation.model_fields[name], query[name])
            trial = values | {name: typed}
            if typed is not None and not problem(trial):
                values = trial
    # the draw was one number before
    epoch = whole_number(query.get("epoch", query.get("draw")), 1, MAX_EPOCH, 1) - 1
    return {
        "run": query["run"] if origin else "", "origin": origin, "preset": preset, "values": values,
        "dataset": origin["dataset"] if origin else query.get("dataset", "shapes"),
        "size": whole_number(query.get("size"), 8, 512, base["size"]),
        "seed": whole_number(query.get("seed"), 0, MAX_SEED, origin["seed"] if origin else 0),
        "epoch": min(epoch, origin["epochs"] - 1) if origin else epoch,
        "batch": whole_number(query.get("batch"), 1, MAX_EPOCH, 1) - 1,
        "part": query.get("part") if query.get("part") in parts() else "pairs",
        "show": 0, "generation": 0,
        "image": whole_number(query.get("image"), 0, 2**53, None),
        "picked": [int(word) for word in query.get("images", "").split(",") if word.isdecimal()][:MOST_IMAGES],
    }  # fmt: skip


def whole_number(text: str | None, low: int, high: int, default: Any) -> Any:
    return int(text) if text and text.isdecimal() and len(text) < 17 and low <= int(text) <= high else default


def of_run(run_id: str) -> dict[str, Any]:
    """A pre-training's own settings.

    Raises:
        ConfigError: with one sentence, if there is no such run or it draws no pairs.
    """
    run = store.find(run_id)
    if run is None:
        raise ConfigError(f"There is no run {run_id} in {store.runs_dir()}.")
    title = store.get().summary(run).title
    if run.kind != "pretrain":
        raise ConfigError(f"{title} is no pre-training: it learns from labels and draws no pairs of views.")
    config = runs.load_config(run)
    assert isinstance(config, PretrainConfig)
    return {
        "title": title, "dataset": config.dataset, "values": config.augmentation.model_dump(),
        "size": config.image_size, "seed": config.seed, "epochs": config.epochs,
    }  # fmt: skip


def bases(kept: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any], int | None]]:
    """What can be started from: name to label, values and view size."""
    found = {name: (label, values, size) for name, (label, values, size, _) in presets().items()}
    if origin := kept["origin"]:
        return {OF_RUN: (f"Run {origin['title']}", origin["values"], origin["size"])} | found
    return found


def to_address(kept: dict[str, Any]) -> dict[str, str]:
    """Query parameters that bring the same view back."""
    _, base, size = bases(kept)[kept["preset"]]
    query = {"run": kept["run"]} if kept["run"] else {"dataset": kept["dataset"]}
    query |= {"preset": kept["preset"], "seed": str(kept["seed"]), "epoch": str(kept["epoch"] + 1)}
    if kept["run"]:
        query["batch"] = str(kept["batch"] + 1)
    if kept["size"] and not (kept["preset"] == OF_RUN and kept["size"] == size):
        query["size"] = str(kept["size"])
    query["part"] = kept["part"]
    if kept["part"] == "steps" and kept["image"] is not None:
        query["image"] = str(kept["image"])
    query["images"] = ",".join(map(str, kept["picked"]))
    return query | {name: cfg.option_text(value) for name, value in kept["values"].items() if value != base[name]}


def write_address(kept: dict[str, Any]) -> None:
    """Parameters of the encoder's part are its own, and stay while it is shown."""
    now = st.query_params.to_dict()
    others = {name: now[name] for name in now if name not in PARAMETERS} if kept["part"] == "encoder" else {}
    if now != (address := to_address(kept) | others):
        st.query_params.from_dict(address)


def problem(values: dict[str, Any]) -> str:
    """What is wrong with the values, as one sentence; empty where nothing is."""
    try:
        cfg.build(cfg.PretrainConfig, {"augmentation": values})
    except ConfigError as error:
        return str(error)
    return ""


def use_preset() -> None:
    kept = state()
    name = st.session_state["augmentation-preset"]
    _, values, size = bases(kept)[name]
    kept |= {"preset": name, "values": dict(values), "size": size}
    kept["generation"] += 1  # new widgets, which take the new values


def use_dataset() -> None:
    kept = state()
    chosen = st.session_state["augmentation-dataset"]
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
    kept["generation"] += 1
    kept |= {"picked": [], "image": None}
    forget("batch")


# --- controls ------------------------------------------------------------------------------------------------------


def operation_of(name: str) -> str:
    return "jitter" if name in JITTER_PARTS else name.partition("_")[0]


def slider_range(stem: str, info: Any, *values: float) -> tuple[float, float]:
    """The ends of a slider: what is allowed, or the part of it that is worth one, widened to the values there are."""
    limits = cfg.bounds(info)
    low = limits.get("ge", limits.get("gt", 0.0))
    low, high = SLIDER_RANGES.get(stem, (low if "ge" in limits else 0.01, limits.get("le", 1.0)))
    return min(low, *values), max(high, *values)


def slide(kept: dict[str, Any], name: str) -> None:
    """One option, or a smallest and largest together, as a slider; its value goes back into the page's state."""
    values, info = kept["values"], Augmentation.model_fields[name]
    key = f"augmentation-{kept['generation']}-{name}"
    if name.endswith("_max"):
        return  # drawn with its smallest
    if name.endswith("_min"):
        stem, other = name[:-4], f"{name[:-4]}_max"
        low, high = slider_range(stem, info, values[name], values[other])
        chosen = st.slider(
            SHORT_LABELS.get(stem, stem), float(low), float(high), (float(values[name]), float(values[other])),
            step=0.01, key=key, help=f"{info.description} {Augmentation.model_fields[other].description}",
        )  # fmt: skip
        # a slider rounds: what was not moved keeps its exact value
        for part, value in zip((name, other), chosen, strict=True):
            if abs(value - values[part]) > 0.006:
                values[part] = round(value, 4)
        return
    label = SHORT_LABELS.get(name) or ("Share of views" if name.endswith("_probability") else name.capitalize())
    low, high = slider_range(name, info, values[name])
    if cfg.field_type(info) is int:
        values[name] = st.slider(label, int(low), int(high), int(values[name]), step=2, key=key, help=info.description)
        return
    value = st.slider(label, float(low), float(high), float(values[name]), step=0.01, key=key, help=info.description)
    if abs(value - values[name]) > 0.006:
        values[name] = round(value, 4)


def controls(kept: dict[str, Any]) -> None:
    values = kept["values"]
    for operation, title in OPERATIONS.items():
        names = [name for name in NAMES if operation_of(name) == operation]
        probability = f"{operation}_probability"
        switch = f"augmentation-{kept['generation']}-{operation}"
        if switch not in st.session_state:
            st.session_state[switch] = values[probability] > 0
        on = st.toggle(f"**{title}**", key=switch, help=Augmentation.model_fields[probability].description)
        before = kept.setdefault("before", {})
        if on and values[probability] == 0:
            values[probability] = before.get(operation) or (0.5 if operation in ("flip", "blur") else 1.0)
            # its slider is not there yet, or still says 0
            st.session_state.pop(f"augmentation-{kept['generation']}-{probability}", None)
        elif not on and values[probability] > 0:
            before[operation] = values[probability]
            values[probability] = 0.0
        if on:
            ordered = [probability, *(name for name in names if name != probability)]
            with st.container(key=f"operation-{operation}", gap="small"):
                for name in ordered:
                    slide(kept, name)


# --- the images ----------------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=4, show_spinner="Reading images")
def load(dataset: str, size: int | None) -> gallery.Gallery:
    return gallery.load(dataset, size=size)


@st.cache_resource(max_entries=1, show_spinner="Reading the run's images")
def training(folder: str, changed: float) -> gallery.Training:
    """A run's images; `changed` is the time its options were written."""
    config = runs.load_config(runs.Run(Path(folder)))
    assert isinstance(config, PretrainConfig)
    return gallery.Training(config)


@st.cache_resource(max_entries=8, show_spinner=False)
def batch_of(
    folder: str, changed: float, epoch: int, number: int, more: tuple[int, ...]
) -> tuple[gallery.Gallery, int]:
    """Images of a batch, `more` among them, and how many batches there are."""
    found = training(folder, changed)
    return found.gallery(epoch, min(number, found.num_batches - 1), more), found.num_batches


@st.cache_data(max_entries=16, show_spinner=False)
def originals(_found: gallery.Gallery, revision: int, places: list[int], size: int) -> str:
    """The images as they are; kept, since a slider changes their views alone."""
    return gallery.originals(_found, places, size)


@st.cache_resource(show_spinner=False)
def freeze_torch() -> bool:
    """Takes torch's objects out of the garbage collector's sight, as app.py does with its own; once per process."""
    import torch

    torch.set_num_threads(1)  # views of few small images: more threads only get into each other's way
    gc.collect()
    gc.freeze()
    return True


@st.cache_resource(show_spinner=False)
def parts() -> list[str]:
    return [name for name in PARTS if name != "encoder" or importlib.util.find_spec("dashboard.lab_encoder")]


def datasets(kept: dict[str, Any]) -> list[str]:
    """What can be shown without a download: shipped sets, those downloaded, folders that runs have used, uploads."""
    used = [run.dataset for run in store.get().summaries()[:50]]
    folders = [name for name in used if name not in cfg.DATASETS and name.startswith(("/", "~"))]
    own = [OF_RUN] if kept["run"] else [kept["dataset"]]
    return list(dict.fromkeys([*own, *gallery.present(), *folders, gallery.UPLOADED]))


def upload() -> gallery.Gallery | None:
    """The visitor's own images, which stay in this session and are written nowhere."""
    kept = state()
    with st.container(key="augmentation-upload", gap="small"):
        files = st.file_uploader(
            f"PNG, JPEG or WebP, up to {gallery.MAX_UPLOAD_MIB} MiB each; they stay in this session",
            type=["png", "jpg", "jpeg", "webp"], accept_multiple_files=True, key="augmentation-files",
            max_upload_size=gallery.MAX_UPLOAD_MIB,
        )  # fmt: skip
        names = [file.file_id for file in files]
        held = st.session_state.setdefault(UPLOADS, {"names": [], "found": None, "problems": []})
        # another page takes the widget's files away, not the images that were read from them
        if names and names != held["names"]:
            found, problems = gallery.uploaded([(file.name, file.getvalue()) for file in files])
            held |= {"names": names, "found": found, "problems": problems}
            kept |= {"picked": [], "image": None}
            kept["generation"] += 1
        for sentence in held["problems"]:
            st.warning(ui.plain(sentence), icon=":material/broken_image:")
    return held["found"]


def images_of(kept: dict[str, Any]) -> tuple[gallery.Gallery | None, int]:
    """The images to choose from, and of how many batches they are one.

    Raises:
        ConfigError: with one sentence, if they are not here or cannot be read.
    """
    if kept["run"]:
        run = store.find(kept["run"])
        if run is None:
            raise ConfigError(f"There is no run {kept['run']} in {store.runs_dir()} any more.")
        changed = (run.path / runs.CONFIG).stat().st_mtime
        wanted = {*kept["picked"], *([] if kept["image"] is None else [kept["image"]])}
        return batch_of(str(run.path), changed, kept["epoch"], kept["batch"], tuple(sorted(wanted)))
    if kept["dataset"] == gallery.UPLOADED:
        return upload(), 1
    return load(kept["dataset"], kept["size"] if kept["dataset"] == "shapes" else None), 1


def picker_key(kept: dict[str, Any]) -> str:
    part = "one" if kept["part"] == "steps" else "many"
    return f"{PICKER}-{part}-{kept['generation']}-{kept['run'] or kept['dataset']}"


def take_picks(kept: dict[str, Any]) -> None:
    """What was clicked in the strip."""
    told = st.session_state.get(picker_key(kept))
    if told is None or not told["picked"]:
        return
    numbers = [int(number) for number in told["picked"]]
    if kept["part"] == "steps":
        kept["image"] = numbers[-1]
    else:
        kept["picked"] = numbers[:MOST_IMAGES]


def chosen_images(kept: dict[str, Any], found: gallery.Gallery) -> list[int]:
    """Numbers of the images to show: those clicked in the strip, else of the address, else the first few."""
    known = [number for number in kept["picked"] if found.places([number])]
    if not known:
        drawn = kept["show"] and not kept["run"]
        shown = found.draw(kept["show"], FIRST_IMAGES) if drawn else [int(number) for number in found.ids]
        known = shown[:FIRST_IMAGES]
    kept["picked"] = known
    if kept["image"] is None or not found.places([kept["image"]]):
        kept["image"] = known[0]
    return known


def strip(kept: dict[str, Any], found: gallery.Gallery, numbers: list[int]) -> None:
    """The images to choose from, in one row."""
    ids = [int(number) for number in found.ids]
    if kept["run"]:
        offered = ids  # in the order of the batch
    else:
        some = found.draw(kept["show"], gallery.NUM_SHOWN) if kept["show"] else ids[: gallery.NUM_SHOWN]
        offered = sorted({*some, *numbers, kept["image"]})
    one = kept["part"] == "steps"
    places = found.places(offered)
    sprite = gallery.strip(found, places)
    items = [{"number": number, "title": found.title(place)} for number, place in zip(offered, places, strict=True)]
    picker(
        {
            "sprite": sprite,
            "items": items,
            "picked": [kept["image"]] if one else numbers,
            "most": 1 if one else MOST_IMAGES,
            "revision": f"{kept['generation']}-{one}-{zlib.crc32(sprite.encode())}",
        },
        key=picker_key(kept),
    )


# --- the parts -----------------------------------------------------------------------------------------------------


def drawing(kept: dict[str, Any], found: gallery.Gallery) -> dict[str, Any]:
    return {"seed": kept["seed"], "epoch": kept["epoch"], "size": kept["size"] or found.side}


def original_sprite(kept: dict[str, Any], found: gallery.Gallery, places: list[int]) -> str:
    return originals(found, zlib.crc32(found.images[places].tobytes()), places, kept["size"] or found.side)


def pairs(kept: dict[str, Any], found: gallery.Gallery, numbers: list[int]) -> None:
    places = found.places(numbers)
    how = drawing(kept, found)
    drawn = gallery.draw_views(found, places, Augmentation(**kept["values"]), **how)
    sprite = original_sprite(kept, found, places)
    drawn |= {"originals": sprite, "revision": f"{drawn['revision']}-{zlib.crc32(sprite.encode())}"}
    view_grid("views", drawn, key="augmentation-views")
    st.caption(
        f"Views of {how['size']} x {how['size']} pixels, seed {kept['seed']}, epoch {kept['epoch'] + 1}. "
        "The frames in an original show what each view is cut from."
    )


def steps(kept: dict[str, Any], found: gallery.Gallery, numbers: list[int]) -> None:
    places = found.places([kept["image"]])
    drawn = gallery.draw_steps(found, places[0], Augmentation(**kept["values"]), **drawing(kept, found))
    sprite = original_sprite(kept, found, places)
    drawn |= {"original": sprite, "revision": f"{drawn['revision']}-{zlib.crc32(sprite.encode())}"}
    view_grid("steps", drawn, key="augmentation-steps")
    st.caption(
        "What the trainer does to this image, in its order; that of brightness, contrast, saturation and hue is drawn "
        "anew for each view. The last picture is the view; what was not drawn for it is faint."
    )


def shortcut_check(kept: dict[str, Any], found: gallery.Gallery, numbers: list[int]) -> None:
    shown = numbers[:MOST_CHECKED]
    rest = [int(number) for number in found.ids if int(number) not in shown]
    places = found.places([*shown, *rest][: shortcut.NUM_IMAGES])
    if len(places) < 2:
        st.info("A partner is looked for among other images: add at least one more.", icon=":material/info:")
        return
    drawn = shortcut.check(found, places, len(shown), Augmentation(**kept["values"]), **drawing(kept, found))
    before, after = drawn.pop("top1")
    chance, count = drawn.pop("chance"), drawn.pop("num_images")
    st.markdown(
        f"How often does the colour histogram of one crop alone pick the other crop of the same image out of {count}?"
    )
    with st.container(horizontal=True, gap="large", key="shortcut-numbers"):
        st.metric("Crops alone", store.percent(before, 0), width="content")
        st.metric("With colour jitter and grey", store.percent(after, 0), width="content")
        st.metric("Chance", store.percent(chance), width="content")
    st.markdown(
        "Where colours alone find the partner, a network can solve the task by them and need not learn what is in the "
        "picture; the closer to chance, the less of that shortcut is left (Chen et al. 2020, figure 6)."
    )
    view_grid("shortcut", drawn | {"arms": shortcut.ARMS}, key="augmentation-shortcut")
    st.caption(
        "Filled: view 1; dashed: view 2. Heights are square roots of the share of pixels in 16 steps of red, green and "
        "blue. In common: the share of pixels on which two histograms agree, from 0 to 1. Crops and mirroring are the same "
        "with and without colour operations; blur is left out."
    )


def encoder(kept: dict[str, Any], found: gallery.Gallery, numbers: list[int]) -> None:
    from dashboard import lab_encoder

    lab_encoder.section(kept, found, numbers)


DRAW = {"pairs": pairs, "steps": steps, "shortcut": shortcut_check, "encoder": encoder}


# --- the page ------------------------------------------------------------------------------------------------------


def train_with_these() -> None:
    """Carries the data set, the seed and every value into the form of a new pre-training."""
    kept = state()
    values: dict[str, Any] = {}
    recipe = (presets().get(kept["preset"]) or ("", {}, None, None))[3] or forms.default_recipe()
    if kept["run"] and (run := store.find(kept["run"])) is not None:
        _, recipe, values = forms.of_run(run)
        values |= {"name": f"{kept['origin']['title']} copy", "version": None}
    values |= {"image_size": kept["size"], "seed": kept["seed"]}
    values |= {f"augmentation.{name}": value for name, value in kept["values"].items()}
    if kept["dataset"] != gallery.UPLOADED:
        values["dataset"] = kept["dataset"]
    else:
        st.session_state["message"] = "Your images stay in this session: choose a data set or a folder to train on."
    forms.prefill("pretrain", values, recipe=recipe)
    st.switch_page(ui.PAGE_NEW)


STYLE = """
<style>
.stColumn:has(.st-key-augmentation-views-box) { position: sticky; top: 3.75rem; align-self: flex-start; z-index: 1; }
@media (max-width: 640px) {
  .st-key-augmentation-views-box [data-testid="stCaptionContainer"] { display: none; }
}
</style>
"""


def number(kept: dict[str, Any], name: str, label: str, low: int, high: int, about: str, shown_from: int = 0) -> None:
    """A whole number of the state, which is counted from 0 and shown counted from `shown_from`."""
    key = f"augmentation-{name}"
    kept[name] = min(max(kept[name] + shown_from, low), high) - shown_from
    if not low <= int(st.session_state.get(key, low)) <= high:
        forget(name)
    if key not in st.session_state:
        st.session_state[key] = kept[name] + shown_from
    value = st.number_input(label, low, high, step=1, key=key, width=120, help=about)
    kept[name] = int(value) - shown_from


def choices(kept: dict[str, Any]) -> None:
    """Images, settings to start from, size, and which random numbers."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="augmentation-head"):
        labels = {OF_RUN: f"{store.short_dataset(kept['dataset'])}, as the run has it"}
        if "augmentation-dataset" not in st.session_state:
            st.session_state["augmentation-dataset"] = OF_RUN if kept["run"] else kept["dataset"]
        st.selectbox(
            "Data set", datasets(kept), format_func=lambda name: labels.get(name) or store.short_dataset(name),
            key="augmentation-dataset", width=190, accept_new_options=True, on_change=use_dataset,
            help="A data set that is here already, the path of a folder, or images of your own.",
        )  # fmt: skip
        known = bases(kept)
        if "augmentation-preset" not in st.session_state:
            st.session_state["augmentation-preset"] = kept["preset"]
        st.selectbox("Start from", list(known), format_func=lambda name: known[name][0], key="augmentation-preset",
                     on_change=use_preset, width=250)  # fmt: skip
        size_key = f"augmentation-{kept['generation']}-size"
        if size_key not in st.session_state:
            st.session_state[size_key] = kept["size"] or OWN_SIZE
        sizes = sorted({OWN_SIZE, *SIZES, kept["size"] or OWN_SIZE})
        size = st.selectbox("View size", sizes, key=size_key, width=150,
                            format_func=lambda size: f"{size} pixels" if size else "The data set's",
                            help="Side of a view; a blur in pixels is weaker on larger views.")  # fmt: skip
        kept["size"] = size or None
        number(kept, "seed", "Seed", 0, MAX_SEED, "A training with this seed draws these very views.")
        number(kept, "epoch", "Epoch", 1, last_epoch(kept), "Each epoch draws other views of the same images.", 1)
        if kept["run"]:
            number(kept, "batch", "Batch", 1, kept.get("num_batches") or MAX_EPOCH,
                   "Of the epoch, as the training drew it; its first images stand in the strip.", 1)  # fmt: skip
        st.button("New draw", icon=":material/casino:", key="augmentation-draw", on_click=new_draw,
                  help="The next epoch: other random numbers for the same images and settings.")  # fmt: skip


def about_run(kept: dict[str, Any]) -> None:
    """Whether what is shown is what the run drew."""
    origin = kept["origin"]
    same = all(kept[name] == origin[name] for name in ("values", "size", "seed"))
    title = ui.plain(origin["title"])
    text = (
        f"As “{title}” drew them in epoch {kept['epoch'] + 1} of {origin['epochs']}: its images, seed and augmentation."
        if same
        else f"Images of “{title}”; the settings are not its own any more."
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="augmentation-run"):
        st.caption(text, width="content")
        st.page_link(ui.PAGE_RUN, label="To the run", icon=":material/arrow_back:", query_params={"id": kept["run"]})


def settings(kept: dict[str, Any]) -> None:
    """Every operation, and how far they are from what was started from."""
    controls(kept)
    base = bases(kept)[kept["preset"]][1]
    changed = [name for name, value in kept["values"].items() if value != base[name]]
    count = f"{len(changed)} value{'s' if len(changed) != 1 else ''} changed" if changed else "As in the preset"
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(count, width="content")
        if changed:
            st.button("Back to the preset", key="augmentation-reset", type="tertiary", on_click=use_preset)


def draw_part(kept: dict[str, Any], found: gallery.Gallery, numbers: list[int]) -> None:
    if wrong := problem(kept["values"]):
        st.error(ui.plain(wrong))
    else:
        DRAW[kept["part"]](kept, found, numbers)


@st.fragment
def explorer() -> None:
    kept = state()
    take_picks(kept)
    choices(kept)
    try:
        found, kept["num_batches"] = images_of(kept)
    except ConfigError as error:
        st.error(ui.plain(str(error)), icon=":material/error:")
        write_address(kept)
        return
    if found is None:
        st.info("Add images to see their views.", icon=":material/add_photo_alternate:")
        write_address(kept)
        return
    kept["batch"] = min(kept["batch"], kept["num_batches"] - 1)
    if kept["run"]:
        about_run(kept)
    freeze_torch()

    numbers = chosen_images(kept, found)
    if "augmentation-part" not in st.session_state:
        st.session_state["augmentation-part"] = kept["part"]
    st.segmented_control("What to look at", parts(), format_func=PARTS.__getitem__, key="augmentation-part",
                         required=True, label_visibility="collapsed", on_change=use_part)  # fmt: skip
    with st.container(key="augmentation-images", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            how = "the one to show" if kept["part"] == "steps" else "to add or remove one"
            st.caption(f"Images: click {how}", width="content")
            st.button("Next batch" if kept["run"] else "Show others", icon=":material/shuffle:", type="tertiary",
                      key="augmentation-others", on_click=other_images, args=(kept["num_batches"],))  # fmt: skip
        strip(kept, found, numbers)

    if kept["part"] == "encoder":  # wide, and slow to follow a slider
        with st.expander("Operations", icon=":material/tune:", key="augmentation-folded"):
            settings(kept)
        draw_part(kept, found, numbers)
    else:
        left, right = st.columns([0.66, 0.34], gap="large")
        with right, st.container(border=True, key="augmentation-controls"):
            settings(kept)
        with left, st.container(key="augmentation-views-box"):
            draw_part(kept, found, numbers)
    write_address(kept)


def use_part() -> None:
    state()["part"] = st.session_state["augmentation-part"]


def page() -> None:
    enter()
    right = ui.head("Augmentations", QUESTION)
    ui.show_message()
    if right.button("Train with these", type="primary", icon=":material/play_arrow:", key="train-with-these"):
        train_with_these()
    st.html(STYLE)
    explorer()


page()
