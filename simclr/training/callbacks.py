"""What is recorded while a network trains: metric rows, the health log and the status."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import lightning as L
import torch.distributed as dist

from simclr.hardware import usage
from simclr.objectives.metrics import sum_over_processes
from simclr.runs import StatusWriter
from simclr.runs.health_log import HealthLog
from simclr.runs.metrics_csv import MetricsLog
from simclr.training.checkpoints import DivergedError
from simclr.training.knn_probe import KNNProbe
from simclr.training.time_left import TimeLeft

ROWS_PER_EPOCH = 10
# The training speed is shown as it is now, not as it was on average since the start.
SPEED_MEMORY_SECONDS = 30.0


class NullWriter:
    """Stands in for rows and status in the processes of a run that write nothing: all but the main one."""

    def append(self, row: Mapping[str, Any]) -> None:
        pass

    def set(self, **changes: Any) -> None:
        pass


@dataclass
class Tally:
    """Images trained on, and the seconds of their steps; in them, those until a batch of views was there."""

    images: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def add(self, images: int, seconds: float, waited: float = 0.0) -> None:
        self.images, self.seconds, self.waited = self.images + images, self.seconds + seconds, self.waited + waited

    @property
    def images_per_second(self) -> float | None:
        return self.images / self.seconds if self.images and self.seconds > 0 else None


class Meter:
    """Counts images and the seconds of their steps: how fast it goes now, in this epoch and in the whole training.

    Attributes:
        all, epoch: of the whole training, before and after each resume, and of the epoch that is going on. Validation,
            what comes between two epochs, and the time in which a run was stopped are in neither.
    """

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._cpu_start = usage.cpu_seconds()
        self._images, self._waited = 0, 0.0
        self._rate: float | None = None
        self.all, self.epoch = Tally(), Tally()

    def add(self, num_images: int) -> None:
        self._images += num_images

    def add_wait(self, seconds: float) -> None:
        """Takes in that so much of the interval was spent on reading images and drawing views."""
        self._waited += seconds

    def restart(self) -> None:
        """Starts a new interval, so that what happened since (a validation, say) does not count as training."""
        self._last, self._images, self._waited = time.monotonic(), 0, 0.0

    def rate(self) -> float | None:
        """Images per second in the interval since the last call, smoothed."""
        now = time.monotonic()
        interval = now - self._last
        if self._images and interval > 0:
            fresh = self._images / interval
            weight = 1.0 - math.exp(-interval / SPEED_MEMORY_SECONDS)
            self._rate = fresh if self._rate is None else self._rate + max(weight, 0.2) * (fresh - self._rate)
            for tally in (self.all, self.epoch):
                tally.add(self._images, interval, self._waited)
        self._last, self._images, self._waited = now, 0, 0.0
        return self._rate

    def state_dict(self) -> dict[str, dict[str, float]]:
        """Both tallies with the interval that is going on, for a training that is resumed."""
        found = {}
        for name, tally in (("all", self.all), ("epoch", self.epoch)):
            kept = replace(tally)
            if self._images:
                kept.add(self._images, time.monotonic() - self._last, self._waited)
            found[name] = asdict(kept)
        return found

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues what `state_dict` gave; a checkpoint from before these were kept has none."""
        if state:
            self.all, self.epoch = Tally(**state["all"]), Tally(**state["epoch"])

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    @property
    def cpu_elapsed(self) -> float:
        """Processor seconds of this process and of those that read images for it."""
        return usage.cpu_seconds() - self._cpu_start


class Recorder(L.Callback):
    """Writes metric rows and status while a LightningModule of this package trains.

    With several processes, a row holds the means over all of them.

    Args:
        log: where rows go.
        status: the run's status file.
        num_steps, num_epochs: of the whole training.
        num_initial_steps: those at its beginning that take another time, with views of `initial_image_size`.
        time_left: the parts of the training: `initial_step`, `step`, `validation`, `knn`, `between` (two epochs) and
            others.
        knn: says how long its probe took.
        health_log: where a pre-training's lines on its health go.
    """

    def __init__(
        self,
        log: MetricsLog | NullWriter,
        status: StatusWriter | NullWriter,
        *,
        num_steps: int,
        num_epochs: int,
        num_initial_steps: int = 0,
        time_left: TimeLeft,
        knn: KNNProbe | None = None,
        health_log: HealthLog | NullWriter | None = None,
    ) -> None:
        self.log_rows, self.status, self.num_steps, self.num_epochs = log, status, num_steps, num_epochs
        self.num_initial_steps = num_initial_steps
        self.time_left, self.knn, self.health_log = time_left, knn, health_log
        self.meter = Meter()
        self.seconds_before = 0.0
        self.cpu_before: float | None = 0.0  # None: begun by a version that did not count
        self.last: dict[str, float] = {}
        self.val_loss: float | None = None  # the newest
        self.accuracy: float | None = None  # the best on validation images
        self._row_every = 1
        self._mark: float | None = None  # until when all time is accounted for
        self._waits_since: float | None = None  # when the step before was done
        self._means: Any = None
        self._restored_means: list[dict[str, Any]] | None = None

    def seconds(self) -> float:
        return self.seconds_before + self.meter.elapsed

    def cpu_seconds(self) -> float | None:
        """Processor seconds of all processes of the run so far, in each of which this is called; None if not known."""
        own = sum_over_processes([self.meter.cpu_elapsed])[0]
        return None if self.cpu_before is None else self.cpu_before + own

    def _clocks(self) -> dict[str, float]:
        cpu = self.cpu_seconds()
        return {"perf/seconds": self.seconds()} | ({} if cpu is None else {"perf/cpu_seconds": cpu})

    def state_dict(self) -> dict[str, Any]:
        # a row that is half gathered is completed after a resume, so that it is the same as without one
        means: list[Any] = [self._means.state_dict() if self._means is not None else None]
        if dist.is_initialized():  # the main process writes the checkpoint, for all
            means = means * dist.get_world_size()
            dist.all_gather_object(means, means[0])
        return {
            "seconds": self.seconds(),
            "cpu_seconds": self.cpu_seconds(),
            "means": means,
            "val_loss": self.val_loss,
            "accuracy": self.accuracy,
            "costs": self.time_left.state_dict(),
            "speed": self.meter.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds_before, self.cpu_before = float(state_dict["seconds"]), state_dict.get("cpu_seconds")
        self._restored_means = state_dict["means"]
        self.val_loss, self.accuracy = state_dict.get("val_loss"), state_dict.get("accuracy")
        self.time_left.load_state_dict(state_dict.get("costs", {}))
        self.meter.load_state_dict(state_dict.get("speed", {}))

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self._means = pl_module.train_means
        if self._restored_means:
            if len(self._restored_means) == trainer.world_size:
                self._means.load_state_dict(self._restored_means[trainer.global_rank])
            elif trainer.is_global_zero:  # resumed with another number of processes
                self._means.load_state_dict(self._means.joined(self._restored_means))
        num_batches = int(trainer.num_training_batches)
        self._row_every = max(1, num_batches // ROWS_PER_EPOCH)
        self.time_left["initial_step"].done = min(trainer.global_step, self.num_initial_steps)
        self.time_left["step"].done = max(0, trainer.global_step - self.num_initial_steps)
        epochs = trainer.global_step // num_batches if num_batches else 0
        for name in ("validation", "between"):
            self.time_left[name].done = epochs
        if self.knn is not None:
            self.time_left["knn"].done = epochs // self.knn.every_epochs
        self.status.set(
            phase="training",
            steps=self.num_steps,
            epochs=self.num_epochs,
            accuracy=self.accuracy,
            eta_seconds=self.time_left.seconds(),
        )
        self.meter.restart()  # an epoch that is resumed in its middle does not start

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._mark is not None:
            self.time_left["between"].add(self._since_mark())
        self.meter.restart()
        self.meter.epoch = Tally()
        self._waits_since = time.monotonic()

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self._waits_since is not None:
            self.meter.add_wait(time.monotonic() - self._waits_since)

    def _since_mark(self) -> float:
        """Seconds since the last call."""
        before, self._mark = self._mark, time.monotonic()
        return self._mark - (self._mark if before is None else before)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.meter.add(len(batch[0]) * trainer.world_size)
        step = trainer.global_step
        steps = self.time_left["initial_step" if step <= self.num_initial_steps else "step"]
        if self._mark is None:  # the first in this process takes longer, and stands for no other
            steps.done += 1
            self._since_mark()
        else:
            steps.add(self._since_mark())
        self.status.set(phase="training", step=step)
        if step % self._row_every == 0 or step == self.num_steps or trainer.is_last_batch:
            self._write_row(trainer, pl_module, step)
        if step >= self.num_steps:
            # Lightning validates at the end of an epoch; this is how it does so too where max_steps ends within one
            trainer.should_stop = True
        self._waits_since = time.monotonic()

    def _write_row(self, trainer: L.Trainer, pl_module: Any, step: int) -> None:
        means = {f"train/{name}": value for name, value in pl_module.train_means.take().items()}
        if not means:
            return
        if not math.isfinite(means["train/loss"]):
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            raise DivergedError(
                f"The loss is {means['train/loss']} at step {step}, learning rate {rate:.3g}. Likely causes: a "
                "learning rate that is too high, no warm-up, or a very low temperature. "
                "The checkpoint before it is kept."
            )
        speed = self.meter.rate()
        row: dict[str, float | int] = {"epoch": trainer.current_epoch + 1, "step": step, **means}
        row["lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        row |= self._clocks()
        if speed is not None:
            row["perf/images_per_second"] = speed
        self.log_rows.append(row)
        self.last |= {name: float(value) for name, value in row.items()}
        if trainer.is_last_batch:
            self.status.set(epoch_images_per_second=self.meter.epoch.images_per_second)
        total = self.meter.all
        self.status.set(
            epoch=trainer.current_epoch + 1,
            images_per_second=speed,
            mean_images_per_second=total.images_per_second,
            wait_share=total.waited / total.seconds if total.seconds > 0 else None,
            eta_seconds=self.time_left.seconds(),
            loss=means["train/loss"] if self.val_loss is None else self.val_loss,
        )

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.status.set(phase=f"validating {(batch_idx + 1) / float(sum(trainer.num_val_batches)):.0%}")

    def _validated(self, measured: Mapping[str, float]) -> None:
        """Says what a validation found, and takes in how long it took."""
        seconds, probing = self._since_mark(), None
        if self.knn is not None and self.knn.seconds is not None:
            probing, self.knn.seconds = self.knn.seconds, None
            self.time_left["knn"].add(probing)
        self.time_left["validation"].add(max(0.0, seconds - (probing or 0.0)))
        name = "val/knn_top1" if "val/mean_rank" in measured else "val/top1"
        if math.isfinite(measured.get("val/loss", math.nan)):
            self.val_loss = float(measured["val/loss"])
        if math.isfinite(measured.get(name, math.nan)):
            self.accuracy = max(float(measured[name]), self.accuracy or 0.0)
        self.status.set(loss=self.val_loss, accuracy=self.accuracy, eta_seconds=self.time_left.seconds())

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        row = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step, **self._clocks()}
        if self.health_log is not None and pl_module.val_health:
            self.health_log.append({"epoch": row["epoch"], "step": row["step"], **pl_module.val_health})
        self.log_rows.append(row | pl_module.val_metrics)
        self.last |= pl_module.val_metrics
        if not math.isfinite(pl_module.val_metrics.get("val/loss", 0.0)):  # the epoch's last steps broke it
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            raise DivergedError(
                f"The validation loss is {pl_module.val_metrics['val/loss']} after step {trainer.global_step}, "
                f"learning rate {rate:.3g}. Likely causes: a learning rate that is too high, or no warm-up. "
                "The checkpoint before it is kept."
            )
        self._validated(pl_module.val_metrics)
        self.meter.restart()
