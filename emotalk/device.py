"""The device that a process computes on, its precision, and the memory that is free."""

import logging
from pathlib import Path

import torch

from emotalk.errors import TrainingError
from emotalk.parallel import usable_cores

_LOG = logging.getLogger(__name__)
_DRIVER = Path("/dev/nvidiactl")
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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


def free_memory(device: torch.device | None = None) -> float:
    """Bytes free on a device, by default on the host; infinite where the system does not tell."""
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float("inf")


def choose_precision(wanted: str, device: torch.device) -> str:
    """Precision to compute with: "fp32", "bf16" or "fp16"; parameters, optimizer and losses stay in fp32.

    "auto" takes bf16 where the GPU computes it itself, fp16 on older GPUs, and fp32 on the CPU, so that runs on the
    CPU end with equal bits wherever they run.

    Raises
    ------
    TrainingError
        If bf16 is asked of a GPU that has it not.
    """
    has_bf16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "bf16" and not has_bf16:
        raise TrainingError(
            f"{torch.cuda.get_device_name(device)} has no bf16. Set train.precision to fp16, or leave it at auto."
        )
    if wanted != "auto":
        return wanted
    if device.type != "cuda":
        return "fp32"
    return "bf16" if has_bf16 else "fp16"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which matrix products are computed in a precision."""
    return torch.autocast(device.type, dtype=_TYPES[precision], enabled=precision != "fp32")
