"""Estimate of the memory and disk space of a run, logged and checked before the first step.

docs/performance.md lists the estimates for several settings.
"""

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch.nn import ModuleList, Parameter

from emotalk.data.manifest import Example
from emotalk.device import available_memory_bytes
from emotalk.errors import TrainingError
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.network import EmoTalk
from emotalk.timing import FPS, SAMPLING_RATE
from emotalk.training.batches import NUM_RECONSTRUCTIONS
from emotalk.training.settings import RunSettings

_LOG = logging.getLogger(__name__)
_FP32 = 4
_MOMENT_BYTES = {"fp32": 2 * _FP32, "8bit": 2}
"""Bytes per parameter of Adam's two moments."""


class Workload(NamedTuple):
    """Frames of a batch: in the content encoder, in the emotion encoder, and of the longest reconstruction."""

    content: int
    emotion: int
    longest: int


class MemoryEstimate(NamedTuple):
    """Memory of training in bytes, without allocator overhead."""

    parameters: int
    gradients: int
    moments: int
    average: int
    activations: int
    """Saved for the backward pass of the largest batch, including 16-bit copies of the weights."""
    holds_gradients_and_activations: bool
    """Whether gradients and all activations are in memory at the same time: with gradient accumulation, and always on
    the CPU, where gradients do not reuse the memory of freed activations (measured)."""

    @property
    def peak(self) -> int:
        """Peak memory; without accumulation, a backward pass frees activations while it allocates gradients."""
        varying = (self.gradients, self.activations)
        return self.checkpoint + (sum(varying) if self.holds_gradients_and_activations else max(varying))

    @property
    def checkpoint(self) -> int:
        """Bytes of a checkpoint on disk."""
        return self.parameters + self.moments + self.average


def largest_workload(batches: Iterable[Sequence[Example]]) -> Workload:
    """Workload of the largest batch.

    Content is encoded once per distinct pair of clip and length (a random pair uses its first clip twice at the same
    length), emotion once per clip.
    """
    emotion_shares = {"self": 1.0, "cross": 2 / 3, "random": 2 / 3}
    content_shares = emotion_shares | {"cross": 1.0}
    return max(
        Workload(
            content=round(sum(example["num_frames"] * content_shares[example["kind"]] for example in batch)),
            emotion=round(sum(example["num_frames"] * emotion_shares[example["kind"]] for example in batch)),
            longest=max(example["num_frames"] // NUM_RECONSTRUCTIONS[example["kind"]] for example in batch),
        )
        for batch in batches
    )


def estimate_memory(network: EmoTalk, settings: RunSettings, precision: str, workload: Workload) -> MemoryEstimate:
    """Estimate the memory of training."""
    trainable = list(network.trainable_parameters().values())
    on_cpu = network.bs_map_r.weight.device.type == "cpu"
    layer_bytes = sum(
        num_frames * _layer_bytes_per_frame(config, layers, settings, precision, workload.longest if on_cpu else 0)
        for layers, config, num_frames in zip(
            network.layers, network.encoder_configs.values(), (workload.content, workload.emotion), strict=True
        )
    )
    weight_copies = 0 if precision == "fp32" else _count(trainable) * _FP32 // 2
    conv_bytes = 0
    if not settings.cache_features:
        conv_bytes = workload.emotion * _conv_bytes_per_frame(network.encoder_configs["content"])
    return MemoryEstimate(
        parameters=_FP32 * _count(list(network.parameters())),
        gradients=_FP32 * _count(trainable),
        moments=_MOMENT_BYTES[settings.optimizer_state] * _count(trainable),
        average=0 if settings.ema_decay is None else _FP32 * _count(trainable),
        activations=max(layer_bytes + weight_copies, conv_bytes),
        holds_gradients_and_activations=settings.accumulate > 1 or on_cpu,
    )


def _count(parameters: Sequence[Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _conv_bytes_per_frame(config: EncoderConfig) -> int:
    """Temporary memory per frame of the first convolution: its output, normalised output and activations."""
    return round(3 * _FP32 * config.conv_dim[0] * SAMPLING_RATE / FPS / config.conv_stride[0])


def _layer_bytes_per_frame(
    config: EncoderConfig, layers: ModuleList, settings: RunSettings, precision: str, num_keys: int
) -> int:
    """Memory per frame that the transformer layers of an encoder save for the backward pass.

    A trainable layer saves 10 tensors of the hidden size and 3 of the feed-forward size; in mixed precision 7 of the
    former are fp32 (counted with `saved_tensors_hooks`, see the tests). On the CPU, attention with dropout also saves
    three attention maps with `num_keys` values per head and frame. With gradient checkpointing each layer saves its
    input, and only one layer at a time saves the other tensors.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    layer = 4 * (10 * hidden + 3 * inner) if precision == "fp32" else 2 * (17 * hidden + 3 * inner)
    layer += 3 * _FP32 * config.num_attention_heads * num_keys
    count = sum(any(parameter.requires_grad for parameter in block.parameters()) for block in layers)
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
    """Log the required and the free memory and disk space in one line, and check them.

    Parameters
    ----------
    network
        Network on its device.
    batches
        Batches of the first epoch.
    folder
        Folder of the checkpoints.

    Raises
    ------
    TrainingError
        If memory or disk space is too small.
    """
    device = network.bs_map_r.weight.device
    workload = largest_workload(batches)
    need = estimate_memory(network, settings, precision, workload)
    memory, disk = available_memory_bytes(device), shutil.disk_usage(folder).free
    num_checkpoints = settings.keep_last + settings.num_best + 1  # A new one is written before an old one is deleted.
    existing = sum(path.stat().st_size for path in folder.glob("*.pth"))
    _LOG.info(
        "Memory: peak about %s (parameters %s, Adam %s, gradients %s %s activations %s for a batch of %d frames); free "
        "in addition to the parameters: %s. Disk: %d checkpoints of %s; free: %s.",
        *map(_format_bytes, (need.peak, need.parameters, need.moments, need.gradients)),
        "and" if need.holds_gradients_and_activations else "or",
        _format_bytes(need.activations),
        workload.content,
        _format_bytes(memory),
        num_checkpoints,
        *map(_format_bytes, (need.checkpoint, disk)),
    )
    if need.peak - need.parameters > memory:
        raise TrainingError(
            f"Training needs about {_format_bytes(need.peak - need.parameters)} more memory on {device}, but only "
            f"{_format_bytes(memory)} are free. Lower train.batch_size (increase train.accumulate to keep the "
            "examples per step) or set train.max_frames_per_batch; if this is not enough, set "
            "train.gradient_checkpointing, train.optimizer_state: 8bit, train.freeze, in this order. "
            "docs/performance.md lists the savings."
        )
    if num_checkpoints * need.checkpoint > disk + existing:
        raise TrainingError(
            f"{folder} has {_format_bytes(disk)} of free disk space, but {num_checkpoints} checkpoints of "
            f"{_format_bytes(need.checkpoint)} must fit, as a new one is written before an old one is deleted. Free "
            "disk space, lower train.keep_last or train.keep_best, or set 'results' to a folder on another disk."
        )


def _format_bytes(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"
