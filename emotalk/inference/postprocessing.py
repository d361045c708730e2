"""What may be done to predicted motion before it is shown: smoothing and blinks, as the released demo does both."""

import numpy as np

from emotalk.blendshapes import channel_indices

WINDOW, ORDER = 5, 2
"""Savitzky-Golay smoothing of the released demo."""
_LIDS = channel_indices(["eyeBlinkLeft", "eyeBlinkRight"])
_CLOSURE = np.sin(np.pi * np.arange(1, 8) / 8).astype(np.float32) ** 2
_PAUSE = (60, 181)


def smoothed(track: np.ndarray) -> np.ndarray:
    """The (T, 52) track smoothed by windows of 5 frames and polynomials of degree 2."""
    from emotalk.data.smoothing import smooth_track  # Imports scipy, which takes seconds.

    return smooth_track(track, window=WINDOW, order=ORDER)


def with_blinks(track: np.ndarray, *, seed: int) -> np.ndarray:
    """The (T, 52) track with its lids replaced by blinks of 7 frames every 60 to 180 frames, the same for a seed.

    Blinks hardly follow from speech, so that a network leaves the lids half open or still.

    Source
    ------
    DOMAIN.md, section 6, for the lengths; the shape is our own, a raised sine.
    """
    rng = np.random.default_rng(seed)
    closure = np.zeros(len(track) + len(_CLOSURE), np.float32)
    frame = int(rng.integers(*_PAUSE))
    while frame < len(track):
        closure[frame : frame + len(_CLOSURE)] = _CLOSURE
        frame += int(rng.integers(*_PAUSE))
    blinking = track.copy()
    blinking[:, _LIDS] = closure[: len(track), None]
    return blinking
