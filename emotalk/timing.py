"""Conversions between seconds, audio samples and motion frames: their one home.

Audio is 16 kHz and motion 30 fps, so a frame holds 533 1/3 samples. Only multiples of three frames fall on a
whole sample; cuts are made there and nowhere else.
"""

from fractions import Fraction

import numpy as np

SAMPLING_RATE = 16_000
FPS = 30
EXACT_FRAMES = 3
"""Cuts at multiples of this many frames fall on a whole sample (3 frames = 1,600 samples)."""


def frame_to_sample(frame: int) -> int:
    """Sample at which `frame` begins, rounded down (exact at multiples of three frames)."""
    return frame * SAMPLING_RATE // FPS


def frames_in(num_samples: int, sampling_rate: int = SAMPLING_RATE) -> int:
    """Number of motion frames that audio covers completely (rounded down)."""
    return num_samples * FPS // sampling_rate


def frames_to_predict(num_samples: int) -> int:
    """Number of frames that the released network predicts for 16 kHz audio (rounded up)."""
    return -(-num_samples * FPS // SAMPLING_RATE)


def resample(track: np.ndarray, rate: float, to: float) -> np.ndarray:
    """Motion of `rate` frames a second at `to`: a linear-phase low-pass keeps what is too fast from folding back.

    Parameters
    ----------
    track : (T, C) float32

    Returns
    -------
    (ceil(T to / rate), C) float32
        Frame i shows the instant i / `to` seconds after the first frame.
    """
    from scipy.signal import resample_poly  # Takes a second.

    ratio = Fraction(to / rate).limit_denominator(1000)
    return resample_poly(track, ratio.numerator, ratio.denominator, axis=0, padtype="edge").astype(np.float32)
