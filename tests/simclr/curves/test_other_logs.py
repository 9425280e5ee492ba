"""CSV logs of other programs: found, named, read whatever their state, and never changed."""

import os
import subprocess
import sys

import numpy as np
import pytest
from dashboard_fixtures import make_run
from lightning_log import write_log

from simclr.config import ConfigError
from simclr.curves import other_logs
from simclr.files import safe_read
from simclr.runs import metrics_csv


def test_what_lightning_writes_is_read_as_it_was_logged(tmp_path):
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    logger = loggers.CSVLogger(tmp_path, name="lightning_logs")
    logger.log_hyperparams({"lr": 0.1, "widths": (3, 4), "model": {"depth": 3}})
    logger.log_metrics({"train_loss": 1.5, "epoch": 0}, step=0)
    logger.log_metrics({"val_acc": 0.5, "epoch": 0}, step=9)
    logger.save()
    (log,) = other_logs.open_folder(str(tmp_path))
    assert log.title == "lightning_logs/version_0"
    assert set(metrics_csv.metric_names(log.file)) == {"epoch", "step", "train_loss", "val_acc"}
    columns = metrics_csv.read_columns(log.file, ["step", "val_acc", "no such column"])
    assert columns["step"].tolist() == [0, 9]
    np.testing.assert_array_equal(columns["val_acc"], [np.nan, 0.5])
    options = other_logs.flat(safe_read.yaml_dict(log.options_path))
    assert options["lr"] == 0.1
    assert options["model.depth"] == 3


def test_logs_in_the_runs_folder_are_found_and_runs_are_left_out(tmp_path):
    make_run(tmp_path)
    for name in ("lightning_logs/version_10", "lightning_logs/version_2", "alone", ".hidden/version_0"):
        write_log(tmp_path / name)
    write_log(tmp_path / "a/b/c/too-deep")
    assert [log.id for log in other_logs.find_logs(tmp_path)] == [
        "alone",
        "lightning_logs/version_2",
        "lightning_logs/version_10",
    ]


def test_a_folder_may_be_a_log_itself_and_its_file_may_be_named(tmp_path):
    folder = write_log(tmp_path / "version_3")
    for text in (str(folder), f" {folder}/ ", str(folder / "metrics.csv")):
        (log,) = other_logs.open_folder(text)
        assert (log.id, log.title) == (str(folder), "version_3")


def test_links_are_not_followed_in_circles(tmp_path):
    write_log(tmp_path / "version_0")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(other_logs.open_folder(str(tmp_path))) == 1


@pytest.mark.parametrize("text", ["/no/such/folder", "\0", "x" * 5000, "~nobody-of-that-name/logs", "/dev/null"])
def test_a_folder_that_is_not_there_gives_one_sentence(text):
    with pytest.raises(ConfigError, match=r"not there or cannot be read; allowed: a folder with a metrics\.csv"):
        other_logs.open_folder(text)


def test_a_folder_without_logs_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"which holds no log; allowed: a folder with a metrics\.csv"):
        other_logs.open_folder(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b\n1,2\n3,4\n5", [1, 3]),  # torn
        ("a,b\n1,2\n1,2,3\n3,4\n", [1, 3]),  # too many cells
        ("a,b\n1,2\n1\n\n3,4\n", [1, 3]),  # too few
        ("a,b\n1,2\nx,4\n", [1, np.nan]),  # no number
        (b"a,b\n1,2\n\xff\xfe\x00,2\n", [1, np.nan]),  # binary
        ('a,b\n"1,2\n3,4\n', [np.nan, 3]),  # a quotation mark that is never closed
        ("\ufeffa,b\r\n1,2\r\n3,4\r\n", [1, 3]),  # as Windows writes it
    ],
)
def test_damaged_lines_cost_themselves_only(tmp_path, text, values):
    path = write_log(tmp_path, text) / "metrics.csv"
    np.testing.assert_array_equal(metrics_csv.read_columns(path, ["a"])["a"], values)


@pytest.mark.parametrize("text", ["", "a,b", "\n\n", ",,\n1,2,3\n", b"\x00\x01\x02", "a\n"])
def test_files_without_values_give_none(tmp_path, text):
    path = write_log(tmp_path, text) / "metrics.csv"
    columns = metrics_csv.read_columns(path, metrics_csv.metric_names(path))
    assert sum(len(values) for values in columns.values()) == 0


def test_thousands_of_columns_are_read_one_by_one(tmp_path):
    names = [f"layer_{number}/norm" for number in range(5000)]
    path = write_log(tmp_path, "step," + ",".join(names) + "\n0" + ",1.5" * 5000 + "\n") / "metrics.csv"
    assert len(metrics_csv.metric_names(path)) == 5001
    assert list(metrics_csv.read_columns(path, ["layer_4999/norm"])) == ["layer_4999/norm"]


def test_a_file_that_grew_or_got_other_columns_is_read_anew(tmp_path):
    path = write_log(tmp_path) / "metrics.csv"
    assert "val_loss" not in metrics_csv.metric_names(path)
    write_log(tmp_path, "epoch,step,train_loss,val_loss\n0,0,1.5,\n0,1,1.25,2\n")  # as Lightning does for a new metric
    os.utime(path, ns=(1, 1))
    assert metrics_csv.read_columns(path, metrics_csv.metric_names(path))["val_loss"][-1] == 2


def test_objects_in_hparams_are_never_made(tmp_path):
    marker = tmp_path / "made"
    hparams = (
        f"command: !!python/object/apply:os.system ['touch {marker}']\nwidths: !!python/tuple [1, 2]\n"
        "net: !!python/name:torch.nn.ReLU ''\nown: !mine {a: 1}\n"
    )
    log = write_log(tmp_path / "log", hparams=hparams)
    options = other_logs.flat(safe_read.yaml_dict(log / "hparams.yaml"))
    assert options["widths"] == [1, 2]
    assert options["own.a"] == 1
    assert not marker.exists()


@pytest.mark.parametrize(
    "hparams", [None, "", "- 1", "a: [1", "\0", "a: &a\n  b: *a\n", "date: 2020-13-45", "? {a: 1}\n: 2"]
)
def test_missing_and_damaged_hparams_give_no_options_and_no_error(tmp_path, hparams):
    log = write_log(tmp_path / "log", hparams=hparams)
    assert len(other_logs.flat(safe_read.yaml_dict(log / "hparams.yaml"))) <= 1


def test_reading_changes_nothing(tmp_path):
    folder = write_log(tmp_path / "version_0")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*")}
    (log,) = other_logs.open_folder(str(tmp_path))
    metrics_csv.read_columns(log.file, metrics_csv.metric_names(log.file))
    safe_read.yaml_dict(log.options_path)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*")} == before


def test_it_loads_no_torch():
    code = "import sys, simclr.curves.other_logs; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_links_to_logs_that_are_not_there_are_passed_over_or_named(tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("metrics.csv", "trainer_state.json", "events.out.tfevents.1", "loss.csv", "folder"):
        (tmp_path / "run" / name).symlink_to("/nowhere")
    assert other_logs.find_logs(tmp_path) == []
    with pytest.raises(ConfigError, match="which holds no log; "):
        other_logs.open_folder(str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"cannot be read \(.*/loss\.csv is a link to /nowhere, which is not there\); "
    ):
        other_logs.open_folder(str(tmp_path / "run" / "loss.csv"))
    (tmp_path / "run" / "good.csv").write_text("epoch,loss\n1,2\n")
    assert [log.title for log in other_logs.open_folder(str(tmp_path))] == ["run/good.csv"]
