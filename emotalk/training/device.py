"""The device that a process computes on, and the memory that is free."""

import logging
import os
from pathlib import Path

import torch

_LOG = logging.getLogger(__name__)
_DRIVER = Path("/dev/nvidiactl")


def choose_device(gpus: int, threads: int, local_rank: int = 0) -> torch.device:
    """A GPU where one is granted and present, else the CPU with at most `threads` threads.

    More threads than the process may use only wait for each other.

    Parameters
    ----------
    local_rank
        Number of this process on its machine; each computes on a GPU of its own.
    """
    torch.set_num_threads(max(1, min(threads, usable_cores())))
    if gpus > 0 and torch.cuda.is_available():
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        return device
    if gpus > 0 and _DRIVER.exists():
        _LOG.warning(
            "There is a GPU here, and torch cannot use it: the CPU computes. `python -c 'import torch; "
            "torch.cuda.init()'` tells why; most often the driver is older than torch's CUDA (%s) needs.",
            torch.version.cuda,
        )
    return torch.device("cpu")


def choose_kernels(device: torch.device) -> None:
    """Let a GPU compute in TF32 what stays in fp32, and attend by kernels that are there already.

    cuDNN's are built anew for each shape, and in training nearly every batch has another: half a second to eight for
    each of the first hundred, on an H200.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cuda.enable_cudnn_sdp(False)


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(device: torch.device | None = None) -> float:
    """Bytes free on a device, by default on the host; infinite where the system does not tell."""
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float("inf")
