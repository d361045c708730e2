"""Sequences of unlike length in one batch: normalising, resampling in time, padding.

Padding changes nothing: each clip is normalised and resampled alone, and padded after.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.nn.utils.rnn import pad_sequence


def normalise(waveform: Tensor) -> Tensor:
    """Waveform (N,) with mean 0 and variance 1, as the processors of both pretrained encoders do it.

    The variance is the biased one, and 1e-7 keeps digital silence finite.
    """
    return (waveform - waveform.mean()) / torch.sqrt(waveform.var(correction=0) + 1e-7)


def resample_frames(features: Tensor, num_frames: int) -> Tensor:
    """Features (L, C) stretched or shrunk to (num_frames, C) by linear interpolation whose ends coincide."""
    if len(features) == num_frames:
        return features
    return interpolate(features.T[None], size=num_frames, mode="linear", align_corners=True)[0].T


def pad_batch(sequences: Sequence[Tensor]) -> Tensor:
    """Sequences (T_i, …) as one batch (B, max T, …), zeros behind the shorter ones."""
    return pad_sequence(list(sequences), batch_first=True)


def frame_mask(num_frames: Sequence[int], device: torch.device) -> Tensor:
    """Mask (B, max T), True where a sequence has a frame."""
    lengths = torch.tensor(num_frames, device=device)
    return torch.arange(max(num_frames), device=device) < lengths[:, None]
