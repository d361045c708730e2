"""16-bit samples, as clips store them, and the amplitudes that they stand for."""

import numpy as np

FULL_SCALE = 32768
"""int16 value that stands for an amplitude of 1."""


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Amplitudes in [-1, 1) as int16, rounded; louder ones are held at the limits."""
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(waveform * FULL_SCALE), limits.min, limits.max).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Stored samples as float32 amplitudes in [-1, 1)."""
    return samples.astype(np.float32) / FULL_SCALE
