"""Types of options that accept several spellings of one value."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, WrapValidator

from simclr.config.fields import none_if_unset, option_text
from simclr.config.names import BACKBONES, DATASETS, OWN_BACKBONE


def _dataset_name(value: Any) -> Any:
    """The data set's name in any spelling (`CIFAR-10`, `Cifar10`: `cifar10`); a path stays as it is written."""
    if not isinstance(value, str):
        return value
    squeezed = value.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    for name in DATASETS:
        if squeezed == name.replace("_", ""):
            return name
    return value.strip()


def _dashed(value: Any) -> Any:
    return value.strip().lower().replace("_", "-") if isinstance(value, str) else value


def lowercase(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _precision_name(value: Any) -> Any:
    aliases = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "fp32": "32-true", "fp16": "16-mixed"}
    return aliases.get(str(value).strip().lower(), value)


def boolean_word(value: Any) -> Any:
    """The word `true` or `false` for any YAML spelling of them, for options that allow a third word."""
    word = option_text(value) if isinstance(value, bool) else lowercase(value)
    return {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}.get(word, word)


def _none_if_auto(value: Any) -> Any:
    return None if lowercase(value) == "auto" else value


def _integer_or_text(value: Any) -> Any:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value


def _tag_list(value: Any) -> Any:
    if none_if_unset(value) is None:
        return ()
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").split(",")
    if isinstance(value, (list, tuple)):
        return tuple(dict.fromkeys(str(tag).strip() for tag in value if str(tag).strip()))
    return value


def _own_or_known(value: Any, known: Any) -> Any:
    """A backbone that was given in Python is named after its class, which is on no list."""
    is_own = isinstance(value, str) and re.fullmatch(rf"{OWN_BACKBONE}[\w.]+", value.strip())
    return value.strip() if is_own else known(value)


Optimizer = Annotated[Literal["adamw", "adam", "sgd", "lars", "muon"], BeforeValidator(lowercase)]
Scaling = Annotated[Literal["none", "linear", "square-root"], BeforeValidator(_dashed)]
Precision = Annotated[Literal["auto", "32-true", "bf16-mixed", "16-mixed"], BeforeValidator(_precision_name)]
Compile = Annotated[Literal["false", "true", "reduce-overhead", "max-autotune"], BeforeValidator(boolean_word)]
Readers = Annotated[int | None, BeforeValidator(_none_if_auto)]
Dataset = Annotated[str, BeforeValidator(_dataset_name)]
Backbone = Annotated[
    Literal[BACKBONES],  # type: ignore[valid-type]
    BeforeValidator(lowercase),
    WrapValidator(_own_or_known),
    PlainSerializer(str, return_type=str),
]
Tags = Annotated[tuple[str, ...], BeforeValidator(_tag_list)]
# digits alone are the number of a pre-training, anything else a run or a file
Experiment = Annotated[int | str, BeforeValidator(_integer_or_text)]
