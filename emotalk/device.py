"""Device of a process, its precision, and free memory."""

import logging
from pathlib import Path

import torch

from emotalk.errors import TrainingError
from emotalk.parallel import usable_cores

_LOG = logging.getLogger(__name__)
_DRIVER = Path("/dev/nvidiactl")
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(gpus: int, threads: int, local_rank: int = 0) -> torch.device:
    """Choose a GPU if one is requested and available, else the CPU with at most `threads` threads.

    More threads than available cores would slow the process down.

    Parameters
    ----------
    local_rank
        Index of this process on its machine; each process uses its own GPU.
    """
    torch.set_num_threads(max(1, min(threads, usable_cores())))
    if gpus > 0 and torch.cuda.is_available():
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        return device
    if gpus > 0 and _DRIVER.exists():
        _LOG.warning(
            "This machine has a GPU, but torch cannot use it; the CPU is used instead. `python -c 'import torch; "
            "torch.cuda.init()'` shows the reason. Most often the driver is too old for torch's CUDA version (%s).",
            torch.version.cuda,
        )
    return torch.device("cpu")


def device_from_name(name: str) -> torch.device:
    """Return the device `auto` (a GPU if one is available), `cpu`, `cuda` or `cuda:<index>`.

    Raises
    ------
    TrainingError
        If there is no such GPU, or torch cannot use it.
    """
    if not name.startswith("cuda"):
        return choose_device(int(name == "auto"), usable_cores())
    count, index = torch.cuda.device_count(), int(name.partition(":")[2] or 0)
    if index >= count:
        raise TrainingError(f"--device {name}: torch can use {count} GPUs on this machine. Use auto or cpu.")
    return choose_device(1, usable_cores(), index)


def configure_kernels(device: torch.device) -> None:
    """Enable TF32 for fp32 matrix products on a GPU, and disable cuDNN attention.

    cuDNN builds its attention kernels for each new shape, and in training nearly every batch has a new shape. On an
    H200 this takes 0.5 to 8 s for each of the first hundred batches.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cuda.enable_cudnn_sdp(False)


def available_memory_bytes(device: torch.device | None = None) -> float:
    """Return the free bytes of a device, by default of the host; infinity if the system does not report them."""
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float("inf")


def choose_precision(requested: str, device: torch.device) -> str:
    """Choose the compute precision: "fp32", "bf16" or "fp16"; parameters, optimizer and losses stay in fp32.

    "auto" is bf16 on GPUs with native bf16, fp16 on older GPUs, and fp32 on every CPU, so that CPU runs on
    the same number of cores of one type have the same bits.

    Raises
    ------
    TrainingError
        If bf16 is requested and the GPU does not support it.
    """
    has_bf16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if requested == "bf16" and not has_bf16:
        raise TrainingError(
            f"{torch.cuda.get_device_name(device)} does not support bf16. Set train.precision to fp16 or auto."
        )
    if requested != "auto":
        return requested
    if device.type != "cuda":
        return "fp32"
    return "bf16" if has_bf16 else "fp16"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a context in which matrix products are computed in a precision."""
    return torch.autocast(device.type, dtype=_TYPES[precision], enabled=precision != "fp32")
