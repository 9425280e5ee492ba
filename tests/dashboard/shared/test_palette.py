"""Colours of classes can be told apart, also by the colour-blind, on white and on the dark page."""

import numpy as np
import pytest

from dashboard.shared import palette

# Ottosson 2020, "A perceptual color space for image processing"
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
# Machado et al. 2009, severity 1.0, on linear RGB
SEEN = {
    "as they are": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colors):
    values = np.array([[int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)] for color in colors])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("seen", SEEN)
def test_ten_classes_can_be_told_apart(seen):
    lab = np.cbrt(np.clip(linear(palette.CATEGORIES) @ SEEN[seen].T, 0, 1) @ TO_CONES.T) @ TO_LAB.T
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2) + np.eye(len(lab))
    assert len(lab) == 10 and distance.min() > (0.165 if seen == "as they are" else 0.1)


def test_they_stand_out_from_both_pages():
    luminance = linear(palette.CATEGORIES) @ np.array([0.2126, 0.7152, 0.0722])
    dark = linear(["#10141b"]) @ np.array([0.2126, 0.7152, 0.0722])
    assert (1.05 / (luminance + 0.05)).min() > 1.85  # points, not text; each has a legend with its name
    assert ((luminance + 0.05) / (dark + 0.05)).min() > 2.2
