"""Paths as people write them, and a user without a home or a name, as in some containers."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY_PRETRAIN, flags

from simclr.files.user_paths import existing_folder, home, user_path

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    def unknown(*_):
        raise KeyError("uid not found")

    for name in ("HOME", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"simclr-home-{os.getuid()}"


def test_who_has_no_home_gets_a_folder_that_is_nobody_elses(nobody):
    assert home() == home() == nobody
    assert nobody.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["open to all", "a link", "a file"])
def test_a_folder_that_others_may_have_made_is_not_used(nobody, tmp_path, kind):
    if kind == "open to all":
        nobody.mkdir()
        nobody.chmod(0o777)
    elif kind == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        nobody.symlink_to(tmp_path / "theirs")
    else:
        nobody.touch(mode=0o600)
    with pytest.raises(OSError, match="only this user may use"):
        home()


def test_paths_with_a_home_and_without_sense(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/x") == tmp_path / "x" and home() == tmp_path
    assert user_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
    assert existing_folder("~") == tmp_path
    for text in ("x" * 300, "nul\0byte", "~nobody-of-this-name", str(tmp_path / "gone"), __file__):
        assert existing_folder(text) is None


def test_shapes_train_for_a_user_without_home_and_name(tmp_path):
    code = (
        "import pwd, sys\n"
        "def unknown(*_): raise KeyError('uid not found')\n"
        "pwd.getpwuid = unknown\n"
        "from simclr.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    without = {"HOME", "USER", "LOGNAME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "SIMCLR_DATA_DIR", "SIMCLR_RUNS_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in without}
    options = [*flags(TINY_PRETRAIN | {"epochs": 1}), "--runs_dir", str(tmp_path / "runs")]
    done = subprocess.run(
        [sys.executable, "-c", code, "pretrain", *options],
        env=environment | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"simclr-home-{os.getuid()}" / ".local" / "state" / "simclr" / "key").is_file()
