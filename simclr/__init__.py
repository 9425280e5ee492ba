"""SimCLR: contrastive pre-training, fine-tuning and evaluation of image encoders (Chen et al. 2020).

The names below are imported on first use: torch and Lightning take seconds to load.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simclr.added.sets import AddedSet
    from simclr.config import Augmentation, ConfigError, FinetuneConfig, PretrainConfig
    from simclr.encoders.encoder import Encoder
    from simclr.encoders.load import load_encoder
    from simclr.library.added import add_embeddings
    from simclr.library.lightning_module import SimCLR
    from simclr.library.run import Run
    from simclr.library.training import evaluate, finetune, pretrain, resume
    from simclr.lifecycle.train import train
    from simclr.models.backbones import build_encoder
    from simclr.objectives.nt_xent import NTXentLoss, nt_xent
    from simclr.views.augment import two_views
    from simclr.views.two_views import TwoViews

__version__ = "0.1.0"
__all__ = [
    "AddedSet",
    "Augmentation",
    "ConfigError",
    "Encoder",
    "FinetuneConfig",
    "NTXentLoss",
    "PretrainConfig",
    "Run",
    "SimCLR",
    "TwoViews",
    "__version__",
    "add_embeddings",
    "build_encoder",
    "evaluate",
    "finetune",
    "load_encoder",
    "nt_xent",
    "pretrain",
    "resume",
    "train",
    "two_views",
]
PACKAGE = Path(__file__).resolve().parent

# Where each public name is defined; a test holds this, `__all__` and the imports for type checkers together.
PUBLIC = {
    "AddedSet": "added.sets",
    "Augmentation": "config",
    "ConfigError": "config",
    "Encoder": "encoders.encoder",
    "FinetuneConfig": "config",
    "NTXentLoss": "objectives.nt_xent",
    "PretrainConfig": "config",
    "Run": "library.run",
    "SimCLR": "library.lightning_module",
    "TwoViews": "views.two_views",
    "add_embeddings": "library.added",
    "build_encoder": "models.backbones",
    "evaluate": "library.training",
    "finetune": "library.training",
    "load_encoder": "encoders.load",
    "nt_xent": "objectives.nt_xent",
    "pretrain": "library.training",
    "resume": "library.training",
    "train": "lifecycle.train",
    "two_views": "views.augment",
}


if not TYPE_CHECKING:  # which would take any name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in PUBLIC:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"simclr.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
