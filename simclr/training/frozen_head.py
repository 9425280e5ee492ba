"""A head on a frozen encoder: features of the plain images once, then the head alone."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr import runs
from simclr.config import FinetuneConfig
from simclr.data.batches import EpochBatches
from simclr.data.splits import Split
from simclr.data.transfer import to_device
from simclr.evaluation.features import features_of
from simclr.models import compute
from simclr.objectives import optim
from simclr.objectives.metrics import RunningMeans, classification_shares
from simclr.runs import Run, StatusWriter
from simclr.runs.metrics_csv import MetricsLog
from simclr.training import time_left
from simclr.training.callbacks import Meter, Tally
from simclr.training.checkpoints import Checkpoints, DivergedError, StopRequested, load_last
from simclr.training.fit import is_extended_at
from simclr.training.modules import Classifier
from simclr.training.prepared import Prepared
from simclr.training.progress import epoch_line, terminal_bar

HEAD_CHECKPOINT_SECONDS = 5.0  # an epoch of a head takes far less
HEAD_STATUS_SECONDS = 0.5  # and a step far less than telling of it


def train_on_features(
    run: Run,
    prepared: Prepared,
    status: StatusWriter,
    stop: threading.Event,
    resume: bool,
    model: Classifier,
    checkpoints: Checkpoints,
) -> None:
    """Frozen encoder: features of the plain images once, then the head alone."""
    config, train_split, data = prepared.config, prepared.train, prepared.data
    assert isinstance(config, FinetuneConfig) and train_split is not None and train_split.labels is not None
    device = compute.find_device(config.accelerator)
    model.to(device).eval()
    found = load_last(checkpoints.folder, device) if resume else None
    state = found[1] if found is not None else None
    is_extended = state is not None and is_extended_at(run, state["step"])
    if state is not None:
        checkpoints.is_extended = is_extended
        checkpoints.load_state_dict(state["checkpoints"])
        if checkpoints.has_ended:
            model.head.load_state_dict(state["best_head"])
            status.set(epoch=state["epoch"], step=state["step"])
            return
    num_val, num_test = (split.num_images if split is not None else 0 for split in (data.val, data.test))
    left = time_left.TimeLeft(
        image=time_left.Stage(train_split.num_images + num_val, 1),
        step=time_left.Stage(prepared.num_steps),
        test=time_left.Stage(1, num_test if config.evaluate else 0),
    )
    left["step"].measure(*try_head(model.head, prepared.encoder.num_features, config))
    mark = time.monotonic()
    meter, before = Meter(), state["seconds"] if state else 0.0  # the features are a part of what the head costs
    cpu_before = state.get("cpu_seconds") if state else 0.0  # None: begun by a version that did not count

    def cpu_seconds() -> float | None:
        return None if cpu_before is None else cpu_before + meter.cpu_elapsed

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
            model.encoder, split, prepared.image_size, device=device, precision=config.precision, on_batch=count
        )
        assert split.labels is not None
        return found, split.labels.to(device)

    train_features = features(train_split, "training")
    val_features = features(data.val, "validation") if data.val is not None else None
    log = MetricsLog(run.metrics_path, runs.FINETUNE_METRICS, keep_steps=state["step"] if state else None)
    total = Tally(**state.get("speed", {})) if state else Tally()
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
    epochs = train_head(
        model.head,
        *train_features,
        val_features,
        config,
        num_steps=prepared.num_steps,
        warmup_steps=prepared.warmup_steps,
        state=state,
        is_extended=is_extended,
        on_step=on_step,
    )
    best_head = state["best_head"] if state else None
    for measured, get_state in epochs:
        current["epoch"] = measured.epoch
        total.add(measured.images, measured.seconds)
        speed = measured.images / max(measured.seconds, 1e-9)
        row = {
            "epoch": measured.epoch,
            "step": measured.step,
            "lr": measured.lr,
            "perf/seconds": before + meter.elapsed,
        }
        row |= {"perf/cpu_seconds": cpu} if (cpu := cpu_seconds()) is not None else {}
        row |= {f"train/{name}": value for name, value in measured.train.items()}
        val = {f"val/{name}": value for name, value in measured.val.items()}
        row |= val | {"perf/images_per_second": speed}
        log.append(row)
        if not torch.isfinite(torch.tensor(measured.train["loss"])):
            raise DivergedError(
                f"The loss is {measured.train['loss']} at step {measured.step}; try a lower learning rate."
            )
        if checkpoints.judge(measured.epoch, val) or not val:
            best_head = {key: value.clone() for key, value in model.head.state_dict().items()}
        status.set(
            epoch=measured.epoch,
            step=measured.step,
            images_per_second=speed,
            mean_images_per_second=total.images_per_second,
            epoch_images_per_second=speed,
            loss=measured.val.get("loss", measured.train["loss"]),
            accuracy=checkpoints.best[0] if checkpoints.best is not None else None,
        )
        done = checkpoints.has_ended = measured.step >= prepared.num_steps or checkpoints.is_patience_over
        if time.monotonic() - checkpoints.saved_at > HEAD_CHECKPOINT_SECONDS or done or measured.epoch == 1:
            clocks = {"seconds": before + meter.elapsed, "cpu_seconds": cpu_seconds(), "speed": asdict(total)}
            more = {"checkpoints": checkpoints.state_dict(), "best_head": best_head}
            checkpoints.save_content(get_state() | more | clocks)
        if measured.epoch == 1 or measured.epoch % 10 == 0 or done:
            (bar.write if bar is not None else print)(epoch_line(measured.epoch, prepared.num_epochs, row))
        if done:
            break
    if bar is not None:
        bar.close()
    if best_head is not None:
        model.head.load_state_dict(best_head)


@dataclass(frozen=True)
class HeadEpoch:
    """What one epoch of head training measured.

    Attributes:
        step: optimizer steps since the start.
        images, seconds: passed through the head, and how long that took.
    """

    epoch: int
    step: int
    images: int
    seconds: float
    lr: float
    train: dict[str, float]
    val: dict[str, float]


@torch.no_grad()
def classify(head: nn.Module, features: Tensor, labels: Tensor) -> dict[str, float]:
    """Loss (nats), top-1 and top-5 (0..1) of a head on features (N, D)."""
    logits = head(features).float()
    shares = classification_shares(logits, labels)
    return {"loss": float(F.cross_entropy(logits, labels)), **{name: float(value) for name, value in shares.items()}}


def train_head(
    head: nn.Module,
    features: Tensor,
    labels: Tensor,
    val: tuple[Tensor, Tensor] | None,
    config: FinetuneConfig,
    *,
    num_steps: int,
    warmup_steps: int,
    state: dict[str, Any] | None = None,
    is_extended: bool = False,
    on_step: Callable[[int], None] | None = None,
) -> Iterator[tuple[HeadEpoch, Callable[[], dict[str, Any]]]]:
    """Trains a head on the features of a frozen encoder, in a bare loop: half a million steps are usual.

    Args:
        head: changed in place.
        features, labels: (N, D) and (N,), on the head's device.
        val: the same of the validation split.
        num_steps: after which it ends.
        state: what an earlier call's state function returned, to resume from.
        is_extended: `num_steps` was smaller then.
        on_step: called after each step, with the number of steps done.

    Yields:
        After every epoch, its measurements and a function that returns the state to resume from.
    """
    optimizer = optim.make_optimizer(config.optimizer, [head], config.learning_rate, config.weight_decay)
    scheduler = optim.schedule(
        optimizer, num_steps=num_steps, warmup_steps=warmup_steps, peak=config.learning_rate, eta_min=config.eta_min
    )
    step = first_epoch = 0
    if state is not None:
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        step, first_epoch = state["step"], state["epoch"]
        if is_extended:
            optim.follow(scheduler)
    batches = EpochBatches(
        len(features),
        config.batch_size,
        seed=config.seed,
        drop_last=False,
        images_per_epoch=config.images_per_epoch,
    )
    if is_extended:  # perhaps within an epoch, where the smaller number ended it
        first_epoch, batches.skip = divmod(step, len(batches))
    for epoch in range(first_epoch, config.epochs):
        if step >= num_steps:
            return
        batches.set_epoch(epoch)
        head.train()
        means, num_images, start = RunningMeans(), 0, time.monotonic()
        positions = list(batches)
        on_device = to_device(torch.cat(positions) % len(features), features.device)  # once for the epoch
        for rows in on_device.split([len(batch) for batch in positions]):
            logits, target = head(features[rows]), labels[rows]
            loss = F.cross_entropy(logits, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
            means.add({"loss": loss, **classification_shares(logits.detach(), target)}, len(rows))
            step += 1
            num_images += len(rows)
            if on_step is not None:
                on_step(step)
            if step >= num_steps:
                break
        head.eval()
        train = means.take()  # waits for the device
        measured = HeadEpoch(
            epoch + 1,
            step,
            num_images,
            time.monotonic() - start,
            float(scheduler.get_last_lr()[0]),
            train,
            classify(head, *val) if val is not None else {},
        )
        done, now = epoch + 1, step

        def current(done: int = done, now: int = now) -> dict[str, Any]:
            return {
                "head": head.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "step": now,
                "epoch": done,
            }

        yield measured, current


TRIAL_STEPS, TRIAL_ROWS = 20, 8192


def try_head(head: nn.Module, num_features: int, config: FinetuneConfig) -> tuple[float, int]:
    """Seconds that some steps of a copy of `head` take, and their number; `head` and random numbers stay as they are.

    Args:
        num_features: of its input.
    """
    device = next(head.parameters()).device
    num_steps = max(1, min(TRIAL_STEPS, TRIAL_ROWS // config.batch_size))
    rows = num_steps * config.batch_size
    features, labels = torch.zeros(rows, num_features, device=device), torch.zeros(rows, device=device).long()
    seconds = 0.0
    for _ in range(2):  # the first time, libraries set themselves up
        start = time.monotonic()
        next(train_head(copy.deepcopy(head), features, labels, None, config, num_steps=num_steps, warmup_steps=0))
        seconds = time.monotonic() - start
    return seconds, num_steps
