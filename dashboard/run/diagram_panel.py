"""The diagram of a run: what becomes of one of its own images, box by box, each of which leads to its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.run_diagram import run_diagram
from dashboard.shared import formats, store, ui, url_state
from simclr import runs
from simclr.analysis import diagram
from simclr.config import DATASETS, Augmentation, ConfigError
from simclr.files import safe_read
from simclr.results import index
from simclr.runs import Run, metrics_csv
from simclr.views.policies.wording import POLICIES

OPERATIONS = {"crop": "crop", "flip": "mirror", "jitter": "colour jitter", "grayscale": "grey", "blur": "blur"}


def section(run: Run, summary: index.Summary) -> None:
    """The figure, and below it one line on what it shows, or why pictures are not there yet.

    None for images and captions: its boxes are those of two views.
    """
    if run.config.get("text_encoder"):
        return
    with st.container(border=True, key="diagram", gap="small"):
        found, note, wanted = _content(run, summary)
        draw = pretraining_stages if summary.kind == "pretrain" else supervised_stages
        run_diagram(
            draw(run, summary, found or {}), key=f"diagram-{run.id}", wanted=wanted, on_wanted=_start_for(run.id)
        )
        if note:
            st.caption(escape.markdown(note))


def _content(run: Run, summary: index.Summary) -> tuple[dict[str, Any] | None, str, bool]:
    """What was computed, a sentence for below the figure, and whether it is still to be computed."""
    if summary.is_active or not run.model_path.is_file():
        return None, "Its own images stand here when its network is trained." if summary.is_active else "", False
    dataset = str(run.config.get("dataset"))
    if run.is_example and dataset not in DATASETS and not Path(dataset).is_dir():
        return None, f"The photographs of {dataset} did not come with this example.", False
    try:
        path = _path(str(run.path), metrics_csv.signature(run.model_path))
        if (found := diagram.load(path)) is not None:
            return found, _about(summary, found), False
        job = diagram.find_job(run, store.runs_dir())
    except (ConfigError, OSError) as error:
        return None, str(error), False
    if job is None:
        return None, "Its network is asked about its own images, once.", True
    status = runs.current_status(job)
    if status.is_active:
        _watch(str(job))
        return None, "Its network is looking at some of its images.", False
    return None, f"Its own images cannot be shown: {status.error or status.reason or 'see the log of the job.'}", False


@st.cache_data(max_entries=64, show_spinner=False)
def _path(folder: str, signature: Any) -> Path:
    """Where the diagram lies; found again only when the weights changed, for they are read for it."""
    return diagram.path_of(Run(Path(folder)))


@st.fragment(run_every=1)
def _watch(job: str) -> None:
    """Draws the page again when the job has ended."""
    if not runs.current_status(Path(job)).is_active:
        st.rerun()


def _start_for(run_id: str) -> Callable[[], None]:
    """Starts the computing of what the figure lacks, when a browser has it in sight."""

    def start() -> None:
        run = store.find(run_id)
        if run is not None:
            with ui.report_errors():
                diagram.start_job(run, store.runs_dir())

    return start


def _about(summary: index.Summary, found: dict[str, Any]) -> str:
    if summary.kind != "pretrain":
        return "A test image by this run's weights. h: some of its numbers, blue above zero and orange below."
    if "similarities" not in found:
        return ""
    return (
        f"The first {found['num_images']} images of its first batch, by its final weights. h and z: some of their "
        "numbers, blue above zero and orange below. Similarities: every view against every other, fuller is more "
        "alike; framed are the two views of an image, which are the most alike for "
        f"{100 * found['top1']:.0f} % of the views."
    )


def _image(found: dict[str, Any], run: Run, href: str) -> dict[str, Any]:
    side, title = found.get("side") or run.config.get("image_size"), found.get("title", "")
    return {
        "title": "Image",
        "note": together(f"{side} × {side} pixels") if side else "one of its own",
        "about": f"one of its images{f' ({title})' if title else ''}; leads to all of them on the map",
        "href": href,
        **({"images": [found["image"]]} if "image" in found else {"empty": "image"}),
    }


def _network(title: str, symbol: str, name: str, weights: Any, about: str, href: str) -> dict[str, Any]:
    count = safe_read.finite_number(weights)
    note = f"{name}, {together(f'{count_text(count)} weights')}" if count else name
    return {"title": title, "note": note, "network": symbol, "about": about, "href": href}


def _vectors(
    title: str, found: dict[str, Any], name: str, dim: Any, about: str, href: str, empty: str = "vectors"
) -> dict[str, Any]:
    number = safe_read.finite_number(found.get("dims", {}).get(name)) or safe_read.finite_number(dim)
    return {
        "title": title,
        "note": together(f"{formats.thousands(number)} numbers") if number else "numbers",
        "about": about,
        "href": href,
        **({"vectors": found[name]} if isinstance(found.get(name), list) else {"empty": empty}),
    }


def pretraining_stages(run: Run, summary: index.Summary, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Image, two views, encoder, h, projection head, z, similarities, loss."""
    config, parameters = run.config, found.get("parameters", {})
    views = url_state.address("augmentations", run=run.id)
    embeddings = url_state.address("embeddings", left=run.id)
    batch = url_state.address("augmentations", run=run.id, part="encoder", encoder=run.id, show="batch")
    pairs = url_state.address("augmentations", run=run.id, part="encoder", encoder=run.id, show="pairs")
    curves = url_state.address("curves", runs=run.id)
    temperature = safe_read.finite_number(config.get("temperature"))
    loss, last = safe_read.finite_number(found.get("loss")), safe_read.finite_number(summary.loss)
    value = f"{loss:.2f}" if loss is not None else f"{last:.2f}" if last is not None else "–"
    at = f" at T = {temperature:g}" if temperature else ""
    in_training = f"; in training {last:.2f}" if loss is not None and last is not None else ""
    return [
        _image(found, run, embeddings),
        {
            "title": "Two views",
            "note": operations(config.get("augmentation")),
            "about": "two random views as this run draws them; leads to the Augmentations page",
            "href": views,
            **({"images": found["views"]} if found else {"empty": "images"}),
        },
        _network(
            "Encoder",
            "f",
            summary.backbone,
            parameters.get("encoder"),
            "both views pass through the same network; leads to what it makes of pairs",
            pairs,
        ),
        _vectors(
            "h", found, "h", None, "the features of both views, kept after training; leads to their map", embeddings
        ),
        _network(
            "Projection head",
            "g",
            "two layers",
            parameters.get("head"),
            "used in the loss alone and dropped afterwards; leads to what h and z make of pairs",
            pairs,
        ),
        _vectors(
            "z",
            found,
            "z",
            config.get("projection_dim"),
            "what the loss compares; leads to pairs against others",
            pairs,
        ),
        {
            "title": "Similarities",
            "note": f"{2 * found['num_images']} views of {found['num_images']} images"
            if found
            else "all pairs of views",
            "about": "cosine similarity of every view with every other; leads to this batch on the Augmentations page",
            "href": batch,
            **({"matrix": found["similarities"]} if "similarities" in found else {"empty": "matrix"}),
        },
        {
            "title": "Loss",
            "note": f"NT-Xent{at}{' of these' if loss is not None else ''}{in_training}",
            "value": value,
            "about": f"NT-Xent {value}; leads to its curve",
            "href": curves,
        },
    ]


def supervised_stages(run: Run, summary: index.Summary, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Image, view, encoder, h, classes."""
    config, parameters = run.config, found.get("parameters", {})
    source = str(summary.experiment or "")
    embeddings = url_state.address("embeddings", left=run.id)
    results = url_state.address("results", experiment=source) if source else url_state.address("results")
    start = {"frozen": "frozen", "full": "fine-tuned", "scratch": "from random weights"}[summary.arm or "scratch"]
    stages = [_image(found, run, embeddings)]
    augmentation = config.get("augmentation")
    if augmentation:
        stages.append(
            {
                "title": "View",
                "note": f"in training: {operations(augmentation)}{mixed(config)}",
                "about": "a random view, as this run draws it in training; leads to the Augmentations page",
                "href": url_state.address("augmentations"),
                **({"images": found["views"]} if found else {"empty": "image"}),
            }
        )
    classes = found.get("classes")
    number = safe_read.finite_number(run.meta.get("num_classes"))
    encoder_page = url_state.address("run", id=source) if source and summary.kind == "finetune" else embeddings
    return [
        *stages,
        _network(
            "Encoder",
            "f",
            f"{summary.backbone}, {start}",
            parameters.get("encoder"),
            "the network; leads to the pre-training it comes from, else to its map",
            encoder_page,
        ),
        _vectors("h", found, "h", None, "its features; leads to their map", embeddings, "vector"),
        _network(
            "Classifier",
            "c",
            "linear layer" if config.get("head") != "mlp" else "one hidden layer",
            parameters.get("head"),
            "from features to classes; leads to the results",
            results,
        ),
        {
            "title": "Classes",
            "note": f"of {formats.thousands(number)}; right: {found['title']}"
            if classes and number and found.get("title")
            else "",
            "about": "the most likely classes of the plain image; leads to the results",
            "href": results,
            **({"shares": classes} if classes else {"empty": "shares"}),
        },
    ]


def operations(values: Any) -> str:
    """Which operations are drawn, in words."""
    if not isinstance(values, dict):
        return "random views"
    known = Augmentation.model_fields
    names = [
        text
        for name, text in OPERATIONS.items()
        if f"{name}_probability" in known and (safe_read.finite_number(values.get(f"{name}_probability")) or 0) > 0
    ]
    names += [POLICIES[values["policy"]]] if values.get("policy") in POLICIES else []
    return ", ".join(names) or "none"


def mixed(config: Mapping[str, Any]) -> str:
    """How a run's batches are mixed, after its operations; empty where they are not."""
    ways = (("MixUp", "mixup_alpha"), ("CutMix", "cutmix_alpha"))
    names = [name for name, option in ways if (safe_read.finite_number(config.get(option)) or 0) > 0]
    return f"; mixed by {' or '.join(names)}" if names else ""


def together(text: str) -> str:
    """Words that stay on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def count_text(number: float) -> str:
    """`870`, `49 k`, `23.5 M`."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.0f}"
