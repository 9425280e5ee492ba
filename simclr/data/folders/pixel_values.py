"""What the pixel values of image files mean: which become black and white, and what a fourth channel is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ExtraChannels = Literal["refuse", "drop", "alpha"]


@dataclass(frozen=True)
class PixelValues:
    """How values become 0 to 255, one way for all images of a data set.

    low, high: what becomes black and white; None: the range of each file's format. Files of 8 bits are rescaled only by
        a range within 8 bits, so that they may lie beside deeper ones.
    extra_channels: a fourth channel that a file does not mark as transparency is refused, dropped, or taken for it.
    """

    low: float | None = None
    high: float | None = None
    extra_channels: ExtraChannels = "refuse"

    def rescale(self, values: NDArray, *, is_turned_round: bool = False) -> NDArray[np.uint8]:
        """Values of any type as 0 to 255; what is not a number becomes black.

        Args:
            is_turned_round: whether `low` is white and `high` black, as a file may say of its values.
        """
        low, high = self.low, self.high
        if low is None or high is None:
            low, high = (0.0, 65535.0) if values.dtype.kind in "iu" else (0.0, 255.0)
        scaled = (values.astype(np.float64) - low) * (255 / (high - low))
        if is_turned_round:
            scaled = 255 - scaled
        return np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).round().clip(0, 255).astype(np.uint8)

    @property
    def is_within_8_bits(self) -> bool:
        return self.high is not None and self.low is not None and 0 <= self.low < self.high <= 255

    @property
    def sentence(self) -> str:
        """One sentence where values are not taken as they are; else an empty string."""
        if self.low is None or self.high is None or (self.low, self.high) == (0, 255):
            return ""
        return f"Values from {self.low:,.6g} (black) to {self.high:,.6g} (white)."


AS_THEY_ARE = PixelValues()
