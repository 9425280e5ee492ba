"""Faults put in on purpose: whatever dies, fills up or lies, what is shown is true, says why, and nothing is lost but
the steps since the last checkpoint.

Most of them train with `faults/stub_train.py`, which needs no torch; command line, queue, supervisor and files are the
real ones. Random moments come from a seed that is printed; $SIMCLR_FAULT_SEED repeats them, $SIMCLR_FAULT_REPEATS says
how often the slow ones try.
"""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import chromium
import psutil
import pytest
from dashboard_fixtures import make_run, open_page, texts
from fault_helpers import holds, options, resume, resume_at, serve
from waiting import background, group_of, wait_for  # noqa: F401

from dashboard.run import sections
from simclr import config as cfg
from simclr import runs
from simclr.cli import main as cli
from simclr.config import ConfigError, PretrainConfig
from simclr.files import writing
from simclr.hardware import processes
from simclr.launch import control, spawn, supervisor
from simclr.launch import queue as run_queue

FAULTS = Path(__file__).resolve().parent
SEED = int(os.environ.get("SIMCLR_FAULT_SEED") or random.SystemRandom().randrange(10**6))
REPEATS = int(os.environ.get("SIMCLR_FAULT_REPEATS") or 3)
SHOWN_SECONDS = 3.0  # within which the truth has to show
END_SECONDS = 20.0


def kill(*pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def soon(condition, what, seconds=SHOWN_SECONDS):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return found


def processes_of(folder):
    """Living processes that have a folder in their command line, apart from this one."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(process.pid)
    return found


@pytest.fixture
def stubbed(background, monkeypatch):
    """The runs folder of runs that are trained by the stand-in; nothing of theirs is left at the end."""
    monkeypatch.setenv("PYTHONPATH", str(FAULTS))
    monkeypatch.setenv("SIMCLR_TEST_STUB", "1")
    yield background
    kill(*processes_of(background))


@pytest.fixture
def clock(stubbed, tmp_path, monkeypatch):
    """Sets the clock of this process and of those that it starts: by so many seconds it is wrong then."""
    path = tmp_path / "clock"
    right = time.time
    path.write_text("0")
    monkeypatch.setenv("SIMCLR_TEST_CLOCK", str(path))
    monkeypatch.setattr(time, "time", lambda: right() + float(path.read_text()))

    def set_clock(seconds):
        writing.write_atomically(path, str(seconds))

    return set_clock


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A real training that nothing happened to, and what starts others like it in this process; loads torch."""
    return Real(tmp_path_factory.mktemp("real") / "runs")


class Real:
    def __init__(self, folder):
        import test_kill

        from simclr.lifecycle import train as lifecycle_train

        self.train, self.kill = lifecycle_train, test_kill
        self.options = cfg.build(PretrainConfig, test_kill.PRETRAIN | {"epochs": 3})
        self.expected = lifecycle_train.train(self.options, runs_dir=folder)

    def begin(self, runs_dir, action=None, when=None, **more):
        """Trains; calls `action` once, after a step, as soon as `when` says so of the number of steps."""
        config = self.options.model_copy(update=more)
        return self.train.train(config, runs_dir=runs_dir, callbacks=self._once(action, when))

    def go_on(self, run, action=None, when=None):
        return self.train.train(
            runs.load_config(run),
            runs_dir=run.path.parent,
            run_dir=run.path,
            resume=True,
            callbacks=self._once(action, when),
        )

    def assert_whole(self, run):
        self.kill.assert_equal_ends(run, self.expected)

    def _once(self, action, when):
        import lightning

        class Once(lightning.Callback):
            is_done = False

            def on_train_batch_end(self, trainer, *_):
                if not self.is_done and when(trainer.global_step):
                    self.is_done = True
                    action()

        return [Once()] if action else []


def rows(run):
    """Lines of a stand-in's metrics."""
    return run.metrics_path.read_text().split("\n")


def saved_step(run):
    """The step of a stand-in's last checkpoint."""
    with contextlib.suppress(OSError):
        return int((run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).read_text().split()[0])
    return 0


def training(run, step=1):
    """Waits until a run is at least at this step; returns its status."""
    return wait_for(lambda: (s := run.status).state == "running" and s.step >= step and s, f"step {step}")


def ended(run, state, seconds=END_SECONDS):
    """Waits until a run has ended and its supervisor has left; returns its status, which must be this one."""
    soon(lambda: not run.status.is_active, f"the end of {run.id}", seconds)
    soon(lambda: not any(runs.processes_alive(runs.read_status(run.path))), "the end of its processes", seconds)
    status = run.status
    assert status.state == state, (status, run.log_tail())
    return status


def assert_whole(run, epochs, seed):
    """As a stand-in ends that nothing happened to."""
    state, expected = "", ["epoch,step,train/loss,state"]
    for step in range(1, 4 * epochs + 1):
        state = hashlib.sha256(f"{state} {seed} {step}".encode()).hexdigest()[:16]
        expected.append(f"{(step - 1) // 4 + 1},{step},{1 / step:.7g},{state}")
    assert rows(run) == [*expected, ""]
    assert run.model_path.read_text() == state


# --- disks ----------------------------------------------------------------------------------------------------------


class Disk:
    """A small file system of its own."""

    def __init__(self, path, mib):
        self.path, self.filler = path, path / "filler"
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(path)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no right to mount a small disk here")

    def fill(self, left=0):
        """Takes all room but `left` bytes, whole pages of it."""
        with open(self.filler, "ab", buffering=0) as stream:
            with contextlib.suppress(OSError):
                while stream.write(bytes(4096)):
                    pass
            stream.truncate(max(0, stream.tell() - left))
        assert shutil.disk_usage(self.path).free <= left + 4096

    def free(self):
        self.filler.unlink()

    def set_writable(self, is_writable):
        subprocess.run(["mount", "-o", f"remount,{'rw' if is_writable else 'ro'}", str(self.path)], check=True)


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """Makes a small disk, which holds the runs folder `runs`."""
    mounted = []

    def make(mib):
        path = tmp_path / "disk"
        path.mkdir()
        mounted.append(disk := Disk(path, mib))
        (path / "runs").mkdir()
        monkeypatch.setenv("SIMCLR_RUNS_DIR", str(path / "runs"))
        return disk

    yield make
    for disk in mounted:
        kill(*processes_of(disk.path))
        subprocess.run(["umount", "-l", str(disk.path)], check=True)


def test_a_disk_that_fills_up_while_a_run_is_handed_in_leaves_all_of_it_or_nothing(small_disk, monkeypatch):
    """The room ends at each write in turn."""
    disk = small_disk(2)
    monkeypatch.setattr(run_queue, "_has_scheduler", lambda runs_dir: True)
    runs_dir, refused = disk.path / "runs", 0
    for pages in range(16):
        disk.fill(left=4096 * pages)
        try:
            run = run_queue.submit(options(seed=pages), runs_dir)
        except ConfigError as error:
            refused += 1
            told = str(error)
        else:
            assert run.status.state == "queued"
            assert runs.load_config(run).seed == pages
            assert len(run_queue.entries(runs_dir)) == 1
            disk.free()
            run_queue.drop(run, runs_dir)
            shutil.rmtree(runs_dir / runs.TRASH)
        disk.filler.unlink(missing_ok=True)
        assert told.endswith("cannot be written: No space left on device.")
        assert [path.name for path in runs_dir.iterdir() if not path.name.startswith(".")] == []
    assert 0 < refused < 16


def test_what_waits_is_not_spent_on_a_full_disk(small_disk, stubbed):
    disk = small_disk(40)
    runs_dir = disk.path / "runs"
    disk.fill(left=2**20)
    run = run_queue.submit(options(), runs_dir)
    run_queue.advance(runs_dir)
    assert run.status.state == "queued"
    assert "disk" in run_queue.blocking_reason(runs_dir)
    disk.free()
    assert run_queue.blocking_reason(runs_dir) == ""
    ended(run, "finished")
    assert_whole(run, 2, 0)


def test_a_full_disk_ends_a_run_with_that_word_and_it_goes_on_when_there_is_room(small_disk, stubbed, monkeypatch):
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.05")
    disk = small_disk(40)
    run = run_queue.submit(options(epochs=20), disk.path / "runs")
    training(run, 4)
    disk.fill()
    status = ended(run, "failed")
    assert (status.reason, status.exit_code) == ("disk full", 1)
    disk.free()
    run_queue.resubmit(run)
    ended(run, "finished")
    assert_whole(run, 20, 0)


def test_a_folder_that_cannot_be_written_refuses_in_a_sentence_and_is_shown(small_disk, stubbed):
    disk = small_disk(4)
    runs_dir = disk.path / "runs"
    done, stopped, waiting = (make_run(runs_dir, state, epochs=2) for state in ("finished", "stopped", "finished"))
    runs.update_status(waiting.path, state="queued", backend="local", device="cpu")
    runs.delete(make_run(runs_dir, epochs=1), runs_dir)
    (trashed,) = os.listdir(runs_dir / runs.TRASH)
    disk.set_writable(False)
    for action in (
        lambda: run_queue.submit(options(), runs_dir),
        lambda: run_queue.resubmit(stopped),
        lambda: run_queue.move(waiting.id, 0, runs_dir),
        lambda: run_queue.drop(waiting, runs_dir),
        lambda: run_queue.edit(waiting, options(), "cpu"),
        lambda: run_queue.set_slots(runs_dir, "cpu", 2),
        lambda: spawn.start(options(), runs_dir),
        lambda: control.resume(stopped),
        lambda: spawn.claim_resume(stopped),
        lambda: control.request_stop(waiting.path),
        lambda: spawn.start_job("test", ["runs"], runs_dir),
        lambda: runs.delete(done, runs_dir),
        lambda: runs.restore(trashed, runs_dir),
    ):
        with pytest.raises(ConfigError, match="Read-only file system"):
            action()
    run_queue.ensure_scheduler(runs_dir)
    assert [run.status.state for run in (done, stopped, waiting)] == ["finished", "stopped", "queued"]
    for page, query in ((None, {}), ("run", {"id": done.id}), ("run", {"id": waiting.id})):
        assert not open_page(page, **query).exception
    app = open_page("run", id=stopped.id)
    app.button(key="resume").click().run()
    assert "Read-only file system" in texts(app)
    disk.set_writable(True)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["checkpoint", "metrics"])
def test_a_real_training_on_a_disk_that_fills_up(small_disk, real, capsys, what):
    disk, generator = small_disk(64), random.Random(SEED)
    at = sorted(generator.sample([step for step in range(2, 45) if step % 16], REPEATS))
    print(f"seed {SEED}, steps {at}")

    def fill():
        if what == "checkpoint":
            disk.fill(100_000)
            return
        (path,) = disk.path.glob("runs/*/metrics.csv")
        with open(path, "ab") as stream:  # its last block is full, so that the next row needs another
            stream.write(b"\n".rjust(4096 - path.stat().st_size % 4096, b"x"))
        disk.fill()

    run = None
    for step in at:
        more = (fill, lambda now, step=step: now >= step)
        if run is None:
            minutes = real.options.checkpoint_every_minutes if what == "checkpoint" else 0  # else it fails first
            run = real.begin(disk.path / "runs", *more, checkpoint_every_minutes=minutes)
        else:
            run = real.go_on(run, *more)
        status = run.status
        assert (status.state, status.reason) == ("failed", "disk full")
        assert ("in append" in capsys.readouterr().err) == (what == "metrics")  # the log has no room for it
        assert not list((run.path / "checkpoints").glob(".*"))
        disk.free()
    real.assert_whole(real.go_on(run))


# --- what lies in the runs folder -----------------------------------------------------------------------------------


def foreign(folder, outside):
    """Fills a runs folder with what has no business there; returns the names of what is a run nevertheless."""
    template = make_run(folder, epochs=2)

    def run(name, **files):
        """A copy of a run with other files: text, bytes, or a function that makes one at a path."""
        shutil.copytree(template.path, folder / name, symlinks=True)
        for file, content in files.items():
            path = (
                folder
                / name
                / {"config": "config.yaml", "metrics": "metrics.csv", "log": "log.txt"}.get(file, f"{file}.json")
            )
            path.unlink(missing_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def junk(path):
        with open(path, "wb") as stream:
            stream.truncate(100 * 2**20)

    def endless(path):
        path.symlink_to("/dev/zero")

    def itself(path):
        path.symlink_to(path)

    everything = ("status", "config", "meta", "metrics", "evaluation", "log")
    status = json.loads((template.path / "status.json").read_text())
    (folder / "a-file").write_text("x")
    (folder / "empty").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "nowhere").symlink_to(folder / "not-there")
    shutil.copytree(template.path, outside / "linked")
    (folder / "linked").symlink_to(outside / "linked")
    os.mkdir(os.fsencode(folder) + b"/\xff\xfe")
    shutil.copy(template.path / "status.json", os.fsencode(folder) + b"/\xff\xfe/status.json")
    for name, make in (
        ("pipes", os.mkfifo),
        ("endless", endless),
        ("itself", itself),
        ("folders", os.mkdir),
        ("junk", junk),
    ):
        run(name, **dict.fromkeys(everything[:1] + everything[2:], make))
        run(f"{name}-all", **dict.fromkeys(everything, make))
    for number, content in enumerate((b"", b"{", b"[]", b"1", b"null", b"\x00\xff\xfe", b"[" * 100_000, b'"\\ud800"')):
        run(f"bytes-{number}", **dict.fromkeys(everything, content))
    odd = {
        "name": "\ud800",
        "notes": ["a"],
        "tags": ["\udfff", None, 3],
        "created": 1e300,
        "device": {"a": 1},
        "recipe": [],
        "experiment": {"b": 2},
        "num_classes": "many",
    }
    run("odd-meta", meta=json.dumps(odd))
    for number, changes in enumerate(
        (
            {"state": "queued\n"},
            {"pid": "1"},
            {"pid": -1, "process_start": 0, "state": "running"},
            {"epoch": 10**400},
            {"heartbeat": float("nan")},
            {"state": "running", "pid": 1, "process_start": 0.5},
            {"started": -1e308},
            {"state": "running", "pid": 2**70, "process_start": 1.0},
            {"error": "\ud800 <b>", "state": "failed"},
            {"state": "running", "host": "another\ud800", "heartbeat": 1e18},
            {"ended": 1e308, "started": -1e308},
            {"eta_seconds": 1e308, "state": "starting", "supervisor_pid": 2},
            {"steps": -5, "step": 10**18},
            {"signal": 10**6},
        )
    ):
        run(f"status-{number}", status=json.dumps(status | changes))
    run("odd-config", config="temperature: [1]\ndataset: {a: 1}\nversion: .nan\nepochs: x\nbatch_size: 1e999\n")
    for number, content in enumerate(
        (
            "a,b\n1\n",
            "epoch,step,train/loss\n1,2,3\n1,2\nx,y,z\n\x00,1e999,-1e999\n4,5",
            "epoch,epoch,step\n1,2,3\n",
            '"epoch\n1,"2\n',
            "epoch,step,val/loss\n" + "1," * 10_000 + "\n",
            "\ufeffepoch,step,train/loss\r\n1,1,1\r\n",
        )
    ):
        run(f"metrics-{number}", metrics=content)
    run("checkpoints")
    (folder / "checkpoints" / "checkpoints").rename(folder / "checkpoints" / "was")
    (folder / "checkpoints" / "checkpoints").write_text("x")
    return [run.id for run in runs.list_runs(folder)]


def test_what_has_no_business_in_the_folder_costs_itself_alone(tiny_runs, tmp_path):
    names = foreign(tiny_runs, tmp_path)
    good = make_run(tiny_runs, epochs=3)
    begun = time.process_time()
    assert good.id in [run.id for run in runs.list_runs(tiny_runs)]
    assert {"linked", "junk", "pipes", "odd-meta"} <= set(names)
    assert not {"a-file", "empty", "loop", "nowhere"} & set(names)
    for run in runs.list_runs(tiny_runs):
        status = run.status
        assert not status.is_active or status.host not in ("", os.uname().nodename) or status.state == "queued", run.id
        assert status.state != "failed" or status.error.endswith((".", ">")), (run.id, status)
        for text in (run.id, run.name, run.notes, *run.tags, status.error, run.log_tail()):
            text.encode()  # else no page can show it
        assert run.metrics() is not None and run.evaluation is not None and run.created < 1e11 and run.kind
        with contextlib.suppress(ConfigError):
            runs.load_config(run)
    with pytest.raises(ConfigError, match="linked does not lie in"):
        runs.delete(runs.Run(tiny_runs / "linked"), tiny_runs)
    assert (tmp_path / "linked" / "status.json").is_file()
    assert run_queue.device_usage(tiny_runs) == {}
    assert time.process_time() - begun < 3
    app = open_page()
    assert not app.exception
    assert good.id in str([table.proto for table in app.get("bidi_component")]) + texts(app)


@pytest.mark.slow
def test_every_page_of_every_foreign_run_opens(tiny_runs, tmp_path):
    names = foreign(tiny_runs, tmp_path)
    pages = [("run", {"id": name, "tab": tab}) for name in names for tab in sections.TABS]
    pages += [(page, {}) for page in ("curves", "results", "embeddings", "new_run")]
    wrong = {str(page): found[0].message for page in pages if (found := open_page(page[0], **page[1]).exception)}
    assert wrong == {}


def shown_states(folder):
    return {run.id: (run.status.state, run.status.error) for run in runs.list_runs(folder)}


def test_a_folder_that_one_may_not_look_into_hides_no_other():
    """As a user without the rights of root."""
    place = Path("/tmp") / f"simclr-faults-{os.getpid()}"  # tmp_path is root's alone
    try:
        closed, unreadable, good = (make_run(place, epochs=1) for _ in range(3))
        place.chmod(0o755)
        os.chmod(unreadable.path / "status.json", 0)
        os.chmod(closed.path, 0)
        with multiprocessing.get_context("fork").Pool(1, os.setuid, (os.getuid() or 65534,)) as pool:
            shown = pool.apply(shown_states, (place,))
        assert shown == {
            good.id: ("finished", ""),
            unreadable.id: ("failed", "status.json cannot be read: Permission denied."),
        }
    finally:
        for path in place.iterdir():
            path.chmod(0o755)
        shutil.rmtree(place)


def test_out_of_file_descriptors_is_no_damage_and_overwrites_nothing(tiny_runs):
    run = make_run(tiny_runs, epochs=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        status = run.status
        with pytest.raises(OSError, match="Too many open files"):
            runs.update_status(run.path, stop_requested=1.0)
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (status.reason, status.error) == ("unreadable status", "status.json cannot be read: Too many open files.")
    assert run.status.state == "finished"


@pytest.mark.parametrize("harm", ["missing", "torn", "foreign"])
def test_a_lost_status_of_a_living_run_is_written_again(stubbed, monkeypatch, harm):
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.05")
    run = spawn.start(options(epochs=40), stubbed)
    before = training(run)
    path = run.path / runs.STATUS
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100] if harm == "torn" else b'{"state": 7}')
    status = soon(lambda: (s := run.status).state == "running" and s, "the truth")
    assert (status.pid, status.supervisor_pid, status.host) == (before.pid, before.supervisor_pid, before.host)
    control.stop(run.path)
    assert ended(run, "stopped").exit_code == runs.STOPPED_EXIT_CODE


@pytest.mark.parametrize("train", ["stub", pytest.param("real", marks=pytest.mark.slow)])
def test_a_folder_deleted_under_a_run_takes_its_processes_with_it(request, train):
    runs_dir = request.getfixturevalue("stubbed" if train == "stub" else "background")
    run = spawn.start(options(epochs=100_000), runs_dir)
    status = training(run, 5)
    app = open_page("run", id=run.id)
    shutil.rmtree(run.path, ignore_errors=True)
    pids = (status.pid, status.supervisor_pid)
    soon(lambda: not any(map(processes.process_start, pids)), "the end of its processes", END_SECONDS)
    assert group_of(status.pid) == []
    assert processes_of(run.path) == []
    shutil.rmtree(run.path, ignore_errors=True)  # it was writing meanwhile
    time.sleep(0.3)
    assert not run.path.exists()
    app.run()
    assert not app.exception
    assert "There is no run" in texts(app)


# --- processes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victims", ["trainer", "supervisor", "trainer supervisor", "supervisor trainer"])
def test_killed_at_a_random_moment(stubbed, victims, monkeypatch):
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.03")
    generator = random.Random(f"{SEED} {victims}")
    run = run_queue.submit(options(epochs=12, seed=3), stubbed)
    moment = generator.uniform(0, 1.2)
    print(f"seed {SEED}, {moment:.3f} s after the first step")
    training(run)
    time.sleep(moment)
    status, kept = runs.read_status(run.path), saved_step(run)
    kill(*({"trainer": status.pid, "supervisor": status.supervisor_pid}[name] for name in victims.split()))
    if victims == "supervisor":
        status = ended(run, "finished")
    else:
        status = soon(lambda: not (s := run.status).is_active and s, "the end")
        if victims == "trainer":
            status = soon(lambda: (s := run.status).signal == 9 and s, "the supervisor's word")
        expected = "killed by signal 9" if victims == "trainer" else "crashed"
        if status.state != "finished":  # a moment too late
            assert (status.state, status.reason) == ("failed", expected)
            assert status.error.endswith((".", "memory."))
            run_queue.resubmit(run)
            status = ended(run, "finished")
            began = [int(line.split()[-1]) for line in run.log_tail().split("\n") if line.startswith("goes on from")]
            assert began[1] >= kept
    assert_whole(run, 12, 3)


def test_killed_while_it_starts(stubbed):
    """A run whose supervisor dies at any moment of its start goes on, or is failed and can be resumed; never both."""
    generator = random.Random(SEED)
    for _ in range(4):
        run = spawn.start(options(epochs=1), stubbed)
        moment = generator.uniform(0, 1.0)
        print(f"seed {SEED}, {moment:.3f} s after the start")
        time.sleep(moment)
        kill(runs.read_status(run.path).supervisor_pid)
        status = soon(lambda run=run: not (s := run.status).is_active and s, "the end", END_SECONDS)
        if status.state == "failed":
            assert status.reason == "crashed"
            control.resume(run)
            status = ended(run, "finished")
        assert_whole(run, 1, 0)
        soon(lambda run=run: not processes_of(run.path), "the end of its processes")


def test_whoever_starts_a_run_is_killed_meanwhile(stubbed):
    """Either nothing has happened to the run, or it is on its way; at no moment does it only seem so."""
    generator = random.Random(SEED)
    run = spawn.create(options(epochs=1), stubbed, {"state": "stopped"})
    happened = []
    for _ in range(6):
        starter = multiprocessing.get_context("fork").Process(target=resume, args=("launch", str(run.path)))
        starter.start()
        time.sleep(generator.uniform(0, 0.06))
        starter.kill()
        starter.join()
        happened.append(run.status.state)
        assert (happened[-1] == "starting") == runs.processes_alive(run.status)[1]
        if happened[-1] == "starting":
            ended(run, "finished")
            assert_whole(run, 1, 0)
            shutil.rmtree(run.path)
            run = spawn.create(options(epochs=1), stubbed, {"state": "stopped"})
        soon(lambda run=run: not processes_of(run.path), "the end of its processes")
        assert run.status.state == "stopped"
    print(f"seed {SEED}: {happened}")


def test_a_killed_keeper_or_starter_does_not_stop_the_queue(stubbed, monkeypatch):
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.05")
    first, second = (run_queue.submit(options(epochs=5, seed=seed), stubbed) for seed in range(2))
    keeper = soon(lambda: [pid for pid in processes_of(stubbed) if pid not in processes_of(first.path)], "the keeper")
    kill(*keeper)
    ended(first, "finished")
    ended(second, "finished")  # the first one's supervisor saw to it
    # whoever handed it in died before anything was begun: the next page that opens finds it waiting
    third = runs.create(options(seed=2), stubbed, None, {"state": "queued", "device": "cpu"})
    assert not open_page().exception
    ended(third, "finished")
    for seed, run in enumerate((first, second)):
        assert_whole(run, 5, seed)


def test_a_killed_holder_of_a_lock_holds_it_no_longer(tiny_runs, tmp_path):
    run = make_run(tiny_runs, epochs=1)
    (tiny_runs / ".queue").mkdir()
    for folder in (run.path, tiny_runs / ".queue"):
        holder = multiprocessing.get_context("fork").Process(target=holds, args=(folder, tmp_path / folder.name))
        holder.start()
        soon((tmp_path / folder.name).exists, "the lock")
        with open(folder / ".lock", "a") as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.kill()
        holder.join()
        with open(folder / ".lock", "a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an error where someone holds it


def test_a_process_forked_meanwhile_does_not_keep_a_lock(tiny_runs):
    """As the readers of images are forked while the status is being written."""
    run = make_run(tiny_runs, epochs=1)
    with writing.locked(run.path):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
    try:
        runs.update_status(run.path, step=1)
        assert child.is_alive()  # else it was the child's end that gave the lock free
    finally:
        child.kill()
        child.join()


def test_a_lock_whose_holder_is_suspended_is_given_up_in_a_sentence(tiny_runs, tmp_path, monkeypatch):
    run = make_run(tiny_runs, "running")
    monkeypatch.setattr(writing, "LOCK_SECONDS", 0.2)
    holder = multiprocessing.get_context("fork").Process(target=holds, args=(run.path, tmp_path / "held"))
    holder.start()
    try:
        soon((tmp_path / "held").exists, "the lock")
        os.kill(holder.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            runs.update_status(run.path, step=1)
        with pytest.raises(ConfigError, match="cannot be stopped: another process holds its lock and does not go on"):
            control.request_stop(run.path)
    finally:
        holder.kill()
        holder.join()
    assert runs.update_status(run.path, step=1).step == 1


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
from pathlib import Path
from simclr import runs
writer = runs.StatusWriter(Path(sys.argv[1]), 0.2).start(phase="training")
time.sleep(600)
"""


def supervised(run, code, grace):
    """A process under a supervisor that gives it so many seconds to stop."""
    patch = f"""
import sys
from pathlib import Path
from simclr import runs
from simclr.hardware import processes
from simclr.launch import supervisor
runs.STOP_GRACE_SECONDS = {grace}
pid = supervisor.os.getpid()
runs.update_status(Path(sys.argv[1]), supervisor_pid=pid, supervisor_start=processes.process_start(pid))
supervisor.supervise(Path(sys.argv[1]), [sys.executable, "-c", {code!r}, sys.argv[1]])
"""
    with open(run.log_path, "ab") as log:
        return spawn.detach([sys.executable, "-c", patch, str(run.path)], log)


@pytest.mark.parametrize("way", ["ignores it", "suspended", "the clock is set"])
def test_a_run_that_will_not_stop_is_killed_when_its_time_is_over(clock, stubbed, way):
    run = runs.create(options(), stubbed)
    supervised(run, STUBBORN, grace=2.0)
    status = training(run, 0)
    members = soon(lambda: len(group := group_of(status.pid)) == 2 and group, "both processes")
    if way == "suspended":
        with writing.locked(run.path):  # else it may be suspended while it holds the lock, and keep it
            os.kill(status.pid, signal.SIGSTOP)
    begun = time.monotonic()
    for _ in range(3):  # a second click changes nothing
        assert control.request_stop(run.path).state == "stopping"
    if way == "the clock is set":
        clock(-86_400)
        time.sleep(1)
        clock(86_400)
    status = ended(run, "stopped")
    assert time.monotonic() - begun > 2
    assert (status.reason, status.signal) == ("killed after the grace time", 9)
    assert "what came after the last checkpoint is lost" in status.error
    assert not any(map(processes.process_start, members))


@pytest.mark.parametrize("code", ["sys.exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_child_that_has_ended_keeps_its_pid_until_its_group_is_gone(tiny_runs, monkeypatch, code):
    """So that nothing else can have that pid when the group is killed; also on a macOS that lacks `os.waitid`."""
    monkeypatch.delattr(os, "waitid", raising=False)
    monkeypatch.setattr(supervisor, "_ignore_stop_signals", lambda: None)
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.01)
    end_group, seen = processes.end_group, []

    def watched(pid, start):
        seen.append((psutil.Process(pid).status(), len(processes.group_members(pid, start))))
        return end_group(pid, start)

    monkeypatch.setattr(processes, "end_group", watched)
    run = make_run(tiny_runs, epochs=1, state="running")
    runs.update_status(
        run.path, pid=None, supervisor_pid=os.getpid(), supervisor_start=processes.process_start(os.getpid())
    )
    leaves = f"import os, subprocess, sys; subprocess.Popen(['sleep', '600']); {code}"
    code = supervisor.supervise(run.path, [sys.executable, "-c", leaves])
    assert seen == [(psutil.STATUS_ZOMBIE, 1)]  # the `sleep` alone still lives
    status = run.status
    assert (status.state, status.exit_code, status.signal) == ("failed", max(code, 0) or None, -min(code, 0) or None)
    assert not processes.group_members(status.pid, None)


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), psutil.AccessDenied(1)])
def test_a_child_that_cannot_be_looked_at_is_not_taken_for_ended(monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(psutil, "Process", fail)
    assert not supervisor._has_ended(1)


def test_a_pid_taken_over_by_another_process_is_never_signalled(tmp_path):
    code = f"""
import sys; sys.path[:0] = [{str(FAULTS.parent / "helpers")!r}, {str(FAULTS.parents[1])!r}]
import fault_helpers; fault_helpers.scene_of_a_taken_pid({str(tmp_path / "runs")!r})
"""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare failed" in found.stderr:
        pytest.skip("no right to make a pid namespace here")
    assert found.stdout.strip() == "spared", found.stderr


def test_after_a_restart_of_the_machine(stubbed):
    """Everything is gone but the files, and the pids belong to others."""
    pid, start = os.getpid(), processes.process_start(os.getpid())
    before = {
        "boot": "another",
        "host": os.uname().nodename,
        "pid": pid,
        "process_start": start,
        "supervisor_pid": pid,
        "supervisor_start": start,
    }
    running, stopping, starting, waiting = (runs.create(options(seed=seed), stubbed) for seed in range(4))
    runs.update_status(running.path, **before, state="running", started=time.time(), step=3)
    runs.update_status(stopping.path, **before, state="running", started=time.time(), stop_requested=time.time())
    runs.update_status(starting.path, **before | {"pid": None}, state="starting")
    runs.update_status(waiting.path, boot="another", state="queued", device="cpu")
    for run in (running, stopping, starting):
        assert (run.status.state, run.status.reason) == ("failed", "the machine was restarted")
        assert run.status.error == "The machine was restarted while the run was going on."
        with pytest.raises(ConfigError, match="is failed"):
            control.request_stop(run.path)
    app = open_page()  # whoever opens a page starts what waits
    assert not app.exception
    ended(waiting, "finished")
    for run in (running, stopping, starting):
        run_queue.resubmit(run)
    for seed, run in enumerate((running, stopping, starting, waiting)):
        ended(run, "finished")
        assert_whole(run, 2, seed)


# --- clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-86_400, 86_400], ids=["back", "forward"])
def test_a_clock_that_is_set_changes_neither_states_nor_durations(clock, stubbed, monkeypatch, shift):
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.05")
    begun = time.monotonic()
    first, second = (run_queue.submit(options(epochs=10, seed=seed), stubbed) for seed in range(2))
    training(first, 3)
    clock(shift)
    soon(lambda: abs(first.status.heartbeat - time.time()) < 2, "a heartbeat by the new clock")
    status = first.status
    assert (status.state, second.status.state, runs.stalled(status)) == ("running", "queued", "")
    assert 0 <= status.elapsed_seconds < time.monotonic() - begun + 1
    third = run_queue.submit(options(epochs=1, seed=2), stubbed)
    assert [run.id for run in run_queue.entries(stubbed)] == [second.id, third.id]
    for run, epochs in ((first, 10), (second, 10), (third, 1)):
        status = ended(run, "finished")
        assert_whole(run, epochs, (first, second, third).index(run))
        assert status.ended >= status.started
        assert 0.05 * 4 * epochs - 0.1 < status.elapsed_seconds < time.monotonic() - begun + 1


def test_a_start_that_never_was_is_given_up_though_the_clock_was_set_back(clock, stubbed):
    run = runs.create(options(), stubbed)
    assert run.status.state == "starting"
    clock(-86_400)
    assert (run.status.state, run.status.reason) == ("failed", "crashed")


# --- many at once ---------------------------------------------------------------------------------------------------


def test_resumed_from_tabs_and_shells_at_once_it_goes_on_once(stubbed, monkeypatch):
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.05")
    run = make_run(stubbed, "stopped", epochs=10, seed=0)
    shutil.rmtree(run.path / "checkpoints")
    (run.path / "checkpoints").mkdir()
    context, ways = multiprocessing.get_context("fork"), ("queue", "queue", "launch", "launch", "shell", "shell")
    barrier, queue = context.Barrier(len(ways)), context.SimpleQueue()
    for way in ways:
        context.Process(target=resume_at, args=(barrier, queue, way, str(run.path)), daemon=True).start()
    told = [queue.get() for _ in ways]
    assert sum(found == 0 for found in told) == 1, told
    ended(run, "finished")
    assert run.log_tail().count("goes on from step") <= 1
    assert_whole(run, 10, 0)


def test_a_waiting_run_is_stopped_in_a_word(stubbed, monkeypatch, capsys):
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.2")
    first, second = (run_queue.submit(options(epochs=100, seed=seed), stubbed) for seed in range(2))
    assert cli.main(["stop", second.id]) == 0
    assert f"{second.id} is stopped (taken out of the queue)" in capsys.readouterr().out
    assert not second.path.exists()
    training(first)
    for _ in range(2):
        control.request_stop(first.path)
    assert ended(first, "stopped").reason == "on request"
    with pytest.raises(ConfigError, match="is stopped; allowed: a run that is active"):
        control.request_stop(first.path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_servers_on_one_folder_agree(stubbed, monkeypatch):
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.05")
    seconds = 10 * REPEATS
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        told = pool.starmap_async(serve, [(str(stubbed), SEED + number, seconds) for number in range(2)], chunksize=1)
        most = 0
        while not told.ready():
            trainers = {}
            for process in psutil.process_iter(["cmdline"]):
                words = process.info["cmdline"] or []
                if "simclr" in words and "simclr.supervisor" not in words and str(stubbed) in " ".join(words):
                    trainers.setdefault(words[-1], []).append(process.pid)
            assert all(len(pids) == 1 for pids in trainers.values()), trainers
            most = max(most, len(trainers))
            time.sleep(0.05)
        told = told.get(10)
    assert most == 1, "one device, one run at a time"
    assert all(sentence.endswith((".", "instead")) for one in told for sentence in one)
    wait_for(lambda: not any(run.status.is_active for run in runs.list_runs(stubbed)), "the end of all", 600)
    found = runs.list_runs(stubbed)
    states = [run.status.state for run in found]
    print(
        f"seed {SEED}: {len(found)} runs, {states.count('finished')} finished, {states.count('stopped')} stopped, "
        f"{sum(map(len, told))} refusals"
    )
    assert set(states) <= {"finished", "stopped"}, [run.status for run in found if run.status.state == "failed"]
    for run in found:
        if run.status.state == "finished":
            assert_whole(run, run.config["epochs"], run.config["seed"])
    soon(lambda: not processes_of(stubbed), "the end of keeper and supervisors")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_waiting_runs_are_trained_one_after_the_other_in_order(stubbed):
    made = [run_queue.submit(options(epochs=1, seed=seed), stubbed) for seed in range(50)]
    waiting = run_queue.entries(stubbed)
    run_queue.move(waiting[-1].id, 0, stubbed)
    order = [run.id for run in run_queue.entries(stubbed)]
    begun = [run.id for run in made if run.id not in order] + order
    soon(lambda: not any(run.status.is_active for run in made), "the end of all fifty", 600)
    assert {run.status.state for run in made} == {"finished"}
    statuses = {run.id: run.status for run in made}
    found = sorted(statuses, key=lambda run_id: statuses[run_id].started)
    assert found == begun
    for earlier, later in itertools.pairwise(found):
        assert statuses[earlier].ended <= statuses[later].started
    for seed, run in enumerate(made):
        assert_whole(run, 1, seed)


# --- the dashboard --------------------------------------------------------------------------------------------------

EVIL = (
    "../../x",
    "<img src=x onerror=pwned()>",
    "$(touch pwned)",
    "[a](javascript:pwned())",
    ":material/bolt: :red[r]",
    "two\nlines",
    "\u202eleft to right",
    "\N{SKULL} ' \" ` \\ ; rm -rf *",
    "# head",
    "$x^2$ **bold** ~~gone~~",
    "{{7*7}} %s {0}",
    "<script>pwned()</script>",
    "x" * 10_000,
)


def named(folder):
    """A run for each evil text, longer ones than the options allow too: the file may have been edited."""
    made = [make_run(folder, epochs=1) for _ in EVIL]
    for run, text in zip(made, EVIL, strict=True):
        runs.add_meta(run.path, name=text, notes=f"notes {text}", tags=[text])
    return made


@pytest.mark.slow
def test_names_notes_and_tags_are_text_and_never_a_path(stubbed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = named(stubbed)
    assert sorted(path.name for path in stubbed.iterdir() if path.name[0] != ".") == sorted(run.id for run in made)
    for text in EVIL[:3]:
        with pytest.raises(ConfigError, match="allowed: a run's folder, id or unique prefix"):
            runs.find(text, stubbed)
        with pytest.raises(ConfigError, match="in the trash"):
            runs.restore(text, stubbed)
        assert "There is no run" in texts(open_page("run", id=text))
    for app in (open_page(), *(open_page("run", id=run.id) for run in made[1:5])):
        assert not app.exception
        kinds = ("markdown", "title", "caption", "info")
        marked = "\n".join(str(item.value) for kind in kinds for item in app.get(kind))
        for text in EVIL:
            assert not any(sign in text for sign in "<[:$*#{\n") or not re.search(r"(?<!\\)" + re.escape(text), marked)
    run_queue.submit(options(name="../../x", notes="$(touch pwned)"), stubbed).path.relative_to(stubbed)
    assert not (tmp_path / "pwned").exists()
    control.stop(runs.list_runs(stubbed)[0].path)


class Dashboard:
    """A real server in a group of its own, as one that was started from a terminal."""

    def __init__(self, folder):
        from server import Server, Tab

        self.server, self.tab = Server(folder), Tab

    def __enter__(self):
        with pytest.MonkeyPatch.context() as patch:
            popen = subprocess.Popen
            patch.setattr(subprocess, "Popen", lambda *a, **k: popen(*a, **k, start_new_session=True))
            self.server.start()
        return self

    def end(self, number=signal.SIGKILL):
        os.killpg(self.server.process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.server.process.wait(5)
        kill(self.server.process.pid)
        self.server.process.wait()

    def __exit__(self, *_):
        if self.server.process.poll() is None:
            self.end()


@pytest.fixture
def browser():
    """One for each test, and not for the file: other tests here draw pages in this very process."""
    with chromium.opened() as browser:
        yield browser


@pytest.mark.slow
@pytest.mark.browser
def test_names_are_shown_as_text_in_a_browser(tmp_path, browser):
    made = named(tmp_path / "runs")
    with Dashboard(tmp_path) as dashboard:
        tab = dashboard.tab(browser, dashboard.server.url, "names")
        tab.page.on("dialog", lambda dialog: tab.errors.append(dialog.message))
        tab.page.add_init_script("window.pwned = () => { document.title = 'pwned' }")
        for path in ("/", *(f"/run?id={run.id}" for run in made)):
            tab.open(path)
            tab.page.get_by_role("heading").first.wait_for()
            tab.page.wait_for_timeout(1000)
            shown = " ".join(tab.page.locator("[data-testid=stMain]").text_content().split())
            for text in EVIL if path == "/" else [EVIL[[run.id for run in made].index(path[8:])]]:
                assert " ".join(text.split())[:60] in shown, (path, text)
            assert tab.page.title() != "pwned"
            assert tab.page.locator("img[src=x], a[href^=javascript], .stMain script").count() == 0
            tab.has_no_errors()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(1800)
def test_the_dashboard_dies_alone_or_with_a_runs_processes(stubbed, tmp_path, monkeypatch, browser):
    """kill -9, Ctrl-C and a closed terminal; the run was resumed with a click, another one waits behind it."""
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.05")
    generator = random.Random(SEED)
    faults = [
        (number, victims)
        for number in (signal.SIGKILL, signal.SIGINT, signal.SIGHUP)
        for victims in ("", "trainer", "supervisor", "trainer supervisor")
    ]
    generator.shuffle(faults)
    run = spawn.start(options(epochs=600), stubbed)
    training(run)
    control.stop(run.path)
    for number, victims in faults:
        with Dashboard(tmp_path) as dashboard:
            tab = dashboard.tab(browser, dashboard.server.url, "faults")
            tab.open(f"/run?id={run.id}")
            tab.button("Resume").click()
            before = training(run, run.status.step + 1)
            waiting = run_queue.submit(options(epochs=1, seed=before.step), stubbed)
            assert waiting.status.state == "queued"
            time.sleep(generator.uniform(0, 1))
            status = runs.read_status(run.path)
            kill(*({"trainer": status.pid, "supervisor": status.supervisor_pid}[name] for name in victims.split()))
            dashboard.end(number)
            tab.context.close()
        with Dashboard(tmp_path) as dashboard:
            tab = dashboard.tab(browser, dashboard.server.url, "faults")
            tab.open(f"/run?id={run.id}")
            main = tab.page.locator("[data-testid=stMain]")
            main.get_by_text(run.id).first.wait_for()
            expected = "Failed" if "trainer" in victims else "Running"
            main.get_by_text(expected, exact=True).first.wait_for(timeout=1000 * SHOWN_SECONDS)
            if expected == "Failed":
                sentence = "ended without saying why" if "supervisor" in victims else "killed by signal 9"
                main.get_by_text(sentence).first.wait_for()
            else:
                step = run.status.step
                soon(lambda step=step: run.status.step > step, "more steps")
                control.stop(run.path)
            tab.has_no_errors()
            tab.context.close()
        ended(waiting, "finished")
        assert_whole(waiting, 1, before.step)
        print(f"{signal.Signals(number).name} {victims or 'dashboard alone'}: {expected}, step {run.status.step}")
    monkeypatch.setenv("SIMCLR_TEST_STEP_SECONDS", "0.001")
    control.resume(run)
    ended(run, "finished", 120)
    assert_whole(run, 600, 0)


# --- real trainings -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_real_training_survives_every_kind_of_kill(background, tmp_path, real):
    """Trainer, supervisor and whoever started them, each alone and together, at random moments of one long run."""
    generator = random.Random(SEED)
    kills = ["trainer", "supervisor", "trainer supervisor"] * REPEATS
    generator.shuffle(kills)
    print(f"seed {SEED}: {kills}")
    config = real.options.model_copy(update={"epochs": 40 * len(kills)})
    run = spawn.start(config, background)
    for victims in kills:
        training(run, run.status.step + 1)
        wait_for(lambda: runs.has_checkpoint(run.path), "a checkpoint")
        time.sleep(generator.uniform(0, 0.5))
        status = runs.read_status(run.path)
        assert status.state == "running", "it was over too soon to be killed"
        kill(*({"trainer": status.pid, "supervisor": status.supervisor_pid}[name] for name in victims.split()))
        if victims == "supervisor":
            assert run.status.state == "running"
            assert control.stop(run.path).state == "stopped"
        shown = soon(lambda: not (s := run.status).is_active and s, "the end")
        print(f"step {shown.step}, {victims}: {shown.state} ({shown.reason}) {shown.error}")
        if "supervisor" not in victims:
            soon(lambda: run.status.signal, "the supervisor's word")
        starter = multiprocessing.get_context("spawn").Process(target=resume, args=("launch", str(run.path)))
        starter.start()
        wait_for(lambda: run.status.is_active, "its start")
        starter.kill()  # the dashboard
        starter.join()
        if not run.status.is_active:
            control.resume(run)
    ended(run, "finished", 900)
    expected = real.train.train(config, runs_dir=tmp_path / "whole")
    real.kill.assert_equal_ends(run, expected)


@pytest.fixture(scope="module")
def stopped(real, tmp_path_factory):
    """A real run that was stopped on its way."""
    run = real.begin(
        tmp_path_factory.mktemp("stopped") / "runs",
        lambda: os.kill(os.getpid(), signal.SIGTERM),
        lambda step: step == 30,
    )
    assert (run.status.state, run.status.step) == ("stopped", 30)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["truncated", "empty", "garbage", "flipped", "missing", "both"])
def test_a_damaged_last_checkpoint_costs_the_steps_since_the_one_before(real, stopped, tmp_path, harm):
    run = runs.Run(shutil.copytree(stopped.path, tmp_path / "runs" / stopped.id))
    last, previous = (run.path / "checkpoints" / name for name in runs.RESUMABLE_CHECKPOINTS)
    (run.path / "checkpoints" / "..fresh.ckpt.99").write_bytes(b"half of one")
    content = bytearray(last.read_bytes())
    last.unlink()
    if harm != "missing":
        content[len(content) // 2] ^= 0xFF
        half = content[: len(content) // 2]
        last.write_bytes({"empty": b"", "garbage": bytes(len(content)), "flipped": content}.get(harm, half))
    if harm == "both":
        previous.write_bytes(b"x")
        again = real.go_on(run)
        status = again.status
        assert status.state == "failed"
        assert "Traceback" not in again.log_tail()
        assert status.error == "last.ckpt and previous.ckpt are damaged and cannot be gone on from; start the run anew."
        return
    run = real.go_on(run)
    assert ("last.ckpt is damaged; going on from previous.ckpt" in run.log_tail()) == (harm != "missing")
    assert not list((run.path / "checkpoints").glob(".*"))
    real.assert_whole(run)
