"""Conversion between 16-bit samples, as stored in clips, and amplitudes."""

import numpy as np

FULL_SCALE = 32768
"""int16 value of an amplitude of 1."""


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Convert amplitudes in [-1, 1) to int16, rounded; larger values are clipped."""
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(waveform * FULL_SCALE), limits.min, limits.max).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Convert stored samples to float32 amplitudes in [-1, 1)."""
    return samples.astype(np.float32) / FULL_SCALE
