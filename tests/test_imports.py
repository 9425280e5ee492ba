"""The arrows between modules: what may be imported from where, and what stays unloaded."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import simclr

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "simclr").rglob("*.py"))


def loaded_by(code):
    """Names of all modules that a fresh interpreter has loaded after `code`."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return set(found.stdout.split())


def imports_of(path, top_level_only=False):
    """Every module name that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "."} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_options_runs_launcher_and_command_line_load_no_torch():
    loaded = loaded_by(
        "import simclr.config, simclr.runs, simclr.launch.control, simclr.run_queue, simclr.cli.main, simclr.__main__"
    )
    for heavy in ("torch", "torchvision", "lightning", "sklearn", "streamlit", "plotly", "umap", "pandas"):
        assert heavy not in loaded


def test_public_names_are_imported_on_first_use():
    assert not [name for name in loaded_by("import simclr") if name.startswith("simclr.") or name == "torch"]
    names = ", ".join(simclr.PUBLIC)
    assert {f"simclr.{module}" for module in simclr.PUBLIC.values()} <= loaded_by(f"from simclr import {names}")
    with pytest.raises(ImportError, match="nothing"):
        from simclr import nothing  # noqa: F401


def test_public_names_are_the_same_in_all_and_for_type_checkers():
    assert set(simclr.__all__) == {*simclr.PUBLIC, "__version__"}
    assert set(simclr.__all__) <= set(dir(simclr))
    block = next(node for node in ast.parse((ROOT / "simclr/__init__.py").read_text()).body if isinstance(node, ast.If))
    found = {alias.name: node.module for node in block.body for alias in node.names}
    assert found == {name: f"simclr.{module}" for name, module in simclr.PUBLIC.items()}
    assert (ROOT / "simclr" / "py.typed").is_file()


def test_training_loads_no_dashboard_libraries():
    loaded = loaded_by("import simclr.lifecycle.train, simclr.cli.main")
    for other in ("streamlit", "plotly", "umap", "openTSNE", "dashboard"):
        assert other not in loaded
    assert "torch" in loaded


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_the_training_package_never_imports_the_dashboard(path):
    names = imports_of(path)
    # bench draws its curves, a report carries plotly.js, and a run of the library is plotted; they load it only then
    draws = path.parent.name in ("bench", "report", "library")
    others = ("dashboard", "streamlit") if draws else ("dashboard", "streamlit", "plotly")
    assert not [name for name in names if name.split(".")[0] in others]
    slow = ("umap", "openTSNE", "plotly")
    assert not [name for name in imports_of(path, top_level_only=True) if name.split(".")[0] in slow]


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent.name in ("views", "models", "objectives")])
def test_the_parts_do_not_know_the_whole(path):
    for found in imports_of(path):
        assert found.split(".")[0] != "lightning"
        assert not found.startswith("simclr.runs")


def test_macos_has_every_function_of_the_system_that_is_called():
    """By the standard library's types for the oldest Python allowed; `hasattr` and `getattr` are understood."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--platform",
        "darwin",
        "--follow-imports",
        "skip",
        "--cache-dir",
        os.devnull,
        "simclr",
        "dashboard",
    ]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "Found" in found.stdout, found.stderr  # what is skipped counts as an error, so there always are some
    assert not [line for line in found.stdout.splitlines() if "Module has no attribute" in line]
