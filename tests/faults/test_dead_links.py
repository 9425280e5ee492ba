"""Links that lead nowhere, as in a container that does not mount what they lead to: one sentence, and no traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import TINY_PRETRAIN, make_folder
from dashboard_fixtures import open_page, texts
from trainings import run_and_find

from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.files.user_paths import dead_link
from simclr.views import sample_images

NOWHERE = "/nowhere/at/all"


def replace_by_link(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(NOWHERE)


def test_the_first_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "disk").symlink_to("/nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "good").symlink_to(tmp_path)
    assert (
        dead_link(tmp_path / "disk" / "set" / "x.png") == f"{tmp_path}/disk is a link to /nowhere, which is not there"
    )
    assert dead_link(tmp_path / "loop").startswith(f"{tmp_path}/loop is a link to loop, ")
    for path in (tmp_path, tmp_path / "good", tmp_path / "good" / "new", Path("a\0b"), Path("x" * 300), Path()):
        assert dead_link(path) == ""


def test_runs_whose_files_are_links_to_nowhere(
    tiny_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = run_and_find(tiny_runs, "pretrain", TINY_PRETRAIN | {"epochs": 1, "evaluate": "false"})
    capsys.readouterr()

    def told(*arguments: str) -> str:
        assert main(list(arguments)) == 2
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err + printed.out
        return printed.err.strip().splitlines()[-1]

    def copy(name: str, *links: str) -> runs.Run:
        run = runs.Run(shutil.copytree(trained.path, tiny_runs / name))
        runs.update_status(run.path, state="stopped", reason="on request")
        for link in links:
            replace_by_link(run.path / link)
        return run

    run = copy("folder", "checkpoints")
    assert told("resume", run.id, "--foreign") == (
        f"RUN is folder, whose checkpoints cannot be kept: {run.path}/checkpoints is a link to {NOWHERE}, which is not "
        "there. Remove that link to train it."
    )
    assert (run.status.state, run.status.reason) == ("failed", "bad input")

    names = [f"checkpoints/{path.name}" for path in (trained.path / runs.CHECKPOINTS).iterdir()]
    sentence = told("resume", copy("files", *names).id, "--foreign")
    assert f"/last.ckpt is a link to {NOWHERE}, which is not there) and cannot be gone on from" in sentence

    run = copy("log", runs.LOG)
    assert told("resume", run.id, "--foreign").startswith(
        f"{run.log_path} cannot be written: it is a link that leaves "
    )
    assert (run.status.state, run.status.reason) == ("failed", "bad input")

    run = copy("weights", "model.pt", "embeddings")
    runs.update_status(run.path, state="finished")
    link = f"({run.model_path} is a link to {NOWHERE}, which is not there)"
    for arguments in (("evaluate", run.id), ("finetune", "--experiment_version", run.id)):
        assert f"has no final weights yet {link}; allowed: " in told(*arguments, "--runs_dir", str(tiny_runs))
    weights = tmp_path / "shared"
    weights.mkdir()
    (weights / "model.safetensors").symlink_to(NOWHERE)
    for option in ("experiment_version", "init_weights"):
        sentence = told(
            "finetune" if option[0] == "e" else "pretrain", f"--{option}", str(weights), "--dataset", "shapes"
        )
        assert f"{option} is {weights} ({weights}/model.safetensors is a link to {NOWHERE}, which is not " in sentence

    (tiny_runs / "moved").symlink_to(NOWHERE)
    assert f"RUN is {tiny_runs}/moved ({tiny_runs}/moved is a link to {NOWHERE}" in told(
        "evaluate", f"{tiny_runs}/moved"
    )
    assert main(["runs", "--runs_dir", str(tiny_runs)]) == 0
    assert "1 link that leads nowhere is left out: moved." in capsys.readouterr().out
    app = open_page("runs")
    assert not app.exception and "1 link that leads nowhere is left out: moved." in texts(app)
    every = copy("every", *(path.name for path in trained.path.iterdir() if path.name != runs.CONFIG))
    for page, key in (
        ("run", "id"),
        ("embeddings", "left"),
        ("curves", "runs"),
        ("new_run", "clone"),
        ("results", "experiment"),
    ):
        for name in ("folder", "log", "weights", "moved", every.id):
            assert not open_page(page, **{key: name}).exception, (page, name)


def test_a_runs_folder_that_is_a_link_to_nowhere(tmp_path: Path) -> None:
    from simclr.config import PretrainConfig

    (tmp_path / "runs").symlink_to(NOWHERE)
    with pytest.raises(ConfigError) as caught:
        runs.create(PretrainConfig(dataset="shapes", backbone="resnet_tiny"), tmp_path / "runs")
    assert f"{tmp_path}/runs is a link to {NOWHERE}, which is not there" in str(caught.value)
    assert runs.list_runs(tmp_path / "runs") == []


@pytest.mark.parametrize("num_good", [0, 4])
def test_sample_images_pass_over_files_that_lead_nowhere(tmp_path: Path, num_good: int) -> None:
    folder = make_folder(tmp_path / "set", {"train/a": max(1, num_good), "train/b": max(1, num_good)})
    for label in "ab":
        for path in list((folder / "train" / label).iterdir())[num_good:]:
            path.unlink()
        for number in range(3):
            (folder / "train" / label / f"00-{number}.png").symlink_to(NOWHERE)
    if not num_good:
        with pytest.raises(ConfigError, match=r"00-0\.png cannot be read \(No such file or directory\)"):
            sample_images.load(str(folder), None)
        return
    found = sample_images.load(str(folder), None)
    assert len(found.images) == len(found.names) == 2 * num_good and set(found.names) == {"a", "b"}
