"""Two real processes begin a validation with the main one's running statistics, sent in few messages."""

from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from simclr.models.backbones import build_encoder
from simclr.training import modules


def process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    network = build_encoder("resnet_tiny", 16).network
    network.register_buffer("grid", torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last))
    for number, buffer in enumerate(network.buffers()):
        buffer.fill_(100 * rank + number)
    broadcast, messages = dist.broadcast, []
    dist.broadcast = lambda tensor, source: messages.append(tensor) or broadcast(tensor, source)
    modules._broadcast(list(network.buffers()))
    kept = {name: buffer.unique().tolist() for name, buffer in network.named_buffers()}
    torch.save((kept, len(messages)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_statistics_are_the_main_processs_after_one_message_for_each_data_type(tmp_path):
    mp.start_processes(process, args=(str(tmp_path),), nprocs=2, start_method="fork")  # spares them the imports
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    network = build_encoder("resnet_tiny", 16).network
    names = [name for name, _ in network.named_buffers()] + ["grid"]
    for kept, num_messages in found:
        assert num_messages == 2  # numbers, and counts of batches
        assert sorted(kept) == sorted(names)
    assert found[0] == found[1]
    # all of the main one's, where the other's would be 100 and more
    assert all(values[0] < 100 and len(values) == 1 for values in found[1][0].values())
