"""The options of a run: type, default, range, unit and help of each, declared once (no torch).

The command line, the YAML reader and the dashboard's forms are all built from the fields of these models. A value is
checked there and nowhere else. What depends on the data (class count, image size, how much fits) is checked when a run
is prepared, in `simclr.lifecycle`.
"""

from __future__ import annotations

from simclr.config.finetune_options import FinetuneConfig
from simclr.config.pretrain_options import PretrainConfig

RunConfig = PretrainConfig | FinetuneConfig
MODELS: dict[str, type[PretrainConfig] | type[FinetuneConfig]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "scratch": FinetuneConfig,
}
