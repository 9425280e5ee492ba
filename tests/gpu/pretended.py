"""A pretended CUDA device for a process of its own: importing this changes torch for good.

Tensors on the CPU are real. Those on `cuda` are torch's FakeTensors, which have a shape, a type and a device but no
values, so that tensors of two devices that meet raise as on a GPU. What comes back from them to the CPU are made-up
numbers. It proves shapes, devices and calls; nothing about speed, values or memory.

Counted are operations dispatched on cuda tensors (one may be several kernels on a GPU, or none), the moments at which
the host waits for the device, and the copies that it does not wait for.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

torch._C._ensureCUDADeviceGuardSet()  # before anything asks for a device
torch.cuda._lazy_init = lambda: None

from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves, tree_map_only  # noqa: E402

FAKE = FakeTensorMode(allow_non_fake_inputs=True)
ROOT = str(Path(__file__).parents[2])
PACKAGE = f"{ROOT}/simclr/"
CALLERS = ("/lightning/", "/torch/optim/", "/torch/amp/")
TOTAL_MEMORY = 85_000_000_000  # bytes, of an H100
UUID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
# Larger copies from memory that is not pinned are waited for, whatever `non_blocking` says.
STAGED_BYTES = 64 * 1024
# Beside views, these give the device nothing to do.
FREE = {
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "detach",
    "alias",
    "lift_fresh",
    "set_",
    "resize_",
    "record_stream",
    "is_same_size",
    "_has_compatible_shallow_copy_type",
    "device",
    "is_pinned",
}
# What they return has a size that the host has to learn first.
SIZED_BY_VALUES = {"nonzero", "masked_select", "_unique2", "unique_consecutive", "unique_dim"}


def is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def where() -> str:
    """The innermost line that is the package's, Lightning's, or of torch's optimizers."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE) or any(part in path for part in CALLERS):
            return f"{'/'.join(path.rsplit('/', 2)[1:])}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"


def made_up(shape: Any, dtype: torch.dtype) -> Tensor:
    """Finite numbers, truths and counts of nought, in place of what a device would have computed."""
    if dtype == torch.bool:
        return torch.ones(shape, dtype=dtype)
    if dtype.is_floating_point:
        return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return torch.zeros(shape, dtype=dtype)


class Counts(TorchDispatchMode):
    """While it is entered, operations on cuda tensors are counted and run on shapes; all others run as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()  # by name
        self.lines: Counter[str] = Counter()  # the same by file and line
        self.waits: Counter[str] = Counter()  # by file, line and kind
        self.copies: Counter[str] = Counter()  # not waited for, by file and line

    def snapshot(self) -> Counts:
        copy = Counts()
        for name in ("operations", "lines", "waits", "copies"):
            setattr(copy, name, Counter(getattr(self, name)))
        return copy

    def since(self, before: Counts) -> dict[str, Any]:
        """What was counted after `before`, for JSON."""
        operations = self.operations - before.operations
        return {
            "operations": operations.total(),
            "names": dict(operations.most_common()),
            "lines": dict((self.lines - before.lines).most_common()),
            "waits": dict(self.waits - before.waits),
            "copies": dict(self.copies - before.copies),
        }

    def wait(self, kind: str) -> None:
        self.waits[f"{where()} {kind}"] += 1

    def _copy_in(self, source: Tensor, non_blocking: bool) -> None:
        if not non_blocking:
            self.wait("copy to the device")
        elif source.nbytes > STAGED_BYTES and not source.is_pinned():
            self.wait("copy to the device from memory that is not pinned")
        else:
            self.copies[where()] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        on_cuda = any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs)))
        device = kwargs.get("device")
        name = func._schema.name.partition("::")[2]
        if kwargs.get("pin_memory") and not is_cuda(device):
            return pin(func(*args, **{**kwargs, "pin_memory": False}))
        if not on_cuda and not is_cuda(device):
            return func(*args, **kwargs)
        if func.namespace == "aten" and func.has_kernel_for_dispatch_key(
            torch._C.DispatchKey.CompositeImplicitAutograd
        ):
            with self:
                found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        if name == "_local_scalar_dense":
            self.wait("value of a tensor")
            dtype = args[0].dtype
            if where().startswith("amp/"):  # which asks whether a gradient was not finite
                return 0.0
            return True if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1
        if name == "_to_copy" and on_cuda and device is not None and not is_cuda(device):
            self.wait("copy to the host")
            return made_up(args[0].shape, kwargs.get("dtype") or args[0].dtype)
        if name == "copy_":
            target, source = args[:2]
            if not isinstance(target, FakeTensor):
                self.wait("copy to the host")
                return target.copy_(made_up(source.shape, source.dtype))
            if not isinstance(source, FakeTensor) and source.numel():
                self._copy_in(source, args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        if name == "_to_copy" and not on_cuda:
            self._copy_in(args[0], kwargs.get("non_blocking", False))
            with FAKE:  # as `to` lays it out
                layout = {"memory_format": kwargs.get("memory_format") or torch.preserve_format}
                return torch.empty_like(args[0], dtype=kwargs.get("dtype"), device=device, **layout)
        if name.startswith(("index", "_index_put")) and name != "index_select" and isinstance(args[1], (list, tuple)):
            for index in (index for index in args[1] if index is not None):
                if index.dtype == torch.bool:
                    self.wait("index of truths")
                elif not isinstance(index, FakeTensor) and index.numel():
                    self.wait("index on the CPU")
            if name == "index" and any(index is not None and index.dtype == torch.bool for index in args[1]):
                return self._picked(args[0], args[1])
        if name in SIZED_BY_VALUES:
            self.wait(name)
        if not func.is_view and name not in FREE:
            self.operations[name] += 1
            self.lines[where()] += 1
        if name.startswith("_fused_sgd"):  # which torch cannot run on shapes
            return None
        with FAKE:
            return func(*args, **kwargs)

    def _picked(self, source: Tensor, indices: Any) -> Tensor:
        """What an index of truths picks: half of the rows, say."""
        self.operations["index"] += 1
        self.lines[where()] += 1
        num_dims = sum(index.ndim for index in indices if index is not None)
        with FAKE:
            return source.new_empty((max(1, len(source) // 2), *source.shape[num_dims:]))


# --- autograd ---------------------------------------------------------------------------------------------------------


def run_backward(outputs: list[Tensor], gradients: list[Tensor | None], wanted: list[Tensor] | None = None) -> Any:
    """Autograd's engine asks the driver for streams, so this walks its graph: the latest node first.

    Args:
        wanted: leaves whose gradients are returned; None: every leaf's `grad` is set.
    """
    waiting: dict[Any, dict[int, Tensor]] = {}
    queue: list[tuple[float, int, Any]] = []
    number = itertools.count()
    found: dict[int, Tensor] = {}

    def pass_on(node: Any, place: int, gradient: Tensor) -> None:
        form = node._input_metadata[place]
        if gradient.shape != form.shape:  # of a tensor that was repeated
            gradient = gradient.sum_to_size(form.shape)
        gradient = gradient.to(form.dtype)
        if node not in waiting:
            waiting[node] = {}
            is_leaf = hasattr(node, "variable")
            heapq.heappush(queue, (float("inf") if is_leaf else -node._sequence_nr(), next(number), node))
        before = waiting[node].get(place)
        waiting[node][place] = gradient if before is None else before + gradient

    with torch.no_grad():
        for output, gradient in zip(outputs, gradients, strict=True):
            pass_on(output.grad_fn, output.output_nr, torch.ones_like(output) if gradient is None else gradient)
        while queue:
            node = heapq.heappop(queue)[2]
            given = waiting.pop(node)
            if hasattr(node, "variable"):
                leaf = node.variable
                if wanted is None:
                    leaf.grad = given[0].detach() if leaf.grad is None else leaf.grad + given[0]
                found[id(leaf)] = given[0]
                continue
            in_python = isinstance(node, torch.autograd.function.BackwardCFunction)
            got = (node.apply if in_python else node)(*(given.get(n) for n in range(len(node._input_metadata))))
            got, edges = got if isinstance(got, tuple) else (got,), node.next_functions
            if in_python:  # one for each argument, tensors or not
                got = [gradient for gradient, needed in zip(got, node.needs_input_grad, strict=True) if needed]
                edges = [edge for edge in edges if edge[0] is not None]
            for (following, place), gradient in zip(edges, got, strict=True):
                if following is not None and gradient is not None:
                    pass_on(following, place, gradient)
    return tuple(found[id(leaf)] for leaf in wanted) if wanted is not None else None


def _pretend_autograd() -> None:
    backward, grad = Tensor.backward, torch.autograd.grad

    def tensor_backward(self: Tensor, gradient: Tensor | None = None, *args: Any, **options: Any) -> None:
        if not isinstance(self, FakeTensor):
            return backward(self, gradient, *args, **options)
        return run_backward([self], [gradient])

    def autograd_grad(outputs: Any, inputs: Any, grad_outputs: Any = None, *args: Any, **options: Any) -> Any:
        lists = [list(item) if isinstance(item, (tuple, list)) else [item] for item in (outputs, inputs, grad_outputs)]
        if not isinstance(lists[0][0], FakeTensor):
            return grad(outputs, inputs, grad_outputs, *args, **options)
        return run_backward(lists[0], lists[2], lists[1])

    Tensor.backward, torch.autograd.grad = tensor_backward, autograd_grad  # type: ignore[method-assign,assignment]


# --- the machine ------------------------------------------------------------------------------------------------------

_counts: Counts | None = None  # being entered
_pinned: set[int] = set()  # addresses


def pin(tensor: Tensor, device: Any = None) -> Tensor:
    copy = tensor.clone()
    _pinned.add(copy.untyped_storage().data_ptr())
    return copy


def _wait_for_all(*_: Any) -> None:
    if _counts is not None:
        _counts.wait("synchronize")


class Stream:
    """A CUDA stream or event, which has nothing to do."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.device, self.cuda_stream = torch.device("cuda", 0), 0

    def record_event(self, event: Any = None) -> Any:
        return event or Stream()

    def record(self, stream: Any = None) -> None: ...
    def wait(self, stream: Any = None) -> None: ...
    def wait_stream(self, stream: Any) -> None: ...
    def wait_event(self, event: Any) -> None: ...

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        _wait_for_all()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: Any) -> None: ...


def _pretend_driver() -> None:
    properties = types.SimpleNamespace(
        name="NVIDIA H100 80GB HBM3", total_memory=TOTAL_MEMORY, uuid=UUID, major=9, minor=0, multi_processor_count=132
    )
    stream = Stream()
    answers: dict[str, Any] = {
        "is_available": True,
        "is_initialized": False,
        "device_count": 1,
        "current_device": 0,
        "set_device": None,
        "get_device_name": properties.name,
        "get_device_capability": (9, 0),
        "get_device_properties": properties,
        "is_bf16_supported": True,
        "mem_get_info": (TOTAL_MEMORY - 10**9, TOTAL_MEMORY),
        "empty_cache": None,
        "reset_peak_memory_stats": None,
        "max_memory_reserved": 10**9,
        "max_memory_allocated": 10**9,
        "memory_allocated": 10**8,
        "memory_reserved": 10**8,
        "manual_seed": None,
        "manual_seed_all": None,
        "get_rng_state_all": [],
        "set_rng_state": None,
        "set_rng_state_all": None,
        "current_stream": stream,
        "default_stream": stream,
        "can_device_access_peer": True,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    torch.cuda.get_rng_state = lambda *_: torch.get_rng_state()
    torch.cuda.synchronize = _wait_for_all
    torch.cuda.Stream = torch.cuda.Event = Stream  # type: ignore[misc,assignment]
    torch.cuda.stream = lambda stream: contextlib.nullcontext()  # type: ignore[assignment]
    torch.accelerator.is_available = lambda: True
    torch.accelerator.current_accelerator = lambda *_, **__: torch.device("cuda")
    torch.accelerator.set_device_index = lambda *_: None

    class Memory:
        free, total, used = TOTAL_MEMORY - 10**9, TOTAL_MEMORY, 10**9

    library = types.ModuleType("pynvml")
    library.NVMLError = RuntimeError  # type: ignore[attr-defined]
    told = {
        "nvmlInit": None,
        "nvmlDeviceGetCount": 1,
        "nvmlDeviceGetHandleByIndex": 0,
        "nvmlDeviceGetUUID": f"GPU-{UUID}",
        "nvmlDeviceGetMemoryInfo": Memory,
        "nvmlDeviceGetName": properties.name,
        "nvmlDeviceGetComputeRunningProcesses": [],
        "nvmlDeviceGetProcessUtilization": [],
    }
    for name, answer in told.items():
        setattr(library, name, lambda *_, answer=answer: answer)
    sys.modules["pynvml"] = library


def _pretend_tensors() -> None:
    """What torch does past its dispatcher, or refuses to do with FakeTensors."""

    def apply(self: torch.nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> torch.nn.Module:
        for child in self.children() if recurse else ():
            child._apply(function)
        for name, parameter in self._parameters.items():
            if parameter is not None:
                with torch.no_grad():
                    moved = function(parameter)
                if moved is not parameter:  # torch gives the old one new content, which a FakeTensor cannot be
                    self._parameters[name] = torch.nn.Parameter(moved.detach(), parameter.requires_grad)
        self._buffers.update({k: b if b is None else function(b) for k, b in self._buffers.items()})
        return self

    torch.nn.Module._apply = apply  # type: ignore[method-assign,assignment]
    Tensor.pin_memory = pin  # type: ignore[method-assign,assignment]
    Tensor.is_pinned = (  # type: ignore[method-assign]
        lambda self, *_: not isinstance(self, FakeTensor) and self.untyped_storage().data_ptr() in _pinned
    )
    FakeTensor.tolist = lambda self: self.cpu().tolist()  # type: ignore[method-assign,assignment]

    def by_way_of_the_cpu(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def made(data: Any, *args: Any, device: Any = None, **options: Any) -> Tensor:
            if is_cuda(device) and not isinstance(data, FakeTensor):
                return make(data, *args, **options).to(device)
            return make(data, *args, device=device, **options)

        return made

    torch.tensor, torch.as_tensor = by_way_of_the_cpu(torch.tensor), by_way_of_the_cpu(torch.as_tensor)
    save, load = torch.save, torch.load

    def on_the_host(content: Any) -> Any:
        return tree_map_only(FakeTensor, lambda tensor: tensor.cpu(), content)

    def load_to(path: Any, map_location: Any = None, **options: Any) -> Any:
        on_device = isinstance(map_location, (str, torch.device)) and is_cuda(map_location)
        content = load(path, map_location="cpu" if on_device else map_location, **options)
        return tree_map_only(Tensor, lambda tensor: tensor.to(map_location), content) if on_device else content

    torch.save = lambda content, *args, **options: save(on_the_host(content), *args, **options)
    torch.load = load_to


_pretend_driver()
_pretend_tensors()
_pretend_autograd()


@contextlib.contextmanager
def counting() -> Iterator[Counts]:
    """Counts what is done within."""
    global _counts
    with Counts() as found:
        _counts = found
        try:
            yield found
        finally:
            _counts = None


def count(function: Callable[[], Any]) -> dict[str, Any]:
    """What one call of a function dispatches: `operations`, by `names` and `lines`, `waits` and `copies`."""
    with counting() as found:
        before = found.snapshot()
        function()
        return found.since(before)
