"""How the options of several runs differ, and what must not be compared among them."""

from __future__ import annotations

from collections.abc import Sequence

from simclr.curves.curve_sources import NAMING, NOTHING, Source, option_text
from simclr.curves.metric_info import METRICS
from simclr.results import index


def differences(sources: Sequence[Source], everything: bool = False) -> tuple[list[tuple[str, list[str]]], int]:
    """Options with their values per source, by name, and how many were left out because only some sources have them.

    Left out are options on which all that have them agree, unless `everything` is wanted.
    """
    options = [source.options for source in sources]
    names = sorted({name for values in options for name in values if name not in NAMING})
    rows = [(name, [option_text(values.get(name)) for values in options]) for name in names]
    if everything:
        return rows, 0
    differ = [(name, texts) for name, texts in rows if len({text for text in texts if text != NOTHING}) > 1]
    return differ, sum(len(set(texts)) > 1 for _, texts in rows) - len(differ)


def warnings(sources: Sequence[Source], metrics: Sequence[str]) -> list[str]:
    """What must not be compared among the shown, one sentence each."""
    pretrainings = [source for source in sources if source.kind == "pretrain"]
    supervised = [source for source in sources if source.kind in ("finetune", "scratch")]
    contrastive = [metric for metric in ("top1", "top5", "mean_rank") if metric in metrics]
    found = []
    if pretrainings and supervised and "loss" in metrics:
        found.append("Losses are not comparable: pre-trainings have NT-Xent, the other runs cross-entropy.")
    if pretrainings and supervised and {"top1", "top5"} & set(metrics):
        found.append(
            "Accuracies mean two things: of a pre-training, how often the other view of the same image is "
            "found in its batch; of the other runs, how often the class is right."
        )
    differing = {name: text for name in ("batch_size", "temperature") if (text := _differing(pretrainings, name))}
    if differing and "loss" in metrics:
        why = " and ".join(differing.values())
        found.append(f"Losses of these pre-trainings are not comparable: {why}. Their kNN accuracies are.")
    if "batch_size" in differing and contrastive:
        labels = " and ".join(METRICS[metric].label.lower() for metric in contrastive)
        found.append(
            f"For pre-trainings, {labels} depend on the batch, from which the candidates come: "
            f"{differing['batch_size']}."
        )
    if len({_is_mixed(source) for source in supervised}) > 1 and {"loss", "top1", "top5"} & set(metrics):
        found.append(
            "Training losses and accuracies of these runs are not comparable: some are of images that MixUp or CutMix "
            "has mixed. Those of validation are."
        )
    if data := _differing(sources, "dataset"):
        found.append(f"These runs do not share their data: {data}.")
    return found


def _is_mixed(source: Source) -> bool:
    alphas = (source.options.get(name) for name in ("mixup_alpha", "cutmix_alpha"))
    return any(isinstance(alpha, int | float) and alpha > 0 for alpha in alphas)


def _differing(sources: Sequence[Source], name: str) -> str:
    """`batch_size is 256 or 512`; empty where all agree, and no more than five values."""
    values = {source.options[name] for source in sources if isinstance(source.options.get(name), str | int | float)}
    if len(values) < 2:
        return ""
    numbers = sorted(values, key=lambda value: (isinstance(value, str), value))
    shown = [index.short_dataset(value) if name == "dataset" else option_text(value) for value in numbers]
    if len(shown) > 6:
        shown = [*shown[:5], f"{len(shown) - 5} others"]
    return f"{name} is {', '.join(shown[:-1])} or {shown[-1]}"
