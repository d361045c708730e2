"""Numbers that a step computes with; parameters, optimizer and losses stay in fp32 whatever is chosen."""

import torch

from emotalk.errors import TrainingError

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(wanted: str, device: torch.device) -> str:
    """Precision to compute with: "fp32", "bf16" or "fp16".

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
