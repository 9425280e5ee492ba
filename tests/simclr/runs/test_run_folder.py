"""Run folders: made, found, renamed and deleted; and read when they are torn, foreign or left behind by a crash."""

import errno
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig
from simclr.files import safe_read, writing
from simclr.hardware import processes
from simclr.launch import spawn
from simclr.runs import MetricsTail, Run, read_status, status_writer, update_status
from simclr.runs.status import Status

CONFIG = PretrainConfig()


def make(tiny_runs, **options):
    return runs.create(cfg.build(PretrainConfig, options), tiny_runs)


def ended(run, state="finished"):
    update_status(run.path, state=state)
    return run


@pytest.fixture
def child():
    """A real process that does nothing until it is ended."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


# --- creating and finding -------------------------------------------------------------------------------------------


def test_a_new_folder_has_what_a_run_needs(tiny_runs):
    run = make(tiny_runs, name="first", notes="what for", tags="a, b")
    assert sorted(path.name for path in run.path.iterdir() if not path.name.startswith(".")) == [
        "checkpoints",
        "config.yaml",
        "meta.json",
        "status.json",
    ]
    assert (run.name, run.notes, run.tags, run.kind) == ("first", "what for", ["a", "b"], "pretrain")
    assert run.status.state == "starting"
    assert run.meta["versions"]["python"]
    assert run.meta["host"] == socket.gethostname()
    assert abs(run.created - time.time()) < 60
    assert runs.load_config(run) == cfg.build(
        PretrainConfig, {"name": "first", "notes": "what for", "tags": "a, b", "version": 0}
    )


def test_ids_sort_by_time_and_tell_what_the_run_is(tiny_runs):
    assert run_id_part(make(tiny_runs)) == "pretrain-shapes-resnet_tiny"
    scratch = cfg.build(
        FinetuneConfig, {"random_weight_init": True, "dataset": "/data/My Images!", "backbone": "resnet18"}
    )
    assert run_id_part(runs.create(scratch, tiny_runs)) == "scratch-my_images-resnet18"
    ids = {make(tiny_runs).id for _ in range(20)}
    assert len(ids) == 20


def run_id_part(run):
    return "-".join(run.id.split("-")[2:-1])


def test_versions_count_up_and_the_newest_of_a_number_wins(tiny_runs):
    first, second = make(tiny_runs), make(tiny_runs)
    assert (first.config["version"], second.config["version"]) == (0, 1)
    assert make(tiny_runs, version=7).config["version"] == 7
    assert make(tiny_runs).config["version"] == 8
    older, newer = make(tiny_runs, version=3), make(tiny_runs, version=3)
    os.rename(older.path, tiny_runs / "20200101-000000-pretrain-shapes-resnet_tiny-aaaa")
    assert runs.find_experiment(3, tiny_runs).id == newer.id
    assert runs.find_experiment(1, tiny_runs).id == second.id
    with pytest.raises(
        ConfigError, match=r"experiment_version is 99; allowed: the version of a pre-training in .* \(0, 1, 3, 7, 8\)"
    ):
        runs.find_experiment(99, tiny_runs)


def test_versions_given_at_the_same_time_differ(tiny_runs):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        versions = pool.map(create_one, [tiny_runs] * 12)
    assert sorted(versions) == list(range(12))


def create_one(folder):
    return runs.create(CONFIG, folder).config["version"]


def test_a_run_is_found_by_folder_id_and_unique_prefix(tiny_runs):
    one, other = make(tiny_runs), make(tiny_runs)
    assert runs.find(one.id, tiny_runs) == Run(one.path)
    assert runs.find(str(one.path), tiny_runs / "elsewhere").id == one.id
    os.rename(other.path, tiny_runs / "19990101-x")
    assert runs.find("1999", tiny_runs).id == "19990101-x"
    assert [run.id for run in runs.list_runs(tiny_runs)] == [one.id, "19990101-x"]
    third = make(tiny_runs)
    with pytest.raises(ConfigError, match=r"RUN is 20, which 2 runs begin with .*; allowed: enough to be unique\."):
        runs.find("20", tiny_runs)
    with pytest.raises(ConfigError, match=f"did you mean {third.id}"):
        runs.find(third.id[:-1] + "#", tiny_runs)


@pytest.mark.parametrize("text", ["", "nothing", "..", ".", "/", "*", "a\0b", "x" * 5000, "~", "-", "../runs", "<b>"])
def test_what_names_no_run_is_refused_in_a_sentence(tiny_runs, text):
    make(tiny_runs), make(tiny_runs)
    with pytest.raises(ConfigError, match=r"^RUN is "):
        runs.find(text, tiny_runs)
    with pytest.raises(ConfigError, match=r"^experiment_version is "):
        runs.find_experiment(text, tiny_runs)


def test_a_weights_file_is_an_experiment(tiny_runs, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"x")
    assert runs.find_experiment(str(path), tiny_runs) == path


def test_examples_are_listed_and_hidden_folders_are_not(tiny_runs):
    run = make(tiny_runs)
    (tiny_runs / "examples").mkdir()
    os.rename(make(tiny_runs).path, tiny_runs / "examples" / "20250101-example")
    (tiny_runs / ".hidden").mkdir()
    (tiny_runs / ".hidden" / "config.yaml").write_text("temperature: 1")
    (tiny_runs / "other").mkdir()
    (tiny_runs / "file.txt").write_text("x")
    assert [found.id for found in runs.list_runs(tiny_runs)] == [run.id, "20250101-example"]
    assert runs.list_runs(tiny_runs / "absent") == []


def test_runs_of_one_second_are_listed_newest_first_too(tiny_runs):
    """Their names end at random: what a page opens on must not."""
    made = [make(tiny_runs, version=3) for _ in range(12)]
    assert len({run.id[: runs.folder.STAMP_LENGTH] for run in made}) < len(made)
    assert [run.id for run in runs.list_runs(tiny_runs)] == [run.id for run in reversed(made)]
    assert runs.find_experiment(3, tiny_runs).id == made[-1].id


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"runs_dir is .*, which cannot be written"):
        runs.create(CONFIG, tmp_path / "file")


# --- damaged and foreign files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"state": "runn',
        "[]",
        "5",
        "null",
        '"x"',
        '{"state": "dancing"}',
        '{"state": 3}',
        '{"state": "running", "step": "x"}',
        '{"state": "running", "steps": null}',
        '{"state": "running", "epoch": true}',
        '{"state": "running", "pid": "12"}',
        '{"state": "running", "pid": 1.5}',
        '{"state": "running", "heartbeat": "now"}',
        '{"state": "running", "started": []}',
        '{"state": "running", "created": "x", "host": ""}',
        '{"state": "running", "error": 5}',
        '{"state": "running", "reason": null}',
        '{"state": "running", "step": NaN}',
        '{"state": "running", "step": Infinity, "steps": 5}',
        "\x00\x01",
        "[" * 100_000,
    ],
)
def test_a_damaged_status_is_a_failed_one_that_says_so(tiny_runs, text):
    run = make(tiny_runs)
    (run.path / "status.json").write_text(text)
    status = run.status
    assert (status.state, status.reason) == ("failed", "unreadable status")
    assert status.error
    assert 0 <= status.progress <= 1
    assert status.elapsed_seconds is None


def test_a_missing_status_and_bytes_that_are_no_text(tiny_runs):
    run = make(tiny_runs)
    (run.path / "status.json").write_bytes(b"\xff\xfe\x00{}")
    assert run.status.state == "failed"
    (run.path / "status.json").unlink()
    assert (run.status.state, run.status.reason) == ("failed", "no status")


def test_unknown_entries_of_a_later_version_are_passed_over(tiny_runs):
    run = make(tiny_runs)
    (run.path / "status.json").write_text(json.dumps({"state": "finished", "colour": "red", "step": 5, "steps": 10}))
    assert run.status.state == "finished"
    assert run.status.progress == 1.0


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[1, 2", b"- a\n- b", b"text", b"a: b: c", b"\x00"])
@pytest.mark.parametrize("name", ["config.yaml", "meta.json", "evaluation.json", "log.txt"])
def test_a_damaged_file_costs_that_file_only(tiny_runs, name, content):
    run = ended(make(tiny_runs, name="first", notes="what for", tags="a, b"))
    run.log_path.write_text("said")
    runs.write_evaluation(run.path, {"test/top1": 0.5})
    whole = {"config.yaml": run.config, "meta.json": run.meta, "evaluation.json": {"test/top1": 0.5}}
    (run.path / name).write_bytes(content)
    again = Run(run.path)
    assert again.status.state == "finished"
    read = {"config.yaml": again.config, "meta.json": again.meta, "evaluation.json": again.evaluation}
    assert read == whole | ({name: {}} if name in whole else {})
    # options and meta stand in for each other; what kind of run it is, the options alone tell
    assert (again.name, again.tags, again.notes) == ("first", ["a", "b"], "what for")
    assert again.kind == ("unknown" if name == "config.yaml" else "pretrain")
    assert again.metrics() == {}
    assert name == "log.txt" or again.log_tail() == "said"
    assert [found.id for found in runs.list_runs(tiny_runs)] == [run.id]
    assert again.created == pytest.approx(run.created, abs=60)
    if name == "config.yaml":
        with pytest.raises(ConfigError, match="is not a run folder"):
            runs.load_config(again)


def test_wrong_types_in_meta(tiny_runs):
    run = ended(make(tiny_runs))
    (run.path / "meta.json").write_text(
        json.dumps({"name": 5, "tags": "a", "notes": ["x"], "created": "yesterday", "experiment": 7})
    )
    assert (run.name, run.tags) == ("5", [])
    assert run.created > 0
    assert run.experiment == "7"


def test_a_run_of_options_that_are_not_valid_any_more(tiny_runs):
    run = make(tiny_runs)
    (run.path / "config.yaml").write_text("temperature: -1\n")
    with pytest.raises(ConfigError, match="temperature is -1"):
        runs.load_config(Run(run.path))


def test_log_tail(tiny_runs):
    run = make(tiny_runs)
    assert run.log_tail() == ""
    run.log_path.write_bytes(b"first\nstep 1\rstep 2\rstep 3\nwindows\r\n\xff broken\nlast")
    assert run.log_tail() == "first\nstep 3\nwindows\n\ufffd broken\nlast"
    assert run.log_tail(2) == "\ufffd broken\nlast"
    run.log_path.write_text("x\n" * 100_000 + "end\n")
    assert run.log_tail(5).splitlines()[-1] == "end"


# --- status and processes -------------------------------------------------------------------------------------------


def running(run, process, **more):
    return update_status(
        run.path,
        state="running",
        pid=process.pid,
        process_start=processes.process_start(process.pid),
        host=socket.gethostname(),
        boot=processes.boot_id(),
        started=time.time(),
        step=5,
        steps=10,
        **more,
    )


def test_a_living_process_is_running_and_one_that_was_killed_has_crashed(tiny_runs, child):
    run = make(tiny_runs)
    running(run, child)
    assert run.status.state == "running"
    assert run.status.progress == 0.5
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert processes.process_start(child.pid) is None
    assert (run.status.state, run.status.reason) == ("failed", "crashed")
    child.wait()
    status = run.status
    assert (status.state, status.reason) == ("failed", "crashed")
    assert status.error.endswith(".")
    assert read_status(run.path).state == "running"  # reading changes nothing


def test_a_reused_pid_is_not_the_process_that_was(tiny_runs, child):
    run = make(tiny_runs)
    running(run, child)
    update_status(run.path, process_start=processes.process_start(child.pid) - 100)
    assert run.status.reason == "crashed"


def test_a_stop_on_its_way_shows(tiny_runs, child):
    run = make(tiny_runs)
    running(run, child, stop_requested=time.time())
    assert run.status.state == "stopping"
    child.kill()
    child.wait()
    assert run.status.state == "failed"


def test_a_restart_of_the_machine_is_named(tiny_runs, child):
    run = make(tiny_runs)
    running(run, child)
    update_status(run.path, boot="another")
    assert (run.status.state, run.status.reason) == ("failed", "the machine was restarted")


def test_processes_of_another_machine_are_believed(tiny_runs):
    run = make(tiny_runs)
    update_status(run.path, state="running", pid=1, process_start=1.0, host="another", boot="another")
    assert run.status.state == "running"


def test_a_start_that_never_came_is_failed_after_a_while(tiny_runs, child):
    run = make(tiny_runs)
    assert run.status.state == "starting"
    update_status(run.path, created=time.time() - runs.START_LIMIT_SECONDS - 1)
    assert run.status.state == "failed"
    update_status(run.path, supervisor_pid=child.pid, supervisor_start=processes.process_start(child.pid))
    assert run.status.state == "starting"


@pytest.mark.parametrize("state", ["stopped", "finished", "failed", "queued"])
def test_what_has_ended_or_waits_needs_no_process(tiny_runs, state):
    assert ended(make(tiny_runs), state).status.state == state


@pytest.mark.parametrize(("pid", "start"), [(None, 1.0), (1, None), (2**40, 1.0), (-5, 1.0), (0, 0.0)])
def test_is_alive_of_impossible_processes(pid, start):
    assert not processes.is_alive(pid, start)
    assert processes.is_alive(os.getpid(), processes.process_start(os.getpid()))


def write_many(folder, name, count):
    for number in range(count):
        update_status(folder, **{name: number})


def test_writers_in_several_processes_lose_nothing(tiny_runs):
    run = make(tiny_runs)
    names = ["step", "epoch", "images_per_second", "heartbeat", "steps"]
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(run.path, name, 40)) for name in names]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert read_status(run.path).state == "starting"  # never half a file
    for writer in writers:
        writer.join()
    status = read_status(run.path)
    assert [getattr(status, name) for name in names] == [39] * 5
    assert not [path for path in run.path.iterdir() if path.name.startswith(".status")]


def test_the_status_writer_keeps_a_heartbeat_and_says_the_last_word(tiny_runs):
    run = make(tiny_runs)
    writer = runs.StatusWriter(run.path, interval=0.02).start(phase="reading data")
    status = run.status
    assert (status.state, status.pid, status.phase) == ("running", os.getpid(), "reading data")
    writer.set(step=3)
    deadline = time.monotonic() + 5
    while (status := run.status).step != 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert status.step == 3
    beat = status.heartbeat
    while run.status.heartbeat == beat and time.monotonic() < deadline:
        time.sleep(0.01)
    assert run.status.heartbeat > beat
    writer.close(state="finished")
    assert (run.status.state, run.status.step) == ("finished", 3)
    assert run.status.ended is not None


def test_only_another_step_or_phase_is_progress(tiny_runs):
    run = make(tiny_runs)
    writer = runs.StatusWriter(run.path, interval=1000).start(phase="reading data")
    at_start = run.status.progressed

    def progressed(**changes):
        writer.set(**changes)
        writer._write()
        return run.status.progressed

    moved = progressed(step=3, phase="training")
    assert at_start < moved
    assert progressed(step=3, phase="training") == progressed(eta_seconds=3.0) == moved
    again = progressed(step=4, phase="training")
    assert again > moved
    assert progressed(phase="features of the training images 3%") > again
    writer.close(state="finished")


def test_a_duration_counts_the_parts_before_a_resume(tiny_runs):
    run = make(tiny_runs)
    assert run.status.elapsed_seconds is None
    update_status(run.path, state="stopped", started=1000.0, ended=1060.0)
    assert run.status.elapsed_seconds == 60
    runs.StatusWriter(run.path, interval=1000).start().close(state="stopped")
    second = run.status
    assert second.seconds_before == 60
    assert second.elapsed_seconds == pytest.approx(60 + second.ended - second.started)
    update_status(run.path, **spawn.restart_fields(second))  # through the launcher, which says so itself
    assert run.status.elapsed_seconds == second.elapsed_seconds
    runs.StatusWriter(run.path, interval=1000).start().close(state="stopped")
    assert run.status.seconds_before == second.elapsed_seconds
    update_status(run.path, state="running", ended=None, started=5000.0, heartbeat=5020.0)  # killed
    assert run.status.elapsed_seconds == run.status.seconds_before + 20


def test_a_stop_asked_for_at_the_moment_a_process_begins_is_not_lost(tiny_runs, monkeypatch):
    run = make(tiny_runs)
    update_status(run.path, state="starting", created=time.time())
    read = status_writer.current_status
    asking = []

    def read_and_ask(folder):
        """What the file holds, and a stop that comes right after it was read."""
        found = read(folder)
        asking.append(threading.Thread(target=update_status, args=(folder,), kwargs={"stop_requested": 1.0}))
        asking[0].start()
        asking[0].join(0.3)
        return found

    monkeypatch.setattr(status_writer, "current_status", read_and_ask)
    writer = runs.StatusWriter(run.path, interval=1000).start()
    asking[0].join()
    assert runs.read_status(run.path).stop_requested == 1.0
    writer.close(state="stopped")


def test_a_suspended_process_is_stalled_until_it_goes_on(tiny_runs):
    run = make(tiny_runs)
    code = (
        "import sys, time; from pathlib import Path; from simclr import runs; "
        "runs.StatusWriter(Path(sys.argv[1]), interval=0.05).start(phase='training'); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run.path)])
    deadline = time.monotonic() + 30

    def beats():
        first = run.status.heartbeat
        time.sleep(0.3)
        return run.status.heartbeat != first

    try:
        while run.status.state != "running" and time.monotonic() < deadline:
            time.sleep(0.02)
        assert runs.stalled(run.status) == ""
        os.kill(process.pid, signal.SIGSTOP)
        while beats() and time.monotonic() < deadline:
            pass
        status = run.status
        assert status.state == "running"  # it lives
        assert runs.stalled(status, now=status.heartbeat + 29) == ""
        assert "last heard of 45 seconds ago" in runs.stalled(status, now=status.heartbeat + 45)
        os.kill(process.pid, signal.SIGCONT)
        while not beats() and time.monotonic() < deadline:
            pass
        assert run.status.heartbeat > status.heartbeat
        assert runs.stalled(run.status) == ""
    finally:
        process.kill()
        process.wait()
    assert runs.stalled(run.status) == ""  # it failed, which is something else


@pytest.mark.parametrize(
    ("changes", "silence", "words"),
    [
        ({}, 299, ""),
        ({}, 301, "No step was finished for 5 minutes, where one usually takes 2 s;"),
        ({"step": 10}, 1999, ""),  # a step of 100 s
        ({"step": 10}, 2001, "No step was finished for 33 minutes"),
        ({"step": 0}, 301, "No step was finished for 5 minutes;"),
        ({"phase": "features of the training images 3%"}, 5000, ""),
        ({"phase": "training the head"}, 5000, "No step was finished"),
        ({"seconds_before": 19_000.0}, 799, ""),  # 40 s a step in all parts together
        ({"seconds_before": 19_000.0}, 801, "one usually takes 40 s"),
        ({"state": "starting"}, 5000, ""),
        ({"state": "queued"}, 5000, ""),
        ({"state": "failed"}, 5000, ""),
        ({"progressed": None}, 5000, ""),
    ],
)
def test_a_run_without_progress_is_stalled(changes, silence, words):
    now = 100_000.0
    fields = {
        "state": "running",
        "phase": "training",
        "step": 500,
        "heartbeat": now - 1,
        "progressed": now - silence,
        "started": now - silence - 1000.0,
    }
    found = runs.stalled(Status(**fields | changes), now=now)
    assert found.startswith(words) if not words or words.startswith("No") else words in found
    assert bool(found) == bool(words)


def test_a_beat_that_could_not_be_written_loses_nothing(tiny_runs, monkeypatch):
    run = make(tiny_runs)
    writer = runs.StatusWriter(run.path, interval=1000)
    writer.set(phase="training", steps=77)
    write = writing.write_atomically

    def broken(path, text):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(writing, "write_atomically", broken)
    with pytest.raises(OSError, match="Input/output"):
        writer._write()
    monkeypatch.setattr(writing, "write_atomically", write)
    writer.set(step=4)
    writer.close(state="finished")
    assert (run.status.steps, run.status.step, run.status.phase) == (77, 4, "training")


def test_a_full_disk_still_learns_that_it_is_full(tiny_runs, monkeypatch):
    run = make(tiny_runs)
    before = update_status(run.path, phase="a longer phase than the next one")

    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing, "write_atomically", full)
    update_status(run.path, state="failed", phase="", reason="disk full")
    assert read_status(run.path) == replace(before, state="failed", phase="", reason="disk full")


# --- metrics --------------------------------------------------------------------------------------------------------


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "metrics.csv")
    assert not MetricsTail(tmp_path / "metrics.csv").refresh()


def test_lists_of_runs_read_no_yaml(tiny_runs, monkeypatch):
    run = make(tiny_runs, name="one", seed=7, version=3)
    full = Run(run.path).config
    assert {name: full[name] for name in runs.BRIEF_OPTIONS if name in full} == Run(run.path).brief
    with monkeypatch.context() as patch:
        patch.setattr(safe_read, "read_yaml", lambda *_, **__: pytest.fail("YAML was read"))
        again = Run(run.path)
        assert (again.kind, again.name, again.tags, again.notes, again.experiment) == ("pretrain", "one", [], "", None)
        assert runs.next_version(tiny_runs) == 4
    # what someone wrote into config.yaml since, by hand or without meta.json, counts
    (run.path / runs.CONFIG).write_text("random_weight_init: true\nversion: 9\n")
    assert Run(run.path).brief == {"random_weight_init": True, "version": 9}
    assert Run(run.path).kind == "scratch"
    runs.write_config(run.path, CONFIG)
    assert Run(run.path).brief["seed"] == CONFIG.seed
    for damaged in ('{"brief": 3}', '{"brief": {"config_crc32": 1}}', "{", '{"brief": {"options": []}}'):
        (run.path / runs.META).write_text(damaged)
        assert Run(run.path).kind == "pretrain"


def lists(tail):
    return {name: values.tolist() for name, values in tail.columns.items()}


def test_a_growing_file_is_read_by_its_new_lines(tmp_path):
    path = tmp_path / "metrics.csv"
    tail = MetricsTail(path)
    assert not tail.refresh()
    assert tail.columns == {}
    path.write_text("step,train/loss,val/loss\n")
    assert tail.refresh()
    assert lists(tail) == {"step": [], "train/loss": [], "val/loss": []}
    with path.open("a") as stream:
        stream.write("1,0.5,\n2,0.4")
    assert tail.refresh()
    assert (lists(tail)["step"], tail.num_rows) == ([1.0], 1)
    assert tail.columns["val/loss"][0] != tail.columns["val/loss"][0]  # NaN
    assert not tail.refresh()
    with path.open("a") as stream:
        stream.write("5,0.3\n")
    assert tail.refresh()
    assert lists(tail)["train/loss"] == [0.5, 0.45]


def test_any_cut_of_the_file_gives_the_whole_rows_before_it(tmp_path):
    whole = "step,loss\n" + "".join(f"{number},{number / 7:.4f}\n" for number in range(30))
    path = tmp_path / "metrics.csv"
    for place in range(len(whole) + 1):
        path.write_text(whole[:place])
        tail = MetricsTail(path)
        tail.refresh()
        assert tail.num_rows == max(0, whole[:place].count("\n") - 1)
    generator = random.Random(0)
    tail, place = MetricsTail(path), 0
    path.write_text("")
    while place < len(whole):  # written in pieces of any size
        step = generator.randint(1, 25)
        with path.open("a") as stream:
            stream.write(whole[place : place + step])
        place += step
        tail.refresh()
    assert lists(tail)["step"] == list(range(30))


def test_a_file_that_was_cut_or_replaced_is_read_anew(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,1\n2,2\n3,3\n")
    tail = MetricsTail(path)
    tail.refresh()
    path.write_text("step,loss\n1,1\n")
    assert tail.refresh()
    assert lists(tail)["step"] == [1.0]
    writing.write_atomically(path, "step,other\n7,1\n8,2\n9,3\n10,4\n")
    assert tail.refresh()
    assert lists(tail) == {"step": [7.0, 8.0, 9.0, 10.0], "other": [1.0, 2.0, 3.0, 4.0]}
    path.unlink()
    assert tail.refresh()
    assert tail.columns == {}
    assert not tail.refresh()


@pytest.mark.parametrize(
    "middle",
    [
        b"x,y\n",
        b"1\n",
        b"\n",
        b"1,2,3,4\n",
        b"\xff\xfe,\x00\n",
        b"a\rb,c\n",
        b'"a\rb,c\n',
        b'"' + b"x" * 200_000 + b'"\n',
        b"1," + b"9" * 200_000 + b"\n",
    ],
)
def test_garbage_between_rows_costs_no_more_than_its_own_block(tmp_path, middle):
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"step,loss\n1,1\n")
    tail = MetricsTail(path)
    tail.refresh()
    with path.open("ab") as stream:
        stream.write(middle)
    tail.refresh()
    with path.open("ab") as stream:
        stream.write(b"2,2\n")
    tail.refresh()
    assert len({len(values) for values in tail.columns.values()}) == 1
    assert tail.columns["step"][0] == 1.0
    assert tail.columns["step"][-1] == 2.0
    anew = MetricsTail(path)
    anew.refresh()
    assert anew.columns["step"][0] == 1.0


def test_a_binary_file_in_place_of_metrics(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(random.Random(0).randbytes(50_000))
    MetricsTail(path).refresh()
    path.unlink()
    path.mkdir()
    assert not MetricsTail(path).refresh()


# --- changing, deleting, restoring ----------------------------------------------------------------------------------


def test_name_notes_and_tags_can_be_edited(tiny_runs):
    run = make(tiny_runs, name="before")
    run.edit(name="after", tags=["x"], notes="n")
    again = Run(run.path)
    assert (again.name, again.tags, again.notes) == ("after", ["x"], "n")
    assert again.meta["versions"]
    assert again.config["name"] == "before"  # the record of the start stays
    run.edit(name=None)
    with pytest.raises(ValueError, match="cannot edit created; allowed: name, notes, tags"):
        run.edit(created=5)


HOSTILE = [
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "a; rm -rf /",
    "$(touch x)",
    "`id`",
    "a/b\\c",
    "\n\ttwo",
    "'\"",
    "🎲",
    "%s%n",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_paths_stay_text(tiny_runs, text):
    run = make(tiny_runs, name=text, notes=text, tags=[text], dataset=f"/tmp/{text}")
    assert run.path.parent == tiny_runs
    assert set(run.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    again = Run(run.path)
    assert again.name == text
    assert again.notes == text
    assert again.config["name"] == text
    run.edit(name=text + text)
    assert Run(run.path).name == text + text


def test_delete_and_restore(tiny_runs):
    run = ended(make(tiny_runs))
    (run.path / "model.pt").write_bytes(b"weights")
    where = runs.delete(run, tiny_runs)
    assert (where / "model.pt").read_bytes() == b"weights"
    assert runs.list_runs(tiny_runs) == []
    back = runs.restore(run.id, tiny_runs)
    assert back.path == run.path
    assert back.model_path.read_bytes() == b"weights"
    runs.delete(back, tiny_runs)
    run.path.mkdir()  # one that came back another way
    (run.path / "config.yaml").write_text("temperature: 0.5\n")
    with pytest.raises(ConfigError, match=r"^RUN is "):
        runs.restore(run.id, tiny_runs)
    runs.delete(Run(run.path), tiny_runs)  # twice the same id: the later one is kept
    assert runs.restore(run.id, tiny_runs).config == {"temperature": 0.5}


def test_active_and_foreign_runs_are_not_deleted(tiny_runs, tmp_path, child):
    run = make(tiny_runs)
    running(run, child)
    with pytest.raises(ConfigError, match="is running; allowed: a run that has ended"):
        runs.delete(run, tiny_runs)
    other = ended(runs.create(CONFIG, tmp_path / "other"))
    with pytest.raises(ConfigError, match="does not lie in"):
        runs.delete(other, tiny_runs)
    link = tiny_runs / "20260101-link"
    link.symlink_to(other.path)
    with pytest.raises(ConfigError, match="does not lie in"):
        runs.delete(Run(link), tiny_runs)
    assert other.path.is_dir()
    for path in (tiny_runs, tiny_runs / "..", tmp_path, tiny_runs / run.id / ".."):
        with pytest.raises(ConfigError):
            runs.delete(Run(path), tiny_runs)
    assert tiny_runs.is_dir()


@pytest.mark.parametrize("text", ["", ".", "..", "../other", "/etc", "nothing", "a\0b"])
def test_restore_never_leaves_the_trash(tiny_runs, text):
    runs.delete(ended(make(tiny_runs)), tiny_runs)
    before = sorted(path.name for path in tiny_runs.parent.iterdir())
    with pytest.raises(ConfigError, match=r"^RUN is "):
        runs.restore(text, tiny_runs)
    assert sorted(path.name for path in tiny_runs.parent.iterdir()) == before
    assert (tiny_runs / ".trash").is_dir()


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "file"
    writing.write_atomically(path, "old")
    with pytest.raises(OverflowError), writing.replacing(path) as stream:
        stream.writelines(number.to_bytes() for number in (1, -1))  # the second is none
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_status_defaults():
    assert Status().is_active
    assert Status().progress == 0
    assert Status(steps=10, step=50).progress == 1
