"""What an encoder or classifier is worth, by named protocols, on test images that are looked at once.

    knn         vote of the nearest labelled training images; nothing is trained and nothing chosen
    linear      multinomial logistic regression on h, its L2 strength chosen on the validation images
    fewshot     nearest class mean and logistic regression with 1, 5 and 10 labelled images of each class
    words       zero-shot, retrieval and held-out combinations, of a pre-training with captions (`words.judging`)
    classifier  a supervised run's own classifier: `frozen`, `full` or `scratch`, as it was trained

A pre-training is judged by the first two, with a text encoder by `words` too, a supervised run by the last, and on
request by all of them. Every protocol sees the same plain images, through the weights as they stand in `model.pt`: the
training calls the same functions as `python -m simclr evaluate RUN`, which therefore gives the same figures, to the
last bit on the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr import runs
from simclr.config import (
    CROP_AND_FLIP,
    ConfigError,
    FinetuneConfig,
    PretrainConfig,
    RunConfig,
    images_may_have_moved,
    nearest_name,
)
from simclr.data.identity import DataPlace, classes_of, fingerprint, moved_config
from simclr.data.loading import load_other_data
from simclr.data.shape_facts import facts_of
from simclr.data.splits import ImageData, Split, label_subset
from simclr.evaluation import few_shot, kept, knn, linear_probe
from simclr.evaluation.features import features_of
from simclr.files.user_paths import with_dead_link
from simclr.models import backbones, compute, state_dicts, weight_reading
from simclr.models.heads import classifier, projection_head
from simclr.objectives import metrics
from simclr.runs import Run
from simclr.runs.status import Report, no_report
from simclr.words import judging, text_encoder
from simclr.words.text_encoder import TextEncoder

WORDS = "words"
PROTOCOLS = ("knn", "linear", "fewshot", WORDS, "classifier")

# --- protocols in words ---------------------------------------------------------------------------------------------


def arm_of(config: FinetuneConfig) -> str:
    """How the encoder was treated: `frozen`, `full` or `scratch`."""
    return "scratch" if config.random_weight_init else "frozen" if config.freeze_encoder else "full"


def _images_seen(config: FinetuneConfig) -> str:
    augmentation = config.augmentation or (None if config.freeze_encoder else CROP_AND_FLIP)
    seen = "plain images" if augmentation is None else "one random view of each image"
    if not config.mixes:
        return seen
    ways = (("MixUp", config.mixup_alpha), ("CutMix", config.cutmix_alpha))
    names = " or ".join(f"{name} (alpha {alpha:g})" for name, alpha in ways if alpha > 0)
    share = "" if config.mix_probability == 1 else f" in {100 * config.mix_probability:.3g} % of the batches"
    return f"{seen}, mixed by {names}{share}"


def protocol_of(config: RunConfig | None, name: str, **found: Any) -> dict[str, Any]:
    """How a figure came about: a sentence, and the numbers that repeat it.

    Args:
        config: of the run; None where the features are no run's.
        name: `knn`, `linear` or `fewshot`, or for a supervised run its arm, see `arm_of`.
        found: what else there is to record, such as the strength that was chosen.
    """
    texts = {
        "knn": (
            f"Each test image gets the class that its {knn.NUM_NEIGHBORS} nearest labelled training images in "
            f"cosine similarity of h vote for, with weight exp(similarity / {knn.KNN_TEMPERATURE}) "
            "(Wu et al. 2018). Nothing is trained and nothing is chosen."
        ),
        "linear": (
            "Multinomial logistic regression on h of the plain labelled training images, each feature standardized. "
            "The L2 strength is the best on the validation images, on which nothing is fitted."
        ),
        "fewshot": (
            f"So many labelled training images of each class are drawn {few_shot.NUM_TASKS} times, the same for every "
            "encoder, and all test images are judged from them: by the nearest class mean of h scaled to length 1 "
            "(Snell et al. 2017), and by multinomial logistic regression on it (scikit-learn, C = 1). The 95 % "
            "interval is that of the mean over the draws (Student's t); it says nothing about other test images."
        ),
    }
    if isinstance(config, FinetuneConfig):
        head = (
            "a linear layer" if config.head == "linear" else f"a hidden layer of {config.hidden_dim} and a linear one"
        )
        images = _images_seen(config)
        best = "The epoch that was best on the validation images counts, and the last where there are none."
        texts |= {
            "frozen": f"The encoder stays as pre-trained; {head} is trained on h of {images}. {best}",
            "full": f"All weights are trained, from the pre-trained ones, with {head} on top, on {images}. {best}",
            "scratch": f"All weights are trained, from random ones, with {head} on top, on {images}. {best}",
        }
    network = {} if config is None else {"weights": runs.MODEL, "precision": config.precision}
    return {"text": texts[name], **network, **found}


# --- figures --------------------------------------------------------------------------------------------------------


def pretrain_figures(
    config: PretrainConfig,
    state: Mapping[str, Tensor],
    data: ImageData,
    device: torch.device,
    report: Report = no_report,
    held: dict[str, Any] | None = None,
    text: TextEncoder | None = None,
) -> dict[str, Any]:
    """kNN and linear probe accuracy of a pre-trained encoder on the test images, as `evaluation.json` holds them.

    Args:
        config: complete options; image size and precision are theirs.
        state: what `model.pt` holds.
        data: as the training loads it.
        held: is given the `features` of the splits by name, by protocol the classes `predicted` of test images, and
            the index of each one's `nearest` labelled training image.
        text: that was trained with it, which adds the figures of `words`.

    Returns:
        `test/knn_top1 test/linear_top1 test/linear_top5 test/linear_loss num_labels num_test_images classes
        per_class confusion protocols`; classes and confusion are those of the linear probe. Empty where there are no
        labelled training or test images.

    Raises:
        ConfigError: if the network gives values that are no numbers.
    """
    if data.probe is None or data.test is None or data.test.labels is None:
        return {}
    names = ("knn", "linear") if text is None else ("knn", "linear", WORDS)
    return _encoder_figures(config, state, data, data.probe, device, report, names, held, text=text)


def classifier_figures(
    config: FinetuneConfig,
    state: Mapping[str, Tensor],
    data: ImageData,
    device: torch.device,
    report: Report = no_report,
) -> dict[str, Any]:
    """What a supervised run's own classifier reaches on the test images, as `evaluation.json` holds it.

    Args:
        config: complete options.
        state: what `model.pt` holds.
        data: as the training loads it.

    Returns:
        Those of `evaluation_of`, and `protocols`; empty where there are no labelled test images.

    Raises:
        ConfigError: if the weights are not of this network.
    """
    if data.test is None or data.test.labels is None:
        return {}
    encoder = encoder_of(config, state)
    head = classifier(encoder.num_features, config.num_classes or 0, config.head, config.hidden_dim)
    _load_head(head, encoder.classifier_name, state)
    network = nn.Sequential(encoder.network, nn.Flatten(1), head)
    logits = outputs(network, data.test, config, device, partial(report, "testing"))
    protocol = protocol_of(config, arm_of(config), **_circumstances(data, labelled_split(config, data), device))
    found = evaluation_of(logits, data.test.labels, data.classes or ())
    return found | {"protocols": {arm_of(config): protocol}}


def _load_head(head: nn.Module, name: str, state: Mapping[str, Tensor]) -> None:
    """Loads what stands on the encoder from `model.pt`, where it lies under the classifier's `name`."""
    prefix = f"{name}."
    try:
        head.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
    except RuntimeError:
        what = "classifier" if isinstance(head, nn.Linear) else "head"
        raise ConfigError(f"RUN has a {runs.MODEL} whose {what} is not the one of its options.") from None


def evaluation_of(logits: Tensor, labels: Tensor, classes: tuple[str, ...]) -> dict[str, Any]:
    """Test figures for `evaluation.json`: loss, top-1, top-5, accuracy per class (0..1) and the confusion matrix.

    Args:
        logits: (N, num_classes), labels: (N,).

    Returns:
        `confusion[i][j]` counts images of class i that were called j.
    """
    logits, labels = logits.float().cpu(), labels.cpu()
    predicted = logits.argmax(dim=1)
    num_classes = len(classes)
    confusion = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2).view(num_classes, -1)
    per_class = confusion.diagonal() / confusion.sum(dim=1).clamp(min=1)
    shares = metrics.classification_shares(logits, labels)
    return {
        "test/loss": float(F.cross_entropy(logits, labels)),
        "test/top1": float(shares["top1"]),
        "test/top5": float(shares["top5"]),
        "num_test_images": len(labels),
        "classes": list(classes),
        "per_class": per_class.tolist(),
        "confusion": confusion.tolist(),
    }


def labelled_split(config: FinetuneConfig, data: ImageData) -> Split:
    """The training images whose labels a supervised run uses."""
    assert data.train.labels is not None
    seed = config.seed if config.subset_seed is None else config.subset_seed
    return data.train.take(label_subset(data.train.labels, config.label_fraction, seed, config.labels_per_class))


def encoder_of(config: RunConfig, state: Mapping[str, Tensor], *, untrained: bool = False) -> backbones.Backbone:
    """The encoder of `model.pt`, or with the random weights that its training began with; no random number is used
    up."""
    assert config.backbone is not None and config.image_size is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = backbones.build_encoder(
            config.backbone, config.image_size, small_stem=state_dicts.has_small_stem(state)
        )
    if not untrained:
        state_dicts.load_encoder(encoder, state, Path(runs.MODEL))
    return encoder


def _circumstances(data: ImageData, train: Split, device: torch.device) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "num_train": train.num_images,
        "num_val": data.val.num_images if data.val is not None else 0,
        "num_test": data.test.num_images if data.test is not None else 0,
    }


def outputs(
    network: nn.Module, split: Split, config: RunConfig, device: torch.device, progress: Callable[[float], None]
) -> Tensor:
    """(N, D) float32 outputs for the split's plain images, on `device`."""
    done = 0

    def count(num: int) -> None:
        nonlocal done
        done += num
        progress(done / split.num_images)

    assert config.image_size is not None
    # the same kernels every time, where a GPU would try out several
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        return features_of(
            network.to(device).to(memory_format=torch.channels_last).eval(),  # type: ignore[call-overload]
            split,
            config.image_size,
            device=device,
            precision=config.precision,
            on_batch=count,
        )


def _encoder_figures(
    config: RunConfig,
    state: Mapping[str, Tensor],
    data: ImageData,
    train: Split,
    device: torch.device,
    report: Report,
    protocols: Sequence[str],
    held: dict[str, Any] | None = None,
    *,
    untrained: bool = False,
    text: TextEncoder | None = None,
) -> dict[str, Any]:
    """Figures of the encoder by all protocols but `classifier`, with all of `train` as the labelled images."""
    encoder = encoder_of(config, state, untrained=untrained)
    network = encoder.network
    splits = {"training": train, "test": data.test}
    if "linear" in protocols:
        splits["validation"] = data.val
    features: dict[str, Tensor] = {}
    labels: dict[str, Tensor] = {}
    for name, split in splits.items():
        if split is None or split.labels is None:
            continue
        features[name] = outputs(network, split, config, device, partial(report, f"features of the {name} images"))
        labels[name] = split.labels.to(device)
        if not features[name].isfinite().all():
            raise ConfigError(f"The network gives values that are no numbers for {name} images, so it has no figures.")
    found = figures_of_features(config, features, labels, data, train, report, protocols, held)
    if WORDS in protocols:
        assert text is not None and data.test is not None and isinstance(config, PretrainConfig)
        head = projection_head(encoder.num_features, config.hidden_dim, config.projection_dim)
        _load_head(head, encoder.classifier_name, state)
        with torch.inference_mode():
            z = head(features["test"].cpu())
        measured_words = judging.word_figures(z, facts_of(data.test.factors), text, config.held_out)
        found |= {f"test/{name}": value for name, value in measured_words.found.items()}
        found["protocols"][WORDS] = {
            "text": measured_words.text,
            "weights": runs.MODEL,
            "precision": config.precision,
            "chance": measured_words.chance,
            "temperature": float(1 / text.scale.detach()),
            **_circumstances(data, train, device),
        }
    return found


def figures_of_features(
    config: RunConfig | None,
    features: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    data: ImageData,
    train: Split,
    report: Report,
    protocols: Sequence[str],
    held: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Figures by `knn`, `linear` and `fewshot` of features that are there already.

    Args:
        config: of the run whose network made them; None: another program made them.
        features, labels: (N, D) float32 and (N,) int64, by `training`, `test` and, as far as there are any,
            `validation`, on one device.
        data: the images that they are of.
        train: the labelled images of `training`.
        protocols, held: as of `pretrain_figures`.

    Returns:
        See `pretrain_figures`.
    """
    classes = data.classes or ()
    around = _circumstances(data, train, features["training"].device)
    found: dict[str, Any] = {"num_labels": around["num_train"], "num_test_images": around["num_test"]}
    about: dict[str, Any] = {}
    answers: dict[str, Tensor] = {}
    closest: list[Tensor] = []
    if "knn" in protocols:
        predicted = knn.knn_predict(
            features["training"], labels["training"], features["test"], len(classes), nearest=closest
        )
        found["test/knn_top1"] = metrics.accuracy(predicted, labels["test"])
        answers["knn"] = predicted
        numbers = {"num_neighbors": knn.NUM_NEIGHBORS, "temperature": knn.KNN_TEMPERATURE}
        about["knn"] = protocol_of(config, "knn", **numbers, **around)
    if "linear" in protocols:
        val = (features["validation"], labels["validation"]) if "validation" in features else None
        probe = linear_probe.fit_linear_probe(
            features["training"],
            labels["training"],
            val,
            len(classes),
            on_strength=partial(report, "fitting the linear probe"),
        )
        logits = probe(features["test"])
        answers["linear"] = logits.argmax(dim=1)
        measured = evaluation_of(logits, labels["test"], classes)
        names = {"test/top1": "test/linear_top1", "test/top5": "test/linear_top5", "test/loss": "test/linear_loss"}
        found |= {names.get(name, name): value for name, value in measured.items()}
        about["linear"] = protocol_of(
            config,
            "linear",
            l2=probe.l2,
            C=probe.c,
            tried={f"{l2:.3g}": top1 for l2, (top1, _) in probe.tried.items()},
            **around,
        )
    if held is not None:
        held |= {"features": features, "predicted": answers}
        held |= {"nearest": torch.cat(closest)} if closest else {}
    if "fewshot" in protocols:
        figures, drawn = _few_shot_figures(features, labels, train, report)
        found |= figures
        about["fewshot"] = protocol_of(config, "fewshot", **drawn, **around)
        about["fewshot"]["text"] += _smaller_text(drawn["smaller_classes"], len(labels["training"].unique()))
    return found | {"protocols": about}


def _few_shot_figures(
    features: Mapping[str, Tensor], labels: Mapping[str, Tensor], train: Split, report: Report
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Mean accuracies, and what is recorded of them."""
    bank, bank_labels, queries, query_labels = (
        values[name].cpu().numpy() for name in ("training", "test") for values in (features, labels)
    )
    found = few_shot.few_shot(
        bank, bank_labels, train.ids.cpu().numpy(), queries, query_labels, on_task=partial(report, "drawing few labels")
    )
    numbers = {
        "shots": list(few_shot.SHOTS),
        "task_seed": few_shot.TASK_SEED,
        "figures": {item.name: item.numbers for item in found},
        "smaller_classes": {str(item.shots): item.num_smaller for item in found if item.num_smaller},
    }
    return {item.name: item.numbers["mean"] for item in found}, numbers


def _smaller_text(smaller: Mapping[str, int], num_classes: int) -> str:
    """What is done where classes have fewer labelled images than are to be drawn; empty where none has."""
    if not smaller:
        return ""
    parts = [f"fewer than {shots} in {number} of {num_classes} classes" for shots, number in smaller.items()]
    return f" There are {' and '.join(parts)}, of which all are used."


# --- a finished run -------------------------------------------------------------------------------------------------


def evaluate_run(
    run: Run,
    protocols: Sequence[str] | None = None,
    report: Report = no_report,
    place: DataPlace | None = None,
    *,
    untrained: bool = False,
    apart: bool = False,
) -> dict[str, Any]:
    """Figures of a finished run from its `model.pt` and `config.yaml` alone, under the keys of `evaluation.json`.

    Args:
        protocols: which of `PROTOCOLS`; None: what the run's training measures.
        place: where its own images lie now, or another data set: test images are then cut off from that as from the
            run's own, all its labelled training images are the bank of kNN and the linear probe, and `fingerprint`
            tells in the result which images they were. None: the images as the run has them.
        untrained: judges the run's network with the random weights that its training began with.
        apart: `fingerprint` tells the images also where they are the run's own, as it always does of an untrained
            network: such figures are kept apart from the run's, and are those of all labelled training images, also of
            a run that was trained with some of the labels.

    Raises:
        ConfigError: with one sentence, if it is still going on, has no final weights or no labelled test images, does
            not know a protocol, or its classifier has other classes than the data set.
    """
    other = place.dataset if place is not None and not place.is_own else None
    knows_words = bool(run.config.get("text_encoder")) and other is None and not untrained
    usual: tuple[str, ...] = ("knn", "linear") if run.kind == "pretrain" or untrained else ("classifier",)
    usual += (WORDS,) if knows_words else ()
    protocols = check_protocols(protocols, "pretrain" if untrained else run.kind, knows_words) or usual
    config, device = ready(run)
    if other is not None:
        data = load_other_data(config, other, cut=True, progress=report)
        if "classifier" in protocols:
            _check_classes(run, config, other, data)
    else:
        with images_may_have_moved(is_named=place is not None):
            data = compute.load_images(config if place is None else moved_config(config, place.dataset), report)
    config = with_size(config, data)
    is_own = other is None and not (apart or untrained)
    bank = labelled_split(config, data) if is_own and isinstance(config, FinetuneConfig) else data.probe
    if other is not None and (bank is None or data.test is None or data.test.labels is None):
        raise ConfigError(f"dataset is {other}, which has no labelled test images; allowed: a data set with some.")
    if bank is None or data.test is None or data.test.labels is None:
        raise ConfigError(
            f"RUN is {run.id}, whose data have no labelled test images; allowed: a run on data with some."
        )
    try:
        state = weight_reading.read_state(run.model_path)
        found: dict[str, Any] = {}
        if encoder_protocols := [name for name in protocols if name != "classifier"]:
            text = text_encoder.load(run.path / runs.TEXT_ENCODER) if WORDS in protocols else None
            found = _encoder_figures(
                config, state, data, bank, device, report, encoder_protocols, untrained=untrained, text=text
            )
        if isinstance(config, FinetuneConfig) and not untrained:
            # classes and confusion of a supervised run are its classifier's
            found = {name: found[name] for name in found if name.startswith("test/") or name == "protocols"}
            found |= {"num_labels": bank.num_images, "label_fraction": config.label_fraction, "arm": arm_of(config)}
            found |= {"labels_per_class": config.labels_per_class}
            if "classifier" in protocols:
                about = found.get("protocols", {})
                found |= classifier_figures(config, state, data, device, report)
                found["protocols"] |= about
        if is_own:
            return found
        if other is None and isinstance(config, FinetuneConfig):
            found[kept.LABELS] = kept.ALL
        found |= {"dataset": other or (config if place is None else place).dataset, "fingerprint": fingerprint(data)}
        return found | ({kept.ENCODER: kept.UNTRAINED} if untrained else {})
    except ConfigError as error:
        # said from the view of a training, where a weights file is an experiment
        raise ConfigError(str(error).replace("experiment_version is", "RUN has the weights", 1)) from None


def ready(run: Run) -> tuple[RunConfig, torch.device]:
    """The options of a finished run for a single process on this machine, and the device that it is judged on.

    Raises:
        ConfigError: if it is no run, is still going on, or has no final weights.
    """
    if run.kind not in ("pretrain", "finetune", "scratch"):
        raise ConfigError(f"RUN is {run.path}, which is not a run folder; allowed: a finished run.")
    if run.status.is_active or not run.model_path.is_file():
        link = with_dead_link(run.model_path)
        raise ConfigError(
            f"RUN is {run.id}, which is {run.status.state} and has no final weights yet{link}; allowed: a finished run."
        )
    config = runs.load_config(run)
    if config.dataset is None or config.backbone is None:
        raise ConfigError(
            f"RUN is {run.id}, whose {runs.CONFIG} names no data set or no backbone; allowed: one that does."
        )
    if compute.device_here(config.accelerator).type == "cpu":
        precision = "32-true" if config.precision == "16-mixed" else config.precision
        config = config.model_copy(update={"accelerator": "cpu", "precision": precision})
    config = config.model_copy(update={"devices": 1, "num_nodes": 1})  # one is enough
    if config.num_threads is not None:
        torch.set_num_threads(config.num_threads)
    device = compute.find_device(config.accelerator)
    config = config.model_copy(update={"precision": compute.resolve_precision(config.precision, device)})
    return config, device


def with_size(config: RunConfig, data: ImageData) -> RunConfig:
    """The options with the size at which the network takes the images."""
    return config.model_copy(update={"image_size": config.image_size or data.image_size})


def _check_classes(run: Run, config: RunConfig, dataset: str, data: ImageData) -> None:
    """Raises ConfigError unless the classes of a data set are those that a run's classifier knows."""
    known, classes = classes_of(run), data.classes or ()
    number = config.num_classes if isinstance(config, FinetuneConfig) else None
    wrong = ""
    if len(classes) != number:
        wrong = f"which has {len(classes)} classes, and the classifier of {run.id} knows {number}"
    elif known is not None and known != tuple(classes):
        own, theirs = next(pair for pair in zip(known, classes, strict=True) if pair[0] != pair[1])
        wrong = f"which has a class {theirs} where the classifier of {run.id} knows {own}"
    if wrong:
        raise ConfigError(
            f"dataset is {dataset}, {wrong}; allowed: the same classes, or protocol knn,linear, which take any."
        )


def check_protocols(names: Sequence[str] | None, kind: str, knows_words: bool = False) -> tuple[str, ...]:
    """The protocols named, once each, in the order of `PROTOCOLS`.

    Args:
        knows_words: it has a text encoder, and the images are those that it knows words for.

    Raises:
        ConfigError: if one is unknown, or is none for this kind of run.
    """
    allowed = tuple(
        name for name in PROTOCOLS if (name != WORDS or knows_words) and (name != "classifier" or kind != "pretrain")
    )
    for name in names or ():
        if name not in allowed:
            hint = nearest_name(name, allowed)
            raise ConfigError(f"protocol is {name or 'empty'}; allowed for this run: {', '.join(allowed)}{hint or '.'}")
    return tuple(name for name in allowed if name in (names or ()))
