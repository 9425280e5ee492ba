"""The plan of the house: in which wing each file lives, and that imports go one way through the wings.

Files are moving into folders of their wing's name. Until one has moved, `WINGS` names its wing. What breaks the plan
today is listed below, and a list only ever gets shorter: a new exception fails, and so does one that is gone.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

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
    results
    data
    views
    models
    objectives
    evaluation
    training
    lifecycle
    embeddings
    analysis
    bench
    cli
    components
    shared
    page_runs page_new_run page_run page_curves page_results page_embeddings page_augmentations
    shell
"""
LEVELS = {wing: level for level, line in enumerate(ORDER.split("\n")) for wing in line.split()}

# Where the files that have not moved yet belong.
WINGS = {
    "simclr": {
        "files": "safe_read",
        "config": "config",
        "hardware": "devices nvidia usage process_ids processes",
        "runs": "runs status seals slurm_states foreign eta ranks film_frames",
        "launch": "launch supervisor run_queue jobs slurm control",
        "data": "data images folders folder_layout downloads shapes stratify transfer",
        "views": "augment thumbnails",
        "models": "backbones heads compute weights",
        "objectives": "loss metrics optim",
        "evaluation": "evaluate features probes health",
        "training": "model datamodule callbacks checkpoints",
        "lifecycle": "train signals slurm_job estimate measure",
        "embeddings": "embeddings embed reduce compare film map_worker",
        "analysis": "lab",
        "bench": "bench budget",
        "cli": "cli __main__",
    },
    "dashboard": {
        "components": "escape",
        "shared": "store run_labels charts forms gallery ui waiting embedding_jobs",
        "page_runs": "app_pages.runs",
        "page_new_run": "app_pages.new_run checking folder_reading places",
        "page_run": "app_pages.run health_panel",
        "page_curves": "app_pages.curves curve_data",
        "page_results": "app_pages.results",
        "page_embeddings": "app_pages.embeddings embedding_choice embedding_colors embedding_export embedding_film "
        "embedding_numbers embedding_selection embedding_view",
        "page_augmentations": "app_pages.augmentations augmentation_choice augmentation_images lab_encoder shortcut",
        "shell": "app shell access",
    },
}
WING_OF = {
    f"{package}.{name}": wing
    for package, wings in WINGS.items()
    for wing, names in wings.items()
    for name in names.split()
}

# --- what breaks the plan today -------------------------------------------------------------------------------------

AGAINST_THE_ORDER: set[str] = set()
CIRCLES: set[str] = set()
LONG_FILES: set[str] = {
    "dashboard.lab_encoder",
    "simclr.augment",
    "simclr.bench",
    "simclr.config",
    "simclr.embed",
    "simclr.health",
    "simclr.lab",
    "simclr.runs",
    "simclr.train",
}
FULL_FOLDERS: set[str] = {
    "dashboard",
    "simclr",
}

# These load no torch when they are imported, nor does any wing above data.
WITHOUT_TORCH = "estimate health embeddings embed reduce compare film map_worker lab cli"


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_of(path): path for package in WINGS for path in sorted((ROOT / package).rglob("*.py"))}
del PATHS["simclr"], PATHS["dashboard"]  # a package's own names, which may come from anywhere below


def wing_of(module):
    """By the table, else by the folder; a page's name may be that of a wing of `simclr`."""
    package, name = module.split(".")[:2]
    page = f"page_{name}"
    return WING_OF.get(module) or (page if package == "dashboard" and page in LEVELS else name)


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


def check(found, listed):
    assert not found - listed, f"new: {sorted(found - listed)}"
    assert not listed - found, f"gone, to be taken off the list: {sorted(listed - found)}"


def test_every_file_has_a_wing_and_the_table_names_only_files():
    assert not [module for module in PATHS if wing_of(module) not in LEVELS and module != "dashboard.app_pages"]
    assert not set(WING_OF) - set(PATHS)


def test_imports_go_one_way():
    found = {
        f"{module} -> {other}"
        for module, others in ARROWS.items()
        for other in others
        if wing_of(module) != wing_of(other) and LEVELS[wing_of(module)] <= LEVELS[wing_of(other)]
    }
    check(found, AGAINST_THE_ORDER)


def test_no_modules_import_each_other_in_a_circle():
    reached = {module: reached_from(module) for module in ARROWS}
    found = {
        " ".join(sorted(other for other in reached[module] if module in reached[other]))
        for module in ARROWS
        if module in reached[module]
    }
    check(found, CIRCLES)


def test_files_and_folders_stay_small():
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in PATHS.items()}
    check({module for module, number in lines.items() if number > MAX_LINES}, LONG_FILES)
    folders = [path.parent for path in PATHS.values() if path.name != "__init__.py"]
    full = {str(folder.relative_to(ROOT)) for folder in folders if folders.count(folder) > MAX_FILES}
    check(full, FULL_FOLDERS)


def test_torch_is_loaded_only_where_something_is_computed():
    """One process imports them one after the other, and names the first after which torch is there."""
    light = {f"simclr.{name}" for name in WITHOUT_TORCH.split()}
    modules = [
        module
        for module in PATHS
        if module.startswith("simclr.")
        and module != "simclr.__main__"
        and (module in light or LEVELS[wing_of(module)] < LEVELS["data"])
    ]
    assert light <= set(modules)
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["supervisor", "run_queue", "slurm_job"])
def test_what_the_version_before_has_started_finds_its_modules(module):
    """Job scripts in a queue and living supervisors name these at the root of the package."""
    assert (ROOT / "simclr" / f"{module}.py").is_file()
