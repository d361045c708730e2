"""Motion at another number of frames a second."""

from fractions import Fraction

import numpy as np


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
