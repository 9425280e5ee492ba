"""Options of the augmentation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError

from simclr.config.fields import Options, option

Policy = Literal["randaugment", "autoaugment_cifar"]
NUM_MAGNITUDES = 31  # of RandAugment, counted from 0
JITTER = ("brightness", "contrast", "saturation", "hue")  # what colour jitter changes


class Augmentation(Options):
    """How one view of an image is drawn (Chen et al. 2020, appendix A); every operation can be switched off.

    Defaults are the paper's for CIFAR-10 (section B.9): colour distortion at strength 0.5 and no blur.
    """

    crop_probability: float = option(
        1.0, "Share of views that are a random crop; the others show the whole image.", group="Augmentation", ge=0, le=1
    )
    crop_scale_min: float = option(
        0.08, "Smallest crop, as a share of the image's area.", group="Augmentation", common=True, gt=0, le=1
    )
    crop_scale_max: float = option(
        1.0, "Largest crop, as a share of the image's area.", group="Augmentation", common=True, gt=0, le=1
    )
    crop_ratio_min: float = option(
        0.75, "Narrowest crop, width divided by height.", group="Augmentation", ge=0.1, le=10
    )
    crop_ratio_max: float = option(4 / 3, "Widest crop, width divided by height.", group="Augmentation", ge=0.1, le=10)
    flip_probability: float = option(
        0.5, "Share of views mirrored left to right.", group="Augmentation", common=True, ge=0, le=1
    )
    policy: Policy | None = option(
        None,
        "Operations drawn for each view after crop and mirror: RandAugment (Cubuk et al. 2020) or AutoAugment's for "
        "CIFAR-10 (Cubuk et al. 2019).",
        group="Augmentation",
        common=True,
    )
    randaugment_ops: int = option(
        2, "RandAugment: operations for each view, one after the other.", group="Augmentation", ge=1, le=8
    )
    randaugment_magnitude: int = option(
        9,
        "RandAugment: strength of every operation; 30 is the strongest.",
        group="Augmentation",
        ge=0,
        le=NUM_MAGNITUDES - 1,
    )
    jitter_probability: float = option(
        0.8, "Share of views with colour jitter.", group="Augmentation", common=True, ge=0, le=1
    )
    brightness: float = option(
        0.4, "Colour jitter: brightness is multiplied by 1 ± this.", group="Augmentation", common=True, ge=0, le=1
    )
    contrast: float = option(
        0.4, "Colour jitter: contrast is multiplied by 1 ± this.", group="Augmentation", common=True, ge=0, le=1
    )
    saturation: float = option(
        0.4, "Colour jitter: saturation is multiplied by 1 ± this.", group="Augmentation", common=True, ge=0, le=1
    )
    hue: float = option(
        0.1,
        "Colour jitter: hue is turned by ± this share of the colour circle; 0.5 is the whole circle.",
        group="Augmentation",
        common=True,
        ge=0,
        le=0.5,
    )
    grayscale_probability: float = option(
        0.2, "Share of views without colour.", group="Augmentation", common=True, ge=0, le=1
    )
    blur_probability: float = option(
        0.0, "Share of views with Gaussian blur.", group="Augmentation", common=True, ge=0, le=1
    )
    blur_kernel_size: int = option(
        3, "Width of the blur's window; odd.", group="Augmentation", unit="pixels", ge=1, le=63
    )
    blur_sigma_min: float = option(
        0.1, "Weakest blur: standard deviation of the Gaussian.", group="Augmentation", unit="pixels", gt=0, le=20
    )
    blur_sigma_max: float = option(
        2.0, "Strongest blur: standard deviation of the Gaussian.", group="Augmentation", unit="pixels", gt=0, le=20
    )

    @field_validator("blur_kernel_size")
    @classmethod
    def _check_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise PydanticCustomError("odd", "an odd number from 1 to 63")
        return value

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for name in ("crop_scale", "crop_ratio", "blur_sigma"):
            low, high = getattr(self, f"{name}_min"), getattr(self, f"{name}_max")
            if low > high:
                raise PydanticCustomError(
                    "order",
                    f"augmentation.{name}_min is {low:g} and augmentation.{name}_max is {high:g}; "
                    "allowed: a smallest value that is not above the largest.",
                )
        return self


# Full fine-tuning and training from scratch: the crop and flip that supervised training uses on small images.
CROP_AND_FLIP = Augmentation(
    crop_scale_min=0.5, jitter_probability=0.0, grayscale_probability=0.0, blur_probability=0.0
)
