"""train(config) -> Run: what the command line and the dashboard's launcher call."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import math
import os
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, TextIO

import lightning as L
import numpy as np
import torch
import torch.distributed as dist
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch import Tensor

from simclr import runs
from simclr.config import CROP_AND_FLIP, CUDA_GRAPHS, DATASETS, ConfigError, FinetuneConfig, PretrainConfig, RunConfig
from simclr.data.batches import EpochBatches
from simclr.data.sampling import FILM_STREAM, stratified_order
from simclr.data.splits import ImageData, Split, images_digest, label_subset
from simclr.evaluation import probes, protocols
from simclr.evaluation.features import features_of, plain_batches
from simclr.files import safe_read
from simclr.hardware import devices, rank_messages, ranks
from simclr.lifecycle.signals import StopPolicy, StopSignals
from simclr.models import backbones, compute, state_dicts
from simclr.models.backbones import Backbone
from simclr.models.weights import Weights
from simclr.objectives import metrics
from simclr.runs import Run, StatusWriter, film_frames
from simclr.runs.health_log import HealthLog
from simclr.runs.metrics_csv import MetricsLog
from simclr.training import time_left
from simclr.training.callbacks import Filming, KNNProbe, Meter, Progress, Recorder, Unheard, epoch_line, terminal_bar
from simclr.training.checkpoints import (
    AtomicCheckpointIO,
    Checkpoints,
    DivergedError,
    Interruptions,
    StopRequested,
    check_finite,
    load_last,
    save_atomically,
    sweep,
)
from simclr.training.datamodule import LabelledData, PretrainData
from simclr.training.modules import Classifier, SimCLR
from simclr.views.thumbnails import write_sheets

# The kNN probe compares with this many training images at most: a monitor, not a result.
MAX_BANK_IMAGES = 10_000
WORTH_SAYING_SECONDS = 1.0  # what is over sooner needs no line in the log
HEAD_CHECKPOINT_SECONDS = 5.0  # an epoch of a head takes far less
HEAD_STATUS_SECONDS = 0.5  # and a step far less than telling of it
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # memory of its own for each of cuBLAS's streams, lest they add in another order


# --- before a run folder is made ------------------------------------------------------------------------------------


@dataclass
class Prepared:
    """Everything that can be wrong with a run, checked, and the options with nothing left open."""

    config: RunConfig
    data: ImageData
    encoder: Backbone
    image_size: int
    num_steps: int
    warmup_steps: int
    num_epochs: int  # as many as max_steps leaves
    experiment: Run | None = None
    train: Split | None = None  # fine-tuning: the labelled images used
    weights_sha256: str | None = None  # of the file that the encoder was loaded from
    callbacks: Sequence[L.Callback] = ()  # come before the training's own
    peers: rank_messages.Ranks | None = None  # the run's other processes


def _settle(config: RunConfig, **found: Any) -> Any:
    """The options with precision, threads and `found` filled in."""
    device = compute.find_device(config.accelerator, config.devices)
    if config.compile in CUDA_GRAPHS and device.type == "cpu":
        raise ConfigError(f"compile is {config.compile}, which needs a GPU; allowed here: false or true.")
    if config.dataset not in DATASETS:  # a folder: config.yaml has to mean the same wherever it is read
        found["dataset"] = str(Path(config.dataset or "").expanduser().resolve())
    threads = config.num_threads or max(1, torch.get_num_threads() // config.devices)
    if config.devices > 1:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # else Lightning sets a number of its own
    torch.set_num_threads(threads)
    return config.model_copy(
        update={
            "precision": compute.resolve_precision(config.precision, device, config.devices),
            "num_threads": threads,
            **found,
        }
    )


def _count_steps(config: RunConfig, num_images: int, *, drop_last: bool) -> tuple[int, int, int]:
    """Optimizer steps of the whole training and of its warm-up, and its epochs."""
    num_ranks = config.devices * config.num_nodes
    per_rank = config.batch_size // num_ranks
    per_epoch = len(EpochBatches(num_images, per_rank, drop_last=drop_last, num_ranks=num_ranks))
    num_steps = min(config.epochs * per_epoch, config.max_steps or sys.maxsize)
    return num_steps, round(config.warmup_epochs * per_epoch), math.ceil(num_steps / per_epoch)


Report = Callable[[str, float], None]


def _no_report(what: str, share: float) -> None:
    pass


def prepare(config: RunConfig, runs_dir: Path, report: Report = _no_report) -> Prepared:
    """Checks data, classes, weights, backbone and sizes, and fills in what was left open.

    Raises:
        ConfigError: with one sentence for what is wrong.
    """
    if isinstance(config, PretrainConfig):
        return _prepare_pretrain(config.resolved(), report)
    return _prepare_finetune(config, runs_dir, report)


def _prepare_pretrain(config: PretrainConfig, report: Report) -> Prepared:
    compute.find_device(config.accelerator, config.devices)
    if config.image_size is not None:
        backbones.build_encoder(config.backbone, config.image_size)  # before minutes are spent on reading images
    data = compute.load_images(config, report)
    size = config.image_size or data.image_size
    if config.batch_size > data.train.num_images:
        raise ConfigError(
            f"batch_size is {config.batch_size}; allowed: at most the {data.train.num_images:,} training images."
        )
    config = _settle(config, image_size=size)
    torch.manual_seed(config.seed)
    encoder = backbones.build_encoder(config.backbone, size)
    return Prepared(config, data, encoder, size, *_count_steps(config, data.train.num_images, drop_last=True))


def _prepare_finetune(config: FinetuneConfig, runs_dir: Path, report: Report) -> Prepared:
    compute.find_device(config.accelerator, config.devices)
    experiment: Run | None = None
    weights: Path | None = None
    if config.experiment_version is not None:
        found = runs.find_experiment(config.experiment_version, runs_dir)
        if isinstance(found, Run):
            experiment = found
            if experiment.kind != "pretrain":
                raise ConfigError(
                    f"experiment_version is {config.experiment_version}, which is a {experiment.kind} run; "
                    "allowed: a pre-training."
                )
            if isinstance(config.experiment_version, int):
                print(f"experiment_version {config.experiment_version} is {experiment.id}", flush=True)
            weights = experiment.model_path
            if not config.random_weight_init and not weights.is_file():
                raise ConfigError(
                    f"experiment_version is {experiment.id}, which is {experiment.status.state} and has no final "
                    "weights yet; allowed: a finished pre-training."
                )
        else:
            weights = found
    config = _take_over(config, experiment)
    if config.backbone is None:
        raise ConfigError(
            "backbone is not set, and there is no pre-training to take it from; allowed: a backbone's name."
        )
    if config.dataset is None:
        raise ConfigError(
            "dataset is not set, and there is no pre-training to take it from; allowed: a data set's name or a folder."
        )

    backbone: str = config.backbone
    state: dict[str, Tensor] | None = None
    digest: str | None = None
    if not config.random_weight_init:
        assert weights is not None
        try:
            opened = Weights(weights)  # what is recorded is what is loaded
        except OSError as error:
            raise ConfigError(f"experiment_version is {weights}, which cannot be read: {error.strerror}.") from None
        with contextlib.closing(opened):
            state, digest = opened.read_state(), opened.sha256
    data = compute.load_images(config, report)
    if data.classes is None or data.train.labels is None:
        raise ConfigError(
            f"dataset is {config.dataset}, whose images have no classes; allowed: a data set with classes."
        )
    num_classes = len(data.classes)
    if config.num_classes not in (None, num_classes):
        raise ConfigError(f"num_classes is {config.num_classes}; allowed: {num_classes}, as {config.dataset} has.")
    size = config.image_size or data.image_size
    small_stem = None
    if experiment is not None:
        small_stem = int(experiment.config.get("image_size") or size) <= backbones.SMALL_IMAGE_SIDE
    if state is not None and state_dicts.has_small_stem(state) is not None:
        small_stem = state_dicts.has_small_stem(state)

    train = data.train.take(label_subset(data.train.labels, config.label_fraction, config.seed))
    augmentation = config.augmentation
    if augmentation is None and not config.freeze_encoder:
        augmentation = CROP_AND_FLIP
    reference = config.experiment_version
    if experiment is not None:  # by its id where that is enough to find it again, for a repetition or a resume
        folder = experiment.path.resolve().parent
        here = folder in (runs_dir.resolve(), runs_dir.resolve() / runs.EXAMPLES)
        reference = experiment.id if here else str(experiment.path.resolve())
    elif weights is not None:
        reference = str(weights.resolve())
    config = _settle(
        config, image_size=size, num_classes=num_classes, augmentation=augmentation, experiment_version=reference
    )
    torch.manual_seed(config.seed)
    encoder = backbones.build_encoder(backbone, size, small_stem=small_stem)
    if state is not None and weights is not None:
        state_dicts.load_encoder(encoder, state, weights)
    steps = _count_steps(config, train.num_images, drop_last=False)
    return Prepared(config, data, encoder, size, *steps, experiment=experiment, train=train, weights_sha256=digest)


def _take_over(config: FinetuneConfig, experiment: Run | None) -> FinetuneConfig:
    """Fills unset options from the experiment; one that contradicts it is refused."""
    if experiment is None:
        return config
    theirs = experiment.config
    for name in ("backbone", "image_size"):
        mine = getattr(config, name)
        if mine is not None and theirs.get(name) is not None and mine != theirs[name]:
            raise ConfigError(f"{name} is {mine}; allowed: {theirs[name]}, as in the pre-training {experiment.id}.")
    names = ["backbone", "image_size"] + (["dataset", "data_dir"] if config.dataset is None else [])
    # an explicit data_dir stays
    return config.model_copy(update={name: theirs.get(name) for name in names if getattr(config, name) is None})


# --- the life of a run ----------------------------------------------------------------------------------------------


class _Tee:
    """Writes to the terminal and to the run's log."""

    def __init__(self, terminal: TextIO, log: FileIO) -> None:
        self.terminal, self._log = terminal, log

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):  # a full disk: the terminal shows it still
            self._log.write(text.encode(errors="replace"))
        return self.terminal.write(text)

    def flush(self) -> None:
        self.terminal.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


@contextlib.contextmanager
def _log_to(path: Path, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    out, err = sys.stdout, sys.stderr
    with safe_read.open_to_append(path) as log:
        sys.stdout, sys.stderr = _Tee(out, log), _Tee(err, log)  # type: ignore[assignment]
        try:
            yield
        finally:
            sys.stdout, sys.stderr = out, err


class _InstallSignals(L.Callback):
    """Lightning puts its own SIGTERM handler in place when a fit begins; ours is the one that saves."""

    def __init__(self, signals: StopSignals) -> None:
        self.signals = signals

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.signals.install()


class _SameStart(L.Callback):
    """Refuses to go on from different checkpoints, as where a machine does not see the newest one yet."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        steps = [trainer.global_step] * trainer.world_size
        if trainer.world_size > 1:
            dist.all_gather_object(steps, trainer.global_step)
        if len(set(steps)) > 1:
            raise ConfigError(
                f"The processes of this run would go on from steps {', '.join(map(str, steps))}; allowed: the same for "
                "all, from a folder that all machines share. Resume it in a moment."
            )


class _FirstWord(L.Callback):
    """Tells the run's other processes of an exception before anything is taken down, which may wait for them."""

    def __init__(self, peers: rank_messages.Ranks, batch_size: int) -> None:
        self.peers, self.batch_size = peers, batch_size

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, Exception) and not isinstance(exception, (StopRequested, DivergedError)):
            self.peers.say(*explain(exception, self.batch_size))


class _Launcher(_SubprocessScriptLauncher):
    """Lightning's own, without the thread that kills all processes, the main one first, when one of them failed."""

    def launch(self, function: Callable[..., Any], *args: Any, trainer: L.Trainer | None = None, **more: Any) -> Any:
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
        return function(*args, **more)


class _Strategy(DDPStrategy):
    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _Launcher(self.cluster_environment, self.num_processes, self.num_nodes)


def _quiet_libraries() -> None:
    """Keeps the log to what a reader of it can act on."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", category=UserWarning, module="torch.utils.data")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


@contextlib.contextmanager
def _exactly(config: RunConfig) -> Iterator[None]:
    """Has PyTorch take what gives the same bytes each time, and refuse the rest, where the options ask that of a GPU.

    On a CPU nothing has to be set. To be entered before anything is computed on the GPU.
    """
    if not wants_same_bytes(config):
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, os.environ.get(CUBLAS)
    os.environ[CUBLAS] = ":4096:8"
    cudnn.deterministic, cudnn.benchmark = True, False
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        cudnn.deterministic, cudnn.benchmark = before[:2]
        os.environ.pop(CUBLAS) if before[2] is None else os.environ.update({CUBLAS: before[2]})


def wants_same_bytes(config: RunConfig) -> bool:
    return config.deterministic == "true" and compute.device_here(config.accelerator).type == "cuda"


def _reporter(status: StatusWriter | None, stop: threading.Event) -> Report:
    """Tells what is read or downloaded, in the run's status or on the terminal, and ends it where a stop is asked."""
    since: dict[str, float] = {}
    said: set[str] = set()

    def report(what: str, share: float) -> None:
        if stop.is_set():
            raise StopRequested
        if status is not None:
            status.set(phase=f"{what} {share:.0%}" if share < 1 else "")
        elif sys.stderr.isatty():
            print(f"\r{what} {share:4.0%}", end="\n" if share >= 1 else "", file=sys.stderr, flush=True)
        elif time.monotonic() - since.setdefault(what, time.monotonic()) > WORTH_SAYING_SECONDS and what not in said:
            said.add(what)
            print(what, flush=True)

    return report


def train(
    config: RunConfig, *, runs_dir: Path, run_dir: Path | None = None, resume: bool = False,
    command: list[str] | None = None, recipe: str | None = None, callbacks: Sequence[L.Callback] = (),
    stop_policy: StopPolicy | None = None,
) -> Run:  # fmt: skip
    """Trains one run from its options to its last file; its `status.json` says how it ended.

    Args:
        config: checked options.
        runs_dir: where the run folder is made, and where experiments are looked up.
        run_dir: an existing run folder to use, as the launcher makes it.
        resume: go on from the last checkpoint in `run_dir`.
        command: the command line, for the record.
        recipe: the shipped recipe that the options came from, which knows the run's partners.
        callbacks: Lightning callbacks of the caller's own; not used where a head is trained on fixed features.
        stop_policy: of whoever started this process, keeps its log and says more of a stop; a Slurm task's.

    Raises:
        ConfigError: for bad input; no new run folder is left behind.
    """
    _quiet_libraries()
    signals = StopSignals(stop_policy)
    signals.install()
    place = ranks.place(config)
    assert place.is_main, "other processes follow"
    supervised = stop_policy is not None or (run_dir is not None and runs.has_supervisor(run_dir))
    status = StatusWriter(run_dir).start(phase="reading data") if run_dir is not None else None
    peers = rank_messages.Ranks(place, runs_dir)

    def end(word: rank_messages.Word) -> int:
        """Says how the run ended where another process ended it and this one cannot get on."""
        if word.reason == rank_messages.STOPPED:
            last_word = signals.last_word()
        else:
            bad_input = runs.BAD_INPUT_EXIT_CODE if word.reason == "bad input" else 1
            last_word = {"state": "failed", "reason": word.reason, "error": word.sentence, "exit_code": bad_input}
        _tell(f"process {word.rank} of {place.world_size}: {word.sentence}")
        if status is not None:
            status.close(phase="", **last_word)
        return int(last_word.get("exit_code", runs.STOPPED_EXIT_CODE))

    peers.watch(end)
    try:
        try:
            prepared = prepare(config, runs_dir, _reporter(status, signals.requested))
            if run_dir is not None and resume:
                _check_same_weights(Run(run_dir), prepared)
        except StopRequested:
            peers.rest()
            peers.say(rank_messages.STOPPED, "It was asked to stop.")
            if status is None:  # nothing was begun that could be stopped: as any command that is interrupted
                raise KeyboardInterrupt from None
            status.close(phase="", **signals.last_word())
            return Run(status.folder)
        except ConfigError as error:
            peers.rest()
            if status is not None:
                status.close(state="failed", reason="bad input", error=str(error), phase="")
            peers.say("bad input", str(error))
            raise
        if run_dir is None:
            more: dict[str, Any] = {"experiment": prepared.experiment.id} if prepared.experiment else {}
            more |= {"recipe": recipe} if recipe else {}
            more |= {"weights_sha256": prepared.weights_sha256} if prepared.weights_sha256 else {}
            run = runs.create(prepared.config, runs_dir, command, **more)
            status = StatusWriter(run.path).start(phase="starting")
        else:
            run = Run(run_dir)
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
        assert status is not None
        prepared.peers = peers
        prepared.callbacks = [_FirstWord(peers, config.batch_size), _InstallSignals(signals), *callbacks]
        with _exactly(config), _log_to(run.log_path, wanted=not supervised):
            _live(run, prepared, status, signals, resume, peers)
    except ConfigError:
        raise
    except Exception as error:  # before there was anything to train, or after its last word
        peers.rest()
        if status is not None and runs.read_status(status.folder).is_active:
            _fail(status, error, config.batch_size, peers)
        peers.say(*explain(error, config.batch_size))
        raise
    finally:
        peers.leave()
        signals.restore()
        # queued: by its own word, as a Slurm run whose time was up
        if status is not None and run_dir is not None and runs.read_status(run_dir).state in ("starting", "running"):
            status.close(state="failed", reason="error", error="It ended before it began; the log tells more.")
    return Run(run.path)


def _check_same_weights(run: Run, prepared: Prepared) -> None:
    """Raises ConfigError where a head would go on on features of another encoder; others have theirs in a checkpoint.

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


def follow(
    config: RunConfig, *, runs_dir: Path, run_dir: Path | None = None, resume: bool = False,
    stop_policy: StopPolicy | None = None,
) -> int:  # fmt: skip
    """Trains along in a process of a run that is not its main one; returns the exit status.

    It builds the same data and model, and leaves words and files to the main process.
    """
    place = ranks.place(config)
    if place.launcher == "lightning":
        ranks.end_with_parent()
    _quiet_libraries()
    signals = StopSignals(stop_policy)
    signals.install()
    peers = rank_messages.Ranks(place, runs_dir)

    def say(sentence: str) -> None:
        print(f"process {place.rank}: {sentence}", file=sys.stderr, flush=True)

    def end(word: rank_messages.Word) -> int:
        say(f"it ends, as the main process did: {word.sentence}")
        return 0 if word.reason == rank_messages.STOPPED else 1

    peers.watch(end)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                prepared = prepare(config, runs_dir, _reporter(None, signals.requested))
            except StopRequested:
                peers.say(rank_messages.STOPPED, "It was asked to stop.")  # the main process may not have been
                raise
            prepared.peers = peers
            prepared.callbacks = [_FirstWord(peers, config.batch_size), _InstallSignals(signals)]
            folder = run_dir or Path(tempfile.gettempdir())
            with _exactly(config):
                _work(prepared)(Run(folder), prepared, Unheard(), signals.requested, resume)
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


def _work(prepared: Prepared) -> Callable[..., None]:
    return _pretrain if isinstance(prepared.config, PretrainConfig) else _finetune


def trial(prepared: Prepared, folder: Path, status: StatusWriter) -> None:
    """Trains what was prepared in a folder that is thrown away, to see what it costs; errors come as they are."""
    _quiet_libraries()
    signals = StopSignals()
    prepared.callbacks = [_InstallSignals(signals), *prepared.callbacks]
    with _exactly(prepared.config):
        _work(prepared)(Run(folder), prepared, status, signals.requested, False)


def _held(config: RunConfig, device: torch.device) -> str:
    """The devices that a run from a shell holds, by the names that the queue knows them by."""
    if device.type != "cuda":
        return devices.CPU
    names = {found.uuid[4:]: found.name for found in devices.list_devices()}  # without GPU- or MIG-
    uuids = [str(torch.cuda.get_device_properties(index).uuid) for index in range(config.devices)]
    return devices.join([names.get(uuid, f"gpu:{index}") for index, uuid in enumerate(uuids)])


def _live(
    run: Run, prepared: Prepared, status: StatusWriter, signals: StopSignals, resume: bool, peers: rank_messages.Ranks
) -> None:
    """Runs the training and turns every end into a state and a sentence."""
    device = compute.find_device(prepared.config.accelerator)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    runs.add_meta(
        run.path, device=name, num_train_images=(prepared.train or prepared.data.train).num_images,
        num_classes=len(prepared.data.classes or ()), num_skipped_images=len(prepared.data.skipped),
        in_memory=prepared.data.train.in_memory,
    )  # fmt: skip
    if reading := prepared.data.reading:
        runs.add_meta(run.path, data_reading=reading)
        print(reading, flush=True)
    held = runs.read_status(run.path).device or _held(prepared.config, device)
    status.set(phase="training", steps=prepared.num_steps, epochs=prepared.num_epochs, device=held)
    batch = prepared.config.batch_size
    try:
        sweep(run.path / runs.CHECKPOINTS)
        _work(prepared)(run, prepared, status, signals.requested, resume)
        status.close(state="finished", reason="", phase="", exit_code=0)
    except StopRequested:
        peers.rest()
        last_word = signals.last_word()
        _tell(f"{last_word['state']} ({last_word['reason']}); the last checkpoint is kept")
        status.close(phase="", **last_word)
    except KeyboardInterrupt:
        peers.rest()
        status.close(state="stopped", reason="interrupted", phase="", error="Interrupted before it could save.")
    except DivergedError as error:
        peers.rest()
        _tell(error)
        status.close(state="failed", reason="diverged", phase="", error=str(error), exit_code=1)
    except Exception as error:
        peers.rest()
        _tell(traceback.format_exc())
        _tell(_fail(status, error, batch, peers))
    finally:
        if replaced := prepared.data.replaced:
            runs.add_meta(run.path, num_replaced_images=len(replaced))


def _tell(words: object) -> None:
    """Says something in the log, which a full disk does not take: the status comes first then."""
    with contextlib.suppress(OSError):
        print(words, file=sys.stderr, flush=True)


def _fail(status: StatusWriter, error: BaseException, batch_size: int, peers: rank_messages.Ranks) -> str:
    word = peers.verdict(*explain(error, batch_size))
    status.close(state="failed", reason=word.reason, phase="", error=word.sentence, exit_code=1)
    peers.say(word.reason, word.sentence)
    return word.sentence


def explain(error: BaseException, batch_size: int) -> tuple[str, str]:
    """A short reason and one sentence with the remedy for an exception that ended a training."""
    text = str(error)
    cause: BaseException | None = error
    while cause is not None:  # what writes a checkpoint makes something else of it
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return "disk full", "The disk is full; free some space, then resume the run."
        cause = cause.__cause__ or cause.__context__
    if devices.is_out_of_memory(error):
        smaller = max(2, batch_size // 2)
        return "out of memory", (
            f"It ran out of memory with batch_size {batch_size}; try batch_size {smaller}, or for a pre-training "
            f"micro_batch_size {smaller}, which keeps the batch."
        )
    if isinstance(error, ConfigError):
        return "bad input", text
    if isinstance(error, RuntimeError) and (found := rank_messages.explain(text)) is not None:
        return found
    if "does not have a deterministic implementation" in text:
        return "bad input", (
            f"deterministic is true, and {text.split()[0]} is computed in another order each time on this GPU; allowed "
            "here: auto or false."
        )
    if "Expected more than 1 value per channel" in text:
        return "bad input", (
            f"A batch had a single image for each process (batch_size {batch_size}), which this network's BatchNorm "
            "cannot train on; allowed: at least 2 images for each process, in batch_size and in the training images."
        )
    if "shared memory" in text:
        return (
            "out of memory",
            "Reading processes ran out of shared memory (/dev/shm); enlarge it, or set num_workers 0.",
        )
    if "DataLoader worker" in text:
        return "worker lost", (
            "A process that reads images was ended, often for want of memory; try a smaller num_workers, and resume."
        )
    first = text.strip().splitlines()[0] if text.strip() else "no message"
    return "error", f"{type(error).__name__}: {first[:300]}"


# --- pre-training ---------------------------------------------------------------------------------------------------


def _warm_start(run: Run, resume: bool, data: Any) -> tuple[Path | None, int | None]:
    """The checkpoint to go on from and its step; tells the data module which batches are already done."""
    found = load_last(run.path / runs.CHECKPOINTS) if resume else None
    if found is None:
        return None, None
    path, saved = found
    progress = saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    if not progress["is_last_batch"]:
        data.skip_batches = int(progress["current"]["processed"])
    return path, int(saved["global_step"])


def _environment(place: ranks.Place) -> ClusterEnvironment:
    if place.launcher == "torchrun":
        return TorchElasticEnvironment()
    if place.launcher == "srun":
        return SLURMEnvironment(auto_requeue=False)  # stopping and going on again is this package's own
    return LightningEnvironment()


def _fit(
    run: Run, prepared: Prepared, status: StatusWriter | Unheard, stop: threading.Event, resume: bool, *,
    model: SimCLR | Classifier, data: PretrainData | LabelledData, checkpoints: Checkpoints,
    columns: tuple[str, ...], extra: list[L.Callback],
) -> bool:  # fmt: skip
    """Trains; returns whether this is the process that goes on to judge and to write the result."""
    config = prepared.config
    place = ranks.place(config)
    checkpoint, step = _warm_start(run, resume, data)
    log = MetricsLog(run.metrics_path, columns, keep_steps=step) if place.is_main else Unheard()
    health_log: HealthLog | Unheard | None = None
    if isinstance(model, SimCLR):
        health_log = HealthLog(run.health_path, keep_steps=step) if place.is_main else Unheard()
    probe = next((item for item in extra if isinstance(item, KNNProbe)), None)
    recorder = Recorder(
        log, status, num_steps=prepared.num_steps, num_epochs=prepared.num_epochs,
        time_left=_time_left(prepared, probe), knn=probe, health_log=health_log,
    )  # fmt: skip
    device = compute.find_device(config.accelerator)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if wants_same_bytes(config):
        backbones.make_deterministic(model.encoder)
    compute.compile_network(model.encoder, config.compile)
    several = place.world_size > 1 or config.strategy == "ddp"
    interruptions = Interruptions(stop, checkpoints, config.checkpoint_every_minutes)
    trainer = L.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu", devices=config.devices, num_nodes=config.num_nodes,
        strategy=_Strategy(gradient_as_bucket_view=True) if several else "auto",
        sync_batchnorm=several and device.type == "cuda",  # on a CPU each process has its own statistics
        precision=config.precision,  # type: ignore[arg-type]
        # Not max_steps: Lightning then resumes from the end of an epoch as from its middle. The recorder ends there.
        max_epochs=prepared.num_epochs, min_epochs=0,
        default_root_dir=run.path, logger=False,
        callbacks=[
            *prepared.callbacks, _SameStart(), *extra, recorder, checkpoints,
            *([Progress(recorder, prepared.num_steps)] if place.is_main else []),
            interruptions,
        ],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        use_distributed_sampler=False, plugins=[AtomicCheckpointIO(), _environment(place)],
        limit_val_batches=1.0 if "val" in data.splits else 0, barebones=False,
    )  # fmt: skip
    data.on_wait = partial(interruptions.while_waiting, trainer)
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    # also where nothing was left to train
    done = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
    status.set(epoch=done, step=trainer.global_step)
    check_finite(model, trainer.global_step)
    trainer.strategy.barrier()  # lest a process leaves while another is still sending to it
    if prepared.peers is not None:  # from here on none waits for another
        prepared.peers.rest()
    return place.is_main


def _time_left(prepared: Prepared, probe: KNNProbe | None = None) -> time_left.TimeLeft:
    """The parts of a training, and how often each passes an image through the encoder, or what costs as much."""
    config, data, epochs = prepared.config, prepared.data, prepared.num_epochs
    num_val = data.val.num_images if data.val is not None else 0
    num_bank = min(data.probe.num_images, MAX_BANK_IMAGES) if data.probe is not None else 0
    num_test = data.test.num_images if data.test is not None and data.test.labels is not None else 0
    views = 2 if isinstance(config, PretrainConfig) else 1
    backward = 1 if isinstance(config, FinetuneConfig) and config.freeze_encoder else time_left.BACKWARD
    if isinstance(config, PretrainConfig):  # judged by the features of all labelled images
        is_judged = config.evaluate and data.probe is not None and num_test
        num_test = num_test + num_val + data.probe.num_images if is_judged and data.probe is not None else 0
    reading = 0 if data.train.in_memory else time_left.READING
    return time_left.TimeLeft(
        knn=time_left.Part(
            math.ceil(epochs / probe.every_epochs) if probe is not None else 0, (reading + 1) * (num_bank + num_val)
        ),
        validation=time_left.Part(epochs if num_val else 0, (reading + views) * num_val),
        step=time_left.Part(prepared.num_steps, (reading + views * backward) * config.batch_size),
        between=time_left.Part(epochs),
        test=time_left.Part(1, (reading + 1) * num_test),
    )  # fmt: skip


def _pretrain(
    run: Run, prepared: Prepared, status: StatusWriter | Unheard, stop: threading.Event, resume: bool
) -> None:
    config, data = prepared.config, prepared.data
    assert isinstance(config, PretrainConfig)
    device = compute.find_device(config.accelerator)
    model = SimCLR(config, prepared.encoder, num_steps=prepared.num_steps, warmup_steps=prepared.warmup_steps)
    loader = PretrainData(
        data, config.augmentation, batch_size=config.batch_size, seed=config.seed, size=prepared.image_size,
        num_workers=config.num_workers,
    )  # fmt: skip
    if data.val is not None and data.val.num_images < 2:
        loader.splits.pop("val")
    extra: list[L.Callback] = _filming(run, prepared, device)
    if (measure := _knn_measure(config, data, prepared.image_size, model, device)) is not None:
        extra.append(KNNProbe(measure, config.knn_every_epochs))
    has_knn = measure is not None

    def score(measured: Any) -> tuple[float, ...] | None:
        if has_knn:
            return (measured["val/knn_top1"],) if "val/knn_top1" in measured else None
        return (-measured["val/loss"],) if "val/loss" in measured else None

    checkpoints = Checkpoints(run.path / runs.CHECKPOINTS, score, config.checkpoint_every_epochs)
    goes_on = _fit(
        run, prepared, status, stop, resume, model=model, data=loader, checkpoints=checkpoints,
        columns=runs.PRETRAIN_METRICS, extra=extra,
    )  # fmt: skip
    if not goes_on:
        return
    state = state_dicts.join_state(model.parts, model.head)
    save_atomically(state, run.model_path)
    if not config.evaluate:
        return
    assert isinstance(status, StatusWriter)
    status.set(phase="testing")
    found = protocols.pretrain_figures(config, state, data, device, _reporter(status, stop))
    if not found:
        print("there are no labelled test images, so nothing was tested", flush=True)
        return
    runs.write_evaluation(run.path, protocols.seen(found, "pretrain"))
    print(f"test kNN {found['test/knn_top1']:.2%}, linear probe {found['test/linear_top1']:.2%}", flush=True)


def _filming(run: Run, prepared: Prepared, device: torch.device) -> list[L.Callback]:
    """What keeps the training film: features of the same validation images, or training images where there are none."""
    config, data = prepared.config, prepared.data
    epochs = film_frames.planned_epochs(prepared.num_epochs, config.film_frames)
    split = data.val if data.val is not None else prepared.train or data.train
    if not epochs or not ranks.place(config).is_main or split.num_images < film_frames.MIN_IMAGES:
        return []
    labels = None if split.labels is None else split.labels.cpu().numpy()
    strata = labels if labels is not None else np.zeros(split.num_images, dtype=np.int64)
    places = np.sort(stratified_order(strata, config.seed, FILM_STREAM)[: film_frames.MAX_IMAGES])
    chosen = split.take(torch.from_numpy(places))
    folder = film_frames.begin(
        run, epochs, ids=chosen.ids.cpu().numpy(), labels=None if labels is None else labels[places],
        write_sheets=lambda place: write_sheets(chosen, place), split=split.name, seed=config.seed,
        classes=list(data.classes or []) if labels is not None else [], num_epochs=prepared.num_epochs,
        images=images_digest(chosen),
    )  # fmt: skip

    def features(module: Any) -> Tensor:
        batches = plain_batches(chosen, prepared.image_size, device)
        return features_of(module.encoder, batches, device=device, autocast=protocols.AUTOCAST[config.precision])

    return [Filming(features, lambda epoch, found: film_frames.write_frame(folder, epoch, found), epochs)]


def _knn_measure(
    config: PretrainConfig, data: ImageData, size: int, model: SimCLR, device: torch.device
) -> Callable[[], float] | None:
    """A function that measures kNN accuracy on the val split; None where there are no labels to do so."""
    bank, val = data.probe, data.val
    if not config.knn_every_epochs or bank is None or bank.labels is None or val is None or val.labels is None:
        return None
    if bank.num_images > MAX_BANK_IMAGES:
        order = torch.randperm(bank.num_images, generator=torch.Generator().manual_seed(config.seed))
        bank = bank.take(order[:MAX_BANK_IMAGES].sort().values)
    num_classes = len(data.classes or ())
    splits = {"bank": bank, "val": val}

    def measure() -> float:
        features = {}
        for name, split in splits.items():
            batches = plain_batches(split, size, device)
            features[name] = features_of(model, batches, device=device, autocast=protocols.AUTOCAST[config.precision])
        bank_labels, val_labels = (splits[name].labels for name in ("bank", "val"))
        assert bank_labels is not None and val_labels is not None
        predicted = metrics.knn_predict(features["bank"], bank_labels.to(device), features["val"], num_classes)
        return metrics.accuracy(predicted, val_labels.to(device))

    return measure


# --- fine-tuning and training from scratch --------------------------------------------------------------------------


def _accuracy_then_loss(measured: Any) -> tuple[float, ...] | None:
    """Best by validation accuracy; a small split has many ties, and the lower loss decides them."""
    return (measured["val/top1"], -measured["val/loss"]) if "val/top1" in measured else None


def _finetune(
    run: Run, prepared: Prepared, status: StatusWriter | Unheard, stop: threading.Event, resume: bool
) -> None:
    config, train_split = prepared.config, prepared.train
    assert isinstance(config, FinetuneConfig) and train_split is not None
    checkpoints = Checkpoints(run.path / runs.CHECKPOINTS, _accuracy_then_loss, patience=config.early_stopping_patience)
    model = Classifier(
        config, prepared.encoder, config.num_classes or 0, num_steps=prepared.num_steps,
        warmup_steps=prepared.warmup_steps,
    )  # fmt: skip
    if config.trains_on_features:
        assert isinstance(status, StatusWriter)
        _train_on_features(run, prepared, status, stop, resume, model, checkpoints)
    else:
        loader = LabelledData(
            train_split, prepared.data.val, config.augmentation, batch_size=config.batch_size, seed=config.seed,
            size=prepared.image_size, num_workers=config.num_workers,
        )  # fmt: skip
        extra = _filming(run, prepared, compute.find_device(config.accelerator))
        goes_on = _fit(
            run, prepared, status, stop, resume, model=model, data=loader, checkpoints=checkpoints,
            columns=runs.FINETUNE_METRICS, extra=extra,
        )  # fmt: skip
        if not goes_on:
            return
        if checkpoints.best_epoch is not None:
            best = torch.load(run.path / runs.CHECKPOINTS / runs.BEST_CHECKPOINT, map_location="cpu", weights_only=True)
            model.load_state_dict(best["state_dict"])
    assert isinstance(status, StatusWriter)
    state = state_dicts.join_state(model.parts, model.head)
    save_atomically(state, run.model_path)
    _evaluate(run, prepared, status, state, checkpoints.best_epoch, stop)


def _train_on_features(
    run: Run, prepared: Prepared, status: StatusWriter, stop: threading.Event, resume: bool, model: Classifier,
    checkpoints: Checkpoints,
) -> None:  # fmt: skip
    """Frozen encoder: features of the plain images once, then the head alone."""
    config, train_split, data = prepared.config, prepared.train, prepared.data
    assert isinstance(config, FinetuneConfig) and train_split is not None and train_split.labels is not None
    device = compute.find_device(config.accelerator)
    model.to(device).eval()
    found = load_last(checkpoints.folder, device) if resume else None
    state = found[1] if found is not None else None
    if state is not None:
        checkpoints.load_state_dict(state["checkpoints"])
        if checkpoints.has_ended:
            model.head.load_state_dict(state["best_head"])
            status.set(epoch=state["epoch"], step=state["step"])
            return
    num_val, num_test = (split.num_images if split is not None else 0 for split in (data.val, data.test))
    left = time_left.TimeLeft(
        image=time_left.Part(train_split.num_images + num_val, 1), step=time_left.Part(prepared.num_steps),
        test=time_left.Part(1, num_test),
    )  # fmt: skip
    left["step"].measure(*probes.try_head(model.head, prepared.encoder.num_features, config))
    mark = time.monotonic()

    def since_mark() -> float:
        nonlocal mark
        before, mark = mark, time.monotonic()
        return mark - before

    def features(split: Split, what: str) -> tuple[Tensor, Tensor]:
        done = 0

        def count(num: int) -> None:
            nonlocal done
            done += num
            left["image"].add(since_mark(), num)
            status.set(phase=f"features of the {what} images {done / split.num_images:.0%}", eta_seconds=left.seconds())
            if stop.is_set():
                raise StopRequested

        found = features_of(
            model.encoder, plain_batches(split, prepared.image_size, device), device=device,
            autocast=protocols.AUTOCAST[config.precision], on_batch=count,
        )  # fmt: skip
        assert split.labels is not None
        return found, split.labels.to(device)

    train_features = features(train_split, "training")
    val_features = features(data.val, "validation") if data.val is not None else None
    log = MetricsLog(run.metrics_path, runs.FINETUNE_METRICS, keep_steps=state["step"] if state else None)
    meter, before = Meter(), state["seconds"] if state else 0.0
    left["step"].done = state["step"] if state else 0
    current = {"epoch": state["epoch"] if state else 0}
    since_mark()

    def on_step(step: int) -> None:
        if stop.is_set():
            raise StopRequested
        if time.monotonic() - mark > HEAD_STATUS_SECONDS:
            left["step"].add(since_mark(), step - left["step"].done)
            if bar is not None:
                bar.update(step - bar.n)
            status.set(phase="training the head", step=step, eta_seconds=left.seconds(), epoch=current["epoch"] + 1)

    bar = terminal_bar(prepared.num_steps, left["step"].done)
    epochs = probes.train_head(
        model.head, *train_features, val_features, config, num_steps=prepared.num_steps,
        warmup_steps=prepared.warmup_steps, state=state, on_step=on_step,
    )  # fmt: skip
    best_head = state["best_head"] if state else None
    for measured, get_state in epochs:
        current["epoch"] = measured.epoch
        meter.add(train_split.num_images)
        speed = meter.rate()
        row = {
            "epoch": measured.epoch,
            "step": measured.step,
            "lr": measured.lr,
            "perf/seconds": before + meter.elapsed,
        }
        row |= {f"train/{name}": value for name, value in measured.train.items()}
        val = {f"val/{name}": value for name, value in measured.val.items()}
        row |= val | ({"perf/images_per_second": speed} if speed is not None else {})
        log.append(row)
        if not torch.isfinite(torch.tensor(measured.train["loss"])):
            raise DivergedError(
                f"The loss is {measured.train['loss']} at step {measured.step}; try a lower learning rate."
            )
        if checkpoints.judge(measured.epoch, val) or not val:
            best_head = {key: value.clone() for key, value in model.head.state_dict().items()}
        status.set(
            epoch=measured.epoch, step=measured.step, images_per_second=speed,
            loss=measured.val.get("loss", measured.train["loss"]),
            accuracy=checkpoints.best[0] if checkpoints.best is not None else None,
        )  # fmt: skip
        done = checkpoints.has_ended = measured.step >= prepared.num_steps or checkpoints.is_patience_over
        if time.monotonic() - checkpoints.saved_at > HEAD_CHECKPOINT_SECONDS or done or measured.epoch == 1:
            more = {"checkpoints": checkpoints.state_dict(), "best_head": best_head, "seconds": before + meter.elapsed}
            checkpoints.save_content(get_state() | more)
        if measured.epoch == 1 or measured.epoch % 10 == 0 or done:
            (bar.write if bar is not None else print)(epoch_line(measured.epoch, prepared.num_epochs, row))
        if done:
            break
    if bar is not None:
        bar.close()
    if best_head is not None:
        model.head.load_state_dict(best_head)


def _evaluate(
    run: Run, prepared: Prepared, status: StatusWriter, state: dict[str, Tensor], best_epoch: int | None,
    stop: threading.Event,
) -> None:  # fmt: skip
    """Looks at the test images once, with the weights that were best on validation, and writes `evaluation.json`."""
    config, data = prepared.config, prepared.data
    assert isinstance(config, FinetuneConfig) and prepared.train is not None
    status.set(phase="testing")
    device = compute.find_device(config.accelerator)
    found: dict[str, Any] = {
        "num_labels": prepared.train.num_images,
        "label_fraction": config.label_fraction,
        "arm": protocols.arm_of(config),
        "best_epoch": best_epoch,
        "budget": budget_of(config, prepared),
    }
    measured = protocols.classifier_figures(config, state, data, device, _reporter(status, stop))
    if measured:
        found |= protocols.seen(measured, "finetune")
        print(
            f"test top-1 {found['test/top1']:.2%}, loss {found['test/loss']:.4f}, {found['num_labels']:,} labels",
            flush=True,
        )
    else:
        print("there are no test images, so nothing was tested", flush=True)
    runs.write_evaluation(run.path, found)


def budget_of(config: FinetuneConfig, prepared: Prepared) -> str:
    """What this arm was allowed, in one sentence, so that arms can be compared fairly."""
    assert prepared.train is not None
    num_val_images = prepared.data.val.num_images if prepared.data.val is not None else 0
    batch_size = min(config.batch_size, prepared.train.num_images)
    sentence = f"{prepared.num_epochs} epochs, {prepared.num_steps:,} steps of batch {batch_size}"
    if num_val_images:
        sentence += f"; best epoch chosen on {num_val_images:,} labelled validation images"
        if config.early_stopping_patience is not None:
            sentence += f", ended after {config.early_stopping_patience} epochs without a better one"
    else:
        sentence += "; no validation images, so the last epoch counts"
    return sentence + "."
