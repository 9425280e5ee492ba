"""Augmentations: two random views of chosen images, drawn by the trainer's own code as the sliders move."""

from __future__ import annotations

import sys
import zlib
from typing import Any

import streamlit as st

from dashboard.augmentations import images, outline
from dashboard.augmentations import settings as choice
from dashboard.components import escape
from dashboard.components.view_grid import view_grid
from dashboard.shared import formats, forms, store, ui, url_state
from simclr import config as cfg
from simclr.analysis import color_shortcut
from simclr.config import Augmentation, ConfigError
from simclr.results import index
from simclr.views import pictures, sample_images
from simclr.views.policies.wording import POLICIES

QUESTION = (
    "What do two views of one image still have in common? That is what the network learns to see; "
    "whatever the augmentation changes, it learns to ignore."
)
MOST_CHECKED = 6  # images whose histograms are drawn
SIZES = (32, 64, 96, 128, 224)
OWN_SIZE = 0  # stands for "unset" among the sizes
JITTER_PARTS = ("brightness", "contrast", "saturation", "hue")
# Of a wide allowed range, the part that is worth a slider.
SLIDER_RANGES = {"crop_ratio": (0.25, 4.0), "blur_sigma": (0.1, 5.0), "blur_kernel_size": (1, 31)}
SHORT_LABELS = {
    "crop_scale": "Area of the crop",
    "crop_ratio": "Width / height",
    "blur_sigma": "Strength, sigma (pixels)",
    "blur_kernel_size": "Window (pixels)",
    "randaugment_ops": "Operations for each view",
    "randaugment_magnitude": "Strength of each",
}


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
    key = choice.widget(name)
    if name.endswith("_max"):
        return  # drawn with its smallest
    if name.endswith("_min"):
        stem, other = name[:-4], f"{name[:-4]}_max"
        low, high = slider_range(stem, info, values[name], values[other])
        chosen = st.slider(
            SHORT_LABELS.get(stem, stem),
            float(low),
            float(high),
            step=0.01,
            help=f"{info.description} {Augmentation.model_fields[other].description}",
            **url_state.start(key, (float(values[name]), float(values[other]))),
        )
        # a slider rounds: what was not moved keeps its exact value
        for part, value in zip((name, other), chosen, strict=True):
            if abs(value - values[part]) > 0.006:
                values[part] = round(value, 4)
        return
    label = SHORT_LABELS.get(name) or ("Share of views" if name.endswith("_probability") else name.capitalize())
    low, high = slider_range(name, info, values[name])
    if cfg.field_type(info) is int:
        whole = url_state.start(key, int(values[name]))
        step = 2 if name == "blur_kernel_size" else 1
        values[name] = st.slider(label, int(low), int(high), step=step, help=info.description, **whole)
        return
    own = url_state.start(key, float(values[name]))
    value = st.slider(label, float(low), float(high), step=0.01, help=info.description, **own)
    if abs(value - values[name]) > 0.006:
        values[name] = round(value, 4)


def controls(kept: dict[str, Any]) -> None:
    values = kept["values"]
    for operation, title in choice.OPERATIONS.items():
        names = [name for name in choice.NAMES if operation_of(name) == operation]
        probability = f"{operation}_probability"
        switch = url_state.start(choice.widget(operation), values[probability] > 0)
        on = st.toggle(f"**{title}**", help=Augmentation.model_fields[probability].description, **switch)
        before = kept.setdefault("before", {})
        if on and values[probability] == 0:
            values[probability] = before.get(operation) or (0.5 if operation in ("flip", "blur") else 1.0)
            # its slider is not there yet, or still says 0
            choice.forget(probability)
        elif not on and values[probability] > 0:
            before[operation] = values[probability]
            values[probability] = 0.0
        if on:
            ordered = [probability, *(name for name in names if name != probability)]
            with st.container(key=f"operation-{operation}", gap="small"):
                for name in ordered:
                    slide(kept, name)
        if operation == "flip":  # after which a policy is applied
            policy(kept)


def policy(kept: dict[str, Any]) -> None:
    """Which policy, if any, and the numbers of one that has some."""
    values, info = kept["values"], Augmentation.model_fields["policy"]
    on = st.toggle(
        "**Policy**", help=info.description, **url_state.start(choice.widget("policy-on"), values["policy"] is not None)
    )
    if not on:
        if values["policy"] is not None:
            kept.setdefault("before", {})["policy"] = values["policy"]
        values["policy"] = None
        return
    if values["policy"] is None:
        values["policy"] = kept.get("before", {}).get("policy") or cfg.choices(info)[0]
        choice.forget("policy")
    with st.container(key="operation-policy", gap="small"):
        values["policy"] = st.selectbox(
            "Which",
            cfg.choices(info),
            format_func=POLICIES.__getitem__,
            label_visibility="collapsed",
            **url_state.start(choice.widget("policy"), values["policy"]),
        )
        if values["policy"] == "randaugment":
            slide(kept, "randaugment_ops")
            slide(kept, "randaugment_magnitude")


# --- the parts -----------------------------------------------------------------------------------------------------


def drawing(kept: dict[str, Any]) -> dict[str, Any]:
    return {"seed": kept["seed"], "epoch": kept["epoch"], "size": kept["size"] or kept["own_size"]}


def original_sprite(kept: dict[str, Any], found: sample_images.SampleImages, places: list[int]) -> str:
    return images.originals(found, images.revision(found, places), places, kept["size"] or kept["own_size"])


def pairs(kept: dict[str, Any], found: sample_images.SampleImages, numbers: list[int]) -> None:
    places = found.places(numbers)
    how = drawing(kept)
    drawn = pictures.draw_views(found, places, Augmentation(**kept["values"]), **how)
    sprite = original_sprite(kept, found, places)
    drawn |= {"originals": sprite, "revision": f"{drawn['revision']}-{zlib.crc32(sprite.encode())}"}
    view_grid("views", drawn, key="augmentation-views")
    st.caption(
        f"Views of {how['size']} x {how['size']} pixels, seed {kept['seed']}, epoch {kept['epoch'] + 1}. "
        "The frames in an original show what each view is cut from."
    )


def steps(kept: dict[str, Any], found: sample_images.SampleImages, numbers: list[int]) -> None:
    places = found.places([kept["image"]])
    drawn = pictures.draw_steps(found, places[0], Augmentation(**kept["values"]), **drawing(kept))
    sprite = original_sprite(kept, found, places)
    drawn |= {"original": sprite, "revision": f"{drawn['revision']}-{zlib.crc32(sprite.encode())}"}
    view_grid("steps", drawn, key="augmentation-steps")
    st.caption(
        "What the trainer does to this image, in its order; that of brightness, contrast, saturation and hue is drawn "
        "anew for each view. The last picture is the view; what was not drawn for it is faint."
    )


def shortcut_check(kept: dict[str, Any], found: sample_images.SampleImages, numbers: list[int]) -> None:
    shown = numbers[:MOST_CHECKED]
    rest = [int(number) for number in found.ids if int(number) not in shown]
    places = found.places([*shown, *rest][: color_shortcut.NUM_IMAGES])
    if len(places) < 2:
        st.info("A partner is looked for among other images: add at least one more.", icon=":material/info:")
        return
    drawn = color_shortcut.check(found, places, len(shown), Augmentation(**kept["values"]), **drawing(kept))
    before, after = drawn.pop("top1")
    chance, count = drawn.pop("chance"), drawn.pop("num_images")
    has_policy = kept["values"]["policy"] is not None
    arms = (color_shortcut.ARMS[0], "With jitter, grey and policy") if has_policy else color_shortcut.ARMS
    st.markdown(
        f"How often does the colour histogram of one crop alone pick the other crop of the same image out of {count}?"
    )
    with st.container(horizontal=True, gap="large", key="shortcut-numbers"):
        st.metric(arms[0], formats.percent(before, 0), width="content")
        st.metric(arms[1], formats.percent(after, 0), width="content")
        st.metric("Chance", formats.percent(chance), width="content")
    st.markdown(
        "Where colours alone find the partner, a network can solve the task by them and need not learn what is in the "
        "picture; the closer to chance, the less of that shortcut is left (Chen et al. 2020, figure 6)."
    )
    view_grid("shortcut", drawn | {"arms": arms}, key="augmentation-shortcut")
    st.caption(
        "Filled: view 1; dashed: view 2. Heights are square roots of the share of pixels in 16 steps of red, green and "
        "blue. In common: the share of pixels on which two histograms agree, from 0 to 1. Crops and mirroring are the "
        "same with and without colour operations; blur is left out."
    )


def encoder(kept: dict[str, Any], found: sample_images.SampleImages, numbers: list[int]) -> None:
    from dashboard.augmentations import encoder

    encoder.section(kept, found, numbers)


def mixed(kept: dict[str, Any], found: sample_images.SampleImages, numbers: list[int]) -> None:
    from dashboard.augmentations import mixed

    mixed.section(kept, found, numbers)


DRAW = {"pairs": pairs, "steps": steps, "shortcut": shortcut_check, "mixed": mixed, "encoder": encoder}


# --- the page ------------------------------------------------------------------------------------------------------


def train_with_these() -> None:
    """Carries the data set, the seed and every value into the form of a new pre-training."""
    kept = choice.state()
    values: dict[str, Any] = {}
    recipe = (choice.presets().get(kept["preset"]) or ("", {}, None, None))[3] or forms.default_recipe()
    if kept["run"] and (run := store.find(kept["run"])) is not None:
        _, recipe, values = forms.of_run(run)
        values |= {"name": f"{kept['origin']['title']} copy", "version": None}
    values |= {"image_size": kept["size"], "seed": kept["seed"]}
    values |= {f"augmentation.{name}": value for name, value in kept["values"].items()}
    is_own = kept["dataset"] == sample_images.UPLOADED
    if not is_own:
        values["dataset"] = kept["dataset"]
    forms.prefill("pretrain", values, recipe=recipe)
    if is_own:
        forms.ask_for_images()
    url_state.go("new-run")


STYLE = """
<style>
.stColumn:has([class*="st-key-augmentation-box-"]) {
  position: sticky; top: 3.75rem; align-self: flex-start; z-index: 1;
}
@media (max-width: 640px) {
  .st-key-augmentation-box-pairs [data-testid="stCaptionContainer"] { display: none; }
  .stColumn:has(.st-key-augmentation-box-steps, .st-key-augmentation-box-shortcut, .st-key-augmentation-box-mixed) {
    position: static;
  }
}
</style>
"""


def number(kept: dict[str, Any], name: str, label: str, low: int, high: int, about: str, shown_from: int = 0) -> None:
    """A whole number of the state, which is counted from 0 and shown counted from `shown_from`."""
    key = choice.widget(name)
    kept[name] = min(max(kept[name] + shown_from, low), high) - shown_from
    if not low <= int(url_state.value_of(key, low)) <= high:
        choice.forget(name)
    own = url_state.start(key, kept[name] + shown_from)
    value = st.number_input(label, low, high, step=1, width=120, help=about, **own)
    kept[name] = int(value) - shown_from


def choices(kept: dict[str, Any]) -> None:
    """Images, settings to start from, size, and which random numbers."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="augmentation-head"):
        labels = {choice.OF_RUN: f"{index.short_dataset(kept['dataset'])} of the run"}
        st.selectbox(
            "Data set",
            images.datasets(kept),
            width=160,
            accept_new_options=True,
            format_func=lambda name: labels.get(name) or index.short_dataset(name),
            on_change=choice.use_dataset,
            help="A data set that is here already, the path of a folder, or images of your own.",
            **url_state.start(choice.widget("dataset"), choice.OF_RUN if kept["run"] else kept["dataset"]),
        )
        sizes = sorted({OWN_SIZE, *SIZES, kept["size"] or OWN_SIZE})
        size = st.selectbox(
            "View size",
            sizes,
            width=150,
            format_func=lambda size: f"{size} pixels" if size else "The data set's",
            help="Side of a view; a blur in pixels is weaker on larger views.",
            **url_state.start(choice.widget("size"), kept["size"] or OWN_SIZE),
        )
        kept["size"] = size or None
        known = choice.bases(kept["origin"])
        st.selectbox(
            "Start from",
            list(known),
            format_func=lambda name: known[name][0],
            on_change=choice.use_preset,
            width=210,
            **url_state.start(choice.widget("preset"), kept["preset"]),
        )
        number(kept, "seed", "Seed", 0, choice.MAX_SEED, "A training with this seed draws these very views.")
        number(kept, "epoch", "Epoch", 1, choice.last_epoch(kept), "Each epoch draws other views.", 1)
        if kept["run"]:
            number(
                kept,
                "batch",
                "Batch",
                1,
                kept.get("num_batches") or choice.MAX_EPOCH,
                "Of the epoch, as the training drew it; its first images stand in the strip.",
                1,
            )
        st.button(
            "New draw",
            icon=":material/casino:",
            key="augmentation-draw",
            on_click=choice.new_draw,
            help="The next epoch: other random numbers for the same images and settings.",
        )


def about_run(kept: dict[str, Any]) -> None:
    """Whether what is shown is what the run drew."""
    origin = kept["origin"]
    same = all(kept[name] == origin[name] for name in ("values", "size", "seed"))
    title = escape.markdown(origin["title"])
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
    base = choice.bases(kept["origin"])[kept["preset"]][1]
    changed = [name for name, value in kept["values"].items() if value != base[name]]
    count = f"{len(changed)} value{'s' if len(changed) != 1 else ''} changed" if changed else "As in the preset"
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(count, width="content")
        if changed:
            st.button("Back to the preset", key="augmentation-reset", type="tertiary", on_click=choice.use_preset)


def draw_part(kept: dict[str, Any], found: sample_images.SampleImages, numbers: list[int]) -> None:
    if wrong := choice.problem(kept["values"]):
        st.error(escape.markdown(wrong))
    else:
        DRAW[kept["part"]](kept, found, numbers)


@st.fragment
def explorer() -> None:
    kept = choice.state()
    images.take_picks(kept)
    choices(kept)
    waiting = st.empty()
    if "torch" not in sys.modules:  # the first page after a start of the server waits for it
        with waiting.container():
            outline.draw("The images, and what the trainer does to them, come in a moment: its libraries are loaded.")
        images.freeze_torch()
    try:
        found = images.images_of(kept)
    except ConfigError as error:
        waiting.empty()
        st.error(escape.markdown(str(error)), icon=":material/error:")
        choice.write_address(kept)
        return
    if found is None:
        waiting.empty()
        st.info("Add images to see their views.", icon=":material/add_photo_alternate:")
        choice.write_address(kept)
        return
    kept["batch"] = min(kept["batch"], kept["num_batches"] - 1)
    above = st.container(key="augmentation-about")
    images.freeze_torch()
    waiting.empty()

    numbers = images.chosen_images(kept, found)
    st.segmented_control(
        "What to look at",
        list(choice.PARTS),
        format_func=choice.PARTS.__getitem__,
        required=True,
        label_visibility="collapsed",
        on_change=choice.use_part,
        **url_state.start(choice.widget("part"), kept["part"]),
    )
    with st.container(key="augmentation-images", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            how = "the one to show" if kept["part"] == "steps" else "to add or remove one"
            st.caption(f"Images: click {how}", width="content")
            st.button(
                "Next batch" if kept["run"] else "Show others",
                icon=":material/shuffle:",
                type="tertiary",
                key="augmentation-others",
                on_click=choice.other_images,
                args=(kept["num_batches"],),
            )
        images.strip(kept, found, numbers)

    if kept["part"] == "encoder":  # wide, and slow to follow a slider
        with st.expander("Operations", icon=":material/tune:", key="augmentation-folded"):
            settings(kept)
        draw_part(kept, found, numbers)
    else:
        left, right = st.columns([0.66, 0.34], gap="large")
        with right, st.container(border=True, key="augmentation-controls"):
            settings(kept)
        with left, st.container(key=f"augmentation-box-{kept['part']}"):
            draw_part(kept, found, numbers)
    if kept["run"]:
        with above:  # known only when the sliders were read
            about_run(kept)
    choice.write_address(kept)


def page() -> None:
    choice.enter()
    right = ui.head("Augmentations", QUESTION)
    ui.show_message()
    if right.button("Train with these", type="primary", icon=":material/play_arrow:", key="train-with-these"):
        train_with_these()
    st.html(STYLE)
    explorer()


page()
