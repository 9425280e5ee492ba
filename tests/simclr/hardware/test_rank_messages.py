"""One of several processes fails: its own words are the run's, and the others end soon."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import failing
import pytest
import torch
from conftest import TINY_PRETRAIN, flags

from simclr import runs
from simclr.config import ConfigError
from simclr.hardware import rank_messages, ranks
from simclr.hardware.rank_messages import Message, RankMessages
from simclr.launch import supervisor
from simclr.runs.status import Status

OPTIONS = TINY_PRETRAIN | {"evaluate": False, "devices": 2, "film_frames": 0, "knn_every_epochs": 0}
SECONDS = 10.0  # from the failure to the end of all
BROKEN = ConfigError("data_dir is /data, which only other machines have; allowed: a folder that all share.")
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
OTHER = RuntimeError("a bolt is loose")


@pytest.mark.parametrize(
    ("launcher", "rank", "moment", "error", "reason", "sentence"),
    [
        ("torchrun", 1, "reading", BROKEN, "bad input", str(BROKEN)),
        ("torchrun", 1, "training", FULL, "out of memory", "It ran out of memory with batch_size 16; try"),
        pytest.param("srun", 1, "validating", OTHER, "error", "RuntimeError: a bolt is loose", marks=pytest.mark.slow),
        pytest.param(
            "srun",
            1,
            "training",
            signal.SIGKILL,
            rank_messages.LOST,
            "Process 1 of this run ended without a word",
            marks=pytest.mark.slow,
        ),
        ("srun", 1, "reading", signal.SIGKILL, rank_messages.LOST, "Process 1 of this run ended without a word"),
        ("srun", 1, "reading", signal.SIGTERM, "on request", ""),
        ("srun", 0, "reading", OTHER, None, "RuntimeError: a bolt is loose"),
        pytest.param(
            "torchrun", 0, "training", OTHER, "error", "RuntimeError: a bolt is loose", marks=pytest.mark.slow
        ),
        ("srun", 0, "reading", signal.SIGKILL, None, "it ends, as the main process did: Process 0 of this run ended"),
    ],
)
def test_the_first_to_fail_is_heard_and_the_others_end(tmp_path, launcher, rank, moment, error, reason, sentence):
    codes, failed_at, ended_at = failing.run(["pretrain", *flags(OPTIONS)], tmp_path, launcher, rank, moment, error)
    said = (tmp_path / "said.txt").read_text()
    assert None not in codes, f"process {codes.index(None)} waits for ever\n{said}"
    assert ended_at - failed_at < SECONDS, said
    assert sentence in said
    found = runs.list_runs(tmp_path)
    if found:
        status = found[0].status
        assert (status.state, status.reason) == ("stopped" if error == signal.SIGTERM else "failed", reason), said
        assert status.error.startswith(sentence)
    else:
        assert codes[0] != 0
    assert codes[rank] != 0 or error == signal.SIGTERM
    print(codes, round(ended_at - failed_at, 1))


@pytest.mark.slow
def test_it_is_heard_under_lightnings_own_launcher_too(tmp_path):
    environment = os.environ | {
        "SIMCLR_RUNS_DIR": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "FAILED_AT": str(tmp_path / "failed_at"),
        "PYTHONPATH": str(Path(failing.__file__).parent),
    }
    command = [sys.executable, "-m", "failing", "pretrain", *flags(OPTIONS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    ended_at = time.time()
    assert done.returncode == 1, done.stderr
    (run,) = runs.list_runs(tmp_path)
    assert (run.status.state, run.status.error) == ("failed", "RuntimeError: a bolt is loose")
    assert "process 1 of 2: RuntimeError: a bolt is loose" in run.log_path.read_text()
    assert ended_at - float((tmp_path / "failed_at").read_text()) < SECONDS


NCCL = "NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:2251, "
SYSTEM = (
    "unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2.27.5\nncclSystemError: System call "
    "(e.g. socket, malloc) or external library call failed or device error. \nLast error:\n"
)
PAIR = "[../third_party/gloo/gloo/transport/tcp/pair.cc:538] "


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        (f"{NCCL}{SYSTEM}Error while creating shared memory segment /dev/shm/nccl-a1 (size 9637888), error: No space "
         "left on device (28)", "shared memory", "/dev/shm"),
        (f"{NCCL}{SYSTEM}Error: failed to extend /dev/shm/nccl-fj to 5967876 bytes", "shared memory", "--shm-size"),
        ("[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=3, OpType=ALLREDUCE, NumelIn=1, "
         "NumelOut=1, Timeout(ms)=1800000) ran for 1800010 milliseconds before timing out.", "no answer", "hangs"),
        ("../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation "
         "to complete", "no answer", "network"),
        (f"{PAIR}Application timeout caused pair closure", "no answer", "hangs"),
        ("Timed out after 1801 seconds waiting for clients. 1/2 clients joined.", "no answer", "never started"),
        ("The client socket has timed out after 300000ms while trying to connect to (10.0.0.1, 29500).", "no answer",
         "network"),
        ("wait timeout after 300000ms, keys: /default_pg/0//cpu//0", "no answer", "never started"),
        (f"{PAIR}Connection closed by peer [127.0.0.1]:8611", rank_messages.LOST, "Another process"),
        (f"{PAIR}Read error [10.0.0.2]:4242: Connection reset by peer", rank_messages.LOST, "Another process"),
        (f"{PAIR}writev [10.0.0.2]:4242: Broken pipe", rank_messages.LOST, "Another process"),
        ("Failed to recv, got 0 bytes. Connection was likely closed. Did the remote server shutdown or crash?",
         rank_messages.LOST, "Another process"),
        (f"{NCCL}remote process exited or there was a network error, NCCL version 2.27.5\nncclRemoteError: A call "
         "failed possibly due to a network error or a remote process exiting prematurely.\nLast error:\n"
         "socketProgress: Connection closed by remote peer", rank_messages.LOST, "Another process"),
        (f"{NCCL}unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.27.5\n"
         "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'",
         "out of memory", "batch_size 8"),
        (f"{NCCL}invalid usage (run with NCCL_DEBUG=WARN for details), NCCL version 2.27.5\nncclInvalidUsage: This "
         "usually reflects invalid usage of NCCL library.\nLast error:\nDuplicate GPU detected : rank 1 and rank 0 "
         "both on CUDA device 4000", "error", "NCCL failed: Duplicate GPU detected : rank 1 and rank 0"),
    ],
)  # fmt: skip
def test_a_timeout_shared_memory_and_a_dead_peer_are_told_apart(text, reason, words):
    from simclr.lifecycle.failures import explain

    found = explain(torch.distributed.DistBackendError(text), 16)
    assert found[0] == reason
    assert words in found[1]


def test_errors_that_are_not_between_processes_are_left_alone():
    from simclr.lifecycle.failures import explain

    for error in (OSError(32, "Broken pipe"), RuntimeError("DataLoader timed out after 60 seconds")):
        assert explain(error, 16)[0] == "error"


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def peers(tmp_path, monkeypatch):
    """Three processes of one start, all of them this one."""
    monkeypatch.setenv(rank_messages.FOLDER, str(tmp_path / "ranks"))
    return [RankMessages(ranks.Place(rank, 3, "srun"), tmp_path) for rank in range(3)]


def test_the_first_word_counts_and_one_that_only_blames_another_does_not(peers):
    main, second, third = peers
    assert main.look() is None
    third.say(rank_messages.LOST, "someone is gone")
    assert main.look().rank == 2
    second.say("disk full", "The disk is full.")
    second.say("error", "and now this")
    assert (main.look().rank, main.look().sentence) == (1, "The disk is full.")
    assert main.verdict(rank_messages.LOST, "someone is gone").sentence == "The disk is full."
    assert main.verdict("error", "later").sentence == "The disk is full."
    assert rank_messages.first_failure(main.folder).sentence == "The disk is full."


def test_the_main_process_keeps_its_own_word_where_it_failed_first(peers):
    main, second, _ = peers
    main.say("error", "first")
    second.say("out of memory", "second")
    assert main.verdict("error", "first").sentence == "first"
    assert second.look().sentence == "first"


def test_who_leaves_is_not_lost_and_the_last_takes_the_folder_away(peers, tmp_path):
    for peer in peers:
        peer.leave()
        assert peers[0].look() is None
    assert not (tmp_path / "ranks").exists()


def test_a_dead_process_is_lost_only_where_its_pid_means_something_here(peers):
    path = peers[0].folder / "rank-1.json"
    entry = json.loads(path.read_text()) | {"start": 1.5}  # another process has its pid
    path.write_text(json.dumps(entry))
    assert peers[0].look().reason == rank_messages.LOST
    path.write_text(json.dumps(entry | {"where": "another container"}))
    assert peers[0].look() is None
    path.write_text("{torn")
    assert peers[0].look() is None


def test_a_supervisor_says_what_the_other_process_said(tiny_runs):
    run = runs.Run(tiny_runs / "some-run")
    folder = rank_messages.supervised_folder(run.path)
    status = Status(state="running")
    assert supervisor.describe_end(run.path, status, -9)["reason"] == "killed by signal 9"
    folder.mkdir(parents=True)
    word = Message(1, time.time(), "bad input", str(BROKEN))
    (folder / "rank-1.json").write_text(json.dumps(vars(word)))
    assert supervisor.describe_end(run.path, status, -9) == {
        "state": "failed",
        "reason": "bad input",
        "error": str(BROKEN),
    }


def test_torchruns_start_does_not_hear_the_one_before(tmp_path, monkeypatch):
    for name, text in failing.LAUNCHERS["torchrun"].items():
        monkeypatch.setenv(name, text.format(rank=0))
    main = RankMessages(ranks.Place(0, 2, "torchrun"), tmp_path)
    word = Message(1, time.time() - 10**6, "error", "long ago")
    (main.folder / "rank-1.json").write_text(json.dumps(vars(word)))
    assert main.look() is None
    (main.folder / "rank-1.json").write_text(json.dumps(vars(word) | {"time": time.time()}))
    assert main.look().sentence == "long ago"
