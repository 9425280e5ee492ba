"""How an option is declared, described in words, checked, and refused in one sentence (no torch)."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from simclr.config.errors import ConfigError
from simclr.config.names import Group
from simclr.files.names import is_text


def option(
    default: Any,
    description: str,
    *,
    group: Group,
    common: bool = False,
    unit: str = "",
    label: str = "",
    **constraints: Any,
) -> Any:
    """Returns a pydantic field; `group`, `common`, `unit` and `label` tell forms where and how to draw it."""
    extra: dict[str, Any] = {"group": group, "common": common, "unit": unit, "label": label}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def none_if_unset(value: Any) -> Any:
    """None for the words that leave an option unset in a file or behind a flag: `null`, `~`, `none`, nothing."""
    return None if isinstance(value, str) and value.strip().lower() in ("", "null", "none", "~") else value


def is_optional(info: FieldInfo) -> bool:
    """Whether an option may be left unset."""
    return type(None) in _union_members(info.annotation)


def unset_words(info: FieldInfo) -> str:
    """What an option that is left unset means, from its description: "the next free one"; "" where it does not say."""
    found = re.search(r"\b[Uu]nset: ([^.;(]+)", info.description or "")
    return found[1].strip() if found else ""


def _union_members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def _inner(info: FieldInfo) -> tuple[Any, list[Any]]:
    """The field's type without None and Annotated, and all constraints found on the way."""
    metadata = list(info.metadata)
    members = [m for m in _union_members(info.annotation) if m is not type(None)]
    annotation = members[0] if len(members) == 1 else info.annotation
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata += more
    return annotation, metadata


def field_type(info: FieldInfo) -> Any:
    """The plain type of an option: int, float, bool, str, a Literal, tuple[str, ...] or an Options model."""
    return _inner(info)[0]


class Options(BaseModel):
    """Base of all option models: frozen, no unknown names, no infinity, numbers accepted where text is asked."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        validate_default=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _read_unset(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        cleaned = {}
        for name, value in data.items():
            info = cls.model_fields.get(str(name))
            cleaned[str(name)] = none_if_unset(value) if info is not None and is_optional(info) else value
        return cleaned


def choices(info: FieldInfo) -> tuple[str, ...]:
    """The words allowed for an option; empty if any value of its type is allowed."""
    annotation = field_type(info)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def bounds(info: FieldInfo) -> dict[str, float]:
    """The numeric limits of an option: any of `ge`, `gt`, `le`, `lt`."""
    found: dict[str, float] = {}
    for constraint in _inner(info)[1]:
        for name, type_ in (("ge", Ge), ("gt", Gt), ("le", Le), ("lt", Lt)):
            if isinstance(constraint, type_):
                found[name] = getattr(constraint, name)
    return found


def allowed(info: FieldInfo) -> str:
    """What is allowed for an option, in words: "a number above 0, up to 1, or unset"."""
    annotation, metadata = _inner(info)
    limits = bounds(info)
    if words := choices(info):
        text = ", ".join(words) if len(words) < 12 else f"one of {len(words)} names such as {', '.join(words[:5])}"
    elif annotation is bool:
        text = "true or false"
    elif annotation in (int, float):
        text = "a whole number" if annotation is int else "a number"
        low, high = limits.get("ge"), limits.get("le")
        if low is not None and high is not None:
            text += f" from {low:,g} to {high:,.10g}" if high < 1e6 else f", at least {low:,g}, up to {high:,.10g}"
        elif low is not None:
            text += f", at least {low:,g}"
        elif (above := limits.get("gt")) is not None:
            text += f" above {above:g}"
            text += f", up to {high:,.10g}" if high is not None else ""
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        text = "a section of named values"
    else:
        text = "text"
        for constraint in metadata:
            if (longest := getattr(constraint, "max_length", None)) is not None:
                text += f" of at most {longest:,} characters"
    unit = (info.json_schema_extra or {}).get("unit") if isinstance(info.json_schema_extra, dict) else ""
    if unit and annotation in (int, float):
        text += f" {unit}"
    return text + (", or unset" if is_optional(info) else "")


def extra(info: FieldInfo, key: str) -> Any:
    """What `option` recorded for forms about a field: `group`, `common`, `unit` or `label`."""
    return info.json_schema_extra.get(key) if isinstance(info.json_schema_extra, dict) else None


def label(name: str, info: FieldInfo) -> str:
    """An option's name as a form shows it: its own label, or the name in words, with the unit."""
    text = extra(info, "label") or name.replace("_", " ").capitalize()
    return f"{text} ({extra(info, 'unit')})" if extra(info, "unit") else text


def option_names(model: type[Options], prefix: str = "") -> dict[str, FieldInfo]:
    """Every option of a model by its dotted name, nested sections included: `temperature`, `augmentation.hue`."""
    found: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        inner = field_type(info)
        if isinstance(inner, type) and issubclass(inner, Options):
            found |= option_names(inner, f"{prefix}{name}.")
        else:
            found[prefix + name] = info
    return found


def nearest_name(name: str, known: Any) -> str:
    """A sentence that offers the most similar known name, or an empty text."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _shortened(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return f"{text[:77]}..." if len(text) > 80 else text or "empty"


def _sentence(model: type[Options], error: Any) -> str:
    """One pydantic error as one sentence: option, value, what is allowed."""
    path = [str(part) for part in error["loc"]]
    names = option_names(model)
    if error["type"] == "extra_forbidden":
        dotted = ".".join(path)
        return f"{dotted} is not an option{nearest_name(dotted, names) or '.'}"
    # pydantic appends the tried member of a union to the location: keep the part that names an option
    while path and ".".join(path) not in names and path[0] not in model.model_fields:
        path.pop()
    while len(path) > 1 and ".".join(path) not in names:
        path.pop()
    if not path or error["type"] in ("order", "source"):
        return str(error["msg"])
    dotted = ".".join(path)
    info = names.get(dotted) or model.model_fields[path[0]]
    rule = str(error["msg"]) if error["type"] == "odd" else allowed(info)
    if isinstance(error["input"], str) and not is_text(error["input"]):
        rule = "text in UTF-8; a file or folder of another name needs a new one, or a link to it"
    hint = nearest_name(str(error["input"]), choices(info)) if len(choices(info)) >= 12 else ""
    return f"{dotted} is {_shortened(error['input'])}; allowed: {rule}{hint or '.'}"


def build(model: type[Options], values: Mapping[str, Any]) -> Any:
    """Returns the checked option model for `values` (text or typed values, nested sections as mappings).

    Raises:
        ConfigError: with one sentence per problem, each naming option, value and what is allowed.
    """
    try:
        return model(**values)
    except ValidationError as error:
        sentences = dict.fromkeys(_sentence(model, item) for item in error.errors(include_url=False))
        raise ConfigError("\n".join(sentences)) from None
    except TypeError:
        raise ConfigError(f"The options are {_shortened(values)}; allowed: names with values.") from None


def option_text(value: Any) -> str:
    """A value as it is written behind a flag."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    if isinstance(value, float):
        short = f"{value:.10g}"
        return short if float(short) == value else repr(value)
    return "null" if value is None else str(value)
