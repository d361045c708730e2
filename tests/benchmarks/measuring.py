"""Measuring: seconds, peak memory and floating-point operations on either kind of device."""

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time of one call, with all that it leaves the device to do."""
    synchronise(device)
    start = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start


def reset_peak(device: torch.device) -> None:
    """Forget the peak so far; on the CPU where Linux lets us."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif (clear := Path("/proc/self/clear_refs")).exists():
        clear.write_text("5", encoding="ascii")


def peak_mb(device: torch.device) -> float:
    """Most memory held since the reset: allocated on the GPU, or resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matmul_rate(device: torch.device, precision: str) -> float:
    """Floating-point operations a second of a large square matrix product: what the device gives at best."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=_TYPES[precision]) for _ in range(2))
    times = [seconds(lambda: a @ b, device) for _ in range(8)]
    return 2 * size**3 / statistics.median(times[2:])


def operations(work: Callable[[], object], *, is_counted: bool) -> int:
    """Floating-point operations of matrix products, convolutions and attention in one call; 0 where not counted."""
    from torch.utils.flop_counter import FlopCounterMode

    if not is_counted:
        work()
        return 0
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
