"""Batches of one random view of each image and its caption."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from simclr.data.shape_facts import facts_of
from simclr.data.splits import Split
from simclr.data.transfer import to_device
from simclr.training.datamodule import PretrainData
from simclr.views import augment, factors
from simclr.words import captions
from simclr.words.captions import Vocabulary

CAPTION_VIEW = 1  # whose random numbers choose the phrasing; view 0 is the image's


class CaptionedViews(NamedTuple):
    """A batch on the device: normalized views (N, 3, S, S) of the images `ids` (N,), their captions as numbers
    (N, max_words), and a number for what each says (N,), equal where two say the same."""

    first: Tensor
    captions: Tensor
    said: Tensor
    ids: Tensor


class CaptionedData(PretrainData):
    """Batches for `ImageText`; arguments as of `PretrainData`, with images of shapes, whose factors are recorded.

    View and phrasing depend on (seed, epoch, id) alone, so that a resumed run sees what it would have seen.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.vocabulary = Vocabulary.of_captions()

    def _prepare(self, images: Tensor, split: Split, positions: Tensor, stage: str) -> Any:
        ids = split.ids[positions]
        epoch = self._epoch if stage == "train" else factors.VALIDATION_EPOCH
        view = augment.random_view(
            images, ids, self.augmentation, seed=self.seed, epoch=epoch, view=0, size=self._size_of(stage)
        )
        rows = positions.cpu().numpy()
        facts = facts_of({name: values[rows] for name, values in split.factors.items()})
        share = factors.uniforms(self.seed, epoch, ids.cpu(), CAPTION_VIEW, 1)[:, 0].numpy()
        phrasings = (share * len(captions.PHRASINGS)).astype("int64")
        numbers = torch.from_numpy(captions.caption_numbers(self.vocabulary, facts, phrasings))
        said = torch.from_numpy(captions.said_facts(facts, phrasings))
        device = images.device
        return CaptionedViews(augment.normalize_(view), to_device(numbers, device), to_device(said, device), ids)
