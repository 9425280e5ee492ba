"""LightningDataModules: batches of positions become views or labelled images on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from simclr import augment
from simclr.config import Augmentation
from simclr.data import EpochBatches, ImageData, Split, SplitDataset, as_is
from simclr.model import Labelled, Views

Transform = Callable[[Tensor], Tensor]
EVALUATION_BATCH_SIZE = 512


class _Positions(Dataset[Tensor]):
    """Stands in for a split that lies in memory: a batch is its positions, the images are taken on the device."""

    def __init__(self, num_images: int) -> None:
        self.num_images = num_images

    def __len__(self) -> int:
        return self.num_images

    def __getitems__(self, positions: Any) -> Tensor:
        return torch.as_tensor(positions)


class _Images(L.LightningDataModule):
    """What both kinds of training share: loaders over positions, and splits moved to the device once.

    Args:
        train, val: the splits; `val` None or empty means no validation.
        batch_size: images in a batch.
        seed: of the order and the augmentation.
        size: side of what the network is given, in pixels.
        drop_last: leave out an incomplete last batch, unless it is the only one.
        skip_batches: batches of the first epoch to leave out, when a run is resumed in the middle of one.
    """

    def __init__(
        self, train: Split, val: Split | None, *, batch_size: int, seed: int, size: int, drop_last: bool,
        num_workers: int, skip_batches: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.splits = {"train": train} | ({"val": val} if val is not None else {})
        self.batch_size, self.seed, self.size = batch_size, seed, size
        self.drop_last, self.num_workers, self.skip_batches = drop_last, num_workers, skip_batches

    def _loader(self, split: Split, batches: EpochBatches) -> DataLoader[Any]:
        batches.sampler = batches  # type: ignore[attr-defined]  # where Lightning looks for `set_epoch`
        dataset: Any = _Positions(split.num_images) if split.in_memory else SplitDataset(split)
        workers = 0 if split.in_memory else self.num_workers
        sampler: Any = batches
        return DataLoader(
            dataset, batch_sampler=sampler, collate_fn=as_is, num_workers=workers, persistent_workers=workers > 0
        )

    def train_dataloader(self) -> DataLoader[Any]:
        split = self.splits["train"]
        batches = EpochBatches(split.num_images, self.batch_size, seed=self.seed, drop_last=self.drop_last)
        batches.skip, self.skip_batches = self.skip_batches, 0
        return self._loader(split, batches)

    def val_dataloader(self) -> Any:
        if "val" not in self.splits:
            return []
        split = self.splits["val"]
        batches = EpochBatches(split.num_images, self.batch_size, seed=self.seed, drop_last=self.drop_last)
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
            images, positions = batch
            return self._prepare(images.to(device, non_blocking=True), split, positions, stage)
        if split.images is not None and split.images.device != device:
            # ids stay: random factors are drawn on the CPU
            split = self.splits[stage] = replace(split.to(device), ids=split.ids)
        return self._prepare(split.images_at(batch), split, batch, stage)

    def _prepare(self, images: Tensor, split: Split, positions: Tensor, stage: str) -> Any:
        raise NotImplementedError

    @property
    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer is not None else 0


class PretrainData(_Images):
    """Batches of two views for pre-training.

    Args:
        augmentation: how views are drawn.
        transform: in place of that, any callable that turns (N, 3, H, W) uint8 images into one random view
            (N, 3, S, S), float in 0..1; it is called twice for a batch.
    """

    def __init__(
        self, data: ImageData, augmentation: Augmentation, *, transform: Transform | None = None, **options: Any
    ) -> None:
        super().__init__(data.train, data.val, drop_last=True, **options)
        self.augmentation, self.transform = augmentation, transform

    def _prepare(self, images: Tensor, split: Split, positions: Tensor, stage: str) -> Views:
        ids = split.ids[positions]
        if self.transform is not None:
            first, second = self.transform(images), self.transform(images)
        else:
            # Training and validation images have ids of their own, so one constant epoch serves validation.
            epoch = self._epoch if stage == "train" else augment.VALIDATION_EPOCH
            first, second = augment.two_views(
                images, ids, self.augmentation, seed=self.seed, epoch=epoch, size=self.size
            )
        return Views(augment.normalize(first), augment.normalize(second), ids)


class LabelledData(_Images):
    """Batches of labelled images: one random view each for training, the plain image for validation."""

    def __init__(self, train: Split, val: Split | None, augmentation: Augmentation | None, **options: Any) -> None:
        super().__init__(train, val, drop_last=False, **options)
        self.augmentation = augmentation

    def _prepare(self, images: Tensor, split: Split, positions: Tensor, stage: str) -> Labelled:
        if stage == "train" and self.augmentation is not None:
            images = augment.random_view(
                images,
                split.ids[positions],
                self.augmentation,
                seed=self.seed,
                epoch=self._epoch,
                view=0,
                size=self.size,
            )
        else:
            images = augment.resize(augment.to_float(images), self.size)
        assert split.labels is not None
        return Labelled(augment.normalize(images), split.labels[positions.to(split.labels.device)].to(images.device))


def plain_batches(
    split: Split, size: int, device: torch.device, batch_size: int = EVALUATION_BATCH_SIZE
) -> Iterator[Tensor]:
    """The split's images in order, as an encoder is given them: (n, 3, size, size), normalized."""
    for positions in torch.arange(split.num_images).split(batch_size):
        images = augment.to_float(split.images_at(positions).to(device, non_blocking=True))
        yield augment.normalize(augment.resize(images, size))
