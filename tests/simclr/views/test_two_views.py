"""TwoViews: the views of `two_views`, seeded by torch, different in each worker and epoch of a DataLoader."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from simclr.config import Augmentation
from simclr.views import augment
from simclr.views.two_views import TwoViews

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype(np.uint8)
PLAIN = Augmentation(
    crop_probability=0, flip_probability=0, jitter_probability=0, grayscale_probability=0, blur_probability=0
)


class OneImage(Dataset):
    """The same image again and again: views that are equal were drawn alike."""

    def __init__(self, transform, number=8):
        self.transform, self.number = transform, number

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        return self.transform(Image.fromarray(PIXELS))


def test_they_are_those_of_two_views():
    settings = Augmentation(hue=0.1)
    for seed in (0, 5):
        torch.manual_seed(7)
        found = TwoViews(16, settings, seed=seed, normalize=False)(Image.fromarray(PIXELS))
        torch.manual_seed(7)
        ids = torch.randint(1 << 31, (1,))
        images = torch.from_numpy(PIXELS).permute(2, 0, 1)[None]
        expected = augment.two_views(images, ids, settings, seed=seed, epoch=0, size=16)
        for view, whole in zip(found, expected, strict=True):
            assert view.shape == (3, 16, 16) and view.dtype == torch.float32
            torch.testing.assert_close(view, whole[0], rtol=0, atol=0)
    assert not torch.equal(found[0], found[1])


def test_two_views_need_no_more_than_images_ids_and_an_augmentation():
    images = torch.from_numpy(PIXELS).permute(2, 0, 1)[None].repeat(3, 1, 1, 1)
    found = augment.two_views(images, torch.arange(3), Augmentation())
    assert [view.shape for view in found] == [(3, 3, 20, 20)] * 2
    whole = augment.two_views(images, torch.arange(3), Augmentation(), seed=0, epoch=0, size=20)
    assert all(torch.equal(*pair) for pair in zip(found, whole, strict=True))


def test_arrays_tensors_and_grey_images_are_the_same_and_normalized_as_encoders_want_it():
    draw = TwoViews(20, PLAIN)
    grey = PIXELS[:20, :, 0]
    expected = augment.normalize(augment.to_float(torch.from_numpy(grey))[None].expand(3, -1, -1))
    for image in (Image.fromarray(grey), np.repeat(grey[..., None], 3, 2), torch.from_numpy(grey)):
        for view in draw(image):
            torch.testing.assert_close(view, expected)
    with pytest.raises(ValueError, match="image is of float32; allowed: uint8"):
        draw(grey.astype(np.float32))


def test_a_seed_repeats_them():
    draw = TwoViews(16)
    torch.manual_seed(1)
    first = [draw(Image.fromarray(PIXELS)) for _ in range(3)]
    torch.manual_seed(1)
    again = [draw(Image.fromarray(PIXELS)) for _ in range(3)]
    assert all(
        torch.equal(a, b) for pair, other in zip(first, again, strict=True) for a, b in zip(pair, other, strict=True)
    )
    assert len({view.numpy().tobytes() for pair in first for view in pair}) == 6


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_views_differ_in_every_worker_and_epoch_and_a_generator_repeats_them(workers, persistent):
    def epochs():
        loader = DataLoader(
            OneImage(TwoViews(16)),
            batch_size=2,
            num_workers=workers,
            persistent_workers=persistent and workers > 0,
            generator=torch.Generator().manual_seed(4),
        )
        torch.manual_seed(4)  # what draws where there are no workers
        return [torch.cat([torch.cat(pair) for pair in loader]) for _ in range(3)]

    first = epochs()
    views = torch.cat(first)
    assert len({view.numpy().tobytes() for view in views}) == len(views) == 3 * 8 * 2
    torch.testing.assert_close(torch.cat(epochs()), views, rtol=0, atol=0)


def test_large_images_are_made_smaller_first():
    large = Image.fromarray(PIXELS).resize((900, 600))
    draw = TwoViews(32)
    assert draw._pixels(large).shape == (1, 3, 48, 72)
    assert draw(large)[0].shape == (3, 32, 32)


def test_it_says_what_it_is():
    assert repr(TwoViews(32, PLAIN, seed=3)).startswith("TwoViews(32, Augmentation(")
    with pytest.raises(ValueError, match="size is 0"):
        TwoViews(0)
