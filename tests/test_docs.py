"""Every option, command and recipe explains itself."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import make_folder

import simclr
from simclr import config as cfg
from simclr.added import sets
from simclr.cli import help_texts, parser
from simclr.cli import main as cli
from simclr.cli.main import main
from simclr.config import FinetuneConfig, PretrainConfig
from simclr.models import small_networks

OPTIONS = [(model, name) for model in (PretrainConfig, FinetuneConfig) for name in cfg.option_names(model)]


@pytest.mark.parametrize(("model", "name"), OPTIONS, ids=[f"{model.__name__}.{name}" for model, name in OPTIONS])
def test_every_option_has_help_range_and_group(model, name):
    info = cfg.option_names(model)[name]
    assert info.description.endswith(".")
    assert info.description[0].isupper() or info.description.split()[0].strip(",:") in (*cfg.DATASETS, "linear")
    assert 10 < len(info.description) < 200
    assert cfg.extra(info, "group") in cfg.GROUPS
    assert cfg.label(name.rpartition(".")[2], info)
    if cfg.field_type(info) in (int, float):
        assert {"ge", "gt"} & cfg.bounds(info).keys(), "no lower limit"
        assert " " in cfg.allowed(info)


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_help_shows_every_option_with_its_range_and_default(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    for name, info in cfg.option_names(cfg.MODELS[command]).items():
        assert f"--{name} VALUE" in words
        assert f"Allowed: {cfg.allowed(info)}. Default: " in words
    for flag in ("--config", "--print_config", "--runs_dir", "--run_dir"):
        assert flag in words
    assert "examples:" in words


@pytest.mark.parametrize("command", [name for name in cli.COMMANDS if name not in ("pretrain", "finetune")])
def test_the_other_commands_have_help_and_examples(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert help_texts.SUMMARIES[command].split(".")[0][:30] in " ".join(text.split())
    assert f"python -m simclr {command}" in text
    assert "example" in text


def test_every_command_has_a_summary_and_stands_in_the_overview():
    assert set(cli.COMMANDS) == set(help_texts.SUMMARIES) == set(help_texts.EXAMPLES)
    for command in cli.COMMANDS:
        assert f"\n  {command} " in help_texts.DESCRIPTION


def test_the_examples_in_the_help_are_valid():
    """Every `pretrain` and `finetune` line of the help parses, with its recipe where it is shipped."""
    found = 0
    for command in ("pretrain", "finetune"):
        for line in help_texts.EXAMPLES[command].splitlines()[1:]:
            arguments = line.split()[4:]
            config, _ = parser.parse_run_options(command, arguments)
            assert config.kind in ("pretrain", "finetune", "scratch")
            found += 1
    assert found >= 6


@pytest.mark.parametrize("name", cfg.recipe_names())
def test_recipes_say_what_they_are(name):
    for kind in ("pretrain", "finetune", "scratch"):
        path = cfg.RECIPES_DIR / (f"{name}.yaml" if kind == "pretrain" else f"{name}-{kind}.yaml")
        assert path.read_text().startswith("# ")


ROOT = Path(__file__).parent.parent
FOLDERS = (".", "simclr", "simclr/bench", "dashboard", "tests", "runs/examples")
README, PACKAGE_README = ((ROOT / folder / "README.md").read_text(encoding="utf-8") for folder in FOLDERS[:2])


FOR_DEVELOPERS = {ROOT / "dashboard/gallery/page.py"}


@pytest.mark.parametrize("page", sorted({*(ROOT / "dashboard").glob("*/page.py")} - FOR_DEVELOPERS))
def test_readme_names_every_page(page):
    title = page.parent.name.replace("_", " ").capitalize()
    assert re.search(rf"\b{title}\b", README)


@pytest.mark.parametrize("name", [*cli.COMMANDS, *cfg.recipe_names(), *cfg.DATASETS])
def test_readme_names_every_command_recipe_and_data_set(name):
    assert re.search(rf"\b{name}\b", PACKAGE_README)


def test_readme_is_short_and_names_the_set_up_and_the_paper():
    assert len(README.splitlines()) < 150
    for line in ("make run", "make test", "pip install -r requirements.txt", "streamlit run dashboard/app.py"):
        assert f"\n    {line}" in README
    assert "2002.05709" in README


@pytest.mark.parametrize("folder", FOLDERS)
def test_readmes_name_only_files_that_exist(folder):
    text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    for path in links:
        assert (ROOT / folder / path).is_file(), path
    named = re.findall(r"(?:simclr/recipes|tests)/[\w/-]+\.(?:yaml|py)", text)
    for path in named:
        assert (ROOT / path).is_file(), path
    assert links or named


def test_readme_shows_pictures():
    assert len(re.findall(r"!\[[^\]]+\]\(", README)) >= 3


def test_the_lines_of_the_library_run_as_they_stand(tmp_path):
    """All blocks under "As a library", one after the other as a script, in a folder with some photographs."""
    section = re.search(r"\n## As a library\n(.*?)\n## ", PACKAGE_README, re.S)[1]
    assert len(section.splitlines()) < 120
    blocks = re.findall(r"\n\n((?:    .*\n|\n)+)", section)
    assert len(blocks) == 6
    code = "\n".join(textwrap.dedent(block) for block in blocks)
    for name in set(simclr.__all__) - {"ConfigError", "FinetuneConfig", "PretrainConfig", "Run", "build_encoder"}:
        assert f"simclr.{name}" in section or name in ("__version__", "AddedSet", "Encoder")
    make_folder(tmp_path, {"photos": 5}, side=40)
    (tmp_path / "photos" / "000.png").rename(tmp_path / "photos" / "cat.png")
    (tmp_path / "script.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SIMCLR_DATA_DIR": str(tmp_path / "data")}
    environment.pop("SIMCLR_RUNS_DIR", None)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert " finished 0." in done.stdout
    assert "\n5 3\n" in done.stdout and sets.find("mean_color", tmp_path / "runs").num_rows == 5
    assert (tmp_path / "curves.html").stat().st_size > 1000
    kinds = sorted(path.name.split("-")[2] for path in (tmp_path / "runs").iterdir() if path.name[:1].isdigit())
    assert kinds == ["finetune", "pretrain", "pretrain"]


def test_readme_code_loads_a_real_model(finished_run):
    """The lines under "A run folder" as they stand, with this run's sizes in place of the recipe's."""
    code = re.search(r"```python\n(.*?)```", PACKAGE_README.split("\n## A run folder\n")[1], re.S)[1]
    assert "load_state_dict" in code
    assert "torchvision.models.resnet18()" in code
    config = finished_run.config
    assert config["backbone"] == "resnet_tiny"  # so that the test stays quick: the same lines on its own network
    code = code.replace("torchvision.models.resnet18()", "small_networks.TinyResNet()")
    code = code.replace("runs/.../model.pt", "PATH")
    code = code.replace('"PATH"', "path").replace("512, 2048", f"128, {config['hidden_dim']}")
    code = code.replace("2048, 128", f"{config['hidden_dim']}, {config['projection_dim']}")
    code = code.replace("net.conv1, net.maxpool =", "_, net.maxpool =")
    scope = {"small_networks": small_networks, "path": finished_run.model_path}
    exec(code, scope)
    import torch

    assert scope["net"](torch.zeros(2, 3, 16, 16)).shape == (2, 128)
