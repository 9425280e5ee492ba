"""axe-core, which looks for what keeps people from using a page, in a tab of a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "javascript/node_modules/axe-core/axe.min.js"
IGNORED = "[data-testid=stSkipToContent]"  # Streamlit's own link, which stands before all landmarks on purpose
UNHEARD = {"presentation-role-conflict": {"enabled": False}}  # minor, in Streamlit's field for files
SHOWN = 4  # elements of one finding


def findings(page: Any) -> list[str]:
    """What axe finds on the page as it is shown, a line each: how serious, which rule, where.

    The script is evaluated, not added as an element, which a strict content policy would refuse.
    """
    if not SCRIPT.exists():
        pytest.fail(f"{SCRIPT} is not there; make test-javascript installs it.", pytrace=False)
    if not page.evaluate("'axe' in window"):
        page.evaluate(SCRIPT.read_text(encoding="utf-8"))
    found = page.evaluate("([exclude, rules]) => axe.run({ exclude }, { rules })", [[IGNORED], UNHEARD])
    lines = []
    for rule in found["violations"]:
        for node in rule["nodes"][:SHOWN]:
            why = " ".join(node.get("failureSummary", "").split())
            lines.append(f"{rule['impact']} {rule['id']}: {node['html'][:160]} ({why[:220]})")
    return lines
