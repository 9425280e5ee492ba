"""What a training is given: options with nothing left open, data, encoder and number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import lightning as L

from simclr.config import FinetuneConfig, PretrainConfig, RunConfig
from simclr.data.readers import ReaderChoice
from simclr.data.splits import ImageData, Split
from simclr.hardware import rank_messages
from simclr.models.backbones import Backbone
from simclr.runs import Run


@dataclass
class Prepared:
    """A run that `lifecycle.prepare` has checked: its options with nothing left open, and what is trained on what."""

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
    peers: rank_messages.RankMessages | None = None  # the run's other processes
    on_readers: Callable[[ReaderChoice], None] | None = None  # told how many processes read images, once it is chosen

    @property
    def images_per_epoch(self) -> int:
        """Images that an epoch goes over, those that it sees several times counted as often; before any is dropped."""
        asked = self.config.images_per_epoch if isinstance(self.config, FinetuneConfig) else None
        return asked or (self.train or self.data.train).num_images

    def images_seen(self, epoch: int) -> int:
        """Training images that went through the network by the end of an epoch; a view of one counts once."""
        whole = self.images_per_epoch
        if isinstance(self.config, PretrainConfig):
            whole = self.config.images_in_epoch(whole)
        return min(epoch * whole, self.num_steps * self.config.batch_size)

    @property
    def num_initial_steps(self) -> int:
        """The first steps of a pre-training, whose views are of `initial_image_size`."""
        return self.config.num_initial_steps(self.num_steps) if isinstance(self.config, PretrainConfig) else 0

    @property
    def last_view_size(self) -> int:
        """Side of the views of a pre-training's last step, in pixels."""
        if isinstance(self.config, PretrainConfig) and self.num_initial_steps >= self.num_steps:
            return self.config.initial_image_size or self.image_size
        return self.image_size
