"""An example whose maps ship without photographs, as those of CIFAR-10 do."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
import yaml
from conftest import make_folder
from trainings import trained_run

from simclr import runs
from simclr.analysis import cards
from simclr.embeddings import embed, shipped
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.models import backbones

NUM = 500


def pack_example(root: Path) -> Path:
    """`root` with `photos`, the data set; `runs/examples`, a pre-training and its partner that were trained on
    `photos` somewhere else; and `own`, what they were packed from."""
    layout = {f"{split}/{name}": NUM // 2 for split in ("train", "test") for name in "ab"}
    photos = make_folder(root / "maker" / "photos", layout)
    first = trained_run(root / "own", dataset=str(photos))
    second = trained_run(root / "own", kind="scratch", dataset=str(photos), experiment_version=first.id)
    torch.manual_seed(7)
    torch.save(backbones.build_encoder("resnet_tiny", 16).network.state_dict(), second.model_path)
    models, choice = [EncoderRef(run) for run in (first, second)], ImageSelection(num_images=NUM)
    sides = cards.of_embeddings(*embed.compute(models, choice, ["pca"]))
    cards.compute(sides)
    for run in (first, second):
        copy = Path(shutil.copytree(run.path, root / "runs" / runs.EXAMPLES / run.id))
        shutil.rmtree(copy / runs.EMBEDDINGS)
        options = yaml.safe_load((copy / runs.CONFIG).read_text())
        (copy / runs.CONFIG).write_text(yaml.safe_dump(options | {"dataset": "photos"}))
    shipped.pack(models, choice, ["pca"], root / "runs" / runs.EXAMPLES, [sides.path])
    shutil.move(photos, root / "photos")
    return root
