"""SimCLR: contrastive pre-training, fine-tuning and evaluation of image encoders."""

from pathlib import Path

__version__ = "0.1.0"
PACKAGE = Path(__file__).resolve().parent
