"""train(config) -> Run, as the command line and a Slurm task call it; `train_worker` for the run's other processes."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch

from simclr import runs
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig, RunConfig, images_may_have_moved, resume_command
from simclr.data import identity
from simclr.data.readers import ReaderChoice
from simclr.files.user_paths import dead_link
from simclr.hardware import devices, rank_messages, ranks
from simclr.lifecycle.console import log_to, print_to_log, quiet_libraries
from simclr.lifecycle.failures import TellOthers, close_as_failed, explain
from simclr.lifecycle.prepare import prepare
from simclr.lifecycle.signals import StopPolicy, StopSignals
from simclr.models import compute
from simclr.objectives.optim import warmup_cosine
from simclr.runs import Run, StatusWriter, extensions
from simclr.training.callbacks import NullWriter
from simclr.training.checkpoints import DivergedError, StopRequested, remove_partial_files
from simclr.training.finetune import finetune
from simclr.training.prepared import Prepared
from simclr.training.pretrain import pretrain
from simclr.training.progress import reporter

DECIDED_HERE = ("precision", "num_threads", "num_workers")  # by the machine, where they are left open


class _InstallSignals(L.Callback):
    """Lightning puts its own SIGTERM handler in place when a fit begins; ours is the one that saves."""

    def __init__(self, signals: StopSignals) -> None:
        self.signals = signals

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.signals.install()


def train(
    config: RunConfig,
    *,
    runs_dir: Path,
    run_dir: Path | None = None,
    resume: bool = False,
    command: list[str] | None = None,
    recipe: str | None = None,
    meta: Mapping[str, Any] | None = None,
    callbacks: Sequence[L.Callback] = (),
    stop_policy: StopPolicy | None = None,
) -> Run:
    """Trains one run from its options to its last file; its `status.json` says how it ended.

    Args:
        config: checked options.
        runs_dir: where the run folder is made, and where experiments are looked up.
        run_dir: an existing run folder to use, as the launcher makes it.
        resume: start from the last checkpoint in `run_dir`.
        command: the command line, for the record.
        recipe: the shipped recipe that the options came from, which knows the run's partners.
        meta: further entries of a new run's `meta.json`.
        callbacks: Lightning callbacks of the caller's own; not used where a head is trained on fixed features.
        stop_policy: a Slurm task's, which keeps the log and knows what a stop means; None: a stop ends the run.

    Raises:
        ConfigError: for bad input; no new run folder is left behind.
    """
    quiet_libraries()
    signals = StopSignals(stop_policy)
    signals.install()
    place = ranks.place(config)
    assert place.is_main, "other processes follow"
    supervised = stop_policy is not None or (run_dir is not None and runs.has_supervisor(run_dir))
    status = StatusWriter(run_dir).start(phase="reading data") if run_dir is not None else None
    peers = rank_messages.RankMessages(place, runs_dir)

    def end(word: rank_messages.Message) -> int:
        """Says how the run ended where another process ended it and this one cannot get on."""
        if word.reason == rank_messages.STOPPED:
            final_status = signals.final_status()
        else:
            bad_input = runs.BAD_INPUT_EXIT_CODE if word.reason == "bad input" else 1
            final_status = {"state": "failed", "reason": word.reason, "error": word.sentence, "exit_code": bad_input}
        print_to_log(f"process {word.rank} of {place.world_size}: {word.sentence}")
        if status is not None:
            status.close(phase="", **final_status)
        return int(final_status.get("exit_code", runs.STOPPED_EXIT_CODE))

    peers.watch(end)
    try:
        try:
            has_begun = resume and run_dir is not None and runs.is_begun(run_dir)
            again = "" if run_dir is None or not resume else resume_command(run_dir.name)
            with images_may_have_moved(again) if again else contextlib.nullcontext():
                prepared = prepare(config, runs_dir, reporter(status, signals.requested), has_begun=has_begun)
            if run_dir is not None and resume:
                _check_same_weights(Run(run_dir), prepared)
        except StopRequested:
            peers.rest()
            peers.say(rank_messages.STOPPED, "It was asked to stop.")
            if status is None:  # nothing was begun that could be stopped: as any command that is interrupted
                raise KeyboardInterrupt from None
            status.close(phase="", **signals.final_status())
            return Run(status.folder)
        except ConfigError as error:
            peers.rest()
            if status is not None:
                status.close(state="failed", reason="bad input", error=str(error), phase="")
            peers.say("bad input", str(error))
            raise
        if run_dir is None:
            run = _create_folder(prepared, runs_dir, command, dict(meta or {}) | ({"recipe": recipe} if recipe else {}))
            status = StatusWriter(run.path).start(phase="starting")
        else:
            run = Run(run_dir)
            _record_in_folder(run, prepared, runs_dir, resume)
        _note_what_was_asked(run, config, prepared.config)
        assert status is not None
        prepared.peers, prepared.callbacks = peers, callbacks
        prepared.on_readers = partial(_record_readers, run, prepared)
        with compute.deterministic_algorithms(config), log_to(run.log_path, wanted=not supervised):
            _run_to_end(run, prepared, status, signals, peers, resume)
    except ConfigError as error:
        if status is not None and runs.read_status(status.folder).is_active:
            status.close(state="failed", reason="bad input", error=str(error), phase="")
        raise
    except Exception as error:  # before there was anything to train, or after its last word
        peers.rest()
        if status is not None and runs.read_status(status.folder).is_active:
            close_as_failed(status, error, config.batch_size, peers)
        peers.say(*explain(error, config.batch_size))
        raise
    finally:
        peers.leave()
        signals.restore()
        # queued: by its own word, as a Slurm run whose time was up
        if status is not None and run_dir is not None and runs.read_status(run_dir).state in ("starting", "running"):
            status.close(state="failed", reason="error", error="It ended before it began; the log tells more.")
    return Run(run.path)


def _create_folder(prepared: Prepared, runs_dir: Path, command: list[str] | None, more: dict[str, Any]) -> Run:
    more |= {"experiment": prepared.experiment.id} if prepared.experiment else {}
    more |= {"weights_sha256": prepared.weights_sha256} if prepared.weights_sha256 else {}
    return runs.create(prepared.config, runs_dir, command, **more)


def _record_in_folder(run: Run, prepared: Prepared, runs_dir: Path, resume: bool) -> None:
    """Writes the complete options, and what was found while they were completed, into a folder made by a launcher."""
    if isinstance(prepared.config, PretrainConfig) and prepared.config.version is None:
        version = run.config.get("version")
        prepared.config = prepared.config.model_copy(
            update={"version": runs.next_version(runs_dir) if version is None else version}
        )
    runs.write_config(run.path, prepared.config)
    if prepared.experiment is not None:
        runs.add_meta(run.path, experiment=prepared.experiment.id)
    if prepared.weights_sha256 is not None and not (resume and "weights_sha256" in run.meta):
        runs.add_meta(run.path, weights_sha256=prepared.weights_sha256)


def _note_what_was_asked(run: Run, asked: RunConfig, complete: RunConfig) -> None:
    """Keeps what was asked for where the machine decided: runs that differ in that alone belong together.

    A run that is resumed asks for what was decided when it began, so its first word stands.
    """
    before = run.meta.get("asked")
    before = before if isinstance(before, dict) else {}
    decided = {name: getattr(asked, name) for name in DECIDED_HERE}
    decided = {name: value for name, value in decided.items() if value != getattr(complete, name)}
    if decided or "asked" not in run.meta:
        runs.add_meta(run.path, asked=decided | before)


def _record_readers(run: Run, prepared: Prepared, choice: ReaderChoice) -> None:
    """Says how many processes read images, and writes it down: a run that is resumed goes on with that number."""
    print(choice.sentence(), flush=True)
    before, prepared.config = prepared.config, prepared.config.model_copy(update={"num_workers": choice.number})
    with contextlib.suppress(OSError):  # a full disk ends no training that goes on without this
        runs.write_config(run.path, prepared.config)
        _note_what_was_asked(run, before, prepared.config)


def _check_same_weights(run: Run, prepared: Prepared) -> None:
    """Raises ConfigError if a head would be resumed on features of another encoder; others have theirs in a checkpoint.

    Weights of a run that has no checkpoint yet count from now on.
    """
    config, before = prepared.config, run.meta.get("weights_sha256")
    if before in (None, prepared.weights_sha256):
        return
    if not (run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).is_file():
        runs.add_meta(run.path, weights_sha256=prepared.weights_sha256)
    elif isinstance(config, FinetuneConfig) and config.trains_on_features:
        raise ConfigError(
            f"experiment_version is {config.experiment_version}, whose weights have changed since {run.id} began; "
            "allowed: the same weights, or a new run."
        )


def train_worker(
    config: RunConfig,
    *,
    runs_dir: Path,
    run_dir: Path | None = None,
    resume: bool = False,
    stop_policy: StopPolicy | None = None,
) -> int:
    """Trains along in a process of a run that is not its main one; returns the exit status.

    It builds the same data and model, and leaves words and files to the main process.
    """
    place = ranks.place(config)
    if place.launcher == "lightning":
        ranks.end_with_parent()
    quiet_libraries()
    signals = StopSignals(stop_policy)
    signals.install()
    peers = rank_messages.RankMessages(place, runs_dir)

    def say(sentence: str) -> None:
        print(f"process {place.rank}: {sentence}", file=sys.stderr, flush=True)

    def end(word: rank_messages.Message) -> int:
        say(f"it ends, as the main process did: {word.sentence}")
        return 0 if word.reason == rank_messages.STOPPED else 1

    peers.watch(end)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                has_begun = resume and run_dir is not None and runs.is_begun(run_dir)
                prepared = prepare(config, runs_dir, reporter(None, signals.requested), has_begun=has_begun)
            except StopRequested:
                peers.say(rank_messages.STOPPED, "It was asked to stop.")  # the main process may not have been
                raise
            prepared.peers = peers
            folder = run_dir or Path(tempfile.gettempdir())
            with compute.deterministic_algorithms(config):
                _run_training(Run(folder), prepared, NullWriter(), signals, resume)
    except StopRequested:
        pass  # the main process says so
    except DivergedError as error:
        peers.say("diverged", str(error))
    except Exception as error:
        peers.rest()
        peers.say(*explain(error, config.batch_size))
        if isinstance(error, ConfigError):  # found here and perhaps nowhere else, such as data that only others have
            say(str(error))
        else:
            traceback.print_exc()
        peers.linger()
        return runs.BAD_INPUT_EXIT_CODE if isinstance(error, ConfigError) else 1
    finally:
        peers.leave()
    return 0


def _run_training(
    run: Run, prepared: Prepared, status: StatusWriter | NullWriter, signals: StopSignals, resume: bool
) -> None:
    """Runs the training of this kind, with callbacks that know of other processes and of signals before all others."""
    first: list[L.Callback] = [_InstallSignals(signals)]
    if prepared.peers is not None:
        first.insert(0, TellOthers(prepared.peers, prepared.config.batch_size))
    prepared.callbacks = [*first, *prepared.callbacks]
    train_this = pretrain if isinstance(prepared.config, PretrainConfig) else finetune
    train_this(run, prepared, status, signals.requested, resume)


def trial(prepared: Prepared, folder: Path, status: StatusWriter) -> None:
    """Trains what was prepared in a folder that is thrown away, to see what it costs; errors come as they are."""
    quiet_libraries()
    with compute.deterministic_algorithms(prepared.config):
        _run_training(Run(folder), prepared, status, StopSignals(), resume=False)


def _device_names(config: RunConfig, device: torch.device) -> str:
    """The devices that a run from a shell holds, by the names that the queue knows them by."""
    if device.type != "cuda":
        return devices.CPU
    names = {found.uuid[4:]: found.name for found in devices.list_devices()}  # without GPU- or MIG-
    uuids = [str(torch.cuda.get_device_properties(index).uuid) for index in range(config.devices)]
    return devices.join_names([names.get(uuid, f"gpu:{index}") for index, uuid in enumerate(uuids)])


def _say_extension(run: Run, prepared: Prepared) -> None:
    """Prints how a run that is trained longer goes on, and at which learning rate."""
    found = extensions.extensions_of(run)
    if not found:
        return
    config, extension = prepared.config, found[-1]

    def rate(num_steps: int) -> float:
        warmup = min(prepared.warmup_steps, num_steps // 2)
        peak = config.peak_learning_rate
        floor = config.eta_min / peak
        return peak * warmup_cosine(extension.step, num_steps=num_steps, warmup_steps=warmup, floor=floor)

    print(
        f"It had ended after {extension.step:,} steps and is trained longer, to {prepared.num_steps:,}: from there on "
        f"the learning rate is that of a training of {prepared.num_steps:,} steps, {rate(prepared.num_steps):.3g} "
        f"where it had come to {rate(extension.step):.3g}, and ends at {config.eta_min:.3g}",
        flush=True,
    )


def _run_to_end(
    run: Run,
    prepared: Prepared,
    status: StatusWriter,
    signals: StopSignals,
    peers: rank_messages.RankMessages,
    resume: bool,
) -> None:
    """Runs the training and turns every end into a state and a sentence."""
    device = compute.find_device(prepared.config.accelerator)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    runs.add_meta(
        run.path,
        device=name,
        num_train_images=(prepared.train or prepared.data.train).num_images,
        num_val_images=prepared.data.val.num_images if prepared.data.val is not None else 0,
        num_classes=len(prepared.data.classes or ()),
        num_skipped_images=len(prepared.data.skipped),
        in_memory=prepared.data.train.in_memory,
        device_bytes=torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None,
    )
    if reading := prepared.data.reading:
        runs.add_meta(run.path, data_reading=reading)
        print(reading, flush=True)
    _say_extension(run, prepared)
    held = runs.read_status(run.path).device or _device_names(prepared.config, device)
    status.set(phase="training", steps=prepared.num_steps, epochs=prepared.num_epochs, device=held)
    batch = prepared.config.batch_size
    try:
        if link := dead_link(run.path / runs.CHECKPOINTS):
            raise ConfigError(
                f"RUN is {run.id}, whose checkpoints cannot be kept: {link}. Remove that link to train it."
            )
        remove_partial_files(run.path / runs.CHECKPOINTS)
        identity.record(run, prepared.data, has_begun=resume and runs.is_begun(run.path))
        _run_training(run, prepared, status, signals, resume)
        status.close(state="finished", reason="", phase="", exit_code=0)
    except StopRequested:
        peers.rest()
        final_status = signals.final_status()
        print_to_log(f"{final_status['state']} ({final_status['reason']}); the last checkpoint is kept")
        status.close(phase="", **final_status)
    except KeyboardInterrupt:
        peers.rest()
        status.close(state="stopped", reason="interrupted", phase="", error="Interrupted before it could save.")
    except DivergedError as error:
        peers.rest()
        print_to_log(error)
        status.close(state="failed", reason="diverged", phase="", error=str(error), exit_code=1)
    except Exception as error:
        peers.rest()
        if not isinstance(error, ConfigError):  # which says all in its sentence
            print_to_log(traceback.format_exc())
        print_to_log(close_as_failed(status, error, batch, peers))
    finally:
        if replaced := prepared.data.replaced:
            runs.add_meta(run.path, num_replaced_images=len(replaced))
