"""SimCLR: contrastive pre-training, fine-tuning and evaluation of image encoders (Chen et al. 2020).

The names below are imported on first use: torch and Lightning take seconds to load.
"""

import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"
PACKAGE = Path(__file__).resolve().parent

PUBLIC = {
    "ConfigError": "config",
    "PretrainConfig": "config",
    "FinetuneConfig": "config",
    "Augmentation": "config",
    "train": "lifecycle.train",
    "Run": "runs",
    "two_views": "views.augment",
    "nt_xent": "objectives.nt_xent",
    "build_encoder": "models.backbones",
    "load_encoder": "encoders.load",
}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"simclr.{PUBLIC[name]}"), name)
