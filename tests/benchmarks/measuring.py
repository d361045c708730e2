"""Measurement of time, peak memory and floating-point operations on CPU and GPU."""

import math
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time of one call including its asynchronous work on the device; on a GPU the mean of several calls."""
    calls = 5 if device.type == "cuda" else 1
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        work()
    synchronize(device)
    return (time.perf_counter() - start) / calls


def reset_peak(device: torch.device) -> None:
    """Reset the peak memory; on the CPU only if Linux permits it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif (clear := Path("/proc/self/clear_refs")).exists():
        clear.write_text("5", encoding="ascii")


def peak_mb(device: torch.device) -> float:
    """Peak memory in MiB since the reset: allocated GPU memory, or resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matmul_rate(device: torch.device, precision: str) -> float:
    """Floating-point operations per second of a large square matrix product, as the peak rate of the device."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=_TYPES[precision]) for _ in range(2))
    times = [seconds(lambda: a @ b, device) for _ in range(8)]
    return 2 * size**3 / statistics.median(times[2:])


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of matrix products, convolutions and attention in one call."""
    from torch.utils.flop_counter import FlopCounterMode

    backward = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=backward) as counter:
        work()
    return counter.get_total_flops()


def _convolution_backward(
    grad_shape: list[int], _x_shape: list[int], w_shape: list[int], *rest: object, **_: object
) -> int:
    """As many as the forward pass for each required gradient; the count of torch ignores groups."""
    output_mask = rest[-1]
    assert isinstance(output_mask, list | tuple)
    forward = 2 * grad_shape[0] * math.prod(grad_shape[2:]) * math.prod(w_shape)
    return forward * sum(map(bool, output_mask[:2]))
