"""Augmentations: two random views of chosen images, drawn by the trainer's own code as the sliders move."""

from __future__ import annotations

import gc
import zlib
from typing import Any

import streamlit as st

from dashboard import forms, gallery, store, ui
from dashboard.components.view_grid import picker, view_grid
from simclr import config as cfg
from simclr.config import Augmentation, ConfigError

QUESTION = (
    "What do two views of one image still have in common? That is what the network learns to see; "
    "whatever the augmentation changes, it learns to ignore."
)
STATE = "augmentations"
PICKER = "augmentation-picker"
MOST_IMAGES = 16
FIRST_IMAGES = 6
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
    """What the page shows, kept under a key of its own; taken from the address at the first visit."""
    if STATE not in st.session_state:
        st.session_state[STATE] = from_address(st.query_params.to_dict())
    return st.session_state[STATE]


def from_address(query: dict[str, str]) -> dict[str, Any]:
    """The page's state that an address asks for; what it does not say, or says wrongly, is as at first."""
    known = presets()
    preset = query.get("preset") if query.get("preset") in known else next(iter(known))
    values = dict(known[preset][1])
    for name in NAMES:
        if name in query:
            typed = forms.typed(Augmentation.model_fields[name], query[name])
            trial = values | {name: typed}
            if typed is not None and not problem(trial):
                values = trial
    size = query.get("size", "")
    return {
        "preset": preset, "values": values, "dataset": query.get("dataset", "shapes"),
        "size": int(size) if size.isdecimal() and 8 <= int(size) <= 512 else known[preset][2],
        "draw": int(query["draw"]) if query.get("draw", "").isdecimal() and int(query["draw"]) < 10**6 else 1,
        "show": 0, "generation": 0,
        "picked": [int(word) for word in query.get("images", "").split(",") if word.isdecimal()][:MOST_IMAGES],
    }  # fmt: skip


def to_address(kept: dict[str, Any]) -> dict[str, str]:
    """Query parameters that bring the same view back."""
    base = presets()[kept["preset"]][1]
    query = {"dataset": kept["dataset"], "preset": kept["preset"], "draw": str(kept["draw"])}
    if kept["size"]:
        query["size"] = str(kept["size"])
    query["images"] = ",".join(map(str, kept["picked"]))
    return query | {name: cfg.option_text(value) for name, value in kept["values"].items() if value != base[name]}


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
    kept |= {"preset": name, "values": dict(presets()[name][1]), "size": presets()[name][2]}
    kept["generation"] += 1  # new widgets, which take the new values


def new_draw() -> None:
    state()["draw"] += 1


def other_images() -> None:
    kept = state()
    kept["show"] += 1
    kept["generation"] += 1
    kept["picked"] = []


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


# --- the page ------------------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=4, show_spinner="Reading images")
def load(dataset: str) -> gallery.Gallery:
    return gallery.load(dataset)


@st.cache_resource(show_spinner=False)
def freeze_torch() -> bool:
    """Takes torch's objects out of the garbage collector's sight, as app.py does with what it imports; once per process."""
    import torch

    torch.set_num_threads(1)  # views of few small images: more threads only get into each other's way
    gc.collect()
    gc.freeze()
    return True


def datasets(current: str) -> list[str]:
    """What can be shown without a download: shipped sets, those downloaded, folders that runs have used."""
    folders = [str(run.config.get("dataset")) for run in store.runs.list_runs(store.runs_dir())[:50]]
    used = [name for name in folders if name not in cfg.DATASETS and name.startswith(("/", "~"))]
    return list(dict.fromkeys([*gallery.present(), *used, current]))


def train_with_these(kept: dict[str, Any]) -> None:
    """Carries the data set and every value into the form of a new pre-training."""
    values: dict[str, Any] = {"dataset": kept["dataset"], "augmentation": dict(kept["values"])}
    if kept["size"]:
        values["image_size"] = kept["size"]
    recipe = presets()[kept["preset"]][3]
    forms.prefill("pretrain", values, recipe=recipe or forms.default_recipe())
    st.switch_page(ui.PAGE_NEW)


def chosen_images(kept: dict[str, Any], found: gallery.Gallery) -> list[int]:
    """Numbers of the images to show: those clicked in the strip, else of the address, else the first few."""
    told = st.session_state.get(f"{PICKER}-{kept['generation']}-{kept['dataset']}")
    if told is not None and told["picked"]:
        kept["picked"] = [int(number) for number in told["picked"]][:MOST_IMAGES]
    known = [number for number in kept["picked"] if found.places([number])]
    if not known:
        shown = found.draw(kept["show"], FIRST_IMAGES) if kept["show"] else [int(number) for number in found.ids]
        known = shown[:FIRST_IMAGES]
    kept["picked"] = known
    return known


def strip(kept: dict[str, Any], found: gallery.Gallery, numbers: list[int]) -> None:
    """The images to choose from, in one row."""
    first = [int(number) for number in found.ids[: gallery.NUM_SHOWN]]
    offered = sorted({*(found.draw(kept["show"], gallery.NUM_SHOWN) if kept["show"] else first), *numbers})
    places = found.places(offered)
    sprite = gallery.strip(found, places)
    items = [{"number": number, "title": found.title(place)} for number, place in zip(offered, places, strict=True)]
    picker(
        {
            "sprite": sprite,
            "items": items,
            "picked": numbers,
            "most": MOST_IMAGES,
            "revision": f"{kept['generation']}-{zlib.crc32(sprite.encode())}",
        },
        key=f"{PICKER}-{kept['generation']}-{kept['dataset']}",
    )


STYLE = """
<style>
.stColumn:has(.st-key-augmentation-views-box) { position: sticky; top: 3.75rem; align-self: flex-start; z-index: 1; }
@media (max-width: 640px) {
  .st-key-augmentation-views-box [data-testid="stCaptionContainer"] { display: none; }
}
</style>
"""


@st.fragment
def explorer() -> None:
    kept = state()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="augmentation-head"):
        options = datasets(kept["dataset"])
        if "augmentation-dataset" not in st.session_state:
            st.session_state["augmentation-dataset"] = kept["dataset"]
        dataset = st.selectbox(
            "Data set",
            options,
            format_func=store.short_dataset,
            key="augmentation-dataset",
            width=190,
            accept_new_options=True,
            help="A data set that is here already, or the path of a folder.",
        )
        known = presets()
        if "augmentation-preset" not in st.session_state:
            st.session_state["augmentation-preset"] = kept["preset"]
        st.selectbox("Start from", list(known), format_func=lambda name: known[name][0], key="augmentation-preset",
                     on_change=use_preset, width=300)  # fmt: skip
        size_key = f"augmentation-{kept['generation']}-size"
        if size_key not in st.session_state:
            st.session_state[size_key] = kept["size"] or OWN_SIZE
        sizes = sorted({OWN_SIZE, *SIZES, kept["size"] or OWN_SIZE})
        size = st.selectbox("View size", sizes, key=size_key, width=150,
                            format_func=lambda size: f"{size} pixels" if size else "The data set's",
                            help="Side of a view; a blur in pixels is weaker on larger views.")  # fmt: skip
        kept["size"] = size or None
        st.button("New draw", icon=":material/casino:", key="augmentation-draw", on_click=new_draw,
                  help="Other random numbers for the same images and settings.")  # fmt: skip
    if dataset != kept["dataset"]:
        kept |= {"dataset": dataset or "shapes", "picked": [], "show": 0}
    try:
        found = load(kept["dataset"])
    except ConfigError as error:
        st.error(ui.plain(str(error)), icon=":material/error:")
        return
    freeze_torch()

    numbers = chosen_images(kept, found)
    with st.container(key="augmentation-images", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption("Images: click to add or remove one", width="content")
            st.button("Show others", icon=":material/shuffle:", type="tertiary", key="augmentation-others",
                      on_click=other_images)  # fmt: skip
        strip(kept, found, numbers)

    left, right = st.columns([0.66, 0.34], gap="large")
    with right, st.container(border=True, key="augmentation-controls"):
        controls(kept)
        base = known[kept["preset"]][1]
        changed = [name for name, value in kept["values"].items() if value != base[name]]
        count = f"{len(changed)} value{'s' if len(changed) != 1 else ''} changed" if changed else "As in the preset"
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption(count, width="content")
            if changed:
                st.button("Back to the preset", key="augmentation-reset", type="tertiary", on_click=use_preset)
    with left, st.container(key="augmentation-views-box"):
        if wrong := problem(kept["values"]):
            st.error(ui.plain(wrong))
        else:
            augmentation = Augmentation(**kept["values"])
            side = kept["size"] or found.side
            drawn = gallery.draw_views(found, found.places(numbers), augmentation, draw=kept["draw"], size=side)
            view_grid(drawn, key="augmentation-views")
            st.caption(
                f"Views of {side} x {side} pixels, draw {kept['draw']}. "
                "The frames in an original show what each view is cut from."
            )
    address = to_address(kept)
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)


def page() -> None:
    right = ui.head("Augmentations", QUESTION)
    if right.button("Train with these", type="primary", icon=":material/play_arrow:", key="train-with-these"):
        train_with_these(state())
    st.html(STYLE)
    explorer()


page()
