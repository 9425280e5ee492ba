"""Numbers, durations and dates as pages show them."""

from __future__ import annotations

import math
import re
import time

from simclr.training import time_left

# --- words ---------------------------------------------------------------------------------------------------------


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`; a dash where there is none to tell."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "–"
    return time_left.duration_text(seconds)


def ago(moment: float, now: float | None = None) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 d ago`."""
    seconds = max(0.0, (time.time() if now is None else now) - moment)
    for limit, unit, name in ((60, 1, ""), (3600, 60, "min"), (86_400, 3600, "h"), (math.inf, 86_400, "d")):
        if seconds < limit:
            return f"{int(seconds // unit)} {name} ago" if name else "just now"
    return ""


def fraction_text(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:g} %"


def thousands(value: float | None) -> str:
    """`12,345`, without digits after the point."""
    return "–" if value is None else f"{value:,.0f}"


def points(gain: float | None) -> str:
    """A difference of shares in percentage points: `+12.0 pp`; nothing is neither plus nor minus."""
    if gain is None:
        return "–"
    return "0.0 pp" if abs(gain) < 5e-4 else f"{100 * gain:+.1f} pp"


def fine_percent(value: float, digits: int = 1) -> str:
    """0.123 as `12.3 %`, with up to three digits where those would be none."""
    while digits < 3 and 0 < abs(100 * value) < 10.0**-digits:
        digits += 1
    return percent(value, digits)


def true_minus(text: str) -> str:
    """A sentence whose numbers have a true minus, as charts and tables do; a hyphen within a word stays."""
    return re.sub(r"(?<![^\s(])-(?=\d)", "−", text)


def signed_points(value: float) -> str:
    """A difference of shares in percentage points, with its sign and without a unit."""
    return true_minus(f"{100 * value:+.1f}")


def two_digits(value: float) -> str:
    """`0.00`, never with a minus sign."""
    return f"{round(float(value), 2) + 0.0:.2f}"
