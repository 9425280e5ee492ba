"""Logs in JSON, as many training scripts write them: found, read as tables, and what is none in one sentence."""

import json
import os

import numpy as np
import pytest

from simclr.config import ConfigError
from simclr.curves import log_tables, other_logs

ROWS = [{"epoch": 0, "step": 10, "loss": 2.5}, {"epoch": 1, "step": 20, "loss": 2.0}]
LINES = [json.dumps(row) for row in ROWS]
TEXTS = {
    "an object a line": "\n".join([*LINES, ""]),
    "without a last line end": "\n".join(LINES),
    "line ends of Windows": "\r\n".join([*LINES, ""]),
    "blank lines": "\n\n" + "\n\n".join([*LINES, ""]),
    "a byte order mark": "\ufeff" + "\n".join([*LINES, ""]),
    "a torn last line": "\n".join([*LINES, '{"epoch": 2, "step": 30, "lo']),
    "lines that are no objects": "\n".join([LINES[0], "Epoch 1 begins", "[3]", "7", LINES[1], ""]),
    "a list": json.dumps(ROWS),
    "a list over many lines": json.dumps(ROWS, indent=2),
    "a list that is not ended": f"[{LINES[0]},\n{LINES[1]},\n",
    "a list for each figure": json.dumps({"epoch": [0, 1], "step": [10, 20], "loss": [2.5, 2.0], "lists": []}),
    "the same over many lines": json.dumps({"epoch": [0, 1], "step": [10, 20], "loss": [2.5, 2.0]}, indent=1),
    "a history of transformers": json.dumps({"log_history": ROWS}, indent=2),
    "texts, nothing, yes and lists": "\n".join(
        json.dumps(row | {"note": "best", "none": None, "done": True, "all": [1, 2], "inf": float("inf")})
        for row in ROWS
    ),
    "numbers in texts and lists": "\n".join(
        json.dumps({name: str(value) if name == "loss" else [value] for name, value in row.items()}) for row in ROWS
    ),
    "names of other programs": "\n".join(LINES).replace("step", "iteration"),
}


def write(folder, text, name="log.txt", encoding="utf-8"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", TEXTS)
def test_all_kinds_are_the_same_table(tmp_path, name, encoding):
    text = TEXTS[name].removeprefix("\ufeff") if encoding == "utf-16" else TEXTS[name]
    path = write(tmp_path, text, encoding=encoding)
    (log,) = other_logs.open_folder(str(path))
    table = log_tables.read(log.file)
    assert {key: values.tolist() for key, values in table.columns.items()} == {
        "epoch": [0, 1],
        "step": [10, 20],
        "loss": [2.5, 2.0],
    }
    assert table.counted == log_tables.counted_by_header(path) == ()
    assert log_tables.kind_of(path) == "JSON log"
    assert [found.title for found in other_logs.open_folder(str(tmp_path))] == ["log.txt"]


def test_logs_of_well_known_programs(tmp_path):
    mae = '{"train_lr": 0.1, "train_loss": 0.9, "epoch": 0}\n{"train_lr": 0.2, "train_loss": 0.8, "epoch": 1}\n'
    write(tmp_path / "mae", mae, "log.txt")
    detectron = (
        '{"data_time": 0.1, "iteration": 19, "total_loss": 3.5}\n{"iteration": 39, "bbox/AP": NaN, "total_loss": 3}\n'
    )
    write(tmp_path / "detectron2", detectron, "metrics.json")
    mmlab = [
        {"env_info": "Python 3", "config": "lr = 0.1", "seed": 0},
        {"mode": "train", "epoch": 1, "iter": 50, "loss": 2.0, "top1": 0.5},
        {"mode": "val", "epoch": 1, "iter": 10, "loss": 2.5},
    ]
    write(tmp_path / "mmlab", "\n".join(map(json.dumps, mmlab)), "20260101.log.json")
    nested = [{"step": step, "train": {"loss": 3 - step, "acc": {"top1": step / 2}}} for step in (1, 2)]
    write(tmp_path / "nested", "\n".join(map(json.dumps, nested)), "history.jsonl")
    logs = {log.path.name: log.file for log in other_logs.open_folder(str(tmp_path))}
    assert set(logs) == {"mae", "detectron2", "mmlab", "nested"}
    found = {name: log_tables.read(file) for name, file in logs.items()}
    assert found["mae"].columns["train_loss"].tolist() == [0.9, 0.8] and found["mae"].counted == ("step",)
    assert found["detectron2"].columns["step"].tolist() == [19, 39] and found["detectron2"].counted == ("epoch",)
    assert "bbox/AP" not in found["detectron2"].columns
    columns = found["mmlab"].columns
    np.testing.assert_array_equal(columns["train/loss"], [np.nan, 2.0, np.nan])
    np.testing.assert_array_equal(columns["val/loss"], [np.nan, np.nan, 2.5])
    np.testing.assert_array_equal(columns["step"], [np.nan, 50, 10])
    assert found["nested"].columns["train/loss"].tolist() == [2, 1]
    assert found["nested"].columns["train/acc/top1"].tolist() == [0.5, 1]


def test_the_first_row_is_a_log_where_it_is_named(tmp_path):
    path = write(tmp_path, LINES[0] + "\n", "log.jsonl")
    assert log_tables.read(path).columns["loss"].tolist() == [2.5]
    with path.open("a") as stream:
        stream.write(LINES[1] + "\n")
    assert log_tables.read(path).columns["loss"].tolist() == [2.5, 2]


def test_a_folder_offers_no_options_and_no_texts(tmp_path):
    write(tmp_path, json.dumps({"epochs": 100, "lr": 0.1, "betas": [0.9, 0.95]}), "config.json")
    write(tmp_path, json.dumps({"epochs": 100, "lr": 0.1}, indent=2), "args.json")
    write(tmp_path, "epoch 1, loss 2.5\nepoch 2, loss 2.0\n", "out.txt")
    write(tmp_path, '{"image": "a.png", "size": 3}\n{"image": "b.png", "size": 4}\n', "images.jsonl")
    for number in range(60):
        write(tmp_path, "0 0.5 0.5 0.1 0.1\n", f"{number:03d}.txt")
    write(tmp_path, TEXTS["an object a line"], "train.log")
    assert [log.title for log in other_logs.open_folder(str(tmp_path))] == ["train.log"]
    assert other_logs.find_logs(tmp_path) == []  # where nobody asked, only what is surely a log


@pytest.mark.parametrize(
    "text",
    [
        '{"lr": 0.1, "name": "a"}',
        '{"epochs": 100,\n "lr": 0.1}',
        '{"a": 1',
        '[{"a":',
        "{}",
        '{"a": ' * 5000,
        '[{"name": "cat"}, {"name": "dog"}]',
        '{"loss": [null, "none"]}',
    ],
)
def test_what_is_no_log_is_one_sentence(tmp_path, text):
    path = write(tmp_path, text, "x.json")
    with pytest.raises(ConfigError) as caught:
        other_logs.open_folder(str(path))
    said = str(caught.value)
    assert "which is no log: " in said and "\n" not in said and said.endswith(".")
    assert "a JSON object of numbers in each line" in said
    assert log_tables.metric_names(path) == ()


def test_nothing_is_waited_for_and_nothing_is_followed(tmp_path):
    os.mkfifo(tmp_path / "log.jsonl")
    write(tmp_path.parent / "elsewhere", TEXTS["an object a line"], "log.txt")
    (tmp_path / "log.txt").symlink_to(tmp_path.parent / "elsewhere" / "log.txt")
    with pytest.raises(ConfigError, match="which holds no log; "):
        other_logs.open_folder(str(tmp_path))


def test_many_names_and_deep_objects_end(tmp_path):
    wide = json.dumps({f"loss{number}": number for number in range(5000)})
    deep = '{"a": ' * 30 + "1" + "}" * 30
    path = write(tmp_path, "\n".join([wide, wide, deep, '{"epoch": 1, "x": {"y": {"z": 2}}}', ""]), "log.jsonl")
    assert len(log_tables.read(path).columns) <= log_tables.MAX_COLUMNS + 2
