"""Postprocessing of predicted motion: smoothing and blinks, as in the released demo."""

import numpy as np

from emotalk.blendshapes import channel_indices

WINDOW, ORDER = 5, 2
"""Savitzky-Golay parameters of the released demo."""
_LIDS = channel_indices(["eyeBlinkLeft", "eyeBlinkRight"])
_BLINK = np.sin(np.pi * np.arange(1, 8) / 8).astype(np.float32) ** 2
_INTERVAL = (60, 181)


def smooth(track: np.ndarray) -> np.ndarray:
    """Smooth a (T, 52) track with a Savitzky-Golay filter: windows of 5 frames, degree 2."""
    from emotalk.data.smoothing import smooth_track  # Imports scipy, which takes seconds.

    return smooth_track(track, window=WINDOW, order=ORDER)


def add_blinks(track: np.ndarray, *, seed: int) -> np.ndarray:
    """Replace the eyelid channels of a (T, 52) track with blinks of 7 frames every 60 to 180 frames.

    Speech hardly determines blinks, so that the predicted eyelids stay still or half open.

    Source
    ------
    docs/method.md, section "Released code", for the lengths; the shape, a squared sine, is our own.
    """
    rng = np.random.default_rng(seed)
    closures = np.zeros(len(track) + len(_BLINK), np.float32)
    frame = int(rng.integers(*_INTERVAL))
    while frame < len(track):
        closures[frame : frame + len(_BLINK)] = _BLINK
        frame += int(rng.integers(*_INTERVAL))
    result = track.copy()
    result[:, _LIDS] = closures[: len(track), None]
    return result
