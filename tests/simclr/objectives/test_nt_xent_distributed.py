"""Several real processes against one: the loss is right in many wrong variants, so gradients are compared."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from simclr.objectives import nt_xent
from simclr.objectives.metrics import RunningMeans
from simclr.objectives.nt_xent import contrast, nt_xent_with_ranks

PER_PROCESS, FEATURES, DIM = 5, 7, 6
# Block rows 512: one block for each part. 2: several of unequal length. 0.005: the way through log-sum-exp.
LOW_TEMPERATURE = 0.05
CASES = [(512, 0.5), (512, 0.005), (2, 0.1), (2, 0.005)]


def images(world):
    """Two views of all images, (world * n, FEATURES) each."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, world * PER_PROCESS, FEATURES, generator=generator, dtype=torch.float64)


def learned(world):
    """Two views of each image that are nearly alike, (2, world * n, 64) float32: the loss is 6e-7."""
    generator = torch.Generator().manual_seed(5)
    image, first, second = torch.randn(3, world * PER_PROCESS, 64, generator=generator)
    return torch.stack([image + 0.05 * first, image + 0.05 * second])


def gradient_of(views):
    views = views.clone().requires_grad_()
    contrast(*views, LOW_TEMPERATURE)[0].backward()
    return views.grad


def encoder():
    linear = nn.Linear(FEATURES, DIM, dtype=torch.float64)
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
    return linear


def measure(views, model, temperature):
    """Loss, ranks, gradient of the rows (2, n, DIM) and of the weights, of a model that may be wrapped."""
    model.zero_grad()
    z = model(views.flatten(0, 1))
    z.retain_grad()
    loss, ranks = contrast(*z.chunk(2), temperature)
    loss.backward()
    return {
        "loss": loss.detach(),
        "ranks": ranks.unflatten(0, (2, -1)),
        "rows": z.grad.unflatten(0, (2, -1)),
        "weights": torch.cat([parameter.grad.flatten() for parameter in model.parameters()]),
    }


def process(rank, world, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    own = images(world)[:, rank * PER_PROCESS : (rank + 1) * PER_PROCESS]
    model = DistributedDataParallel(encoder())
    results = []
    for block_rows, temperature in CASES:
        nt_xent.BLOCK_ROWS["cpu"] = block_rows
        results.append(measure(own, model, temperature))
        with torch.no_grad():  # as in validation
            results[-1]["without gradient"], _ = contrast(*model.module(own).unbind(), temperature)
            results[-1]["by the module"] = nt_xent.NTXentLoss(temperature)(*model.module(own).unbind())
    with pytest.raises(ValueError, match="at least 2"):
        contrast(torch.ones(0, 3), torch.ones(0, 3), 0.5)
    single = torch.randn(2, 1, DIM, dtype=torch.float64)  # one image in each process can be contrasted
    assert torch.isfinite(contrast(*single, 0.5)[0])
    results.append(gradient_of(learned(world)[:, rank * PER_PROCESS : (rank + 1) * PER_PROCESS]))
    means = RunningMeans()
    means.add({"loss": torch.tensor(float(rank))}, rank + 1)
    results.append(means.take())
    torch.save(results, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, pytest.param(3, marks=pytest.mark.slow)])  # 3: rows of others on both sides
def test_processes_together_give_the_gradient_of_one(world, tmp_path):
    mp.spawn(process, args=(world, str(tmp_path)), nprocs=world)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world)]
    exact = {"rtol": 0, "atol": 1e-12}
    for i, (_, temperature) in enumerate(CASES):
        expected = measure(images(world), encoder(), temperature)
        per_rank = [results[i] for results in found]
        mean_loss = torch.stack([result["loss"] for result in per_rank]).mean()
        torch.testing.assert_close(mean_loss, expected["loss"], **exact)
        for way in ("without gradient", "by the module"):
            assert all(torch.equal(result[way], result["loss"]) for result in per_rank)
        torch.testing.assert_close(torch.cat([result["ranks"] for result in per_rank], dim=1), expected["ranks"])
        # of the sum of the processes' losses, which is `world` times their mean
        rows = torch.cat([result["rows"] for result in per_rank], dim=1) / world
        torch.testing.assert_close(rows, expected["rows"], **exact)
        for result in per_rank:
            torch.testing.assert_close(result["weights"], expected["weights"], **exact)
    expected = gradient_of(learned(world).double())
    rows = torch.cat([results[-2] for results in found], dim=1) / world
    assert (rows - expected).norm() / expected.norm() < 1e-5  # float32, in which 1 - P has no digits left here
    # logged means count images, of which the processes had 1, 2, ...
    mean = sum(rank * (rank + 1) for rank in range(world)) / sum(range(world + 1))
    assert [results[-1] for results in found] == [{"loss": pytest.approx(mean)}] * world


def test_one_process_is_the_plain_loss():
    z1, z2 = torch.randn(2, 9, DIM)
    for found, expected in zip(contrast(z1, z2, 0.2), nt_xent_with_ranks(z1, z2, 0.2), strict=True):
        assert torch.equal(found, expected)
