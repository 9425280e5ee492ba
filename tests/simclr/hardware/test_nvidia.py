"""Which GPUs a process may use: by the driver's rules, with GPUs that are cut or broken, and as CUDA itself says."""

import os
import shutil
import subprocess

import pytest
from fake_nvml import GIB, Gpu, Nvml

from simclr import config as cfg
from simclr.cli import main
from simclr.config import ConfigError, PretrainConfig
from simclr.hardware import devices, nvidia
from simclr.launch import queue

CUDA = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int cuInit(unsigned flags) {
    FILE *log = fopen(getenv("FAKE_CUDA_LOG"), "a");
    fprintf(log, "%d\n", getpid());
    fclose(log);
    return getenv("FAKE_CUDA_FAILS") ? 100 : 0;
}
int cuDeviceGetCount(int *number) { *number = 3; return 0; }
int cuDeviceGet(int *device, int place) { *device = place; return 0; }
int cuDeviceGetName(char *text, int size, int device) {
    strcpy(text, device == 2 ? "NVIDIA A100 MIG 1g.10gb" : "NVIDIA GeForce");
    return device == 1;  /* does not answer */
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)10 << 30; return 0; }
int cuDeviceGetUuid_v2(unsigned char *bytes, int device) { memset(bytes, 0xa0 + device, 16); return 0; }
"""
FIRST, SLICE = "GPU-" + str(nvidia.uuid.UUID("a0" * 16)), "MIG-" + str(nvidia.uuid.UUID("a2" * 16))


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(nvidia, "_answers", {})


@pytest.fixture
def nvml(monkeypatch):
    """Gives NVML these GPUs; CUDA's own library is not there."""

    def install(*gpus):
        library = Nvml(*gpus)
        monkeypatch.setattr(nvidia, "nvml", lambda: library)
        monkeypatch.setattr(nvidia, "CUDA_LIBRARY", "no-such-library.so")
        return library

    return install


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("cuda")
    (folder / "cuda.c").write_text(CUDA)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "cuda.so", folder / "cuda.c"], check=True)
    return folder / "cuda.so"


@pytest.fixture
def cuda(compiled, tmp_path, monkeypatch):
    """A library of CUDA that sees three devices, of which one is broken and one a slice; gives who has asked it."""
    monkeypatch.setattr(nvidia, "CUDA_LIBRARY", str(compiled))
    monkeypatch.setattr(nvidia, "nvml", lambda: None)
    monkeypatch.setenv("FAKE_CUDA_LOG", str(tmp_path / "asked"))
    (tmp_path / "asked").touch()
    return lambda: [int(line) for line in (tmp_path / "asked").read_text().split()]


ALIKE = [Gpu("GPU-aa11"), Gpu("GPU-aa22"), Gpu("GPU-bb33")]
MIXED = [Gpu("GPU-aa11", "NVIDIA T4"), Gpu("GPU-bb22", "NVIDIA H100")]
CUT = [
    Gpu("GPU-aa11", slices=[Gpu("MIG-ee1", "NVIDIA H100 MIG 1g.10gb"), Gpu("MIG-ee2", "NVIDIA H100 MIG 1g.10gb")]),
    Gpu("GPU-bb22", slices=[Gpu("MIG-ff3", "NVIDIA H100 MIG 7g.80gb")]),
]
EIGHTH = [*ALIKE, Gpu("GPU-cc44", breaks=("handle",))]
ONLY_CUDA = "only CUDA knows"
VISIBLE = [
    (ALIKE, None, "aa11 aa22 bb33"),
    (ALIKE, "", ""),
    (ALIKE, "2,0", "bb33 aa11"),
    (ALIKE, " 1 , 2", "aa22 bb33"),
    (ALIKE, "0,-1,1", "aa11"),  # hides what follows
    (ALIKE, "-1", ""),
    (ALIKE, "0,3,1", "aa11"),
    (ALIKE, "0,,1", "aa11"),
    (ALIKE, "0,x,1", "aa11"),
    (ALIKE, "NoDevFiles", ""),  # as Slurm writes where a job has none
    (ALIKE, "1gpu,2gpu", "aa22 bb33"),  # as strtol reads it
    (ALIKE, "+1", "aa22"),
    (ALIKE, "0,1,0", ""),  # twice: none
    (ALIKE, "0,-1,0", "aa11"),
    (ALIKE, "GPU-bb33,GPU-aa11", "bb33 aa11"),
    (ALIKE, "GPU-b,GPU-aa1", "bb33 aa11"),  # cut short
    (ALIKE, "GPU-aa", ""),  # more than one begins so
    (ALIKE, "GPU-b,GPU-aa,GPU-aa1", "bb33"),
    (ALIKE, "GPU-b,GPU-zz,GPU-aa1", "bb33"),
    (ALIKE, "GPU-aa1, GPU-b", "aa11"),  # a space is none of the name
    (ALIKE, "GPU-aa11,GPU-aa11", ""),
    (ALIKE, "GPU-aa11,GPU-aa1", ""),  # twice, by two names
    (ALIKE, "GPU-aa11,1", "aa11"),  # not mixed
    (ALIKE, "0,GPU-aa22", "aa11"),
    (ALIKE, "aa11", ""),
    (ALIKE, "MIG-aa11", ""),
    (MIXED, None, "aa11 bb22"),
    (MIXED, "0", ONLY_CUDA),  # the fastest is 0
    (MIXED, "-1", ""),
    (MIXED, "GPU-b", "bb22"),
    (MIXED, "PCI_BUS_ID 0", "aa11"),
    (CUT, None, "ee1 ee2 ff3"),
    (CUT, "1,0", "ff3 ee1"),
    (CUT, "MIG-ee2,MIG-f", "ee2 ff3"),
    (CUT, "MIG-ee", ""),
    (CUT, "MIG-GPU-aa11/8/0", "ee2"),  # the older form
    (CUT, "MIG-ee2,MIG-GPU-aa11/8/0", ""),
    (CUT, "GPU-b", "ff3"),
    (CUT, "MIG-ee2,GPU-bb22", "ee2"),
    (EIGHTH, None, "aa11 aa22 bb33"),
    (EIGHTH, "GPU-b", "bb33"),
    (EIGHTH, "GPU-c", ""),
    (EIGHTH, "1", ONLY_CUDA),  # it may count those that are left
]


@pytest.mark.parametrize(("gpus", "chosen", "expected"), VISIBLE)
def test_what_is_visible_follows_the_drivers_rules(nvml, gpus, chosen, expected):
    nvml(*gpus)
    order, _, rest = (chosen or "").rpartition(" ") if "PCI_BUS_ID" in (chosen or "") else ("", "", chosen)
    found = nvidia.visible_units(nvidia.cards(), rest, order or None)
    assert (ONLY_CUDA if found is None else " ".join(unit.uuid[4:] for unit in found)) == expected


def test_a_broken_gpu_does_not_hide_the_others(nvml, monkeypatch):
    nvml(Gpu("GPU-1", breaks=("memory",)), Gpu("GPU-2", breaks=("handle",)), Gpu("GPU-3", total=0), Gpu("GPU-4"))
    *gpus, cpu = devices.list_devices()
    assert [(gpu.name, gpu.uuid, gpu.free) for gpu in gpus] == [("gpu:0", "GPU-3", None), ("gpu:1", "GPU-4", 70 * GIB)]
    assert cpu.name == "cpu"
    assert devices.environment("gpu:1") == {"CUDA_VISIBLE_DEVICES": "GPU-4"}
    with pytest.raises(ConfigError, match=r"^device is gpu:2, and gpu:2 is not there now; allowed: gpu:0, gpu:1, cpu"):
        devices.environment("gpu:2")


def test_a_slice_is_a_device_and_a_run_takes_one(nvml):
    nvml(*CUT, Gpu("GPU-whole"))
    assert [device.title for device in devices.list_devices()[:-1]] == [
        "NVIDIA H100 MIG 1g.10gb",
        "NVIDIA H100 MIG 1g.10gb",
        "NVIDIA H100 MIG 7g.80gb",
        "NVIDIA H100",
    ]
    assert devices.environment("gpu:1") == {"CUDA_VISIBLE_DEVICES": "MIG-ee2"}
    two = cfg.build(PretrainConfig, {"devices": 2})
    with pytest.raises(ConfigError, match=r"device is gpu:0,1; allowed: one slice of a GPU \(MIG\), or several whole"):
        devices.resolve_device("gpu:0,1", two)
    with pytest.raises(ConfigError, match=r"devices is 2; allowed: up to 1, since a run takes one slice of a GPU"):
        devices.resolve_device("auto", two)
    assert devices.gpus_for(1) == ["gpu:0", "gpu:1", "gpu:2", "gpu:3"]
    assert devices.gpus_for(2) == ["gpu:3"]


def test_where_nvml_sees_nothing_cuda_is_asked_by_another_process_and_once(cuda, monkeypatch):
    *gpus, _ = devices.list_devices()
    assert [(gpu.name, gpu.title, gpu.uuid, gpu.free, gpu.total) for gpu in gpus] == [
        ("gpu:0", "NVIDIA GeForce", FIRST, None, 10 * GIB),
        ("gpu:1", "NVIDIA A100 MIG 1g.10gb", SLICE, None, 10 * GIB),
    ]
    assert devices.environment("gpu:1") == {"CUDA_VISIBLE_DEVICES": SLICE}
    assert len(cuda()) == 1 and os.getpid() not in cuda()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # it may see something else then
    devices.list_devices()
    assert len(cuda()) == 2


def test_a_cuda_that_fails_means_no_gpu_until_it_is_asked_again(cuda, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_FAILS", "1")
    assert devices.gpus_for(1) == devices.gpus_for(1) == []
    assert len(cuda()) == 1
    monkeypatch.delenv("FAKE_CUDA_FAILS")
    monkeypatch.setattr(nvidia, "ASK_AGAIN_SECONDS", 0.0)
    assert devices.gpus_for(1) == ["gpu:0", "gpu:1"]


def test_on_mixed_machines_numbers_are_those_of_cuda(cuda, monkeypatch):
    library = Nvml(Gpu("GPU-slow", "NVIDIA T4"), Gpu(FIRST, "NVIDIA GeForce", free=9 * GIB))
    monkeypatch.setattr(nvidia, "nvml", lambda: library)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    first, *_ = devices.list_devices()
    assert (first.uuid, first.free) == (FIRST, 9 * GIB)  # CUDA's order, NVML's memory


def test_the_queue_and_the_cpu_where_only_cuda_sees_gpus(cuda, tiny_runs, monkeypatch):
    begun = []
    monkeypatch.setattr(queue.spawn, "begin", lambda run, device: begun.append(device))
    monkeypatch.setattr(queue, "_has_scheduler", lambda runs_dir: True)
    config = cfg.build(PretrainConfig, {"accelerator": "auto"})
    run = queue.submit(config, tiny_runs, "cpu")
    assert run.config["accelerator"] == "cpu" and devices.environment("cpu") == {"CUDA_VISIBLE_DEVICES": ""}
    queue.submit(config.model_copy(update={"seed": 1}), tiny_runs)
    assert "gpu:0" in begun


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_a_command_for_the_cpu_hides_the_gpus_from_its_libraries(accelerator, monkeypatch):
    monkeypatch.delitem(nvidia.sys.modules, "torch", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    seen = []

    class Training:
        train_worker = None

        @staticmethod
        def train(*_, **__):
            seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
            raise ConfigError("enough")

    monkeypatch.setitem(nvidia.sys.modules, "simclr.lifecycle.train", Training)
    assert main.main(["pretrain", "--accelerator", accelerator]) == 2
    assert seen == ["" if accelerator == "cpu" else "0"]
