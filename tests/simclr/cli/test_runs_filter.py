"""The filter of `python -m simclr runs`."""

import json

import pytest
from dashboard_fixtures import make_run

from simclr.cli.main import main


@pytest.fixture
def listed(tmp_path, capsys):
    make_run(tmp_path, name="cool", temperature=0.1, tags=["paper"])
    make_run(tmp_path, "failed", name="hot", temperature=0.5, augmentation={"hue": 0.02})
    capsys.readouterr()

    def run(line):
        code = main(["runs", "--runs_dir", str(tmp_path), "--json", f"--filter={line}"])
        return code, capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("temperature>0.2", ["hot"]),
        ("tag:paper", ["cool"]),
        ("augmentation.hue:0.02", ["hot"]),
        ("-state:failed", ["cool"]),
        ("val_knn>50%", ["cool"]),
        ("knn>50", ["hot", "cool"]),
        ("nothing", []),
    ],
)
def test_runs_that_pass_are_listed(listed, line, names):
    code, printed = listed(line)
    assert code == 0
    assert sorted(row["name"] for row in json.loads(printed.out)) == sorted(names)


def test_a_wrong_filter_is_an_error(listed):
    code, printed = listed("temprature>0.2")
    assert code == 2
    assert (
        "filter is temprature>0.2; temprature is no figure or option of a run; did you mean temperature?" in printed.err
    )


def test_a_line_has_the_name_that_tells_a_run_from_the_others_of_its_sweep(tmp_path, capsys):
    make_run(tmp_path, name="temperature 0.5, seed 1")
    make_run(tmp_path)
    assert main(["runs", "--runs_dir", str(tmp_path)]) == 0
    nameless, named = capsys.readouterr().out.splitlines()
    assert named.endswith("temperature 0.5, seed 1")
    assert len(nameless) < len(named)  # not its id twice
