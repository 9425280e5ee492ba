"""Compiles what draws views on a CPU, and keeps it: `python -m simclr.views.compiled`, where the product is set up.

Without it, whoever draws the first view on a machine waits for it.
"""

import torch

from simclr.config import Augmentation
from simclr.views import augment, blur, resampling

if __name__ == "__main__":
    pictures = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    augment.two_views(pictures, torch.arange(1), Augmentation())
    images = resampling.resize(augment.to_float(pictures), 8)
    blur.gaussian_blur(images, torch.ones(1), 3)
