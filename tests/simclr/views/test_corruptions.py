"""Corruptions of test images against slow references, and what their noise may depend on."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from simclr.data import shapes
from simclr.views.corruptions import CORRUPTIONS, SEVERITIES, corrupt

IMAGES = torch.from_numpy(shapes.generate("test", 40, 32).images)
IDS = torch.arange(40)


@pytest.mark.parametrize("severity", range(1, 6))
def test_contrast_equals_a_slow_reference(severity):
    found = corrupt(IMAGES[:3], "contrast", severity, IDS[:3])
    factor = SEVERITIES["contrast"][severity - 1]
    for image, changed in zip(IMAGES[:3].tolist(), found.tolist(), strict=True):
        for plane, other in zip(image, changed, strict=True):
            values = [value / 255 for row in plane for value in row]
            mean = math.fsum(values) / len(values)
            expected = [min(1.0, max(0.0, (value - mean) * factor + mean)) * 255 for value in values]
            assert [value for row in other for value in row] == pytest.approx(expected, abs=0.502)


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("side", [32, 48])
def test_blur_equals_scipys_with_a_sigma_in_proportion_to_the_side(severity, side):
    images = torch.from_numpy(shapes.generate("test", 4, side).images)
    found = corrupt(images, "gaussian_blur", severity, IDS[:4]).numpy()
    sigma = SEVERITIES["gaussian_blur"][severity - 1] * side / 32
    for image, changed in zip(images.numpy(), found, strict=True):
        for plane, other in zip(image, changed, strict=True):
            expected = ndimage.gaussian_filter(plane / 255.0, sigma, mode="nearest", truncate=4.0) * 255
            assert np.abs(other - expected).max() < 0.51


@pytest.mark.parametrize("severity", range(1, 6))
def test_noise_is_normal_of_the_stated_deviation(severity):
    gray = torch.full((200, 3, 16, 16), 128, dtype=torch.uint8)
    found = (corrupt(gray, "gaussian_noise", severity, torch.arange(200)).double() - 128).flatten() / 255
    sigma = SEVERITIES["gaussian_noise"][severity - 1]
    assert float(found.std()) == pytest.approx(sigma, rel=0.01)
    assert abs(float(found.mean())) < 4 * sigma / math.sqrt(len(found))
    smooth = found.numpy() + np.random.default_rng(0).uniform(-0.5, 0.5, len(found)) / 255  # undoes the rounding
    assert stats.kstest(smooth[:20000] / smooth.std(), "norm").pvalue > 1e-3


def test_noise_is_independent_between_pixels_channels_and_images():
    gray = torch.full((100, 3, 16, 16), 128, dtype=torch.uint8)
    noise = corrupt(gray, "gaussian_noise", 5, torch.arange(100)).double().flatten(1) - 128
    matrix = np.corrcoef(noise.numpy())
    assert np.abs(matrix[~np.eye(100, dtype=bool)]).max() < 5.5 / math.sqrt(768)
    assert np.abs(np.corrcoef(noise.numpy().T)[np.triu_indices(768, 1)]).mean() < 1.2 * 0.8 / math.sqrt(100)


def test_noise_belongs_to_image_and_seed_not_to_batch_and_order():
    whole = corrupt(IMAGES, "gaussian_noise", 3, IDS)
    assert torch.equal(corrupt(IMAGES[7:9], "gaussian_noise", 3, IDS[7:9]), whole[7:9])
    order = torch.randperm(40)
    assert torch.equal(corrupt(IMAGES[order], "gaussian_noise", 3, IDS[order]), whole[order])
    assert not torch.equal(corrupt(IMAGES, "gaussian_noise", 3, IDS, seed=1), whole)
    assert not torch.equal(corrupt(IMAGES, "gaussian_noise", 3, IDS + 40), whole)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_higher_severity_changes_more(corruption):
    distances = [
        float((corrupt(IMAGES, corruption, severity, IDS).float() - IMAGES.float()).abs().mean())
        for severity in range(1, 6)
    ]
    assert distances == sorted(set(distances)) and distances[0] > 0


def test_what_is_of_one_color_stays_so_but_for_noise():
    plain = torch.tensor([10, 200, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 12, 12)
    for corruption in ("gaussian_blur", "contrast"):
        assert torch.equal(corrupt(plain, corruption, 5, IDS[:2]), plain)
    white = corrupt(plain, "gaussian_noise", 5, IDS[:2])[:, 2]
    assert int(white.min()) > 100 and 0.4 < float((white == 255).float().mean()) < 0.6  # cut off, not wrapped round


@pytest.mark.parametrize(("corruption", "severity"), [("snow", 1), ("contrast", 0), ("contrast", 6), ("", 3)])
def test_others_are_refused(corruption, severity):
    with pytest.raises(ValueError, match=rf"corruption is {corruption} and severity is {severity}; allowed: gaussian"):
        corrupt(IMAGES, corruption, severity, IDS)
