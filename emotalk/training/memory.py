"""What a run needs of memory and disk, logged and checked before its first step.

docs/performance.md has the same sizes, and what each setting saves.
"""

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch.nn import ModuleList, Parameter

from emotalk.data.manifest import Example
from emotalk.device import free_memory
from emotalk.errors import TrainingError
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.network import EmoTalk
from emotalk.timing import FPS, SAMPLING_RATE
from emotalk.training.settings import RunSettings

_LOG = logging.getLogger(__name__)
_FP32 = 4
_MOMENT_BYTES = {"fp32": 2 * _FP32, "8bit": 2}
"""Adam's two moments, for each parameter."""


class Workload(NamedTuple):
    """Frames in a batch: encoded by the content and by the emotion encoder, and of its longest reconstruction."""

    content: int
    emotion: int
    longest: int


class Memory(NamedTuple):
    """Bytes that training holds, without what an allocator wastes."""

    parameters: int
    gradients: int
    moments: int
    average: int
    activations: int
    """Kept from the forward of the largest batch for its backward, 16-bit copies of the weights among them."""
    holds_both: bool
    """Whether gradients are held beside all activations: those of the batch before, if they accumulate; on the CPU
    always, whose heap does not give freed activations to gradients (measured)."""

    @property
    def peak(self) -> int:
        """Most that is held at once; a backward frees activations as it makes gradients."""
        changing = (self.gradients, self.activations)
        return self.checkpoint + (sum(changing) if self.holds_both else max(changing))

    @property
    def checkpoint(self) -> int:
        """Bytes of a checkpoint on disk."""
        return self.parameters + self.moments + self.average


def largest_workload(batches: Iterable[Sequence[Example]]) -> Workload:
    """Workload of the largest of some batches.

    Content is encoded once for each distinct length of a clip (a random pair has its first clip at one length twice),
    emotion once for each clip.
    """
    clips = {"self": 1.0, "cross": 2 / 3, "random": 2 / 3}
    views = clips | {"cross": 1.0}
    return max(
        Workload(
            content=round(sum(example["num_frames"] * views[example["kind"]] for example in batch)),
            emotion=round(sum(example["num_frames"] * clips[example["kind"]] for example in batch)),
            longest=max(example["num_frames"] // (1 if example["kind"] == "self" else 3) for example in batch),
        )
        for batch in batches
    )


def estimate_memory(network: EmoTalk, settings: RunSettings, precision: str, workload: Workload) -> Memory:
    """Estimate what training holds."""
    trainable = network.trainable_parameters()
    on_cpu = network.bs_map_r.weight.device.type == "cpu"
    kept = sum(
        num_frames * _activations(config, layers, settings, precision, workload.longest if on_cpu else 0)
        for layers, config, num_frames in zip(
            network.layers, network.encoder_configs.values(), (workload.content, workload.emotion), strict=True
        )
    )
    copies = 0 if precision == "fp32" else _count(trainable) * _FP32 // 2
    waves = 0 if settings.cache_features else workload.emotion * _convolutional(network.encoder_configs["content"])
    return Memory(
        parameters=_FP32 * _count(list(network.parameters())),
        gradients=_FP32 * _count(trainable),
        moments=_MOMENT_BYTES[settings.optimizer_state] * _count(trainable),
        average=0 if settings.ema_decay is None else _FP32 * _count(trainable),
        activations=max(kept + copies, waves),
        holds_both=settings.accumulate > 1 or on_cpu,
    )


def _count(parameters: Sequence[Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _convolutional(config: EncoderConfig) -> int:
    """Bytes per frame that the first convolution holds for a moment: its output, normalised and activated."""
    return round(3 * _FP32 * config.conv_dim[0] * SAMPLING_RATE / FPS / config.conv_stride[0])


def _activations(
    config: EncoderConfig, layers: ModuleList, settings: RunSettings, precision: str, num_keys: int
) -> int:
    """Bytes per frame that an encoder's layers keep for backward.

    A layer that trains keeps 10 tensors of the hidden size and 3 of the feed-forward size; in mixed precision 7 of the
    former are fp32 still (counted with `saved_tensors_hooks`, as the tests do). On the CPU attention with dropout keeps
    three maps besides, `num_keys` values per head and frame. With gradient checkpointing each layer keeps its input,
    and one at a time all the rest.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    layer = 4 * (10 * hidden + 3 * inner) if precision == "fp32" else 2 * (17 * hidden + 3 * inner)
    layer += 3 * _FP32 * config.num_attention_heads * num_keys
    count = sum(any(parameter.requires_grad for parameter in each.parameters()) for each in layers)
    if settings.gradient_checkpointing:
        return _FP32 * hidden * count + layer * min(count, 1)
    return layer * count


def check_memory_and_disk(
    network: EmoTalk,
    settings: RunSettings,
    precision: str,
    batches: Iterable[Sequence[Example]],
    folder: Path,
) -> None:
    """Log in one line what the run needs and what there is.

    Parameters
    ----------
    network
        On its device already.
    batches
        Of the first epoch.
    folder
        Where checkpoints go.

    Raises
    ------
    TrainingError
        If memory or disk cannot be enough.
    """
    device = network.bs_map_r.weight.device
    workload = largest_workload(batches)
    need = estimate_memory(network, settings, precision, workload)
    memory, disk = free_memory(device), shutil.disk_usage(folder).free
    num_checkpoints = settings.keep_last + settings.num_best + 1  # A new one is complete before an old one is removed.
    present = sum(path.stat().st_size for path in folder.glob("*.pth"))
    _LOG.info(
        "Memory: about %s at once (parameters %s, Adam %s, gradients %s %s %s of activations for a batch of %d "
        "frames); free besides the parameters: %s. Disk: %d checkpoints of %s; free: %s.",
        *map(_size, (need.peak, need.parameters, need.moments, need.gradients)),
        "and" if need.holds_both else "or",
        _size(need.activations),
        workload.content,
        _size(memory),
        num_checkpoints,
        *map(_size, (need.checkpoint, disk)),
    )
    if need.peak - need.parameters > memory:
        raise TrainingError(
            f"Training needs about {_size(need.peak - need.parameters)} more memory on {device}, and "
            f"{_size(memory)} are free. Lower train.batch_size (train.accumulate keeps the examples per step) or "
            "set train.max_frames_per_batch; then train.gradient_checkpointing, train.optimizer_state: 8bit, "
            "train.freeze, in this order. docs/performance.md says what each saves."
        )
    if num_checkpoints * need.checkpoint > disk + present:
        raise TrainingError(
            f"{folder} has {_size(disk)} free, but {num_checkpoints} checkpoints of {_size(need.checkpoint)} must "
            "fit: a new one is complete before an old one is removed. Make room, lower train.keep_last or "
            "train.keep_best, or set 'results' to another disk."
        )


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"
