"""Names that options may have as values: data sets and where they lie, networks, kinds of runs, groups of options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from simclr.files.user_paths import home, user_path

BUILT_IN_DATASETS = ("shapes", "digits")
# What a downloaded set leaves in the data root; any of them means that it is there.
DOWNLOADED_FILES = {
    "cifar10": ("cifar-10-batches-py",),
    "cifar100": ("cifar-100-python",),
    "stl10": ("stl10_binary",),
    "svhn": ("train_32x32.mat",),
    "fashion_mnist": ("FashionMNIST/raw",),
}
DOWNLOADED_DATASETS = tuple(DOWNLOADED_FILES)
DATASETS = BUILT_IN_DATASETS + DOWNLOADED_DATASETS

# Two small networks of our own, then torchvision's classifiers as
# `torchvision.models.list_models(module=torchvision.models)` names them; a test compares. Written out so that a
# configuration can be checked, and a form drawn, without importing torch.
BACKBONES: tuple[str, ...] = (
    "resnet_tiny", "cnn_tiny", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "alexnet", "convnext_base",
    "convnext_large", "convnext_small", "convnext_tiny", "densenet121", "densenet161", "densenet169",
    "densenet201", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
    "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_l", "efficientnet_v2_m",
    "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0",
    "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_16gf", "regnet_x_1_6gf",
    "regnet_x_32gf", "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf", "regnet_y_128gf",
    "regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_32gf", "regnet_y_3_2gf", "regnet_y_400mf", "regnet_y_800mf",
    "regnet_y_8gf", "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0", "squeezenet1_1", "swin_b",
    "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16",
    "vgg16_bn", "vgg19", "vgg19_bn", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32",
    "wide_resnet101_2", "wide_resnet50_2",
)  # fmt: skip

# What stands before the class of a backbone that was given in Python: its code is not in the run folder.
OWN_BACKBONE = "own:"


def own_backbone_problem(name: str) -> str:
    """A sentence where a backbone is a module that only Python can give; empty for any other."""
    if not name.startswith(OWN_BACKBONE):
        return ""
    return (
        f"backbone is {name.removeprefix(OWN_BACKBONE)}, a module whose weights a run keeps, but not its code; "
        "allowed: such a module given in Python, simclr.resume(RUN, backbone=module), and so to load_encoder, finetune "
        "and evaluate."
    )


Kind = Literal["pretrain", "finetune", "scratch"]
Group = Literal["Experiment", "Data", "Model", "Training", "Optimizer", "Augmentation", "Monitoring", "Hardware"]
GROUPS: tuple[str, ...] = get_args(Group)

CUDA_GRAPHS = ("reduce-overhead", "max-autotune")  # values of `compile`


def data_root(data_dir: str | Path | None = None) -> Path:
    """Where downloaded data sets are kept: `data_dir`, else `$SIMCLR_DATA_DIR`, else `~/.cache/simclr`."""
    named = data_dir or os.environ.get("SIMCLR_DATA_DIR")
    return user_path(named) if named else home() / ".cache" / "simclr"
