"""What things cost, as ratios measured side by side: augmentation, loss, training step, memory, probe, maps, reading.

    python -m simclr bench                       every part, under five minutes on two CPU cores
    python -m simclr bench --only loss,step --against lightly
    python -m simclr bench --plot costs.html     tables and curves of time and memory against size

Absolute times mean little on shared machines. So the candidates of a comparison take turns in one process. A ratio is
that of the best turns, and the middle half of the ratios of single turns stands beside it. CPU seconds of a single
thread are the least disturbed clock; where threads work together, or a GPU does, it is the wall clock.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import psutil
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from simclr import PACKAGE
from simclr.bench import budget
from simclr.config import Augmentation, ConfigError, PretrainConfig, build
from simclr.embeddings import projections
from simclr.evaluation import probes
from simclr.objectives import nt_xent
from simclr.views import augment

PARTS = ("augmentation", "loss", "step", "caching", "probe", "maps", "reading", "budget")
PEERS = ("lightly", "sklearn")
SIDE = 32  # pixels
BLUR = Augmentation(blur_probability=0.5)


@dataclass(frozen=True)
class Row:
    """One line of the result: a figure, and how it compares.

    ratio: times better than `against`, above 1 is better: best turn against best turn. low, high: the middle half of
    the ratios of `repeats` turns. None for a figure that stands alone.
    """

    part: str
    what: str
    figure: float
    unit: str
    against: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    repeats: int = 1
    note: str = ""

    def text(self) -> str:
        line = f"{self.what:<66} {self.figure:>12,.4g} {self.unit:<16}"
        if self.note:
            line += f" {self.note}"
        if self.ratio is not None:
            spread = f" ({self.low:.2f} to {self.high:.2f}, n {self.repeats})" if self.repeats > 1 else ""
            line += f" {self.ratio:>7.2f} x {self.against}{spread}"
        return line.rstrip()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "lightning": L.__version__,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


# --- clocks -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(function: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def take_turns(
    candidates: Mapping[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of each candidate in each of `repeats` turns, after one that does not count."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(repeats + 1):
        for name, function in candidates.items():
            seconds = _seconds(function, clock)
            if turn:
                found[name].append(seconds)
    return found


def _ratios(mine: list[float], others: list[float]) -> dict[str, Any]:
    """How many times quicker `mine` is: best against best, and the quarter and three quarters of all turns.

    What disturbs a turn makes it slower, never quicker, and with several threads by a hundred times.
    """
    ratios = np.divide(others, mine)
    low, high = np.quantile(ratios, (0.25, 0.75))
    return {"ratio": min(others) / min(mine), "low": float(low), "high": float(high)}


def peak_memory(name: str, **arguments: Any) -> float:
    """MiB by which the memory of a fresh process grows at most while `PEAKS[name](**arguments)` runs."""
    code = f"from simclr.bench import measures; measures.report_peak({name!r}, {arguments!r})"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path])}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if found.returncode:
        raise RuntimeError(found.stderr.strip().splitlines()[-1])
    return float(found.stdout.strip().splitlines()[-1])


def report_peak(name: str, arguments: Mapping[str, Any]) -> None:
    """In that fresh process: runs the work once and prints the growth of its peak memory, MiB."""
    work = PEAKS[name](**arguments)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        print((torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    from simclr.lifecycle.measure import Gauge

    gauge = Gauge(torch.device("cpu"))
    gauge.begin()
    before = psutil.Process().memory_info().rss
    work()
    print((gauge.peak() - before) / 2**20)


# --- augmentation -----------------------------------------------------------------------------------------------------


def _photos(count: int, side: int) -> Tensor:
    """(count, 3, side, side) uint8 with the smooth structure of photographs: noise would be an easy case for nobody."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    smooth = F.interpolate(coarse, size=side, mode="bicubic", align_corners=False)
    return ((smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1) * 255).to(torch.uint8)


def _textbook(size: int, blur: bool) -> Any:
    """torchvision's PIL pipeline, as the tutorials have it."""
    from torchvision import transforms

    steps = [
        transforms.RandomResizedCrop(size, scale=(0.08, 1.0)), transforms.RandomHorizontalFlip(),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        transforms.RandomGrayscale(p=0.2),
    ]  # fmt: skip
    if blur:
        steps.append(transforms.RandomApply([transforms.GaussianBlur(3)], p=0.5))
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)])


def _lightly_views(size: int, blur: bool) -> Any:
    from lightly.transforms import SimCLRTransform

    return SimCLRTransform(input_size=size, cj_strength=0.5, gaussian_blur=0.5 if blur else 0.0)


def own_views(images: Tensor, augmentation: Augmentation, size: int) -> Callable[[], Any]:
    ids = torch.arange(len(images))
    epochs = iter(range(10**9))

    def work() -> None:
        first, second = augment.two_views(images, ids, augmentation, seed=0, epoch=next(epochs), size=size)
        augment.normalize(first), augment.normalize(second)

    return work


def _one_by_one(transform: Callable[[Any], Any], pictures: list[Any], times: int) -> None:
    for picture in pictures:
        for _ in range(times):
            transform(picture)


def augmentation(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """Views per CPU second of one thread, decoded images in, normalized tensors out."""
    from torchvision.transforms.functional import to_pil_image

    count, few = 512, 64  # one by one is slow: as few as give a steady figure
    for blur, options in ((False, Augmentation()), (True, BLUR)):
        name = "with blur" if blur else "without blur"
        images = _photos(count, SIDE)
        pictures = [to_pil_image(image) for image in images[:few]]
        textbook = _textbook(SIDE, blur)
        candidates: dict[str, Callable[[], Any]] = {
            "own": own_views(images, options, SIDE),
            "torchvision (PIL)": partial(_one_by_one, textbook, pictures, 2),
        }
        if "lightly" in peers:
            candidates["lightly"] = partial(_one_by_one, _lightly_views(SIDE, blur), pictures, 1)
        with _threads(1):
            seconds = take_turns(candidates, repeats)
        per_view = [value / (2 * count) for value in seconds["own"]]
        for other in list(candidates)[1:]:
            theirs = [value / (2 * few) for value in seconds[other]]
            yield Row(
                "augmentation", f"views of {SIDE} px, {name}, one thread", 1 / min(per_view),
                "views/CPU-s", other, **_ratios(per_view, theirs), repeats=repeats,
            )  # fmt: skip


# --- loss -------------------------------------------------------------------------------------------------------------


def _rows(num_rows: int, dim: int = 128) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    z = torch.randn(num_rows, dim, generator=generator).to(device)
    return z[: num_rows // 2].requires_grad_(), z[num_rows // 2 :].requires_grad_()


def floor_of_products(num_rows: int, dim: int = 128) -> Callable[[], Any]:
    """Normalizing and three matrix products into memory that is there already: what a loss by the book cannot pass."""
    z = torch.cat(_rows(num_rows, dim)).detach()
    unit, similarities = torch.empty_like(z), z.new_empty(num_rows, num_rows)
    first, second = torch.empty_like(z), torch.empty_like(z)

    def work() -> None:
        torch.div(z, z.norm(dim=1, keepdim=True), out=unit)
        torch.mm(unit, unit.T, out=similarities)
        torch.mm(similarities, unit, out=first)
        torch.mm(similarities.T, unit, out=second)

    return work


def _loss_work(function: Callable[[Tensor, Tensor], Tensor], num_rows: int, dim: int = 128) -> Callable[[], Any]:
    z1, z2 = _rows(num_rows, dim)

    def work() -> None:
        torch.autograd.grad(function(z1, z2), (z1, z2))

    return work


def _loss_functions(peers: Iterable[str]) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    def matrix(z1: Tensor, z2: Tensor) -> Tensor:
        z = F.normalize(torch.cat([z1, z2]), dim=1)
        logits = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
        return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(z) // 2))

    found: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "own": lambda z1, z2: nt_xent.nt_xent(z1, z2, 0.5),
        "own with ranks": lambda z1, z2: nt_xent.nt_xent_with_ranks(z1, z2, 0.5)[0],
        "matrix + cross_entropy": matrix,
    }
    if "lightly" in peers:
        from lightly.loss import NTXentLoss

        found["lightly"] = NTXentLoss(temperature=0.5)
    return found


def _loss_peak(function: str, num_rows: int) -> Callable[[], Any]:
    torch.set_num_threads(1)
    functions = _loss_functions(PEERS if function in PEERS else ())
    _loss_work(functions[function], 64)()  # libraries take their own memory on first use
    return _loss_work(functions[function], num_rows)


def losses(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """NT-Xent forward and backward, D = 128, float32, against three matrix products and against others."""
    clocks = [(1, time.process_time, "one thread")]
    if (cores := torch.get_num_threads()) > 1:
        clocks.append((cores, time.perf_counter, f"{cores} threads"))
    for num_rows in (512, 2048, 8192):
        turns = {512: 20 * repeats, 2048: 3 * repeats}.get(num_rows, repeats)
        for count, clock, name in clocks:
            candidates = {name: _loss_work(function, num_rows) for name, function in _loss_functions(peers).items()}
            candidates["the floor of three products"] = floor_of_products(num_rows)
            with _threads(count):
                seconds = take_turns(candidates, turns, clock)
            pairs = [("own with ranks", "the floor of three products")]
            pairs += [("own", other) for other in reversed(candidates) if not other.startswith("own")]
            for own, other in pairs:
                what = "NT-Xent" if own == "own" else "NT-Xent with ranks"
                yield Row(
                    "loss", f"{what}, 2N = {num_rows}, {name}", 1e3 * min(seconds[own]), "ms",
                    other, **_ratios(seconds[own], seconds[other]), repeats=turns,
                )  # fmt: skip
    mine = peak_memory("loss", function="own with ranks", num_rows=8192)
    for other in ("matrix + cross_entropy", *peers):
        theirs = peak_memory("loss", function=other, num_rows=8192)
        ratio = theirs / mine
        yield Row("loss", "peak memory beyond the rows, 2N = 8192", mine, "MiB", other, ratio, ratio, ratio)


# --- training step ----------------------------------------------------------------------------------------------------


class StepClock(L.Callback):
    """When each training step began and ended.

    Between the end of one and the beginning of the next lie reading and augmenting the batch, and writing what was
    measured.
    """

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ended: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.began.append(self._now())

    def on_train_batch_end(self, *_: Any) -> None:
        self.ended.append(self._now())

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def step_seconds(self) -> list[float]:
        """From one beginning to the next, without the first step, which warms up."""
        return list(np.diff(self.began)[1:])

    def waiting_share(self) -> float:
        """Share of the time that is not spent in steps, 0..1."""
        between = sum(begin - end for begin, end in zip(self.began[2:], self.ended[1:], strict=False))
        return between / (self.began[-1] - self.began[1])


def own_steps(steps: int, **options: Any) -> StepClock:
    """Trains that many steps as `python -m simclr pretrain` does, in a folder that is thrown away."""
    from simclr.lifecycle.train import train

    clock = StepClock()
    values = {"max_steps": steps, "val_fraction": 0, "evaluate": False, "knn_every_epochs": 0, "dataset": "shapes"}
    config = build(PretrainConfig, values | options)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = train(config, runs_dir=Path(folder), callbacks=[clock])
        if run.status.state != "finished":
            raise RuntimeError(run.status.error)
    return clock


def lightly_steps(steps: int, *, batch_size: int, workers: int = 0) -> StepClock:
    """The same network, batch and optimizer as lightly's example for Lightning trains them."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from torchvision.transforms.functional import to_pil_image

    from simclr.models.backbones import build_encoder

    views = _lightly_views(SIDE, blur=False)
    pictures = [to_pil_image(image) for image in _photos(batch_size * 2, SIDE)]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return batch_size * steps

        def __getitem__(self, index: int) -> Any:
            return views(pictures[index % len(pictures)])

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = build_encoder("resnet18", SIDE).network
            self.projection_head = SimCLRProjectionHead(512, 512, 128)
            self.criterion = NTXentLoss()

        def training_step(self, batch: Any, batch_index: int) -> Tensor:
            z0, z1 = (self.projection_head(self.backbone(x).flatten(start_dim=1)) for x in batch)
            return self.criterion(z0, z1)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.06)

    clock = StepClock()
    trainer = L.Trainer(
        max_steps=steps, accelerator="auto", devices=1, logger=False, callbacks=[clock], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(
        Pictures(), batch_size=batch_size, shuffle=True, drop_last=True, num_workers=workers
    )
    trainer.fit(Module(), loader)
    return clock


STEP = {"backbone": "resnet18", "batch_size": 128, "hidden_dim": 512, "optimizer": "sgd", "learning_rate": 0.06,
        "image_size": SIDE, "checkpoint_every_minutes": 0}  # fmt: skip


def step(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """Images per second of ResNet-18 on 32 px in batches of 128, and what of the time is not the network."""
    turns = max(2, repeats // 2)
    mine, others, waiting = [], [], []
    other = "lightly + Lightning" if "lightly" in peers else "own in float32"
    for _ in range(turns):
        clock = own_steps(5, **STEP)
        mine.append(min(clock.step_seconds()))
        waiting.append(clock.waiting_share())
        clock = lightly_steps(3, batch_size=128) if "lightly" in peers else own_steps(3, precision="32-true", **STEP)
        others.append(min(clock.step_seconds()))
    what = f"ResNet-18, batch 128, {torch.get_num_threads()} threads"
    yield Row("step", what, 128 / min(mine), "images/s", other, **_ratios(mine, others), repeats=turns)
    yield Row("step", "share of a step that waits for data, views and logging", 100 * max(waiting), "%", repeats=turns)


def step_budget(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """A step of ResNet-18, batch 512, 32 px, bf16-mixed on an H100: computed on paper, never measured."""
    lines = budget.step_budget()
    for line in lines:
        hidden = " (passes while the GPU works)" if line.hidden else ""
        note = f"{line.how}; removed by {line.removed_by}"
        yield Row("budget", line.what + hidden, line.milliseconds, "ms, computed", note=note)
    milliseconds, share = budget.total(lines)
    note = f"{512e3 / milliseconds:,.0f} images/s, {share:.0%} of the bf16 peak"
    yield Row("budget", "the whole step", milliseconds, "ms, computed", note=note)


# --- gradient caching -------------------------------------------------------------------------------------------------


def _step_peak(batch_size: int, micro_batch_size: int | None = None, image_size: int = SIDE) -> Callable[[], Any]:
    options = STEP | {"batch_size": batch_size, "image_size": image_size, "backbone": "resnet_tiny"}
    own_steps(1, **options | {"batch_size": 4})  # libraries and data sets take their memory on first use
    return lambda: own_steps(1, **options, micro_batch_size=micro_batch_size)


def caching(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """A batch of 1,024 in micro-batches of 64: memory and time against the whole batch at once."""
    memory = {micro: peak_memory("step", batch_size=1024, micro_batch_size=micro) for micro in (None, 64)}
    ratio = memory[None] / memory[64]
    what = "a step, batch 1024 in chunks of 64"
    yield Row("caching", f"peak memory of {what}", memory[64], "MiB", "at once", ratio, ratio, ratio)
    options = STEP | {"backbone": "resnet_tiny", "batch_size": 1024}
    seconds: dict[int | None, list[float]] = {None: [], 64: []}
    for _ in range(max(2, repeats // 2)):
        for micro, found in seconds.items():
            found.append(statistics.median(own_steps(4, micro_batch_size=micro, **options).step_seconds()))
    yield Row("caching", f"time of {what}", min(seconds[64]), "s", "at once",
              **_ratios(seconds[64], seconds[None]), repeats=len(seconds[64]))  # fmt: skip


# --- probe and reading ------------------------------------------------------------------------------------------------


def labelled_features(count: int, dim: int, num_classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (count, dim) in which classes overlap and directions differ in spread, as an encoder's do."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % num_classes
    mixing = torch.randn(dim, dim, generator=torch.Generator().manual_seed(1)) / dim**0.5
    centres = torch.randn(num_classes, dim, generator=torch.Generator().manual_seed(2))
    spread = torch.logspace(0, -2, dim)
    features = (0.5 * centres[labels] + 2 * torch.randn(count, dim, generator=generator)) * spread @ mixing
    return features.relu(), labels


def probe(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """The linear probe on 45,000 x 512 features, its regularisation chosen on 5,000 others."""
    features, labels = labelled_features(50_000, 512, 10)
    train, val = (features[:45_000], labels[:45_000]), (features[45_000:], labels[45_000:])
    seconds = [_seconds(lambda: probes.linear_probe(*train, val, 10), time.perf_counter) for _ in range(2)]
    yield Row(
        "probe", "linear probe, 45,000 x 512, ten classes, all strengths", statistics.median(seconds), "s", repeats=2
    )


def maps(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """Maps of 10,000 x 512 features, neighbours looked for within, UMAP and t-SNE compiled and loaded before."""
    features = labelled_features(10_000, 512, 10)[0].numpy()
    seconds: dict[str, list[float]] = {}
    for method in projections.METHODS:
        projections.reduce(method, features[:1000])
        draw = partial(projections.reduce, method, features)
        seconds[method] = [_seconds(draw, time.perf_counter) for _ in range(2)]
        label = projections.LABELS[method]
        if method == "tsne" and "sklearn" in peers:
            from sklearn.manifold import TSNE

            # as ours: the same number of iterations, metric and start, and all cores
            other = TSNE(metric="cosine", init="pca", max_iter=750, random_state=0, n_jobs=-1)
            theirs = [_seconds(partial(other.fit_transform, features), time.perf_counter)]
            yield Row("maps", label, min(seconds[method]), "s", "scikit-learn", repeats=1,
                      **_ratios(seconds[method], theirs))  # fmt: skip
        else:
            yield Row("maps", label, statistics.median(seconds[method]), "s", repeats=2)


def reading(peers: tuple[str, ...], repeats: int) -> Iterator[Row]:
    """Images per second from JPEG files: decoded once into memory, and streamed by reading processes."""
    from PIL import Image

    from simclr.data.loading import load_data
    from simclr.training.datamodule import PretrainData

    for side, count in ((SIDE, 4096), (256, 512)):
        with tempfile.TemporaryDirectory() as folder:
            for number, image in enumerate(_photos(count, side)):
                path = Path(folder, "images", f"{number % 2}", f"{number}.jpg")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=90)
            os.environ["SIMCLR_DATA_DIR"] = str(Path(folder, "cache"))
            for name, limit, workers in (("in memory", None, 0), ("streamed, 0 readers", 0, 0),
                                         ("streamed, 2 readers", 0, 2)):  # fmt: skip
                start = time.perf_counter()
                data = load_data(
                    str(Path(folder, "images")), image_size=min(side, 128), val_fraction=0, memory_limit=limit
                )
                loaded = time.perf_counter() - start
                loader = PretrainData(
                    data, Augmentation(), batch_size=128, seed=0, size=min(side, 128), num_workers=workers
                )
                batches = loader.train_dataloader()
                for _ in batches:  # readers start once
                    pass
                start = time.perf_counter()
                seen = sum(len(batch if isinstance(batch, Tensor) else batch[0]) for batch in batches)
                seconds = time.perf_counter() - start
                rate = data.train.num_images / loaded if limit is None else seen / seconds
                what = f"JPEG files of {side} px, {name}" + (" (decoded once)" if limit is None else "")
                yield Row("reading", what, rate, "images/s")


# --- cost as it grows -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Growth:
    """One curve: cost against size."""

    title: str
    size: str
    unit: str
    sizes: list[int]
    costs: list[float]


def growth() -> Iterator[Growth]:
    """Time and memory against batch size, image size and number of images."""
    rows = [256, 512, 1024, 2048, 4096, 8192]
    with _threads(1):
        seconds = [min(take_turns({"own": _loss_work(_loss_functions(())["own"], n)}, 3)["own"]) for n in rows]
    yield Growth("NT-Xent, forward and backward", "rows (2N)", "CPU-s", rows, seconds)
    memory = [peak_memory("loss", function="own with ranks", num_rows=n) for n in rows]
    yield Growth("NT-Xent, peak memory beyond the rows", "rows (2N)", "MiB", rows, memory)
    sides = [32, 64, 96, 128, 224]
    with _threads(1):
        views = [min(take_turns({"own": own_views(_photos(64, n), Augmentation(), n)}, 3)["own"]) / 128 for n in sides]
    yield Growth("One view", "image size (px)", "CPU-s", sides, views)
    batches = [64, 128, 256, 512]
    options = STEP | {"backbone": "resnet_tiny"}
    with _threads(1):
        steps = [min(own_steps(4, **options | {"batch_size": n}).step_seconds()) for n in batches]
    yield Growth("Training step, resnet_tiny, 32 px, one thread", "batch size", "s", batches, steps)
    memory = [peak_memory("step", batch_size=n) for n in batches]
    yield Growth("Training step, resnet_tiny, 32 px: peak memory", "batch size", "MiB", batches, memory)
    sides = [16, 32, 48, 64]
    with _threads(1):
        steps = [min(own_steps(4, **options | {"image_size": n}).step_seconds()) for n in sides]
    yield Growth("Training step, resnet_tiny, batch 128, one thread", "image size (px)", "s", sides, steps)
    counts = [10_000, 20_000, 50_000]
    with _threads(1):
        found = [_probe_seconds(n) for n in counts]
    yield Growth("Linear probe, 512 features", "images", "CPU-s", counts, found)


def _probe_seconds(count: int) -> float:
    features, labels = labelled_features(count, 512, 10)
    cut = count * 9 // 10
    val = features[cut:], labels[cut:]
    return _seconds(lambda: probes.linear_probe(features[:cut], labels[:cut], val, 10), time.process_time)


def draw(curves: list[Growth], path: Path) -> None:
    """All curves on log axes in one HTML file that opens without a network."""
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=-(-len(curves) // 2), cols=2, subplot_titles=[curve.title for curve in curves], horizontal_spacing=0.12
    )
    for number, curve in enumerate(curves):
        place = {"row": number // 2 + 1, "col": number % 2 + 1}
        figure.add_scatter(x=curve.sizes, y=curve.costs, mode="lines+markers", line_color="#4c5fd5", **place)
        figure.update_xaxes(type="log", title=curve.size, tickvals=curve.sizes, **place)
        figure.update_yaxes(type="log", title=curve.unit, **place)
    said = ", ".join(f"{key} {value}" for key, value in machine().items() if value is not None)
    figure.update_layout(
        template="plotly_white",
        showlegend=False,
        height=340 * (len(curves) + 1) // 2,
        title={"text": said, "font_size": 13},
    )
    figure.write_html(path, include_plotlyjs=True)


# --- command ----------------------------------------------------------------------------------------------------------

WORK: dict[str, Callable[[tuple[str, ...], int], Iterator[Row]]] = {
    "augmentation": augmentation, "loss": losses, "step": step, "caching": caching, "probe": probe,
    "maps": maps, "reading": reading, "budget": step_budget,
}  # fmt: skip
PEAKS: dict[str, Callable[..., Callable[[], Any]]] = {"loss": _loss_peak, "step": _step_peak}


def add_arguments(parser: Any) -> None:
    """Declares the options of `python -m simclr bench`."""
    texts = {
        "only": f"Parts, separated by commas: {', '.join(PARTS)}. Default: all.",
        "against": f"Peers to compare with where they are installed, separated by commas: {', '.join(PEERS)}.",
        "repeats": "Turns of each comparison, 2 to 100. Default: 5.",
        "plot": "FILE.html to draw time and memory against batch, image and data size into; takes minutes more.",
        "json": "FILE.json for all figures, with the machine.",
    }
    for name, text in texts.items():
        parser.add_argument(f"--{name}", type=str, metavar="FILE" if name in ("plot", "json") else "VALUE", help=text)


def _words(name: str, text: str | None, allowed: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",")) if text else default
    for word in words:
        if word not in allowed:
            raise ConfigError(f"{name} is {word}; allowed: {', '.join(allowed)}.")
    return words


def main(options: Any) -> int:
    """Measures what was asked for and prints it as it comes; returns the exit status.

    Raises:
        ConfigError: for bad input, or a peer that is not installed.
    """
    parts = _words("only", options.only, PARTS, PARTS)
    peers = _words("against", options.against, PEERS, ())
    repeats = int(options.repeats) if str(options.repeats or "5").isdecimal() and options.repeats else 5
    if options.repeats and not (str(options.repeats).isdecimal() and 2 <= repeats <= 100):
        raise ConfigError(f"repeats is {options.repeats}; allowed: a whole number from 2 to 100.")
    files = {name: Path(value) for name in ("plot", "json") if (value := getattr(options, name))}
    for name, path in files.items():
        if not path.parent.is_dir():
            raise ConfigError(f"{name} is {path}; allowed: a file in a folder that exists.")
    for peer in peers:
        try:
            __import__(peer)
        except ImportError:
            raise ConfigError(f"against is {peer}, which is not installed; pip install {peer}.") from None

    print(", ".join(f"{key} {value}" for key, value in machine().items() if value is not None), flush=True)
    rows: list[Row] = []
    for part in parts:
        print(f"\n{(WORK[part].__doc__ or '').splitlines()[0]}", flush=True)
        for row in WORK[part](peers, repeats):
            rows.append(row)
            print(f"  {row.text()}", flush=True)
    curves: list[Growth] = []
    if "plot" in files:
        for curve in growth():
            curves.append(curve)
            cells = "  ".join(f"{size:,}: {cost:.3g}" for size, cost in zip(curve.sizes, curve.costs, strict=True))
            print(f"\n{curve.title}, {curve.unit} by {curve.size}\n  {cells}", flush=True)
        draw(curves, files["plot"])
        print(f"\n{files['plot']}")
    if "json" in files:
        content = {"machine": machine(), "rows": [asdict(row) for row in rows], "growth": [asdict(c) for c in curves]}
        files["json"].write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 0
