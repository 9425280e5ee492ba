"""LightningDataModules: batches of positions become views or labelled images on the device."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import queues
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from simclr.config import Augmentation
from simclr.data.batches import EpochBatches, SplitDataset, as_is
from simclr.data.folders.image_files import FileSource
from simclr.data.readers import ReaderChoice
from simclr.data.sampling import TRANSFORM_STREAM
from simclr.data.splits import ImageData, Split
from simclr.data.transfer import to_device
from simclr.training.modules import Labelled, Views, stream_seed
from simclr.views import augment, factors, resampling

Transform = Callable[[Tensor], Tensor]
WAIT_SECONDS = 1.0  # between two looks at whether to wait on for a batch
LARGE_BATCH = 32 * 1024**2  # bytes; of larger batches each reading process has fewer in advance


class _Positions(Dataset[Tensor]):
    """Stands in for a split that lies in memory: a batch is its positions, the images are taken on the device."""

    def __init__(self, num_images: int) -> None:
        self.num_images = num_images

    def __len__(self) -> int:
        return self.num_images

    def __getitems__(self, positions: Any) -> Tensor:
        return torch.as_tensor(positions)


# Held back from reading processes; macOS cannot tell who sent a SIGTERM, so there it ends them.
STOP_SIGNALS = {signal.SIGINT} | ({signal.SIGTERM} if hasattr(signal, "sigwaitinfo") else set())


class _LazyDataLoader(DataLoader[Any]):
    """A DataLoader that begins when the first batch is asked for, not when an iterator is made.

    Lightning makes one before it names the epoch that a run is resumed in, and processes would be handed positions of
    another. They start with `STOP_SIGNALS` blocked, so that none is hit before `_init_worker`.

    on_wait: called about once a second while a batch from another process is waited for, with the seconds waited so
        far; may raise to give up.
    choice: of the number of processes, where that is left to a measurement; `measures` says whether it is made here.
    """

    on_wait: Callable[[float], None] | None = None
    choice: ReaderChoice | None = None
    measures = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        if self.choice is not None:
            if self.measures and self.choice.number is None:
                yield from self._first_batches(self.choice)
                if self.choice.number is None:  # the epoch is over
                    return
            self._read_with(self.choice.number or 0)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            batches = super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        since = time.monotonic()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if not str(error).startswith("DataLoader timed out"):
                    raise
                if self.on_wait is not None:
                    self.on_wait(time.monotonic() - since)
                continue
            yield batch
            since = time.monotonic()

    def _first_batches(self, choice: ReaderChoice) -> Iterator[Any]:
        """Batches read in this process, until the number of others is chosen; the next iteration goes on after them."""
        batches: Any = self.batch_sampler
        done = batches.skip
        for positions in batches:
            yield choice.read(self.dataset, positions)
            done += 1
            if choice.step_ended():
                batches.skip = done
                return

    def _read_with(self, num_workers: int) -> None:
        """Has so many processes read from the next iteration on, of a loader that was made for some."""
        batches: Any = self.batch_sampler
        self.num_workers, batches.as_arrays = num_workers, num_workers > 0
        if not num_workers:
            self.timeout, self.pin_memory = 0, False


def _exit_worker(error: Exception, batch: Any) -> None:
    """Ends a reading process that cannot hand over a batch: the trainer would wait for it for ever."""
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(1)


def _init_worker(number: int) -> None:
    """Signals to the whole process group are for the trainer, which ends its reading processes when it has saved.

    They go by its own SIGTERM alone; without a trainer they end by themselves (PyTorch's watchdog, within seconds).
    PyTorch has given each one thread.
    """
    queues.Queue._on_queue_feeder_error = staticmethod(_exit_worker)  # type: ignore[attr-defined]
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    wait: Any = getattr(signal, "sigwaitinfo", None)  # None on macOS

    def obey() -> None:
        while wait({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)

    if wait:
        threading.Thread(target=obey, daemon=True).start()


class _ImageDataModule(L.LightningDataModule):
    """What both kinds of training share: loaders over positions, and splits moved to the device once.

    Args:
        train, val: the splits; `val` None or empty means no validation.
        batch_size: images in a batch.
        seed: of the order and the augmentation.
        size: side of what the network is given, in pixels.
        drop_last: leave out an incomplete last batch, unless it is the only one.
        num_workers: processes that read images which are not in memory; None: chosen in the first steps (`choice`).
        skip_batches: batches of the first epoch to leave out, when a run is resumed in the middle of one.
        images_per_epoch: training images that count as one epoch; None: each once. Positions then count on through
            the training: image i in pass r over the N images is i + r N.
    """

    # Whether several processes divide the validation batches: a contrastive loss is theirs together, while a share of
    # right answers is exact only where each image counts once.
    shares_validation = False
    # Told that a batch is waited for, see `_LazyDataLoader`.
    on_wait: Callable[[float], None] | None = None

    def __init__(
        self,
        train: Split,
        val: Split | None,
        *,
        batch_size: int,
        seed: int,
        size: int,
        drop_last: bool,
        num_workers: int | None,
        skip_batches: int = 0,
        images_per_epoch: int | None = None,
    ) -> None:
        super().__init__()
        self.splits = {"train": train} | ({"val": val} if val is not None else {})
        self.batch_size, self.seed, self.size = batch_size, seed, size
        self.drop_last, self.num_workers, self.skip_batches = drop_last, num_workers, skip_batches
        self.images_per_epoch = images_per_epoch
        self.choice = ReaderChoice() if num_workers is None and not train.in_memory else None

    def _loader(self, split: Split, batches: EpochBatches) -> DataLoader[Any]:
        batches.sampler = batches  # type: ignore[attr-defined]  # where Lightning looks for `set_epoch`
        dataset: Any = _Positions(batches.num_images) if split.in_memory else SplitDataset(split)
        sampler: Any = batches
        options: dict[str, Any] = {}
        choice = None if split.in_memory else self.choice
        if not split.in_memory and (choice is not None or self.num_workers):
            batches.as_arrays = True
            num_bytes = self.batch_size * 3 * split.image_size**2
            options = {
                "num_workers": self.num_workers or 1,  # none begins before it is known how many
                "persistent_workers": True,
                "worker_init_fn": _init_worker,
                "timeout": WAIT_SECONDS,
                # Readers have to be the trainer's own children, which end with it; Python 3.14 starts them otherwise.
                "multiprocessing_context": "fork" if sys.platform == "linux" else None,
                "prefetch_factor": 2 if num_bytes > LARGE_BATCH else 4,
                "pin_memory": self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            }
        loader = _LazyDataLoader(dataset, batch_sampler=sampler, collate_fn=as_is, **options)
        loader.on_wait, loader.choice, loader.measures = self.on_wait, choice, split is self.splits["train"]
        return loader

    def _batches(self, split: Split, *, shared: bool, images_per_epoch: int | None = None) -> EpochBatches:
        """Positions of the batches, of which each process takes its part if they are `shared`."""
        rank, num_ranks = (self.trainer.global_rank, self.trainer.world_size) if shared and self.trainer else (0, 1)
        return EpochBatches(
            split.num_images,
            self.batch_size // num_ranks,
            seed=self.seed,
            drop_last=self.drop_last,
            rank=rank,
            num_ranks=num_ranks,
            images_per_epoch=images_per_epoch,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        split = self.splits["train"]
        batches = self._batches(split, shared=True, images_per_epoch=self.images_per_epoch)
        batches.skip, self.skip_batches = self.skip_batches, 0
        return self._loader(split, batches)

    def val_dataloader(self) -> Any:
        if "val" not in self.splits:
            return []
        split = self.splits["val"]
        batches = self._batches(split, shared=self.shares_validation)
        batches.set_epoch = lambda epoch: None  # type: ignore[method-assign]  # the same batches every time
        return self._loader(split, batches)

    @property
    def _stage(self) -> str:
        return (
            "val" if self.trainer is not None and (self.trainer.validating or self.trainer.sanity_checking) else "train"
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        stage = self._stage
        split = self.splits[stage]
        if not split.in_memory:
            if isinstance(batch, Exception):
                raise batch
            images, positions, broken = batch
            images, positions = torch.as_tensor(images), torch.as_tensor(positions)
            if isinstance(split.source, FileSource):
                split.source.note_replaced(broken)
            return self._prepare(to_device(images, device), split, positions, stage)
        if split.images is not None and split.images.device != device:
            # ids and labels stay: random factors are drawn on the CPU, and positions are there
            split = self.splits[stage] = replace(split.to(device), ids=split.ids, labels=split.labels)
        return self._prepare(split.images_at(batch % split.num_images), split, batch, stage)

    def _prepare(self, images: Tensor, split: Split, positions: Tensor, stage: str) -> Any:
        """A batch as the network takes it; `positions` (N,) also say which pass over the split it is."""
        raise NotImplementedError

    @property
    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer is not None else 0


class PretrainData(_ImageDataModule):
    """Batches of two views for pre-training.

    Args:
        augmentation: how views are drawn.
        initial_size, num_initial_steps: side of the views in so many first steps, in pixels; then, and in validation,
            it is `size`.
        transform: in place of that, any callable that turns (N, 3, H, W) uint8 images into one random view
            (N, 3, S, S), float in 0..1; it is called twice for a batch. Its random numbers have to come from torch for
            a resumed run to repeat them.
    """

    shares_validation = True

    def __init__(
        self,
        data: ImageData,
        augmentation: Augmentation,
        *,
        initial_size: int | None = None,
        num_initial_steps: int = 0,
        transform: Transform | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data.train, data.val, drop_last=True, **options)
        self.augmentation, self.transform = augmentation, transform
        self.initial_size, self.num_initial_steps = initial_size, num_initial_steps

    def _size_of(self, stage: str) -> int:
        """Side of the views of the batch at hand; validation has the last size all the time, to be comparable."""
        is_first = self.trainer is not None and self.trainer.global_step < self.num_initial_steps
        return self.initial_size if stage == "train" and is_first and self.initial_size else self.size

    def _prepare(self, images: Tensor, split: Split, positions: Tensor, stage: str) -> Views:
        ids = split.ids[positions]
        # Training and validation images have ids of their own, so one constant epoch serves validation.
        epoch = self._epoch if stage == "train" else factors.VALIDATION_EPOCH
        if self.transform is not None:
            # as views of our own: the same at any time, so that a resumed run sees what it would have seen
            torch.manual_seed(stream_seed(TRANSFORM_STREAM, self.seed, epoch, *ids[:2].tolist()))
            first, second = self.transform(images), self.transform(images)
            return Views(augment.normalize(first), augment.normalize(second), ids)
        first, second = augment.two_views(
            images, ids, self.augmentation, seed=self.seed, epoch=epoch, size=self._size_of(stage)
        )
        return Views(augment.normalize_(first), augment.normalize_(second), ids)


class LabelledData(_ImageDataModule):
    """Batches of labelled images: one random view each for training, the plain image for validation."""

    def __init__(self, train: Split, val: Split | None, augmentation: Augmentation | None, **options: Any) -> None:
        super().__init__(train, val, drop_last=False, **options)
        self.augmentation = augmentation

    def _prepare(self, images: Tensor, split: Split, positions: Tensor, stage: str) -> Labelled:
        passed, positions = positions // split.num_images, positions % split.num_images
        if stage == "train" and self.augmentation is not None:
            images = augment.random_view(
                images,
                split.ids[positions],
                self.augmentation,
                seed=self.seed,
                epoch=self._epoch,
                view=passed,  # another random view in each pass
                size=self.size,
            )
        else:
            images = resampling.resize(augment.to_float(images), self.size)
        assert split.labels is not None
        return Labelled(augment.normalize(images), to_device(split.labels[positions], images.device))
