"""Every option of a run, declared once: types, ranges, defaults, sentences, files."""

from simclr.config.augmentation import CROP_AND_FLIP, Augmentation
from simclr.config.common_options import CommonOptions, num_batches
from simclr.config.errors import ConfigError, not_written
from simclr.config.fields import (
    Options,
    allowed,
    bounds,
    build,
    choices,
    extra,
    field_type,
    is_optional,
    label,
    nearest_name,
    option,
    option_names,
    option_text,
)
from simclr.config.finetune_options import FinetuneConfig
from simclr.config.names import BACKBONES, BUILT_IN_DATASETS, CUDA_GRAPHS, DATASETS, GROUPS, OWN_BACKBONE, data_root
from simclr.config.options import MODELS, RunConfig
from simclr.config.pretrain_options import PretrainConfig
from simclr.config.recipes import (
    RECIPES_DIR,
    arm_recipe,
    config_path,
    differences,
    flatten,
    load_yaml,
    nest,
    recipe,
    recipe_names,
    to_dict,
    to_yaml,
)

__all__ = [
    "BACKBONES",
    "BUILT_IN_DATASETS",
    "CROP_AND_FLIP",
    "CUDA_GRAPHS",
    "DATASETS",
    "GROUPS",
    "MODELS",
    "OWN_BACKBONE",
    "RECIPES_DIR",
    "Augmentation",
    "CommonOptions",
    "ConfigError",
    "FinetuneConfig",
    "Options",
    "PretrainConfig",
    "RunConfig",
    "allowed",
    "arm_recipe",
    "bounds",
    "build",
    "choices",
    "config_path",
    "data_root",
    "differences",
    "extra",
    "field_type",
    "flatten",
    "is_optional",
    "label",
    "load_yaml",
    "nearest_name",
    "nest",
    "not_written",
    "num_batches",
    "option",
    "option_names",
    "option_text",
    "recipe",
    "recipe_names",
    "to_dict",
    "to_yaml",
]
