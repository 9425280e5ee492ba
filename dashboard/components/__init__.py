"""Custom components: each folder holds its scripts and style beside the Python that mounts it; `common` serves all.

The scripts are ES modules. A browser is given the one named as its folder together with all that it imports as a
single module: Streamlit takes one text, and a page in a file of its own can load no other.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import streamlit as st

FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import \{([\w\s,$]*)\} from "(\.{1,2}/[\w./]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async |)(?:function|class|const|let)\b)", re.MULTILINE)
_REST = re.compile(r"^(?:import\b|export (?!default function )).*", re.MULTILINE)
_NOTES = re.compile(r"^ */\*\*(?:(?!\*/).)*\*/\n", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"^(?:export )?(?:default )?(?:async )?(?:function\*?|class|const|let|var) (\w+)", re.MULTILINE)


def linked(entry: Path) -> str:
    """A script and all that it imports as one module, each file after those it imports.

    Import lines are left out, and so are comments on lines of their own that name types: a fifth of the bytes.

    Raises:
        ValueError: two files give something the same name, or an import or export is of another form than
            `import { name } from "./file.js";`, `export function` and `export const`.
    """
    texts: dict[Path, str] = {}
    seen: set[Path] = set()
    owners: dict[str, Path] = {}

    def take(file: Path) -> None:
        if file in seen:
            return  # also where two files import each other: their functions are all known before anything runs
        seen.add(file)
        text = file.read_text(encoding="utf-8")
        for _, address in _IMPORT.findall(text):
            take((file.parent / address).resolve())
        for name in _NAME.findall(text):
            if owners.setdefault(name, file) is not file:
                raise ValueError(f"{name} stands in {owners[name]} and in {file}, which are linked into one module")
        texts[file] = _EXPORT.sub("", _IMPORT.sub("", _NOTES.sub("", text)))
        if (rest := _REST.search(texts[file])) or (" as " in "".join(names for names, _ in _IMPORT.findall(text))):
            raise ValueError(f"{file} cannot be linked: {rest[0] if rest else 'an import is renamed'}")

    take(entry.resolve())
    return "\n".join(texts.values())


def script(name: str) -> str:
    """What the browser runs for the component in the folder `name`."""
    return linked(FOLDER / name / f"{name}.js")


def style(name: str) -> str:
    """The style sheets in the folder `name`, one after the other, and those that all share."""
    files = [*sorted((FOLDER / name).glob("*.css")), *sorted((FOLDER / "common").glob("*.css"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@st.cache_resource(max_entries=16, show_spinner=False)
def registered(name: str) -> Any:
    """The component in the folder `name`; registered once per server, or its script would be sent again."""
    return st.components.v2.component(f"simclr_{name}", css=style(name), js=script(name), isolate_styles=False)
