"""SimCLR in a Trainer of one's own: kinds of batches, loggers, schedules, own modules, checkpoints."""

import csv

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from simclr.config import ConfigError
from simclr.data import shapes
from simclr.encoders.load import load_encoder
from simclr.library.lightning_module import SimCLR, as_views
from simclr.objectives.nt_xent import nt_xent
from simclr.training.modules import Views
from simclr.views.two_views import TwoViews

SMALL = {"image_size": 16, "hidden_dim": 16, "projection_dim": 8, "learning_rate": 0.002}


class Images(torch.utils.data.Dataset):
    """Shapes as data sets of torchvision give them: an image through a transform, and its class."""

    def __init__(self, number=48, transform=None):
        found = shapes.generate("train", number, 16)
        self.images, self.labels = torch.from_numpy(found.images), found.labels
        self.transform = transform or TwoViews(16)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index]), int(self.labels[index])


class Plain(nn.Module):
    """An encoder of one's own."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 12, 3, 2), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x):
        return self.layers(x).flatten(1)


def fit(module, folder, *, epochs=2, val=False, **options):
    torch.manual_seed(0)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=CSVLogger(folder, flush_logs_every_n_steps=1),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    loader = DataLoader(Images(), batch_size=16, shuffle=True)
    trainer.fit(module, loader, DataLoader(Images(33), batch_size=16) if val else None)
    return trainer


def rows(folder):
    with open(next(folder.rglob("metrics.csv"))) as stream:
        return list(csv.DictReader(stream))


def test_a_trainer_fits_it_and_its_logger_holds_what_it_measures(tmp_path):
    module = SimCLR("resnet_tiny", **SMALL)
    trainer = fit(module, tmp_path, epochs=6, val=True)
    found = rows(tmp_path)
    steps = [row for row in found if row["train/loss"]]
    assert len(steps) == trainer.global_step == 18
    assert all(row[f"train/{name}"] for row in steps for name in ("top1", "top5", "mean_rank"))
    validated = [row for row in found if row["val/loss"]]
    assert len(validated) == 6
    for name in ("top1", "alignment", "uniformity", "effective_rank", "effective_rank_z", "positive_similarity"):
        assert all(row[f"val/{name}"] for row in validated)
    losses = [float(row["train/loss"]) for row in steps]
    assert sum(losses[-3:]) < sum(losses[:3])
    assert trainer.callback_metrics["val/loss"] == pytest.approx(float(validated[-1]["val/loss"]), rel=1e-5)


def test_the_schedule_ends_where_the_trainer_does(tmp_path):
    rates = []

    class Rates(L.Callback):
        def on_train_batch_end(self, trainer, *arguments):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    fit(SimCLR("resnet_tiny", warmup_epochs=1, **SMALL), tmp_path, epochs=4, callbacks=[Rates()])
    assert len(rates) == 12
    assert max(rates) == pytest.approx(SMALL["learning_rate"])
    assert rates.index(max(rates)) in (1, 2)  # after the 3 steps of the first epoch
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ConfigError, match=r"The Trainer has no end, .*; allowed: max_epochs"):
        fit(SimCLR("resnet_tiny", **SMALL), tmp_path, epochs=-1)


def pair(n=6):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, 3, 16, 16, generator=generator) for _ in range(2)]


def test_all_kinds_of_batches_give_the_same_loss():
    torch.manual_seed(0)
    module = SimCLR("resnet_tiny", temperature=0.3, **SMALL)
    x0, x1 = pair()
    z = module.head(module(torch.cat([x0, x1])))
    expected = nt_xent(*z.chunk(2), 0.3)
    labels = torch.zeros(6)
    batches = [(x0, x1), [x0, x1], ((x0, x1), labels), [[x0, x1], labels], ((x0, x1), labels, ["a"] * 6)]
    for batch in [*batches, Views(x0, x1, torch.arange(6))]:
        torch.testing.assert_close(module.training_step(batch, 0), expected)


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (torch.zeros(2, 3, 4, 4), r"A batch is a tensor of float32 \(2, 3, 4, 4\); allowed: \(x0, x1\)"),
        ([torch.zeros(2, 3, 4, 4), torch.zeros(2)], r"\(a tensor of float32 \(2, 3, 4, 4\), a tensor of float32"),
        ((torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 5, 5)), "allowed: "),
        ({"image": 1}, "A batch is a dict; allowed"),
        ((torch.zeros(2, 3, 4, 4, dtype=torch.uint8),) * 2, "uint8"),
    ],
    ids=["one view", "image and class", "sizes", "dict", "bytes"],
)
def test_other_batches_are_refused(batch, sentence):
    with pytest.raises(ConfigError, match=sentence):
        as_views(batch)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temprature": 1}, "temprature is not an option of this module; .*did you mean temperature?"),
        ({"epochs": 1}, "epochs is not an option of this module; allowed: hidden_dim"),
        ({"temperature": 0}, "temperature is 0; allowed: a number"),
        ({"backbone": "resnet19"}, "backbone is resnet19; allowed: .*did you mean resnet1"),
    ],
    ids=str,
)
def test_wrong_options_are_named(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SimCLR(**({"image_size": 16} | options))


def test_a_module_of_ones_own_is_trained_in_place(tmp_path):
    own = Plain()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    module = SimCLR(own, **SMALL)
    assert module.encoder is own
    assert module.parts.num_features == 12
    assert own.training
    fit(module, tmp_path, epochs=1)
    assert not torch.equal(own.state_dict()["layers.0.weight"], before["layers.0.weight"])


class Wrong(nn.Module):
    def __init__(self, gives):
        super().__init__()
        self.gives = gives

    def forward(self, x):
        return self.gives(x)


@pytest.mark.parametrize(
    ("gives", "sentence"),
    [
        (lambda x: {"h": x}, "backbone is Wrong, which gives a dict for 2 images; allowed: a module that turns"),
        (lambda x: x, r"which gives a tensor of shape \(2, 3, 16, 16\) for 2 images"),
        (lambda x: x.mean(), "which gives a tensor of shape"),
        (lambda x: x @ torch.zeros(7, 7), "which cannot take images of 16 x 16 pixels: .*; allowed"),
    ],
    ids=["dict", "maps", "number", "error"],
)
def test_modules_that_are_no_encoders_are_refused(gives, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SimCLR(Wrong(gives), **SMALL)


def test_a_batch_through_the_network_in_parts_is_logged_too(tmp_path):
    module = SimCLR("resnet_tiny", batch_size=16, micro_batch_size=4, **SMALL)
    assert not module.automatic_optimization
    fit(module, tmp_path, epochs=1)
    assert len([row for row in rows(tmp_path) if row["train/loss"]]) == 3


def test_checkpoints_load_here_and_as_an_encoder(tmp_path):
    module = SimCLR("resnet_tiny", **SMALL)
    trainer = fit(module, tmp_path, epochs=1)
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    again = SimCLR.load_from_checkpoint(tmp_path / "mine.ckpt")
    assert again.config.temperature == module.config.temperature
    x = torch.randn(2, 3, 16, 16)
    module.eval(), again.eval()
    encoder = load_encoder(tmp_path / "mine.ckpt", backbone="resnet_tiny", image_size=16)
    with torch.no_grad():
        torch.testing.assert_close(again(x), module(x), rtol=0, atol=0)
        torch.testing.assert_close(encoder(x), module(x), rtol=0, atol=0)


def test_a_last_validation_batch_of_one_image_is_left_out(tmp_path):
    fit(SimCLR("resnet_tiny", **SMALL), tmp_path, epochs=1, val=True)  # 33 images in batches of 16
    assert [row for row in rows(tmp_path) if row["val/loss"]]


def test_without_a_trainer_or_a_logger_nothing_is_logged(tmp_path):
    module = SimCLR("resnet_tiny", **SMALL)
    module.training_step(pair(), 0)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(*pair(8)), batch_size=4))
    assert "train/loss" in trainer.callback_metrics
