"""Batches of sequences of different lengths: normalization, padding, and copies to a device.

Padding does not affect results, because each clip is normalized and resampled alone, and padded afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


def normalize(waveform: np.ndarray) -> np.ndarray:
    """Normalize a waveform (N,) float32 to mean 0 and variance 1, as the processors of both pretrained encoders.

    The variance is biased; adding 1e-7 to it avoids a division by zero for digital silence.
    """
    return (waveform - waveform.mean()) / np.sqrt(waveform.var() + np.float32(1e-7))


def pad_batch(sequences: Sequence[np.ndarray]) -> Tensor:
    """Stack sequences (T_i, …) float32 to one batch (B, max T, …), padded with zeros at the end.

    numpy is used because it starts no threads; threads of torch would compete with the training step.
    """
    longest = max(map(len, sequences))
    batch = np.zeros((len(sequences), longest, *sequences[0].shape[1:]), np.float32)
    for row, sequence in zip(batch, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(batch)


def speech_batch(waveforms: Sequence[np.ndarray]) -> Tensor:
    """Normalize each waveform (N_i,) float32 and stack them to the input of the network, (B, max N)."""
    return pad_batch([normalize(waveform) for waveform in waveforms])


def frame_mask(num_frames: Sequence[int]) -> Tensor:
    """Return a mask (B, max T), True for valid frames and False for padding."""
    return torch.arange(max(num_frames)) < torch.tensor(num_frames)[:, None]


def map_tensors(value: T, function: Callable[[Tensor], Tensor]) -> T:
    """Copy a dataclass, including nested dataclasses, with `function` applied to every tensor.

    A tensor in several fields of one dataclass is mapped once, and the result is shared.
    """
    changed: dict[str, Any] = {}
    mapped: dict[int, Tensor] = {}
    for field in fields(value):  # type: ignore[arg-type]
        part = getattr(value, field.name)
        if isinstance(part, Tensor):
            if id(part) not in mapped:
                mapped[id(part)] = function(part)
            changed[field.name] = mapped[id(part)]
        elif is_dataclass(part):
            changed[field.name] = map_tensors(part, function)
    return replace(value, **changed)  # type: ignore[type-var]
