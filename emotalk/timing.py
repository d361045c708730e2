"""Conversions between seconds, audio samples and motion frames.

Audio is 16 kHz and motion 30 fps, so that a frame has 533 1/3 samples. Clips are cut only at multiples of three frames,
which are at a whole sample.
"""

from fractions import Fraction

import numpy as np

SAMPLING_RATE = 16_000
FPS = 30
EXACT_FRAMES = 3
"""Multiples of this number of frames are at a whole sample (3 frames = 1,600 samples)."""


def frame_to_sample(frame: int) -> int:
    """Return the first sample of `frame`, rounded down (exact for multiples of three frames)."""
    return frame * SAMPLING_RATE // FPS


def frames_in(num_samples: int, sampling_rate: int = SAMPLING_RATE) -> int:
    """Return the number of motion frames that audio covers completely (rounded down)."""
    return num_samples * FPS // sampling_rate


def frames_to_predict(num_samples: int) -> int:
    """Return the number of frames that the released network predicts for 16 kHz audio (rounded up)."""
    return -(-num_samples * FPS // SAMPLING_RATE)


def resample(track: np.ndarray, rate: float, target_rate: float) -> np.ndarray:
    """Resample motion from `rate` to `target_rate` frames per second with a linear-phase low-pass against aliasing.

    Parameters
    ----------
    track : (T, C) float32

    Returns
    -------
    (ceil(T target_rate / rate), C) float32
        Frame i is i / `target_rate` seconds after the first frame.
    """
    from scipy.signal import resample_poly  # Slow import.

    ratio = Fraction(target_rate / rate).limit_denominator(1000)
    return resample_poly(track, ratio.numerator, ratio.denominator, axis=0, padtype="edge").astype(np.float32)
