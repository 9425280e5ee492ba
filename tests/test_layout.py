"""The plan of the house: in which wing each file lives, and that imports go one way through the wings."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILES, MAX_LINES = 13, 600

# Each wing may import from those above it and from itself. Those on one line do not know each other.
# files: the guarded reader, which the options need too, and the writer that belongs to it.
ORDER = """
    files
    config
    hardware
    runs
    launch
    curves
    results
    run_table
    experiments
    data
    views
    models
    objectives
    words
    evaluation
    training
    lifecycle
    sweeps
    added
    embeddings
    image_sets
    encoders
    library
    transfer
    films
    analysis
    report
    lessons
    bench
    cli
    entry
    components
    shared
    maps
    page_runs page_trash page_copies page_new_run page_run page_experiments page_curves page_results page_race \
page_embeddings page_augmentations page_transfer page_lessons page_gallery
    shell
"""
LEVELS = {wing: level for level, line in enumerate(ORDER.split("\n")) for wing in line.split()}

# At the root of the packages: what Python and Streamlit start, and entry points of processes. Job scripts in a queue
# and what was started by the version before name these, so they stay where they are.
ENTRY_POINTS = {"supervisor", "run_queue", "slurm_job", "measure", "map_worker"}
AT_THE_ROOT = {"simclr": {"__main__", *ENTRY_POINTS}, "dashboard": {"app", "shell", "access"}}

# These load no torch when they are imported, nor does any wing above data.
WITHOUT_TORCH = (
    "simclr.data.own_images",
    "simclr.lifecycle.counts",
    "simclr.lifecycle.estimate",
    "simclr.lifecycle.experiment",
    "simclr.lifecycle.extend",
    "simclr.lifecycle.other_devices",
    "simclr.evaluation.health",
    "simclr.evaluation.few_shot",
    "simclr.evaluation.kept",
    "simclr.evaluation.knn",
    "simclr.evaluation.leaks.nearest",
    "simclr.evaluation.leaks.record",
    "simclr.sweeps",
    "simclr.added",
    "simclr.words.captions",
    "simclr.embeddings",
    "simclr.image_sets",
    "simclr.encoders.exported",
    "simclr.encoders.table_files",
    "simclr.films",
    "simclr.transfer.matrix",
    "simclr.analysis",
    "simclr.report",
    "simclr.lessons",
    "simclr.cli",
)


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_of(path): path for package in AT_THE_ROOT for path in sorted((ROOT / package).rglob("*.py"))}
del PATHS["simclr"], PATHS["dashboard"]  # a package's own names, which may come from anywhere below


def wing_of(module):
    """The folder's name; that of a page, which may be the name of a wing of `simclr`, with `page_` before it."""
    package, name = module.split(".")[:2]
    if name in AT_THE_ROOT[package]:
        return "entry" if package == "simclr" else "shell"
    return f"page_{name}" if package == "dashboard" and f"page_{name}" in LEVELS else name


def imports_of(path):
    """The modules of this repository that a file imports, also within functions and for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are written in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in PATHS else node.module for name in names]
        else:
            continue
        yield from (name for name in names if name in PATHS)


ARROWS = {module: set(imports_of(path)) - {module} for module, path in PATHS.items()}


def reached_from(module):
    found, new = set(), {module}
    while new:
        new = set().union(*(ARROWS[name] for name in new)) - found
        found |= new
    return found


def test_every_file_has_a_wing_and_only_what_is_started_lies_at_the_root():
    assert not [module for module in PATHS if wing_of(module) not in LEVELS]
    for package, names in AT_THE_ROOT.items():
        assert {path.stem for path in (ROOT / package).glob("*.py")} == names | {"__init__"}


def test_imports_go_one_way():
    found = {
        f"{module} -> {other}"
        for module, others in ARROWS.items()
        for other in others
        if wing_of(module) != wing_of(other) and LEVELS[wing_of(module)] <= LEVELS[wing_of(other)]
    }
    assert not found


def test_no_modules_import_each_other_in_a_circle():
    reached = {module: reached_from(module) for module in ARROWS}
    found = {
        " ".join(sorted(other for other in reached[module] if module in reached[other]))
        for module in ARROWS
        if module in reached[module]
    }
    assert not found


def test_files_and_folders_stay_small():
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in PATHS.items()}
    assert not {module: number for module, number in lines.items() if number > MAX_LINES}
    folders = [path.parent for path in PATHS.values() if path.name != "__init__.py"]
    assert not {str(folder.relative_to(ROOT)) for folder in folders if folders.count(folder) > MAX_FILES}


def test_torch_is_loaded_only_where_something_is_computed():
    """One process imports them one after the other, and names the first after which torch is there."""
    modules = [
        module
        for module in PATHS
        if module.startswith(WITHOUT_TORCH) or LEVELS[wing_of(module)] < LEVELS["data"] or wing_of(module) == "entry"
    ]
    modules.remove("simclr.measure")
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by their names alone."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []
