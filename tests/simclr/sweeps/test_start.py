"""The runs of a sweep in the queue: all there at once, in order, completed, extended, stopped and resumed."""

import contextlib
import os
import shlex

import pytest

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.hardware import devices, processes
from simclr.launch import queue, spawn
from simclr.sweeps import start, sweep_file

TINY = {"recipe": "quick", "epochs": 1, "limit_images": 40, "batch_size": 20, "image_size": 16, "accelerator": "cpu"}


def sweep(**parts):
    return sweep_file.parse({"title": "Which temperature?", "base": TINY} | parts)


@pytest.fixture
def begun(tiny_runs, monkeypatch):
    """The ids of runs in the order in which the queue would have started them; nothing trains."""
    found = []

    def begin(run, device):
        found.append(run.id)
        here = {"pid": os.getpid(), "process_start": processes.process_start(os.getpid())}
        runs.update_status(run.path, state="running", device=device, **here)

    monkeypatch.setattr(devices, "_gpus", list)
    monkeypatch.setattr(spawn, "begin", begin)
    monkeypatch.setattr(queue, "_has_scheduler", lambda runs_dir: True)
    return found


def end(runs_dir, run_id, state="finished"):
    runs.update_status(runs_dir / run_id, state=state, pid=None)
    queue.advance(runs_dir)


def run_all(runs_dir, begun):
    """Ends whatever runs until nothing does; returns the runs in the order in which they began."""
    while active := [run for run in runs.run_folders(runs_dir) if run.status.state == "running"]:
        for run in active:
            end(runs_dir, run.id)
    return [runs.Run(runs_dir / run_id) for run_id in begun]


def described(run):
    return (run.group.setting.get("temperature"), run.config["seed"], run.kind, run.config.get("label_fraction"))


def test_all_runs_are_there_at_once_and_each_says_where_it_stands(begun, tiny_runs):
    wanted = sweep(axes={"temperature": [0.1, 0.5]}, seeds=[0, 1], arms=["frozen", "scratch"], label_fractions=[0.5])
    group = start.start(wanted, tiny_runs)
    found = start.runs_of(group, tiny_runs)
    assert group.startswith("which-temperature-")
    assert len(found) == 12
    assert len(begun) == 1
    assert start.sweep_of(found) == wanted
    assert {start.key_of(run) for run in found} == {start.member_key(member) for member in wanted.members()}
    assert len({run.name for run in found}) == 12  # no two are called the same
    assert not any(run.config["evaluate"] for run in found)  # it chooses, so nothing is tested
    assert [described(run)[:3] for run in run_all(tiny_runs, begun)[:4]] == [
        ("0.1", 0, "pretrain"),
        ("0.1", 0, "finetune"),
        ("0.1", 0, "scratch"),
        ("0.5", 0, "pretrain"),
    ]
    for run in found:
        if run.kind != "pretrain":
            first = runs.Run(tiny_runs / run.experiment)
            assert (run.after, first.config["seed"]) == (first.id, run.config["seed"])
            assert first.group.setting == run.group.setting


def test_seeds_of_one_setting_are_tested_at_their_end(begun, tiny_runs):
    found = start.runs_of(start.start(sweep(seeds=3, arms=["full"]), tiny_runs), tiny_runs)
    assert all(run.config["evaluate"] for run in found)
    assert {run.config["version"] for run in found if run.kind == "pretrain"} == {0, 1, 2}


def test_what_a_kill_has_left_out_is_added(begun, tiny_runs, monkeypatch):
    wanted = sweep(axes={"temperature": [0.1, 0.5]}, arms=["frozen"])
    original, made = spawn.create, []

    def create(*arguments, **more):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(original(*arguments, **more))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(spawn, "create", create)
        with pytest.raises(KeyboardInterrupt):
            start.start(wanted, tiny_runs)
    group = made[0].group.id
    assert len(start.runs_of(group, tiny_runs)) == 3
    added = start.complete(group, tiny_runs)
    assert [described(run)[:3] for run in added] == [("0.5", 42, "finetune")]
    assert start.complete(group, tiny_runs) == []
    assert len(start.runs_of(group, tiny_runs)) == 4


def test_seeds_and_values_are_added_to_what_is_there(begun, tiny_runs):
    group = start.start(sweep(axes={"temperature": [0.1, 0.5]}, seeds=[0]), tiny_runs)
    before = run_all(tiny_runs, begun)
    added = start.complete(group, tiny_runs, more=sweep(axes={"temperature": [0.5, 1.0]}, seeds=[1]))
    assert {described(run)[:2] for run in added} == {("0.1", 1), ("0.5", 1), ("1", 0), ("1", 1)}
    assert len(start.runs_of(group, tiny_runs)) == len(before) + 4
    assert start.sweep_of(start.runs_of(group, tiny_runs)).seeds == (0, 1)
    assert start.complete(group, tiny_runs) == []  # the newest says what belongs to it
    shares = start.complete(
        group, tiny_runs, more=sweep(axes={"temperature": [0.1]}, seeds=[0], arms=["frozen"], label_fractions=[0.5])
    )
    assert {run.kind for run in shares} == {"finetune"}
    assert len(shares) == 6  # for all values and seeds that are there


def test_a_stopped_sweep_goes_on_in_its_order(begun, tiny_runs):
    wanted = sweep(axes={"temperature": [0.1, 0.5]}, seeds=[0, 1], arms=["frozen"])
    group = start.start(wanted, tiny_runs)
    stopped = start.stop(group, tiny_runs)
    assert (len(stopped.waiting), [run.id for run in stopped.running]) == (7, begun)
    assert {run.status.state for run in stopped.waiting} == {"stopped"}
    assert all(run.path.is_dir() for run in stopped.waiting)
    end(tiny_runs, begun[0], "stopped")
    assert len(begun) == 1
    again = start.resume(group, tiny_runs)
    assert len(again) == 8
    order = [start.key_of(run) for run in run_all(tiny_runs, begun[1:])]
    assert [runs.Run(tiny_runs / run_id).group.setting["temperature"] for run_id in begun[1:]][:4] == [
        "0.1",
        "0.1",
        "0.5",
        "0.5",
    ]
    assert len(order) <= 8


def test_failed_ones_are_tried_again_and_what_follows_them_waits(begun, tiny_runs):
    group = start.start(sweep(axes={"temperature": [0.1, 0.5]}, arms=["frozen"]), tiny_runs)
    end(tiny_runs, begun[0], "failed")
    run_all(tiny_runs, begun)
    states = [run.status.state for run in start.runs_of(group, tiny_runs)]
    assert sorted(states) == ["failed", "finished", "finished", "queued"]
    assert [run.id for run in start.resume(group, tiny_runs)] == [begun[0]]
    run_all(tiny_runs, begun)
    assert {run.status.state for run in start.runs_of(group, tiny_runs)} == {"finished"}


def test_nothing_is_made_where_something_is_wrong(begun, tiny_runs):
    with pytest.raises(ConfigError, match="device is gpu:3"):
        start.start(sweep(seeds=2), tiny_runs, "gpu:3")
    wrong = sweep(seeds=2, base=TINY | {"dataset": "cifar10"}, arms=["full"])
    object.__setattr__(wrong, "label_fractions", (7.0,))  # whatever gets past the file is found before the start
    with pytest.raises(ConfigError, match="label_fraction is 7"):
        start.start(wrong, tiny_runs)
    assert runs.run_folders(tiny_runs) == []


def test_data_that_is_not_there_is_said_once_before_anything_is_queued(begun, tiny_runs, tmp_path):
    missing = tmp_path / "photos"
    with pytest.raises(ConfigError) as told:
        start.start(sweep(seeds=3, base=TINY | {"dataset": str(missing)}), tiny_runs)
    assert str(told.value).startswith(f"dataset is {missing}, which is neither a data set nor a folder that exists;")
    missing.mkdir()
    with pytest.raises(ConfigError, match=r"photos"):
        start.start(sweep(seeds=3, base=TINY | {"dataset": str(missing)}), tiny_runs)
    with pytest.raises(ConfigError, match="limit_images is 5; allowed: at least 10"):
        start.start(sweep(seeds=3, base=TINY | {"limit_images": 5}), tiny_runs)
    assert runs.run_folders(tiny_runs) == []


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("What's best?", "what-s-best"),
        ("Quelle\u00a0température\u202f?", "quelle-temperature"),
        ("L’e\u0301te\u0301", "l-ete"),
        ("温度", "sweep"),
    ],
)
def test_the_id_of_a_group_can_be_typed_and_has_the_letters_of_its_title(title, words):
    assert start.new_group_id(title).rpartition("-")[0] == words


def test_the_command_that_completes_a_group_can_be_pasted(begun, tiny_runs, monkeypatch):
    opened = start._opened

    @contextlib.contextmanager
    def breaks_off(*arguments):
        with opened(*arguments) as add:
            first = iter([add])

            def once(*member, **more):
                if (found := next(first, None)) is None:
                    raise ConfigError("The disk is full.")
                return found(*member, **more)

            yield once

    monkeypatch.setattr(start, "new_group_id", lambda title: "what's\u00a0best")
    monkeypatch.setattr(start, "_opened", breaks_off)
    with pytest.raises(ConfigError, match="1 of 2 runs were added to the group") as caught:
        start.start(sweep(seeds=2), tiny_runs)
    command = str(caught.value).rpartition("the others: ")[2].removesuffix(".")
    assert shlex.split(command) == ["python", "-m", "simclr", "sweep", "what's\u00a0best", "--resume"]


def test_a_group_that_is_not_there_and_one_that_says_no_sweep(begun, tiny_runs):
    group = start.start(sweep(seeds=1), tiny_runs)
    with pytest.raises(ConfigError, match=r"which has no runs in .*; did you mean which-temperature-"):
        start.runs_of(group[:-1] + "0", tiny_runs)
    with pytest.raises(ConfigError, match=f"has no runs in .*; that is the title of {group}, which is allowed"):
        start.runs_of("which\u00a0temperature?", tiny_runs)
    run = start.runs_of(group, tiny_runs)[0]
    for damaged in ({"id": group}, {"id": group, "sweep": 3}, {"id": group, "sweep": {"axes": 3}}):
        runs.add_meta(run.path, group=damaged)
        with pytest.raises(ConfigError):
            start.complete(group, tiny_runs)
    for damaged in (3, {}, {"id": 3}, {"id": ""}, []):
        runs.add_meta(run.path, group=damaged)
        assert run.group is None
    runs.add_meta(run.path, group={"id": "a", "title": None, "setting": 3})
    assert run.group == runs.GroupPlace("a", "a", {})


def test_options_of_a_partner_are_those_of_the_partner_recipe(begun, tiny_runs):
    group = start.start(sweep(seeds=1, arms=["scratch"], label_fractions=[0.5]), tiny_runs)
    scratch = next(run for run in start.runs_of(group, tiny_runs) if run.kind == "scratch")
    recipe = cfg.recipe("quick", "scratch")
    assert (scratch.config["learning_rate"], scratch.config["max_steps"]) == (
        float(recipe["learning_rate"]),
        int(recipe["max_steps"]),
    )


def test_arms_are_trained_on_numbers_of_each_class_and_on_several_draws(begun, tiny_runs):
    wanted = sweep(seeds=[0], arms=["frozen"], labels_per_class=[1, 5], label_fractions=[0.5], subset_seeds=2)
    group = start.start(wanted, tiny_runs)
    found = start.runs_of(group, tiny_runs)
    assert len(found) == wanted.members_per_setting == 7
    options = [runs.load_config(run) for run in found if run.kind == "finetune"]
    assert sorted((item.labels_per_class or 0, item.label_fraction, item.subset_seed) for item in options) == [
        (0, 0.5, 0),
        (0, 0.5, 1),
        (1, 1.0, 0),
        (1, 1.0, 1),
        (5, 1.0, 0),
        (5, 1.0, 1),
    ]
    assert all(item.seed == 0 for item in options)
    assert start.complete(group, tiny_runs) == []  # each is known again
    more = sweep(seeds=[0], arms=["frozen"], labels_per_class=[1, 10], label_fractions=[0.5], subset_seeds=3)
    assert len(start.complete(group, tiny_runs, more=more)) == 4 * 3 - 6  # a draw of each, and ten of each
    with pytest.raises(ConfigError, match="subset_seeds is not set and was"):
        start.complete(group, tiny_runs, more=sweep(seeds=[0], arms=["frozen"], label_fractions=[0.5]))
