"""Logs of other programs as tables: CSV of any kind, histories of transformers, TensorBoard's event files."""

import json

import numpy as np
import pytest

from simclr.config import ConfigError
from simclr.curves import curve_lines, log_tables, other_logs
from simclr.curves.curve_sources import LOG, Source

CSV = {
    "commas": ("epoch,step,loss\n0,10,2.5\n1,20,2.0\n", {}),
    "semicolons and decimal commas": ("epoch;step;loss\n0;10;2,5\n1;20;2,0\n", {}),
    "tabs": ("epoch\tstep\tloss\n0\t10\t2.5\n1\t20\t2.0\n", {}),
    "spaces": ("epoch  step   loss\n0 10   2.5\n1 20 2.0\n", {}),
    "a comment for a header": ("# epoch step loss\n0 10 2.5\n1 20 2.0\n", {}),
    "quotes": ('"epoch","step","loss"\n"0","10","2.5"\n"1","20","2.0"\n', {}),
    "a byte order mark and line ends of Windows": ("\ufeffepoch,step,loss\r\n0,10,2.5\r\n1,20,2.0\r\n", {}),
    "names of other programs": ("Epoch,global_step,loss\n0,10,2.5\n1,20,2.0\n", {}),
    "units": (
        "epoch,step,loss,acc,seconds\n0,10,2.5,12%,3 s\n1,20,2.0,50 %,4ms\n",
        {"acc": [0.12, 0.5], "seconds": [3, 4]},
    ),
    "comments before the header": ("# run of monday\n# lr=0.1, batch 64\nepoch,step,loss\n0,10,2.5\n1,20,2.0\n", {}),
    "a separator that is named": ("sep=;\nepoch;step;loss\n0;10;2,5\n1;20;2,0\n", {}),
    "comments before a comment for a header": ("# run of monday\n#epoch,step,loss\n0,10,2.5\n1,20,2.0\n", {}),
    "quoted decimal commas": ('epoch,step,loss\n0,10,"2,5"\n1,20,"2,0"\n', {}),
    "groups of three digits": (
        'epoch,step,loss,images\n0,10,2.5,"1,000"\n1,20,2.0,"12,345,678"\n',
        {"images": [1000, 12345678]},
    ),
    "groups with points": (
        "epoch;step;loss;images;ms\n0;10;2,5;1.000;1.234,5\n1;20;2,0;12.345.678;0,25\n",
        {"images": [1000, 12345678], "ms": [1234.5, 0.25]},
    ),
    "three decimals": (
        "epoch\tstep\tloss\tlr\n0\t10\t2.5\t1.125\n1\t20\t2.0\t0.125\n",
        {"lr": [1.125, 0.125]},
    ),
    "tensors": (
        "epoch,step,loss,acc\n0,np.int64(10),tensor(2.5),[0.5]\n1,20,\"tensor(2.0, device='cuda:0')\",tensor([1])\n",
        {"acc": [0.5, 1]},
    ),
    "texts and gaps": ("epoch,step,loss,note\n0,10,2.5,\n1,20,2.0,best\n", {}),
    "line breaks in quotes": (
        'epoch,"note\nof it",step,loss,last\n0,"far,\n9,9,9,9,9\n\nagain ""so"" ",10,2.5,"a\nb"\n1,ok,20,2.0,"c"\n',
        {},
    ),
    "line breaks of Windows in quotes": ('epoch;step;loss;note\r\n0;10;2,5;"a\r\nb, c"\r\n1;20;2,0;"d\r\n"\r\n', {}),
    "line breaks in quoted numbers": ('epoch\tstep\tloss\n0\t10\t"2.5\n"\n1\t20\t"\n2.0"\n', {}),
    "line breaks in quotes below comments": (
        '# run of monday\n#epoch,step,loss,note\n0,10,2.5,"a\n# b"\n1,20,2.0,"c\n3,30,1.5,"\n',
        {},
    ),
    "separators in quotes": ('"epoch";"step";"loss";"a,b"\n0;10;2.5;"x,y"\n1;20;2.0;"x,y"\n', {}),
    "spaces before quotes": ('epoch, step, loss, note\n0, 10, "2,5", "a\nb"\n1, 20, "2,0", "c"\n', {}),
    "signs that end no line": (
        "epoch,step,note,loss\n0,10,a\x0cb\u2028c\x85d,2.5\n1,20,\x1c,2.0\n",
        {},
    ),
    "quotes that are no ends": ('epoch,step,note,loss\n0,10,"a" or b,2.5\n1,20,5" disk,2.0\n', {}),
    "quotes that are never closed": ('epoch,step,loss,note\n0,10,2.5,"torn\n1,20,2.0,"torn\n', {}),
    "a torn last line": ("epoch,step,loss\n0,10,2.5\n1,20,2.0\n2,30,1", {}),
}


def write(folder, text, name="log.csv", encoding="utf-8"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", CSV)
def test_csv_files_of_all_kinds_are_the_same_table(tmp_path, name, encoding):
    text, more = CSV[name]
    if encoding == "utf-16" and "torn" in name:
        text = text[: text.rindex("\n") + 1]
    table = log_tables.read(
        write(tmp_path, text.replace("\ufeff", "") if encoding == "utf-16" else text, encoding=encoding)
    )
    assert {key: values.tolist() for key, values in table.columns.items()} == {
        "epoch": [0, 1],
        "step": [10, 20],
        "loss": [2.5, 2.0],
    } | more
    assert table.counted == ()


def test_a_line_break_in_the_first_name_of_a_folder_s_log(tmp_path):
    path = write(tmp_path, '"mean\nloss",epoch\n2.5,1\n2.0,2\n')
    assert log_tables.header_of(path) == ("mean loss", "epoch")
    assert log_tables.counted_by_header(path) == log_tables.read(path).counted == ("step",)
    assert log_tables.read(path).columns["mean loss"].tolist() == [2.5, 2]
    assert [log.title for log in other_logs.open_folder(str(tmp_path))] == ["log.csv"]


def test_a_quote_that_is_closed_far_below_takes_no_rows(tmp_path):
    rows = [f"{number},2.5,x" for number in range(2000)]
    rows[3], rows[-2] = '3,2.5,"torn', '1998,2.5,it is 5"'
    columns = log_tables.read(write(tmp_path, "\n".join(["epoch,loss,note", *rows, ""]))).columns
    assert columns["epoch"].tolist() == list(range(2000))


def test_a_second_header_with_more_columns_loses_no_row(tmp_path):
    """As a program that began to validate later writes it."""
    text = "epoch,step,loss\n0,1,3\n0,2,2\nepoch,step,loss,val_loss\n1,3,1,1.5\nepoch,step,val_loss,loss\n2,4,1.2,0.5\n"
    table = log_tables.read(write(tmp_path, text, "metrics.csv"))
    assert table.columns["step"].tolist() == [1, 2, 3, 4]
    assert table.columns["loss"].tolist() == [3, 2, 1, 0.5]
    np.testing.assert_array_equal(table.columns["val_loss"], [np.nan, np.nan, 1.5, 1.2])


def test_a_second_header_of_other_columns_is_no_row_of_the_first(tmp_path):
    text = "epoch,loss\n1,2.5\nnan,nan\niter,val_loss\n10,2.3\n20,2.2\n"
    columns = log_tables.read(write(tmp_path, text)).columns
    np.testing.assert_array_equal(columns["loss"], [2.5, np.nan, np.nan])
    np.testing.assert_array_equal(columns["val_loss"], [np.nan, 2.3, 2.2])
    np.testing.assert_array_equal(columns["step"], [np.nan, 10, 20])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "cp1252"])
def test_text_that_does_not_say_how_it_is_encoded(tmp_path, encoding):
    path = write(tmp_path, "epoch,Verlust für loss\n1,2.5\n2,2.0\n", encoding=encoding)
    assert log_tables.read(path).columns["Verlust für loss"].tolist() == [2.5, 2]
    assert log_tables.header_of(path) == ("epoch", "Verlust für loss")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_a_folder_lists_logs_of_all_encodings_and_with_comments(tmp_path, encoding):
    write(tmp_path, "# monday\nepoch;loss\n1;2\n", "history.csv", encoding)
    write(tmp_path, "name;size\na;2\n", "other.csv", encoding)
    assert [log.title for log in other_logs.open_folder(str(tmp_path))] == ["history.csv"]
    assert log_tables.counted_by_header(tmp_path / "history.csv") == ("step",)


@pytest.mark.parametrize(
    ("text", "counted", "epochs", "steps"),
    [
        ("loss\n3\n2\n1\n", ("epoch", "step"), [1, 2, 3], [1, 2, 3]),
        ("epoch,loss\n5,3\n6,2\n", ("step",), [5, 6], [1, 2]),
        ("step,loss\n50,3\n60,2\n", ("epoch",), [1, 2], [50, 60]),
        ("3,0.1\n2,0.2\n", ("epoch", "step"), [1, 2], [1, 2]),  # no header
    ],
)
def test_rows_without_a_place_are_counted(tmp_path, text, counted, epochs, steps):
    path = write(tmp_path, text)
    table = log_tables.read(path)
    assert table.counted == counted == log_tables.counted_by_header(path)
    assert (table.columns["epoch"].tolist(), table.columns["step"].tolist()) == (epochs, steps)
    assert log_tables.has_rows(path)
    source = Source(str(path), "a log", "", LOG, path, None, "#000000")
    name = next(name for name in table.columns if name not in log_tables.PLACES)
    ((x, y),) = curve_lines.points(source, [name], "step")
    assert x.tolist() == steps and len(y) == len(steps)  # no curve without points


def test_the_history_of_transformers(tmp_path):
    history = [
        {"epoch": 0.5, "step": 10, "loss": 2.5, "learning_rate": 1e-3, "grad_norm": float("nan")},
        {"epoch": 1.0, "step": 20, "eval_loss": 2.0, "eval_name": "text"},
        "no entry",
        {"epoch": 1.0, "step": 20, "train_runtime": 9.0},
    ]
    path = write(
        tmp_path / "checkpoint-20", json.dumps({"log_history": history, "best_metric": None}), "trainer_state.json"
    )
    columns = log_tables.read(path).columns
    assert columns["step"].tolist() == [10, 20, 20]
    np.testing.assert_array_equal(columns["eval_loss"], [np.nan, 2.0, np.nan])
    assert "grad_norm" not in columns and "eval_name" not in columns
    (log,) = other_logs.open_folder(str(tmp_path))
    assert log.title == "checkpoint-20/trainer_state.json" and log_tables.kind_of(log.file) == "Trainer state"


def test_tensorboards_events(tmp_path):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "version_0")) as writer:
        for step in range(5):
            writer.add_scalar("train/loss", 3.0 - step / 2, step)
        writer.add_scalar("val/acc", 0.25, 4)
        writer.add_text("note", "no number", 1)
    (log,) = other_logs.open_folder(str(tmp_path))
    columns = log_tables.read(log.file).columns
    assert columns["step"].tolist() == [0, 1, 2, 3, 4]
    assert columns["train/loss"].tolist() == [3.0, 2.5, 2.0, 1.5, 1.0]
    np.testing.assert_array_equal(columns["val/acc"], [np.nan] * 4 + [0.25])
    assert [found.id for found in other_logs.find_logs(tmp_path)] == [f"version_0/{log.file.name}"]


def test_without_tensorboard_its_events_say_what_is_missing(tmp_path, monkeypatch):
    path = write(tmp_path, "x", "events.out.tfevents.1.host")
    monkeypatch.setitem(__import__("sys").modules, "tensorboard.backend.event_processing.event_accumulator", None)
    with pytest.raises(ConfigError, match="which is no log: TensorBoard's event files need the package tensorboard"):
        other_logs.open_folder(str(path))


NO_LOGS = {
    "empty": ("x.csv", b""),
    "texts": ("x.csv", b"name,colour\ncat,grey\ndog,brown\n"),
    "bytes": ("x.csv", bytes(range(256)) * 20),
    "a picture": ("x.png", b"\x89PNG\r\n\x1a\n" + bytes(50)),
    "no history": ("trainer_state.json", b'{"log_history": 3}'),
    "torn": ("trainer_state.json", b'{"log_history": [{"loss": 1'),
    "deep": ("trainer_state.json", b"[" * 5000),
    "damaged events": ("events.out.tfevents.9", b"\xff" * 400),
    "infinite": ("x.csv", b"loss\ninf\nnan\n1e999\n"),
}


@pytest.mark.parametrize("name", NO_LOGS)
def test_what_is_no_log_is_one_sentence(tmp_path, name):
    file, content = NO_LOGS[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        other_logs.open_folder(str(tmp_path / file))
    text = str(caught.value)
    assert "which is no log: " in text and "\n" not in text and text.endswith(".")
    assert log_tables.metric_names(tmp_path / file) == ()
    assert log_tables.read_columns(tmp_path / file, ["loss"]) == {}


def test_a_folder_offers_tables_that_look_like_logs_alone(tmp_path):
    write(tmp_path, "epoch,loss\n1,2\n", "history.csv")
    write(tmp_path, "file,label\na.png,cat\n", "labels.csv")
    write(tmp_path / "run", "epoch,loss\n1,2\n", "metrics.csv")
    write(tmp_path / "run", "epoch,loss\n1,2\n", "copy.csv")
    assert [log.title for log in other_logs.open_folder(str(tmp_path))] == ["history.csv", "run"]
    assert [log.id for log in other_logs.find_logs(tmp_path)] == [
        "run"
    ]  # where nobody asked, only what is surely a log


def test_a_folder_lists_a_table_whose_separator_is_named(tmp_path):
    write(tmp_path / "export", "sep=;\nepoch;loss\n1;2,5\n")
    (found,) = other_logs.open_folder(str(tmp_path / "export"))
    assert log_tables.counted_by_header(found.file) == ("step",)


def test_a_log_is_read_again_when_it_grows(tmp_path):
    path = write(tmp_path, "epoch,loss\n1,2\n")
    assert len(log_tables.read(path).columns["loss"]) == 1
    assert log_tables.read(path) is log_tables.read(path)
    with path.open("a") as stream:
        stream.write("2,1\n")
    assert log_tables.read(path).columns["loss"].tolist() == [2, 1]
