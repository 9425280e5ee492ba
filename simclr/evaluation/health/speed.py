"""What a run's own figures say about speed and memory: advice beside the verdict, where there is any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simclr.evaluation.health.records import positive
from simclr.evaluation.health.rule import Rule, Verdict
from simclr.runs.status import Status

MIN_SAMPLES = 15  # of the GPU's load, two seconds apart at least
IDLE_GPU = 70.0  # per cent
SLOW_IMAGES = 0.3  # of the time of a step
HELD_UP, HELD_UP_SAMPLES = 0.3, 3
ROOM = 0.45  # of a GPU's memory: what is less fits twice, with a little to spare

IDLE = Rule(
    "idle gpu",
    "note",
    "GPU waits",
    f"Said when the GPU has worked less than {IDLE_GPU:.0f} % of the time on average while it trained, over at least "
    f"{MIN_SAMPLES} samples.",
)
SLOW = Rule(
    "slow images",
    "note",
    "Images come slowly",
    f"Said of a run on a CPU that does not keep its images in memory when reading them and drawing their views takes "
    f"over {100 * SLOW_IMAGES:.0f} % of the time of a step.",
)
TWICE = Rule(
    "room",
    "note",
    "The batch fits twice",
    f"Said when the run has used less than {100 * ROOM:.0f} % of the GPU's memory at its peak, over at least "
    f"{MIN_SAMPLES} samples. What a training needs grows with its batch.",
)
CROWDED = Rule(
    "crowded",
    "note",
    "Others use the processor",
    f"Said of a run on a CPU whose threads had no core for over {100 * HELD_UP:.0f} % of the time in which they wanted "
    f"one, on average over the training or now, over at least {HELD_UP_SAMPLES} samples. Linux counts this.",
)
RULES = (CROWDED, IDLE, SLOW, TWICE)


def advice(status: Status, config: Mapping[str, Any], meta: Mapping[str, Any]) -> list[Verdict]:
    """What could be faster or larger, by what the run has measured of itself; empty where nothing is known.

    Args:
        config: its options; `batch_size`, `num_workers`, `freeze_encoder` and `augmentation` are used.
        meta: `in_memory` and `device_bytes`, where they are known.
    """
    if config.get("freeze_encoder") and not config.get("augmentation"):
        return []  # a head on features that were computed once is a matter of seconds
    found, in_memory = [], meta.get("in_memory") is True
    readers = "unset" if config.get("num_workers") is None else config["num_workers"]
    if meta.get("device") == "CPU" and status.usage_samples >= HELD_UP_SAMPLES:
        found += _crowded(status)
    if (load := status.mean_gpu_percent) is not None and status.usage_samples >= MIN_SAMPLES:
        if load < IDLE_GPU:
            found.append(
                IDLE.found(
                    f"The GPU worked {load:.0f} % of the time.",
                    advice="Its images are in memory: a larger batch, or compile, keeps it busier."
                    if in_memory
                    else f"Reading images holds it up: more reading processes (num_workers is {readers}), or a "
                    "larger memory_share, so that they are kept decoded.",
                )
            )
    elif not in_memory and meta.get("device") == "CPU" and (status.wait_share or 0.0) > SLOW_IMAGES:
        found.append(
            SLOW.found(
                f"Reading images and drawing views takes {100 * (status.wait_share or 0.0):.0f} % of the time of a "
                "step.",
                advice="A larger memory_share, so that they are kept decoded, or more reading processes (num_workers) "
                "help.",
            )
        )
    total, batch = positive(meta.get("device_bytes")), positive(config.get("batch_size"))
    peak = status.peak_gpu_memory
    if total and batch and peak and status.usage_samples >= MIN_SAMPLES and peak < ROOM * total:
        larger = "more negatives" if config.get("temperature") is not None else "fewer steps for as many images"
        found.append(
            TWICE.found(
                f"At most {peak / 2**30:.1f} of the GPU's {total / 2**30:.0f} GiB were used.",
                advice=f"A batch of {2 * int(batch)} fits: {larger}. The learning rate may have to grow with it.",
            )
        )
    return found


def _crowded(status: Status) -> list[Verdict]:
    share = max(status.mean_held_up or 0.0, status.held_up or 0.0)
    if not HELD_UP < share < 1:
        return []
    verb, be = ("waits", "is") if status.is_active else ("waited", "would have been")
    return [
        CROWDED.found(
            f"This run {verb} {100 * share:.0f} % of its time for a core that other processes hold.",
            advice=f"Without them it {be} about {1 / (1 - share):.2g} times as fast.",
        )
    ]
