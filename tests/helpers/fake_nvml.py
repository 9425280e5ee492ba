"""Stands in for NVIDIA's management library: GPUs whole, cut into slices, or broken."""

from types import SimpleNamespace

MIB, GIB = 2**20, 2**30


class Error(Exception):
    def __init__(self, value=999):
        self.value = value


class Gpu(SimpleNamespace):
    """A GPU or a slice. `breaks`: names of the calls that it does not answer; `processes`: pid to bytes."""

    def __init__(self, uuid, title="NVIDIA H100", **more):
        usual = {"slices": None, "breaks": (), "free": 70 * GIB, "total": 80 * GIB, "processes": {}, "percent": {}}
        super().__init__(uuid=uuid, title=title, **usual | more)


class Nvml:
    NVMLError = Error
    NVML_ERROR_NOT_SUPPORTED = 3

    def __init__(self, *gpus):
        self.gpus, self.since = gpus, []

    def nvmlDeviceGetCount(self):
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self._answers(self.gpus[index], "handle")

    def nvmlDeviceGetUUID(self, gpu):
        return self._answers(gpu, "uuid").uuid

    def nvmlDeviceGetName(self, gpu):
        return self._answers(gpu, "name").title.encode()

    def nvmlDeviceGetMemoryInfo(self, gpu):
        gpu = self._answers(gpu, "memory")
        if gpu.total == 0:
            raise Error(self.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(free=gpu.free, total=gpu.total, used=gpu.total - gpu.free)

    def nvmlDeviceGetMigMode(self, gpu):
        if gpu.slices is None:
            raise Error(self.NVML_ERROR_NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu, index):
        if index >= len(gpu.slices):
            raise Error
        return self._answers(gpu.slices[index], "handle")

    def nvmlDeviceGetGpuInstanceId(self, piece):
        return next(place for gpu in self.gpus for place, item in enumerate(gpu.slices or ()) if item is piece) + 7

    def nvmlDeviceGetComputeInstanceId(self, piece):
        return 0

    def nvmlDeviceGetComputeRunningProcesses(self, gpu):
        gpu = self._answers(gpu, "processes")
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in gpu.processes.items()]

    def nvmlDeviceGetProcessUtilization(self, gpu, since):
        self.since.append((gpu.uuid, since))
        gpu = self._answers(gpu, "utilization")
        return [SimpleNamespace(pid=pid, smUtil=share, timeStamp=66) for pid, share in gpu.percent.items()]

    def nvmlDeviceGetUtilizationRates(self, gpu):
        return SimpleNamespace(gpu=sum(self._answers(gpu, "utilization").percent.values()))

    def _answers(self, gpu, call):
        if call in gpu.breaks:
            raise Error
        return gpu
