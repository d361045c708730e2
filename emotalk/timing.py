"""Conversions between seconds, audio samples and motion frames.

Audio is 16 kHz and motion 30 fps, so that a frame has 533 1/3 samples. Clips are cut only at multiples of three frames,
which are at a whole sample.
"""

from fractions import Fraction

import numpy as np

SAMPLING_RATE = 16_000
FPS = 30
MAX_FRAME_RATE = 240
_BROADCAST_RATES = tuple(Fraction(1000 * rate, 1001) for rate in (24, 30, 60))
_SAME_RATE = 2e-4
"""Smaller relative differences of frame rates are rounding errors; 29.97 and 30 differ by 1e-3."""
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


def as_frame_rate(rate: float | str | Fraction) -> Fraction:
    """Convert a frame rate to a fraction; 23.976, 29.97 and 59.94 become 24000/1001, 30000/1001 and 60000/1001.

    Raises
    ------
    ValueError
        If it is not a number above 0 and of at most `MAX_FRAME_RATE`.
    """
    try:
        fraction = Fraction(rate)
    except (ValueError, ZeroDivisionError, OverflowError):
        fraction = Fraction(0)
    if not 0 < fraction <= MAX_FRAME_RATE:
        raise ValueError(f"{rate} is not a number of frames per second above 0 and up to {MAX_FRAME_RATE}")
    return _broadcast_rate(fraction) or fraction.limit_denominator(1001)


def nearest_frame_rate(rate: float) -> Fraction:
    """Return the nearest usual frame rate: 23.976, 29.97, 59.94 or a whole number."""
    return _broadcast_rate(rate) or Fraction(round(rate))


def _broadcast_rate(rate: float | Fraction) -> Fraction | None:
    return next((usual for usual in _BROADCAST_RATES if abs(float(rate / usual) - 1) < _SAME_RATE), None)


def resample(track: np.ndarray, rate: float | Fraction, target_rate: float | Fraction) -> np.ndarray:
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

    ratio = (Fraction(target_rate) / Fraction(rate)).limit_denominator(2002)
    return resample_poly(track, ratio.numerator, ratio.denominator, axis=0, padtype="edge").astype(np.float32)
