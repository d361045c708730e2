"""Sequences of unlike length in one batch: normalising, padding, moving.

Padding changes nothing: each clip is normalised and resampled alone, and padded after.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


def normalise(waveform: np.ndarray) -> np.ndarray:
    """Waveform (N,) float32 with mean 0 and variance 1, as the processors of both pretrained encoders do it.

    The variance is the biased one, and 1e-7 keeps digital silence finite.
    """
    return (waveform - waveform.mean()) / np.sqrt(waveform.var() + np.float32(1e-7))


def pad_batch(sequences: Sequence[np.ndarray]) -> Tensor:
    """Sequences (T_i, …) float32 as one batch (B, max T, …), zeros behind the shorter ones.

    By numpy, which starts no threads: torch's would wait for those that compute.
    """
    longest = max(map(len, sequences))
    batch = np.zeros((len(sequences), longest, *sequences[0].shape[1:]), np.float32)
    for row, sequence in zip(batch, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(batch)


def speech_batch(waveforms: Sequence[np.ndarray]) -> Tensor:
    """Waveforms (N_i,) float32 as the network takes them: (B, max N), each normalised alone."""
    return pad_batch([normalise(waveform) for waveform in waveforms])


def frame_mask(num_frames: Sequence[int]) -> Tensor:
    """Mask (B, max T), True where a sequence has a frame."""
    return torch.arange(max(num_frames)) < torch.tensor(num_frames)[:, None]


def map_tensors(value: T, function: Callable[[Tensor], Tensor]) -> T:
    """Copy of a dataclass, and of the dataclasses in it, with every tensor replaced by what `function` makes of it.

    A tensor that stands in several fields of a dataclass stays one.
    """
    changed: dict[str, Any] = {}
    made: dict[int, Tensor] = {}
    for field in fields(value):  # type: ignore[arg-type]
        part = getattr(value, field.name)
        if isinstance(part, Tensor):
            if id(part) not in made:
                made[id(part)] = function(part)
            changed[field.name] = made[id(part)]
        elif is_dataclass(part):
            changed[field.name] = map_tensors(part, function)
    return replace(value, **changed)  # type: ignore[type-var]
