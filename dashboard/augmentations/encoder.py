"""What a chosen encoder makes of the views on the Augmentations page: pairs, a batch, invariance and factors.

Views of few images are encoded here, on the CPU, as soon as they are shown; what takes longer is a job.
Torch is imported inside the functions.
"""

from __future__ import annotations

import html
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import escape
from dashboard.components.live_chart import live_chart
from dashboard.components.similarity_matrix import HIGHEST, LOWEST, chosen_temperature, similarity_matrix
from dashboard.shared import charts, run_labels, sample_images, store, ui
from dashboard.shared.jobs import offer, progress
from simclr import config as cfg
from simclr import runs
from simclr.analysis import encoders, factors, invariance, similarity, stored
from simclr.config import Augmentation, ConfigError
from simclr.data import shapes
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef, Representation
from simclr.models.weights import Weights

STATE = "encoder-lab"
NAMES = ("encoder", "weights", "layer", "compared_layer", "show", "batch_of", "temperature", "against", "scale")
SHOWS = {
    "pairs": "Pairs and others", "batch": "Batch and temperature", "invariance": "Invariance", "factors": "Factors",
}  # fmt: skip
CHOSEN = "chosen"
BATCHES = (CHOSEN, "8", "16", "32", "64")
NUM_OTHERS = 32  # random other images beside the chosen pairs
MOST_PAIRS = 64  # in the matrix
MOST_ENCODERS = 5
AT_ONCE_SECONDS = 4.0  # what takes longer to encode waits for a click
TILE, SPRITE_COLUMNS = 48, 16
UNTRAINED_LABEL = "Before training"
SCALES = {"relative": "Beside other images", "plain": "Plain cosine"}
CURVES = ("crop", "brightness", "contrast", "saturation", "hue", "blur")
SWITCHES = ("flip", "grayscale")
TITLES = {
    "crop": ("Crop", "area cut away", True), "brightness": ("Brightness", "factor 1 ± this", False),
    "contrast": ("Contrast", "factor 1 ± this", False), "saturation": ("Saturation", "factor 1 ± this", False),
    "hue": ("Hue", "turn of the colour circle, ±", False), "blur": ("Blur", "sigma, share of the side", True),
    "flip": ("Mirror", "", False), "grayscale": ("Grey", "", False),
}  # fmt: skip
FACTOR_TITLES = {
    "shape": "Shape", "hue": "Hue", "background": "Background hue", "size": "Size", "position_x": "Position, x",
    "position_y": "Position, y", "rotation": "Rotation",
}  # fmt: skip
NOTES = {
    "pairs": "Cosine similarity of the two views of each image beside that of its first view and views of others. "
    "Pre-training pulls pairs together in z (Chen et al. 2020); h is what is kept. The grey bars reach from the 5th to "
    "the 95th percentile of the others.",
    "batch": "Every view against every other, the two views of an image side by side. Move the temperature: the loss "
    "and the weights of the negatives follow in the browser, on the same embeddings. A low one leaves few negatives "
    "that count, the most similar (Wang and Liu 2021). Different images that are most alike are likely false "
    "negatives: the loss pushes apart what shows the same thing (Chuang et al. 2020). ln(2N − 1) is the loss where all "
    "similarities are equal.",
    "invariance": "Mean cosine similarity of an image and its changed self, for one operation at a time. A flat, high "
    "curve is an operation that the network has learned to ignore. Beside other images: 1 is unchanged, 0 like two "
    "different images. An untrained network puts all images close together, so plain cosines alone would make "
    "it look invariant. Ericsson et al. 2021 (arXiv 2111.11398) measure invariances in this way.",
    "factors": "How well a linear map reads each factor of the generated shapes from the features: accuracy for the "
    "shape, R² of ridge regression for the others, on images that it was not fitted to. Hue is a point on the colour "
    "circle; rotation leaves out circle and ring. What the augmentation changes, the encoder forgets, z more "
    "than h (Chen et al. 2020, section 4.2; Xiao et al. 2021, arXiv 2008.05659).",
}


# --- the address ----------------------------------------------------------------------------------------------------


def _state() -> dict[str, str]:
    """What this part shows, as words; taken from the address at the first visit."""
    if STATE not in st.session_state:
        query = st.query_params.to_dict()
        st.session_state[STATE] = {name: str(query[name]) for name in NAMES if name in query}
    return st.session_state[STATE]


def address() -> dict[str, str]:
    """Query parameters that bring this part back as it is."""
    return {name: value for name, value in _state().items() if value}


def _put(**values: str) -> None:
    """Remembers values, and writes them into the address."""
    _state().update(values)
    for name, value in values.items():
        if st.query_params.get(name, "") == value:
            continue
        if value:
            st.query_params[name] = value
        else:
            st.query_params.pop(name, None)


def _start(name: str, options: Sequence[str], default: str) -> str:
    """The key of a widget, which starts with what was remembered where that is still one of the options."""
    key = f"lab-{name}"
    if st.session_state.get(key) not in options:
        asked = _state().get(name, "")
        st.session_state[key] = asked if asked in options else default
    return key


# --- encoders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """An encoder as the page calls it."""

    model: EncoderRef
    title: str
    color: str


def _title(item: store.Summary, weights: str) -> str:
    name = run_labels.label(item)
    if weights == references.UNTRAINED:
        return f"{name}, before training"
    return name + (f", {run_labels.checkpoint_label(weights).lower()}" if weights else "")


def _model(run: runs.Run, weights: str) -> EncoderRef:
    return (
        EncoderRef(run, "untrained") if weights == references.UNTRAINED else EncoderRef(run, checkpoint=weights or None)
    )


def _weights_label(weights: str) -> str:
    return UNTRAINED_LABEL if weights == references.UNTRAINED else run_labels.checkpoint_label(weights)


def _same_data(item: store.Summary, dataset: str) -> bool:
    return item.dataset == store.short_dataset(dataset)


def _choose(items: dict[str, store.Summary], dataset: str, show: str) -> tuple[Choice, Representation] | None:
    """The widgets of the encoder: run, weights, layer."""
    first = next((item for item in items.values() if _same_data(item, dataset)), next(iter(items.values())))
    asked = _state().get("encoder", "")
    if asked and asked not in items and "lab-encoder" not in st.session_state:
        st.warning("The run in the address is not there, or has no weights yet; another is shown.")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="lab-choice"):
        run_id = st.selectbox(
            "Encoder", list(items), format_func=lambda name: run_labels.label(items[name]),
            key=_start("encoder", list(items), first.id), width=330,
            help="Runs with weights: pre-trainings, fine-tunings and trainings from scratch.",
        )  # fmt: skip
        run = store.find(run_id)
        if run is None:
            st.error("This run is not there any more.", icon=":material/error:")
            return None
        options = ["", *references.checkpoints_of(run), references.UNTRAINED]
        weights = st.selectbox(
            "Weights", options, format_func=_weights_label, key=_start("weights", options, ""), width=190,
            help="Of which moment of the training.",
        ) or ""  # fmt: skip
        model = _model(run, weights)
        layers = list(references.layers_of(model))
        # The loss compares z; other encoders can only be compared in h.
        name, first_layer = ("layer", "z") if show in ("pairs", "batch") else ("compared_layer", "h")
        layer: Representation = "h"
        if len(layers) > 1:
            layer = st.segmented_control(
                "Layer", layers, required=True, key=_start(name, layers, first_layer),
                format_func=lambda layer: {"h": "Features h", "z": "Projections z"}[layer],
                help="The loss compares projections z; the features h are kept after training.",
            ) or "h"  # fmt: skip
            _put(**{name: layer})
    _put(encoder=run_id, weights=weights)
    return Choice(model, _title(items[run_id], weights), store.colors(items)[run_id]), layer


def _encoder(model: EncoderRef) -> tuple[str, encoders.FrozenEncoder]:
    """The encoder, and a key that changes with its weights; raises ConfigError where there are none."""
    with references.open_weights(model) as weights:
        key = repr(sorted(encoders.model_values(model, weights).items()))
        return key, _loaded(key, model, weights)


@st.cache_resource(max_entries=3, show_spinner="Loading the network")
def _loaded(key: str, _model: EncoderRef, _weights: Weights | None) -> encoders.FrozenEncoder:
    return encoders.load_encoder(_model, _weights)


@st.cache_data(max_entries=64, show_spinner=False)
def _seconds_per_image(key: str, side: int, _encoder: encoders.FrozenEncoder) -> float:
    """Of encoding; measured on a few grey images, after one that warms up."""
    import torch

    few = torch.full((4, 3, side, side), 0.5)
    _encoder(few[:1])
    start = time.perf_counter()
    _encoder(few)
    return (time.perf_counter() - start) / len(few)


# --- views of a batch -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Views of N images: rows of each layer (2N, D), pairs adjacent and of length 1, and a picture of them all."""

    rows: dict[Representation, NDArray[np.float64]]
    sprite: str
    titles: list[str]
    names: list[str]
    key: str


def _others(found: sample_images.Gallery, numbers: Sequence[int], count: int, seed: int) -> list[int]:
    """Numbers of images drawn at random, none of those given."""
    rest = [int(number) for number in found.ids if int(number) not in set(numbers)]
    order = np.random.default_rng([seed, len(rest)]).permutation(len(rest))[:count]
    return [rest[place] for place in order]


def _batch(choice: Choice, kept: dict[str, Any], found: sample_images.Gallery, numbers: Sequence[int]) -> Batch | None:
    """The views of these images, encoded; None where that takes long and was not asked for yet.

    Raises:
        ConfigError: if the options, the weights or the images do not go together.
    """
    augmentation = cfg.build(cfg.PretrainConfig, {"augmentation": kept["values"]}).augmentation
    places = found.places(list(numbers))
    side = kept["size"] or found.side
    model_key, encoder = _encoder(choice.model)
    draw = (kept["seed"], kept["epoch"], side)
    images = found.images[places]
    key = f"{model_key}|{augmentation!r}|{draw}|{stored.images_key(images)}|{found.ids[places].tolist()}"
    seconds = 2 * len(places) * _seconds_per_image(model_key, encoder.size or side, encoder)
    asked = st.session_state.setdefault("lab-asked", set())
    if seconds > AT_ONCE_SECONDS and key not in asked:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"Encoding these {2 * len(places)} views takes about {store.duration(seconds)} here.")
            if not st.button("Compute", key="lab-encode", type="primary", icon=":material/play_arrow:"):
                return None
        asked.add(key)
    rows, sprite = _encoded(key, encoder, images, found.ids[places], augmentation, draw)
    titles, names = [found.title(place) for place in places], [found.names[place] for place in places]
    return Batch(rows, sprite, titles, names, key)


@st.cache_data(max_entries=16, show_spinner="Encoding the views")
def _encoded(
    key: str, _encoder: encoders.FrozenEncoder, _images: NDArray[np.uint8], _ids: NDArray[np.int64],
    _augmentation: Augmentation, _draw: tuple[int, int, int],
) -> tuple[dict[Representation, NDArray[np.float64]], str]:  # fmt: skip
    import torch

    from simclr.views import augment, resampling

    seed, epoch, side = _draw
    with torch.inference_mode():
        images, ids = torch.from_numpy(_images), torch.from_numpy(_ids)
        views = augment.two_views(images, ids, _augmentation, seed=seed, epoch=epoch, size=side)
        together = torch.stack(views, dim=1).flatten(0, 1)  # (2N, 3, side, side), pairs adjacent
        rows = {layer: similarity.interleave(values[::2], values[1::2]) for layer, values in _encoder(together).items()}
        tiles = resampling.resize(together, TILE) if side > TILE else together
        empty = tiles.new_zeros(-len(tiles) % SPRITE_COLUMNS, *tiles.shape[1:])
        sheet = sample_images.sheet(torch.cat([tiles, empty]).unflatten(0, (-1, SPRITE_COLUMNS)))
    return rows, sample_images.png(sheet)


def _layer_of(batch: Batch, layer: Representation) -> NDArray[np.float64]:
    """Rows of a layer; a weights file without a projector has h alone."""
    if layer not in batch.rows:
        st.caption("These weights hold no projector, so that h is shown.")
        return batch.rows["h"]
    return batch.rows[layer]


def _two_digits(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}"  # no minus before zero


def _pairs(
    choice: Choice, layer: Representation, kept: dict[str, Any], found: sample_images.Gallery, numbers: Sequence[int]
) -> None:
    others = _others(found, numbers, NUM_OTHERS, kept["epoch"])
    if len(numbers) + len(others) < 2:
        st.info("One image has no others to be compared with; choose a data set of two or more.")
        return
    batch = _batch(choice, kept, found, [*numbers, *others])
    if batch is None:
        return
    shown = len(batch.titles) - len(others)
    measured = similarity.pair_numbers(similarity.similarity_matrix(_layer_of(batch, layer)))
    pairs, against = measured.pairs[:shown], measured.others[:shown]
    with st.container(horizontal=True, gap="medium", key="lab-pair-numbers"):
        st.metric("The two views of an image", _two_digits(pairs.mean()), width="content",
                  help="Mean cosine similarity of the chosen pairs.")  # fmt: skip
        st.metric("Different images", _two_digits(against.mean()), width="content",
                  help=f"Mean cosine similarity to the views of {len(batch.titles) - 1} others.")  # fmt: skip
        st.metric(
            "Partner is the most similar", store.percent(measured.top1, 0), width="content",
            help=f"Of all {2 * len(batch.titles)} views here, chosen and others; chance is "
            f"{100 / (2 * len(batch.titles) - 1):.1f} %.",
        )  # fmt: skip
    live_chart(pairs_figure(batch.titles[:shown], pairs, against, choice.color, layer), "lab-pairs", height=340)


def pairs_figure(
    titles: Sequence[str], pairs: NDArray[Any], others: NDArray[Any], color: str, layer: str
) -> dict[str, Any]:
    """Pairs as points, other images as the range from their 5th to their 95th percentile."""
    low, middle, high = np.percentile(others, [5, 50, 95], axis=1)
    places = list(range(len(titles)))
    layout = charts.layout("", f"Cosine similarity of {layer}")
    layout["xaxis"] = {
        "tickvals": places,
        "ticktext": list(titles),
        "tickangle": -35,
        "range": [-0.6, len(titles) - 0.4],
    }
    layout["margin"]["b"] = 80
    rounded = [[round(float(value), 4) for value in values] for values in (pairs, middle, high - middle, middle - low)]
    return {
        "data": [
            {"type": "scatter", "mode": "markers", "x": places, "y": rounded[1], "name": "Views of other images",
             "marker": {"color": "#8a94a6", "size": 12, "symbol": "line-ew-open", "line": {"width": 2}},
             "error_y": {"type": "data", "symmetric": False, "array": rounded[2], "arrayminus": rounded[3],
                         "color": "#8a94a6", "thickness": 5, "width": 0},
             "hovertemplate": "median %{y:.2f}<extra>%{fullData.name}</extra>"},
            {"type": "scatter", "mode": "markers", "x": places, "y": rounded[0], "name": "Its other view",
             "marker": {"color": color, "size": 10}, "hovertemplate": "%{y:.2f}<extra>%{fullData.name}</extra>"},
        ],
        "layout": layout,
    }  # fmt: skip


def _matrix(
    choice: Choice, layer: Representation, kept: dict[str, Any], found: sample_images.Gallery, numbers: Sequence[int]
) -> None:
    size = st.segmented_control(
        "Images in the batch", BATCHES, required=True, key=_start("batch_of", BATCHES, "16"),
        format_func=lambda size: "The chosen" if size == CHOSEN else size,
        help="The chosen images, or so many drawn from the data set; another draw of the views draws others.",
    ) or "16"  # fmt: skip
    _put(batch_of=size)
    wanted = list(numbers) if size == CHOSEN else _others(found, [], int(size), kept["epoch"])
    if len(wanted) < 2:
        st.info("One image has no negatives; choose two or more, or a drawn batch.")
        return
    batch = _batch(choice, kept, found, wanted[:MOST_PAIRS])
    if batch is None:
        return
    similarities = similarity.similarity_matrix(_layer_of(batch, layer))
    key = "lab-matrix"
    temperature = chosen_temperature(key) or _temperature(choice.model)
    bright = similarity.likely_false_negatives(similarities, batch.names)
    words = {True: "same class: a false negative", False: "other class: a hard negative", None: "class unknown"}
    marks = [
        {"row": item.row, "column": item.column, "similarity": item.similarity,
         "words": f"{batch.titles[item.row // 2]} · {batch.titles[item.column // 2]}, {words[item.same_class]}"}
        for item in bright
    ]  # fmt: skip
    similarity_matrix(
        similarities, titles=batch.titles, sprite=batch.sprite, columns=SPRITE_COLUMNS, marks=marks,
        temperature=temperature, revision=f"{zlib.crc32(f'{batch.key}|{layer}'.encode())}", key=key,
    )  # fmt: skip
    _put(temperature=f"{temperature:g}")
    if layer == "h" and len(references.layers_of(choice.model)) > 1:
        st.caption("Training compares projections z, not h: this is what the loss would be on the features.")


def _temperature(model: EncoderRef) -> float:
    """Of the address, else of the run's training."""
    for value in (_state().get("temperature"), model.run.config.get("temperature")):
        try:
            found = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if LOWEST <= found <= HIGHEST:
            return found
    return 0.5


# --- what an encoder ignores, and what it has forgotten -------------------------------------------------------------


def _references(items: dict[str, store.Summary], choice: Choice) -> dict[str, Choice]:
    """What can be compared: the chosen weights, the network before training, other moments of it, all other runs."""
    found = {"": choice}
    run = choice.model.run
    if choice.model.what != "untrained":
        found[references.UNTRAINED] = Choice(EncoderRef(run, "untrained"), "Before training", "")
    own = items[run.id]
    for weights in ["", *references.checkpoints_of(run)] if choice.model.what == "weights" else []:
        if weights != (choice.model.checkpoint or ""):
            found[f"{run.id}@{weights}"] = Choice(_model(run, weights), _title(own, weights), "")
    for item in items.values():
        other = store.find(item.id)
        if other is not None and (item.id != run.id or choice.model.what == "untrained"):
            found[item.id] = Choice(_model(other, ""), _title(item, ""), "")
    return found


def _compared(items: dict[str, store.Summary], choice: Choice) -> list[Choice]:
    """The chosen encoder and those to set beside it, each with a colour of its own."""
    options = _references(items, choice)
    partner = next(
        (
            item.id
            for item in items.values()
            if item.kind == "scratch" and item.id in options and store.belongs_to(item, items[choice.model.run.id])
        ),
        None,
    )
    others = [name for name in options if name]
    default = [name for name in (references.UNTRAINED, partner) if name in options]
    key = "lab-against"
    if key not in st.session_state or any(name not in others for name in st.session_state[key]):
        asked = [name for name in _state().get("against", "").split(",") if name in others]
        st.session_state[key] = (asked or default)[: MOST_ENCODERS - 1]
    picked = st.multiselect(
        "Beside it", others, format_func=lambda name: options[name].title, key=key, max_selections=MOST_ENCODERS - 1,
        help="Other encoders for the same images: the same network before training, trained from scratch, other runs.",
    )  # fmt: skip
    _put(against=",".join(picked))
    wanted = [choice, *(options[name] for name in picked)]
    own = store.colors([item.model.run.id for item in wanted])
    taken: list[str] = []
    for item in wanted:
        color = run_labels.OTHER_COLORS[references.UNTRAINED] if item.model.what == "untrained" else (
            own[item.model.run.id]
        )  # fmt: skip
        free = [each for each in store.PALETTE if each not in taken]
        taken.append(color if color not in taken else free[0])
    return [replace(item, color=color) for item, color in zip(wanted, taken, strict=True)]


def _results(
    kind: str, wanted: Sequence[Choice], images: NDArray[np.uint8] | None, title: str, caption: str
) -> list[dict[str, Any]] | None:
    """What was computed for each encoder; None where something is missing, and then the job for it is shown.

    Raises:
        ConfigError: if one has no weights.
    """
    key = stored.images_key(images) if images is not None else ""
    models = [item.model for item in wanted]
    found = [stored.load(stored.result_path(model, kind, key)) for model in models]
    missing = [model for model, result in zip(models, found, strict=True) if result is None]
    if not missing:
        return [result for result in found if result is not None]
    job = stored.find_job(missing, kind, key, store.runs_dir())
    if job is not None and runs.current_status(job).is_active:
        progress(str(job), {item.model.run.id: item.title for item in wanted})
    else:
        offer(title, caption, job, lambda: stored.start_job(missing, kind, images, store.runs_dir()), key=f"lab-{kind}")
    return None


def _layers(results: Sequence[dict[str, Any]], layer: Representation) -> list[dict[str, Any]]:
    """Of each encoder the layer asked for, or h where it has no projector."""
    return [result["layers"].get(layer) or result["layers"]["h"] for result in results]


def _legend(wanted: Sequence[Choice], results: Sequence[dict[str, Any]], layer: Representation) -> None:
    parts = []
    for item, result in zip(wanted, results, strict=True):
        note = " (h)" if layer not in result["layers"] else ""
        parts.append(
            '<span style="display:inline-flex;align-items:center;gap:.4rem;margin-right:1.2rem">'
            f'<span style="width:.8rem;height:.8rem;border-radius:50%;flex:none;background:{item.color}"></span>'
            f"{html.escape(item.title)}{note}</span>"
        )
    st.html(f'<div style="font-size:.85rem">{"".join(parts)}</div>')


def _invariance(
    items: dict[str, store.Summary], choice: Choice, layer: Representation, found: sample_images.Gallery
) -> None:
    if len(found.ids) < 2:
        st.info("One image has no others to be compared with; choose a data set of two or more.")
        return
    wanted = _compared(items, choice)
    places = np.unique(np.linspace(0, len(found.ids) - 1, min(stored.MAX_PROFILE_IMAGES, len(found.ids))).astype(int))
    results = _results(
        "profile", wanted, found.images[places], "What these encoders ignore is not measured yet",
        f"Eight operations at up to six strengths on {len(places)} images of this data set: seconds for a small "
        "network, a minute or two for a ResNet-18 on a CPU. The result is kept with the runs.",
    )  # fmt: skip
    if results is None:
        return
    scale = st.segmented_control(
        "Similarity", list(SCALES), format_func=SCALES.__getitem__, required=True,
        key=_start("scale", list(SCALES), "relative"),
    ) or "relative"  # fmt: skip
    _put(scale=scale)
    shown = _layers(results, layer)
    _legend(wanted, results, layer)
    if sentence := extremes(shown[0]):
        st.markdown(escape.markdown(f"{choice.title} {sentence}"))
    for start in range(0, len(CURVES), 3):  # row by row, so that a phone shows them in this order too
        for column, operation in zip(st.columns(3, gap="medium"), CURVES[start : start + 3], strict=True):
            with column:
                live_chart(curve_figure(operation, wanted, shown, scale), f"lab-curve-{operation}", height=220)
    left, _ = st.columns([2, 1], gap="medium")
    with left:
        live_chart(switch_figure(wanted, shown, scale), "lab-switches", height=240)


def _value(mean: float, others: float, scale: str) -> float | None:
    found = invariance.relative(mean, others) if scale == "relative" else mean
    return None if found is None else round(found, 4)


def extremes(measured: dict[str, Any]) -> str:
    """Which operation changes the features least and which most, on the average of its strengths; empty without."""
    means = {
        operation: invariance.relative(float(np.mean(values)), measured["others"])
        for operation, values in measured["curves"].items()
    }
    known = {operation: value for operation, value in means.items() if value is not None}
    if not known:
        return ""
    best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    return (
        f"ignores {TITLES[best][0].lower()} best ({known[best]:.2f}) and reacts most to "
        f"{TITLES[worst][0].lower()} ({known[worst]:.2f}; 1 is unchanged, 0 like another image)."
    )


def _y_axis(scale: str) -> dict[str, Any]:
    return {
        "title": {"text": ""},
        "nticks": 5,
        "zeroline": scale == "relative",
        "zerolinecolor": "#8a94a6",
        "range": [-0.45, 1.05] if scale == "relative" else None,
    }


def curve_figure(
    operation: str, wanted: Sequence[Choice], measured: Sequence[dict[str, Any]], scale: str
) -> dict[str, Any]:
    """Similarity by strength, a line for each encoder; strength 0 is the image itself."""
    title, unit, is_share = TITLES[operation]
    layout = charts.layout(unit, legend=False)
    layout |= {"title": {"text": title, "x": 0.02, "font": {"size": 14}}, "yaxis": _y_axis(scale)}
    layout["margin"] = {"l": 40, "r": 8, "t": 32, "b": 40}
    if is_share:
        layout["xaxis"]["tickformat"] = ".0%"
    data = []
    for item, values in zip(wanted, measured, strict=True):
        y = [_value(1.0, values["others"], scale)]
        y += [_value(value, values["others"], scale) for value in values["curves"][operation]]
        data.append(
            {"type": "scatter", "mode": "lines+markers", "x": [0.0, *invariance.STRENGTHS[operation]], "y": y,
             "name": item.title, "line": {"color": item.color, "width": 2.2}, "marker": {"size": 5},
             "hovertemplate": "%{y:.2f}<extra>%{fullData.name}</extra>"}
        )  # fmt: skip
    return {"data": data, "layout": layout}


def _bars(
    names: Sequence[str], wanted: Sequence[Choice], values: Sequence[Sequence[float | None]], layout: dict[str, Any]
) -> dict[str, Any]:
    layout |= {"barmode": "group", "bargap": 0.3, "hovermode": "closest"}
    layout["xaxis"] = {"title": {"text": ""}}
    data = [
        {"type": "bar", "x": list(names), "y": list(heights), "name": item.title, "marker": {"color": item.color},
         "hovertemplate": "%{x}: %{y:.2f}<extra>%{fullData.name}</extra>"}
        for item, heights in zip(wanted, values, strict=True)
    ]  # fmt: skip
    return {"data": data, "layout": layout}


def switch_figure(wanted: Sequence[Choice], measured: Sequence[dict[str, Any]], scale: str) -> dict[str, Any]:
    """The operations without a strength, as bars."""
    layout = charts.layout("", legend=False)
    layout |= {"title": {"text": "Mirror and grey", "x": 0.02, "font": {"size": 14}}, "yaxis": _y_axis(scale)}
    layout["margin"] = {"l": 40, "r": 8, "t": 32, "b": 30}
    heights = [
        [_value(values["curves"][operation][0], values["others"], scale) for operation in SWITCHES]
        for values in measured
    ]
    return _bars([TITLES[operation][0] for operation in SWITCHES], wanted, heights, layout)


def _factors(items: dict[str, store.Summary], choice: Choice, layer: Representation) -> None:
    wanted = _compared(items, choice)
    strangers = [
        item.title for item in wanted
        if item.model.what != "untrained" and str(item.model.run.config.get("dataset")) != "shapes"
    ]  # fmt: skip
    if strangers:
        st.caption(
            escape.markdown(
                f"Factors are known of the generated shapes alone; {', '.join(strangers)} never trained on them."
            )
        )
    results = _results(
        "factors", wanted, None, "What can be read from these features is not measured yet",
        f"Features of {factors.NUM_TRAIN + factors.NUM_TEST:,} generated shapes, and a linear map for each factor: "
        "seconds for a small network, minutes for a large one. The result is kept with the runs.",
    )  # fmt: skip
    if results is None:
        return
    shown = _layers(results, layer)
    _legend(wanted, results, layer)
    live_chart(factor_figure(wanted, shown), "lab-factors", height=340)
    heads = [
        "Factor",
        *(
            escape.markdown(item.title + (" (h)" if layer not in result["layers"] else ""))
            for item, result in zip(wanted, results, strict=True)
        ),
    ]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * len(wanted)}"]
    for name in factors.FACTORS:
        values = [store.percent(each[name]) if name == "shape" else _two_digits(each[name]) for each in shown]
        lines.append(f"| {FACTOR_TITLES[name]}{', accuracy' if name == 'shape' else ', R²'} | {' | '.join(values)} |")
    st.html("<style>.st-key-lab-table [data-testid=stMarkdownContainer] { overflow-x: auto; }</style>")
    with st.container(key="lab-table"):  # on a phone it scrolls by itself
        st.markdown("\n".join(lines))


def factor_figure(wanted: Sequence[Choice], measured: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Accuracy or R² of each factor, bars for each encoder; what is below 0 is no better than a guess."""
    layout = charts.layout("", "Accuracy, R²", legend=False)
    layout["yaxis"]["range"] = [0, 1]
    layout["margin"] |= {"b": 60}
    heights = [[round(max(0.0, values[name]), 4) for name in factors.FACTORS] for values in measured]
    figure = _bars([FACTOR_TITLES[name] for name in factors.FACTORS], wanted, heights, layout)
    chance = 1 / len(set(shapes.CLASSES))
    figure["layout"]["shapes"] = [
        {
            "type": "line",
            "x0": -0.45,
            "x1": 0.45,
            "y0": chance,
            "y1": chance,
            "line": {"color": "#8a94a6", "dash": "dash"},
        }
    ]
    figure["layout"]["annotations"] = [
        {"text": "chance", "showarrow": False, "x": 0.48, "y": chance, "xanchor": "left", "yanchor": "bottom"}
    ]
    return figure


# --- all of it ------------------------------------------------------------------------------------------------------


def section(kept: dict[str, Any], found: sample_images.Gallery, numbers: Sequence[int]) -> None:
    """Draws this part of the Augmentations page.

    Args:
        kept: the page's state: `values` (options of the augmentation), `dataset`, `size`, and `seed` and `epoch` of the
            views, which else are 0 and `draw`.
        found: images to choose from.
        numbers: of the chosen images.
    """
    usable = run_labels.usable(store.get().summaries())
    if not usable:
        with st.container(border=True, key="lab-empty"):
            st.markdown("**No encoder yet**")
            st.markdown("As soon as a run has finished, its network can be asked what it makes of these views.")
            if st.button("Start a run", key="lab-start", type="primary", icon=":material/play_arrow:"):
                st.switch_page(ui.PAGE_NEW)
        return
    items = {item.id: item for item in usable}
    show = st.segmented_control(
        "What to show", list(SHOWS), format_func=SHOWS.__getitem__, required=True, label_visibility="collapsed",
        key=_start("show", list(SHOWS), "pairs"),
    ) or "pairs"  # fmt: skip
    _put(show=show)
    chosen = _choose(items, kept["dataset"], show)
    if chosen is None:
        return
    choice, layer = chosen
    draw: dict[str, Callable[[], None]] = {
        "pairs": lambda: _pairs(choice, layer, kept, found, numbers),
        "batch": lambda: _matrix(choice, layer, kept, found, numbers),
        "invariance": lambda: _invariance(items, choice, layer, found),
        "factors": lambda: _factors(items, choice, layer),
    }
    _size_note(choice.model, kept["size"] or found.side, show)
    try:
        draw[show]()
    except (ConfigError, OSError) as error:
        st.error(escape.markdown(str(error)), icon=":material/error:")
    st.caption(NOTES[show])


def _size_note(model: EncoderRef, side: int, show: str) -> None:
    """Says where views are resized, since a blur or a small shape then is another."""
    size = model.run.config.get("image_size")
    if show in ("pairs", "batch") and size and int(size) != side:
        st.caption(f"This network was made for {size} pixels: views of {side} pixels are resized to that.")
