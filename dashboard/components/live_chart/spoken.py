"""What a chart shows, in words for whoever hears the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

MAX_TRACES, MAX_BARS = 6, 12


def spoken(figure: Mapping[str, Any], title: str) -> str:
    """`title` and the axes, then of each line its first and last value, of each bar its value.

    Args:
        figure: plotly's `data` and `layout` as plain values.
    """
    layout = figure.get("layout", {})
    said = [text for trace in figure["data"] if (text := _of_trace(trace, layout))]
    more = [f"{len(said) - MAX_TRACES} more"] if len(said) > MAX_TRACES else []
    return ". ".join([title + _axes(layout), *said[:MAX_TRACES], *more]) + "."


def _axes(layout: Mapping[str, Any]) -> str:
    names = [_title(layout.get(axis, {})) for axis in ("yaxis", "xaxis")]
    return f" ({' by '.join(filter(None, names))})" if any(names) else ""


def _title(axis: Mapping[str, Any]) -> str:
    found = axis.get("title")
    return str((found.get("text") if isinstance(found, Mapping) else found) or "")


def _of_trace(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> str:
    name = str(trace.get("name") or "")
    if trace.get("type") == "bar":
        across = trace.get("orientation") == "h"
        labels, values = (trace["y"], trace["x"]) if across else (trace["x"], trace["y"])
        axis = layout.get("xaxis" if across else "yaxis", {})
        bars = [f"{label} {_with_unit(value, axis)}" for label, value in zip(labels, values, strict=True) if _is(value)]
        more = [f"{len(bars) - MAX_BARS} more"] if len(bars) > MAX_BARS else []
        return (f"{name}: " if name else "") + ", ".join(bars[:MAX_BARS] + more)
    numbers = [value for value in _values(trace) if _is(value)]
    if not numbers or (not name and len(numbers) < 2):
        return ""  # a mark of the drawing
    axis = layout.get("yaxis", {})
    if "lines" in trace.get("mode", "lines"):
        first, last = numbers[0], numbers[-1]
        place = f"from {_with_unit(first, axis)} to {_with_unit(last, axis)}"
    else:
        place = f"{len(numbers)} points from {_with_unit(min(numbers), axis)} to {_with_unit(max(numbers), axis)}"
    return f"{name}: {place}" if name else place


def _values(trace: Mapping[str, Any]) -> Iterable[Any]:
    found = trace.get("y")
    return () if found is None else found


def _is(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _with_unit(value: float, axis: Mapping[str, Any]) -> str:
    if "%" in str(axis.get("tickformat", "")):
        return f"{100 * value:.4g} %"
    return f"{value:.4g}{axis.get('ticksuffix', '')}"
