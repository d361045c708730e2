"""Audit of synchrony: by how many frames motion lies apart from audio, judged by loudness against mouth opening."""

import numpy as np

from emotalk.blendshapes import channel_indices

MAX_LAG = 15
"""Frames (half a second) by which audio and motion are shifted against each other."""
LAGS = np.arange(-MAX_LAG, MAX_LAG + 1)
_TREND = 31
_FLOOR = 1e-3
_APART = 5
_SHORTEST = 3 * MAX_LAG
_STILL = 1e-4
_OPENING = channel_indices(["jawOpen", "mouthLowerDownLeft", "mouthLowerDownRight"])
_CLOSING = channel_indices(["mouthClose"])


def mouth_opening(track: np.ndarray) -> np.ndarray:
    """How far the mouth is open in each frame of a (T, 52) track."""
    return track[:, _OPENING].sum(axis=1) - track[:, _CLOSING].sum(axis=1)


def offset_correlations(envelope: np.ndarray, opening: np.ndarray) -> np.ndarray | None:
    """Correlation of loudness with mouth opening at each shift of the motion from -`MAX_LAG` to `MAX_LAG` frames.

    Both curves lose their trend over a second first.

    Parameters
    ----------
    envelope : (T,) float32
        Root mean square of the audio in each frame.
    opening : (T,) float32
        How far the mouth is open.

    Returns
    -------
    (2 `MAX_LAG` + 1,) float32, or None where nothing can be told: too short, silent, or a mouth that does not move.
    """
    length = min(len(envelope), len(opening))
    if length < _SHORTEST:
        return None
    loudness = np.log10(np.maximum(envelope[:length], _FLOOR * max(envelope.max(), 1e-9)))
    audio, motion = _without_trend(loudness), _without_trend(opening[:length])
    if audio.std() < _STILL or motion.std() < _STILL:
        return None
    return _correlations(audio, motion).astype(np.float32)


def offset_of(scores: np.ndarray) -> tuple[float, float]:
    """Offset of motion against audio in frames, and how sure that is.

    The offset is the shift of the highest correlation, between frames by the parabola through it and its neighbours;
    positive where motion comes late. Mouths open before they sound, so that a little less than 0 is normal. The
    confidence is by how much the highest correlation exceeds the highest one that lies elsewhere.
    """
    best = int(scores.argmax())
    rivals = scores[np.abs(LAGS - LAGS[best]) >= _APART]
    return float(LAGS[best] + _between(scores, best)), float(max(0.0, scores[best] - rivals.max()))


def _without_trend(curve: np.ndarray) -> np.ndarray:
    """The curve less its mean over about a second."""
    padded = np.pad(curve.astype(float), _TREND // 2, mode="edge")
    total = np.concatenate([[0.0], np.cumsum(padded)])
    return curve - (total[_TREND:] - total[:-_TREND]) / _TREND


def _correlations(audio: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Correlation of the audio with the motion at each of `LAGS` frames later, over the frames that both have then."""
    products = np.correlate(np.pad(motion, MAX_LAG), audio, mode="valid")
    length = len(audio)
    first, second = (np.concatenate([[0.0], np.cumsum(np.square(curve))]) for curve in (audio, motion))
    audio_power = first[length - np.maximum(LAGS, 0)] - first[np.maximum(-LAGS, 0)]
    motion_power = second[length - np.maximum(-LAGS, 0)] - second[np.maximum(LAGS, 0)]
    norm = np.sqrt(audio_power * motion_power)
    return np.divide(products, norm, out=np.zeros_like(products), where=norm > 0)


def _between(scores: np.ndarray, best: int) -> float:
    """Where the top of the parabola through the best score and its neighbours lies, in frames from the best."""
    if not 0 < best < len(scores) - 1:
        return 0.0
    before, top, after = scores[best - 1 : best + 2]
    bend = before - 2 * top + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
