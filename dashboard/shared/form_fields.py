"""Options as widgets, and what was typed back into the form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.shared import forms, url_state
from dashboard.shared.forms import WIDGETS, Obstacle, section_names, state
from simclr import config as cfg
from simclr.config.remedies import Remedy


def widget_name(mark: str, option: str) -> str:
    """What the widget of an option is called; `mark` is the kind of run, or what else the option belongs to."""
    return f"{WIDGETS}{mark}-{option}"


def apply_widget(model: type[cfg.Options], mark: str, values: dict[str, Any]) -> None:
    """Takes over what the widgets of a model's options hold, where they are drawn."""
    for name, info in cfg.option_names(model).items():
        widget = widget_name(mark, name)
        if url_state.is_started(widget):
            new = url_state.value_of(widget)
            values[name] = (None if cfg.is_optional(info) else "") if new == "" else new


def collect() -> None:
    """Takes over what the widgets hold now. A callback runs before the page is drawn, and so before `draw` does it."""
    kept = state()
    values, model = kept["values"], cfg.MODELS[kept["kind"]]
    apply_widget(model, kept["kind"], values)
    for section in section_names(model):
        if url_state.value_of(f"{WIDGETS}section-{section}") is False:
            values |= {name: None for name in cfg.option_names(model) if name.startswith(f"{section}.")}
    for control, name in (
        ("experiment", "experiment_version"),
        ("fraction", "label_fraction"),
        ("arm", "freeze_encoder"),
    ):
        if url_state.is_started(WIDGETS + control):
            new = url_state.value_of(WIDGETS + control)
            if new is not None or name == "experiment_version":
                values[name] = new


# --- widgets -------------------------------------------------------------------------------------------------------


def help_text(info: Any) -> str:
    """The option's own description with what is allowed."""
    return escape.markdown(f"{info.description} Allowed: {cfg.allowed(info)}.")


def when_unset(info: Any) -> str:
    """What stands in the field of an option without a value: "All", "The next free one"."""
    words = cfg.unset_words(info) or "not set"
    return words[:1].upper() + words[1:]


def use(remedy: Remedy) -> None:
    """Takes over a value that would do, with what was typed meanwhile."""
    collect()
    forms.use(remedy.option, remedy.value)


def mark(found: Obstacle, label: str) -> None:
    """Below a field: what is wrong, and the value that would do, one click away.

    Args:
        label: of the click.
    """
    with st.container(gap=None):
        st.markdown(f":small[:red[{escape.markdown(found.sentence)}]]")
        if found.remedy is not None:
            st.button(
                escape.markdown(label),
                key=f"would-do-{found.option or found.remedy.option}",
                icon=":material/build:",
                type="tertiary",
                on_click=use,
                args=(found.remedy,),
            )


def draw(
    name: str,
    info: Any,
    errors: Mapping[str, Callable[[], None]],
    values: dict[str, Any] | None = None,
    mark: str = "",
    words: Sequence[str] = (),
) -> None:
    """One option as a widget, its value kept, and under it what is wrong with it.

    Args:
        errors: by option, what draws the marks below its field.
        values, mark: where its value is kept, and what tells its widget from others; unset: the form's.
        words: to choose from, where any other text may stand too.
    """
    kept = state()
    widget = widget_name(mark or kept["kind"], name)
    values = kept["values"] if values is None else values
    value = values.get(name)
    kind, optional = cfg.field_type(info), cfg.is_optional(info)
    about = f"{help_text(info)} In a file or behind a flag: `{name}`."

    def common(first: Any) -> dict[str, Any]:
        return {"help": about, **url_state.start(widget, first)}

    label = cfg.label(name.rpartition(".")[2], info)
    nothing = when_unset(info)
    if (unit := cfg.extra(info, "unit")) and unit in (bare := label.removesuffix(f" ({unit})")).lower().split():
        label = bare
    open_words = cfg.DATASETS if name == "dataset" else words
    if words := open_words or cfg.choices(info):
        options: list[Any] = ([None] if optional else []) + list(words)
        if value is not None and value not in options:
            options.append(value)
        new: Any = st.selectbox(
            label,
            options,
            format_func=lambda word: nothing if word is None else word,
            accept_new_options=bool(open_words),
            placeholder=nothing,
            **common(value if value is not None or optional else options[0]),
        )
    elif kind is bool:
        new = st.toggle(label, **common(bool(value)))
    elif kind in (int, float):
        step = 1 if kind is int else _step(value, info)
        # only a number that may be unset can be cleared
        unset: dict[str, Any] = {"value": None, "placeholder": nothing} if optional or value is None else {}
        new = st.number_input(label, step=step, format="%d" if kind is int else "%.6g", **unset, **common(value))
    elif name in ("notes", "extra_lines"):
        new = st.text_area(
            label, height=80, **common("\n".join(value) if isinstance(value, (list, tuple)) else value or "")
        )
    else:
        new = st.text_input(
            label,
            placeholder=nothing if optional else "",
            **common(", ".join(value) if isinstance(value, (list, tuple)) else value or ""),
        ) or (None if optional else "")
    values[name] = new
    if name in errors:
        errors[name]()


def _step(value: Any, info: Any) -> float:
    """A step that suits the size of a number: 0.05 for shares, a tenth of the leading digit's place for others."""
    limits = cfg.bounds(info)
    if limits.get("le") in (1, 0.5):
        return 0.05
    size = abs(value) if isinstance(value, (int, float)) and value else abs(info.default or 0) or 0.001
    return float(10.0 ** math.floor(math.log10(size)))


def section_toggle(section: str) -> bool:
    """For a section that may be unset: a switch; returns whether the section's own values count."""
    kept = state()
    model = cfg.MODELS[kept["kind"]]
    info = model.model_fields[section]
    if not cfg.is_optional(info):
        return True
    names = [name for name in cfg.option_names(model) if name.startswith(f"{section}.")]
    given = any(kept["values"].get(name) is not None for name in names)
    switch = url_state.start(f"{WIDGETS}section-{section}", given)
    wanted = st.toggle(f"Set {section} by hand", help=help_text(info), **switch)
    if wanted and not given:
        kept["values"] |= {name: getattr(cfg.CROP_AND_FLIP, name.partition(".")[2]) for name in names}
    if not wanted:
        kept["values"] |= dict.fromkeys(names)
        url_state.forget(*[widget_name(kept["kind"], name) for name in names])
    return wanted
