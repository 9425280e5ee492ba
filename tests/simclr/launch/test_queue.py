"""The queue: who starts when, whoever asks, from however many processes, dashboard open or not."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from conftest import TINY_PRETRAIN
from waiting import LONG, background, schedulers, wait_for, wait_until_training  # noqa: F401

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig
from simclr.hardware import devices, processes
from simclr.hardware.devices import Device
from simclr.launch import control, jobs, spawn
from simclr.launch import queue as run_queue

GIB = 2**30


def options(**more):
    return cfg.build(PretrainConfig, LONG | more)


def ids(found):
    return [run.id for run in found]


@pytest.fixture
def frozen(tiny_runs, monkeypatch):
    """A runs folder whose queue starts nothing by itself, and two GPUs; gives what `begin` was asked for."""
    begun = []

    def begin(run, device):
        begun.append((run.id, device))
        runs.update_status(
            run.path,
            state="running",
            device=device,
            pid=os.getpid(),
            process_start=processes.process_start(os.getpid()),
        )

    gpus = [Device(f"gpu:{index}", "NVIDIA Test", 70 * GIB, 80 * GIB, f"GPU-{index}") for index in range(2)]
    monkeypatch.setattr(devices, "_gpus", lambda: gpus)
    monkeypatch.setattr(spawn, "begin", begin)
    monkeypatch.setattr(run_queue, "_has_scheduler", lambda runs_dir: True)
    return begun


def end(runs_dir, run_id):
    runs.update_status(runs_dir / run_id, state="finished", pid=None)
    run_queue.advance(runs_dir)


# --- order, devices, slots ------------------------------------------------------------------------------------------


def test_each_device_takes_one_run_and_the_others_wait_in_order(frozen, tiny_runs):
    config = options(accelerator="auto")
    made = [run_queue.submit(config.model_copy(update={"seed": seed}), tiny_runs) for seed in range(4)]
    assert frozen == [(made[0].id, "gpu:0"), (made[1].id, "gpu:1")]
    assert ids(run_queue.entries(tiny_runs)) == ids(made[2:])
    cpu = run_queue.submit(options(seed=9), tiny_runs, "cpu")  # another device does not wait for these
    assert frozen[-1] == (cpu.id, "cpu")
    end(tiny_runs, made[1].id)
    assert frozen[-1] == (made[2].id, "gpu:1")
    assert {name: ids(found) for name, found in run_queue.device_usage(tiny_runs).items()} == {
        "gpu:0": [made[0].id],
        "gpu:1": [made[2].id],
        "cpu": [cpu.id],
    }


def test_who_needs_two_devices_is_not_overtaken(frozen, tiny_runs):
    single = options(accelerator="auto")
    first = run_queue.submit(single, tiny_runs, "gpu:1")
    double = run_queue.submit(options(accelerator="auto", devices=2, batch_size=16, seed=1), tiny_runs)
    later = run_queue.submit(single.model_copy(update={"seed": 2}), tiny_runs)
    assert frozen == [(first.id, "gpu:1")]
    end(tiny_runs, first.id)
    assert frozen[1:] == [(double.id, "gpu:0,1")]
    end(tiny_runs, double.id)
    assert frozen[2:] == [(later.id, "gpu:0")]


def test_slots_let_a_device_take_more(frozen, tiny_runs):
    made = [run_queue.submit(options(seed=seed), tiny_runs, "cpu") for seed in range(3)]
    assert ids(run_queue.entries(tiny_runs)) == ids(made[1:])
    run_queue.set_slots(tiny_runs, "cpu", 2)
    assert ids(run_queue.entries(tiny_runs)) == ids(made[2:])
    assert run_queue.slots(tiny_runs) == {"cpu": 2}
    with pytest.raises(ConfigError, match=r"^slots is 0; allowed: 1 to 64\.$"):
        run_queue.set_slots(tiny_runs, "cpu", 0)


def test_runs_side_by_side_share_one_place(frozen, tiny_runs):
    config = options(accelerator="auto")
    held = run_queue.submit(config.model_copy(update={"seed": 9}), tiny_runs, "gpu:1")
    first = run_queue.submit(config, tiny_runs)
    beside = run_queue.submit(config.model_copy(update={"seed": 1}), tiny_runs, beside=first.id)
    assert frozen[1:] == [(first.id, "gpu:0"), (beside.id, "gpu:0")]
    later = run_queue.submit(config.model_copy(update={"seed": 2}), tiny_runs, "gpu:0")
    end(tiny_runs, first.id)
    assert ids(run_queue.entries(tiny_runs)) == [later.id]  # the other still holds the place of both
    end(tiny_runs, beside.id)
    assert frozen[-1] == (later.id, "gpu:0")
    # two that wait begin together, and take one place of two
    run_queue.set_slots(tiny_runs, "gpu:0", 2)
    third = run_queue.submit(config.model_copy(update={"seed": 3}), tiny_runs, "gpu:0")
    waits = run_queue.submit(config.model_copy(update={"seed": 4}), tiny_runs, "gpu:0")
    partner = run_queue.submit(config.model_copy(update={"seed": 5}), tiny_runs, "gpu:0", beside=waits.id)
    assert ids(run_queue.entries(tiny_runs)) == [waits.id, partner.id]
    end(tiny_runs, third.id)
    assert frozen[-2:] == [(waits.id, "gpu:0"), (partner.id, "gpu:0")]
    assert held.status.state == "running"


def test_what_follows_a_run_waits_for_its_end_and_lets_others_pass(frozen, tiny_runs):
    with run_queue.submit_several(tiny_runs, "gpu:0") as add:
        first = add(options(accelerator="auto", seed=1))
        followers = [add(options(accelerator="auto", seed=seed), after=first.id) for seed in (2, 3)]
        second = add(options(accelerator="auto", seed=4))
    assert frozen == [(first.id, "gpu:0")]
    assert ids(run_queue.entries(tiny_runs)) == ids([*followers, second])
    other = run_queue.submit(options(accelerator="auto", seed=5), tiny_runs, "gpu:1")
    late = run_queue.submit(options(accelerator="auto", seed=6), tiny_runs, "gpu:1", after=first.id)
    assert frozen[-1] == (other.id, "gpu:1")
    end(tiny_runs, other.id)
    assert frozen[-1] == (other.id, "gpu:1")  # the GPU is free, and yet it waits
    end(tiny_runs, first.id)
    assert frozen[-2:] == [(followers[0].id, "gpu:0"), (late.id, "gpu:1")]
    end(tiny_runs, followers[0].id)
    end(tiny_runs, followers[1].id)
    assert frozen[-1] == (second.id, "gpu:0")


@pytest.mark.parametrize("state", ["failed", "stopped", "gone"])
def test_what_follows_a_run_that_did_not_come_to_its_end_needs_no_scheduler(frozen, tiny_runs, state):
    with run_queue.submit_several(tiny_runs, "cpu") as add:
        first = add(options(seed=1))
        follower = add(options(seed=2), after=first.id)
        assert run_queue._any_waits(tiny_runs)
    if state == "gone":
        runs.update_status(first.path, state="stopped", pid=None)
        runs.delete(first, tiny_runs)
    else:
        runs.update_status(first.path, state=state, pid=None)
    run_queue.advance(tiny_runs)
    assert frozen == [(first.id, "cpu")]
    assert not run_queue._any_waits(tiny_runs)
    other = run_queue.submit(options(seed=3), tiny_runs, "cpu")
    assert frozen[-1] == (other.id, "cpu")  # it holds up nobody else
    if state != "gone":
        end(tiny_runs, other.id)
        run_queue.resubmit(first)
        assert frozen[-1] == (first.id, "cpu")
        end(tiny_runs, first.id)
        assert frozen[-1] == (follower.id, "cpu")


def test_several_that_are_queued_before_an_error_stay(frozen, tiny_runs):
    with pytest.raises(ConfigError, match="gpu:7"), run_queue.submit_several(tiny_runs, "gpu:7") as add:
        add(options(accelerator="auto"))
    made = []

    def two_and_an_error():
        with run_queue.submit_several(tiny_runs, "cpu") as add:
            made.extend(add(options(seed=seed)) for seed in (1, 2))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        two_and_an_error()
    assert frozen == [(made[0].id, "cpu")]
    assert ids(run_queue.entries(tiny_runs)) == [made[1].id]


def test_the_order_can_be_changed_and_damage_to_it_costs_the_order_alone(frozen, tiny_runs):
    made = [run_queue.submit(options(seed=seed), tiny_runs, "cpu") for seed in range(5)]
    run_queue.move(made[4].id, 0, tiny_runs)
    run_queue.move(made[1].id, 99, tiny_runs)
    order = [made[4].id, made[2].id, made[3].id, made[1].id]
    assert ids(run_queue.entries(tiny_runs)) == order
    with pytest.raises(ConfigError, match="does not wait any more; allowed: a run in the queue"):
        run_queue.move(made[0].id, 0, tiny_runs)
    for damaged in (b"", b"{", b"[1, null]", b"\x00\xff", b'{"a": 1}'):
        (tiny_runs / ".queue" / "order.json").write_bytes(damaged)
        (tiny_runs / ".queue" / "slots.json").write_bytes(damaged)
        assert sorted(ids(run_queue.entries(tiny_runs))) == sorted(order)
        assert run_queue.slots(tiny_runs).get("cpu", 1) == 1
    end(tiny_runs, made[0].id)
    assert len(frozen) == 2


def test_waiting_runs_can_be_edited_and_dropped(frozen, tiny_runs):
    first, second, third = (run_queue.submit(options(seed=seed), tiny_runs, "cpu") for seed in range(3))
    run_queue.edit(second, options(seed=7, epochs=3, name="better", accelerator="auto"), "gpu:0")
    assert (second.status.device, second.status.epochs) == ("gpu:0", 3)
    edited = runs.Run(second.path)
    assert (edited.config["seed"], edited.name, edited.config["version"]) == (7, "better", 1)
    run_queue.advance(tiny_runs)
    assert frozen[-1] == (second.id, "gpu:0")
    with pytest.raises(ConfigError, match="is running; allowed: a run in the queue"):
        run_queue.edit(second, options(), "cpu")
    run_queue.drop(third, tiny_runs)
    assert not third.path.exists()
    assert run_queue.entries(tiny_runs) == []
    restored = runs.restore(third.id, tiny_runs)
    assert ids(run_queue.entries(tiny_runs)) == [restored.id]
    with pytest.raises(ConfigError, match=f"{first.id} is running; allowed: a run in the queue"):
        run_queue.drop(first, tiny_runs)


def test_one_that_was_trained_before_keeps_what_it_has(frozen, tiny_runs):
    run_queue.submit(options(), tiny_runs, "cpu")
    old = runs.create(options(seed=5), tiny_runs)
    (old.path / "checkpoints" / "last.ckpt").write_bytes(b"weights")
    runs.update_status(old.path, state="stopped", started=100.0, ended=160.0, step=7, device="cpu")
    run_queue.resubmit(old)
    status = old.status
    assert (status.state, status.step, status.seconds_before) == ("queued", 7, 60.0)
    with pytest.raises(ConfigError, match="is queued; allowed: a run that was stopped or failed"):
        run_queue.resubmit(old)  # the other tab
    with pytest.raises(ConfigError, match="has been trained before; its options are fixed"):
        run_queue.edit(old, options(), "cpu")
    control.request_stop(old.path)
    assert (old.status.state, old.status.reason) == ("stopped", "taken out of the queue")


def test_the_same_wish_twice_is_one_run(frozen, tiny_runs):
    first = run_queue.submit(options(), tiny_runs, "cpu", recipe="quick")
    runs.write_config(first.path, options(precision="bf16-mixed", version=0))  # as a trainer does when it begins
    assert run_queue.submit(options(), tiny_runs, "cpu", recipe="quick") == first
    assert run_queue.submit(options(), tiny_runs, "cpu") != first
    assert run_queue.submit(options(seed=1), tiny_runs, "cpu", recipe="quick") != first
    run_queue.drop(run_queue.entries(tiny_runs)[0], tiny_runs)
    end(tiny_runs, first.id)
    again = run_queue.submit(options(), tiny_runs, "cpu", recipe="quick")  # it has ended: a new wish
    assert again != first


@pytest.mark.parametrize(
    ("device", "more", "sentence"),
    [
        ("gpu:7", {}, "device is gpu:7; allowed: auto, gpu:0, gpu:1, cpu, or several"),
        ("tpu", {}, "device is tpu; allowed: auto"),
        ("gpu:0,0", {"devices": 2, "batch_size": 16}, "device is gpu:0,0; allowed"),
        ("gpu:0", {"accelerator": "cpu"}, "device is gpu:0 and accelerator is cpu; allowed: device cpu"),
        ("cpu", {"accelerator": "gpu"}, "device is cpu and accelerator is gpu; allowed"),
        ("gpu:0,1", {}, "device is gpu:0,1 and devices is 1; allowed: devices 2"),
        ("auto", {"devices": 4, "batch_size": 16}, "devices is 4; allowed: up to the 2 GPUs of this machine"),
    ],
)
def test_a_device_that_cannot_be_is_refused_in_a_sentence(frozen, tiny_runs, device, more, sentence):
    with pytest.raises(ConfigError, match=sentence):
        run_queue.submit(options(**({"accelerator": "auto"} | more)), tiny_runs, device)
    assert runs.list_runs(tiny_runs) == []


def test_a_gpu_is_handed_over_by_its_own_name(frozen, monkeypatch):
    assert devices.environment("gpu:1") == {"CUDA_VISIBLE_DEVICES": "GPU-1"}
    assert devices.environment("gpu:0,1") == {"CUDA_VISIBLE_DEVICES": "GPU-0,GPU-1"}
    assert devices.environment("cpu") == {"CUDA_VISIBLE_DEVICES": ""}  # whatever CUDA would see
    assert devices.environment("") == {}


# --- jobs of the dashboard ------------------------------------------------------------------------------------------


@pytest.fixture
def started(frozen, monkeypatch):
    """A queue of two GPUs; jobs are only noted: command, environment, status."""
    found = []

    def supervise(folder, command, environment, changes, check=None):
        here = {"pid": os.getpid(), "process_start": processes.process_start(os.getpid()), "state": "running"}
        runs.change_status(folder, changes | here, check)
        found.append((folder, environment, changes["device"]))

    monkeypatch.setattr(spawn, "_supervise", supervise)
    return found


def ask(runs_dir, what="a", device="auto"):
    return jobs.start("embeddings", {"what": what}, ["embed", what], runs_dir, device)


def test_a_job_takes_a_gpu_that_nobody_holds_or_waits_for(frozen, started, tiny_runs):
    one = options(accelerator="auto")
    run = run_queue.submit(one, tiny_runs, "gpu:0")
    job = ask(tiny_runs)
    assert started == [(job, {"CUDA_VISIBLE_DEVICES": "GPU-1"}, "gpu:1")]
    assert runs.read_status(job).device == "gpu:1"
    waiting = run_queue.submit(one.model_copy(update={"seed": 1}), tiny_runs, "gpu:1")  # not pushed out of memory
    assert waiting.status.state == "queued" and run_queue.jobs_on(tiny_runs) == {"gpu:1": 1}
    end(tiny_runs, run.id)
    ask(tiny_runs, "b")  # gpu:0 is free
    runs.update_status(job, state="finished", pid=None)
    run_queue.advance(tiny_runs)
    assert frozen[-1] == (waiting.id, "gpu:1")
    ask(tiny_runs, "c")  # all are held
    assert [(device, environment) for _, environment, device in started[1:]] == [
        ("gpu:0", {"CUDA_VISIBLE_DEVICES": "GPU-0"}),
        ("cpu", {"CUDA_VISIBLE_DEVICES": ""}),
    ]


def test_a_job_does_not_overtake_a_run_that_waits_for_both(started, tiny_runs):
    one = options(accelerator="auto")
    run_queue.submit(one, tiny_runs, "gpu:0")
    run_queue.submit(options(accelerator="auto", devices=2, batch_size=16), tiny_runs)
    ask(tiny_runs)
    assert started[0][2] == "cpu"


@pytest.mark.parametrize(
    ("free", "expected"),
    [((1, 70), "gpu:1"), ((70, 1), "gpu:0"), ((3.9, 2), "cpu"), ((None, 20), "gpu:0"), ((), "cpu")],
)
def test_a_job_needs_room_in_the_memory(started, tiny_runs, monkeypatch, free, expected):
    sizes = [None if size is None else int(size * GIB) for size in free]
    gpus = [Device(f"gpu:{i}", "", size, 80 * GIB, f"GPU-{i}") for i, size in enumerate(sizes)]
    monkeypatch.setattr(devices, "_gpus", lambda: gpus)
    ask(tiny_runs)
    assert started[0][2] == expected


def test_a_job_that_needs_no_gpu_sees_none(started, tiny_runs):
    ask(tiny_runs, device="cpu")
    ask(tiny_runs, "b", device="")  # it gives its processes theirs
    assert [(device, environment) for _, environment, device in started] == [
        ("cpu", {"CUDA_VISIBLE_DEVICES": ""}),
        ("", {}),
    ]


def test_a_trial_is_made_on_the_emptiest_gpu_that_is_not_held(frozen, tiny_runs, monkeypatch):
    gpus = [Device(f"gpu:{i}", "", free * GIB, 80 * GIB, f"GPU-{i}") for i, free in enumerate((75, 30, 60))]
    monkeypatch.setattr(devices, "_gpus", lambda: gpus)
    run_queue.submit(options(accelerator="auto"), tiny_runs, "gpu:0")
    assert run_queue.emptiest_gpus(1, tiny_runs) == "gpu:2"
    assert run_queue.emptiest_gpus(2, tiny_runs) == "gpu:1,2"
    assert run_queue.emptiest_gpus(3, tiny_runs) == "gpu:0,1,2"


def test_a_run_on_several_gpus_takes_no_slices(frozen, tiny_runs, monkeypatch):
    gpus = [Device(f"gpu:{i}", "", GIB, GIB, uuid) for i, uuid in enumerate(("MIG-1", "GPU-2", "GPU-3"))]
    monkeypatch.setattr(devices, "_gpus", lambda: gpus)
    run = run_queue.submit(options(accelerator="auto", devices=2, batch_size=16), tiny_runs)
    assert frozen == [(run.id, "gpu:1,2")]


def test_another_machines_waiting_runs_are_its_own(frozen, tiny_runs):
    run_queue.submit(options(), tiny_runs, "cpu")
    other = run_queue.submit(options(seed=1), tiny_runs, "cpu")
    runs.update_status(other.path, host="another")
    end(tiny_runs, frozen[0][0])
    assert len(frozen) == 1
    assert other.status.state == "queued"


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="which cannot be written: Not a directory"):
        run_queue.submit(options(), tmp_path / "file")
    run_queue.ensure_scheduler(tmp_path / "file")  # asked by every page: never an error


# --- real processes -------------------------------------------------------------------------------------------------


@pytest.fixture
def queue(background):
    """The runs folder of real runs; what waits at the end is never begun."""
    yield background
    for run in run_queue.entries(background):
        run_queue.drop(run, background)
    wait_for(lambda: not schedulers(background), "the keeper's end")


def test_the_next_one_starts_when_the_first_has_ended_and_nobody_looks(queue):
    first = run_queue.submit(options(), queue)
    second = run_queue.submit(cfg.build(PretrainConfig, TINY_PRETRAIN | {"epochs": 1, "evaluate": False}), queue)
    assert (first.status.state, second.status.state) == ("starting", "queued")
    assert len(schedulers(queue)) == 1
    wait_until_training(first)
    assert second.status.state == "queued"
    assert control.stop(first.path).state == "stopped"
    status = wait_for(lambda: (s := second.status).exit_code is not None and s, "the second run")
    assert (status.state, status.device) == ("finished", "cpu"), second.log_tail()
    wait_for(lambda: not schedulers(queue), "the keeper's end")


def test_a_killed_supervisor_and_trainer_do_not_stop_the_queue(queue):
    first = run_queue.submit(options(), queue)
    second = run_queue.submit(options(seed=1), queue)
    status = wait_until_training(first)
    for pid in (status.supervisor_pid, status.pid):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: second.status.state == "running", "the second run")
    assert (first.status.state, first.status.reason) == ("failed", "crashed")
    control.stop(second.path)


def submit_in_another_process(arguments):
    folder, seed = arguments
    return run_queue.submit(options(seed=seed), folder, "cpu").id


def test_many_processes_at_once_agree(queue):
    """Twelve calls from four processes for three wishes: three runs, one of them begun."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        made = pool.map(submit_in_another_process, [(queue, number % 3) for number in range(12)], chunksize=1)
    assert len(set(made)) == 3, made
    states = sorted(run.status.state for run in runs.list_runs(queue))
    assert states[:2] == ["queued", "queued"]
    wait_for(lambda: len(schedulers(queue)) == 1, "one keeper: others see that it is there, and leave")
    schedulers(queue)[0].kill()
    wait_for(lambda: not schedulers(queue), "the keeper's end")
    wait_for(
        lambda: run_queue.ensure_scheduler(queue) or schedulers(queue), "another keeper"
    )  # as any page asks, every few seconds
    order = json.loads((queue / ".queue" / "order.json").read_text())
    assert sorted(order)[:2] == sorted(run.id for run in runs.list_runs(queue) if run.status.state == "queued")
    (holder,) = run_queue.device_usage(queue)["cpu"]
    control.request_stop(holder.path)


def test_the_keeper_leaves_when_nothing_waits(tiny_runs):
    (tiny_runs / ".queue").mkdir()
    code = f"from pathlib import Path; from simclr.launch import queue; queue.run_scheduler(Path({str(tiny_runs)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
