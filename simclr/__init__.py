"""SimCLR: contrastive pre-training, fine-tuning and evaluation of image encoders."""

__version__ = "0.1.0"
