"""Synchrony of audio and motion: estimates the offset in frames from loudness and mouth opening."""

import numpy as np

from emotalk.blendshapes import channel_indices

MAX_LAG = 15
"""Largest tested shift between audio and motion, in frames (half a second)."""
LAGS = np.arange(-MAX_LAG, MAX_LAG + 1)
_TREND_FRAMES = 31
_LOUDNESS_FLOOR = 1e-3
_MIN_PEAK_DISTANCE = 5
_MIN_FRAMES = 3 * MAX_LAG
_MIN_STD = 1e-4
_OPENING = channel_indices(["jawOpen", "mouthLowerDownLeft", "mouthLowerDownRight"])
_CLOSING = channel_indices(["mouthClose"])


def mouth_opening(track: np.ndarray) -> np.ndarray:
    """Compute how far the mouth is open in each frame of a (T, 52) track: (T,) float32."""
    return track[:, _OPENING].sum(axis=1) - track[:, _CLOSING].sum(axis=1)


def offset_correlations(envelope: np.ndarray, opening: np.ndarray) -> np.ndarray | None:
    """Correlate loudness with mouth opening at each shift of the motion from -`MAX_LAG` to `MAX_LAG` frames.

    The trend over one second is removed from both curves first.

    Parameters
    ----------
    envelope : (T,) float32
        Root mean square of the audio in each frame.
    opening : (T,) float32
        How far the mouth is open.

    Returns
    -------
    (2 `MAX_LAG` + 1,) float32, or None if the recording is too short or silent or the mouth does not move.
    """
    length = min(len(envelope), len(opening))
    if length < _MIN_FRAMES:
        return None
    loudness = np.log10(np.maximum(envelope[:length], _LOUDNESS_FLOOR * max(envelope.max(), 1e-9)))
    audio, motion = _without_trend(loudness), _without_trend(opening[:length])
    if audio.std() < _MIN_STD or motion.std() < _MIN_STD:
        return None
    return _correlations(audio, motion).astype(np.float32)


def estimate_offset(scores: np.ndarray) -> tuple[float, float]:
    """Estimate the offset of motion relative to audio in frames, and its confidence.

    The offset is the shift with the highest correlation, interpolated between frames by a parabola; it is positive if
    motion is late. The mouth opens before the sound starts, so slightly negative values are normal. The confidence is
    the difference between the highest correlation and the highest correlation at least 5 frames away.
    """
    best = int(scores.argmax())
    distant_scores = scores[np.abs(LAGS - LAGS[best]) >= _MIN_PEAK_DISTANCE]
    return float(LAGS[best] + _peak_offset(scores, best)), float(max(0.0, scores[best] - distant_scores.max()))


def _without_trend(curve: np.ndarray) -> np.ndarray:
    """Subtract the moving average over about one second."""
    padded = np.pad(curve.astype(float), _TREND_FRAMES // 2, mode="edge")
    total = np.concatenate([[0.0], np.cumsum(padded)])
    return curve - (total[_TREND_FRAMES:] - total[:-_TREND_FRAMES]) / _TREND_FRAMES


def _correlations(audio: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Correlation of audio with motion delayed by each of `LAGS`, over the overlapping frames."""
    products = np.correlate(np.pad(motion, MAX_LAG), audio, mode="valid")
    length = len(audio)
    audio_energy, motion_energy = (np.concatenate([[0.0], np.cumsum(np.square(curve))]) for curve in (audio, motion))
    audio_power = audio_energy[length - np.maximum(LAGS, 0)] - audio_energy[np.maximum(-LAGS, 0)]
    motion_power = motion_energy[length - np.maximum(-LAGS, 0)] - motion_energy[np.maximum(LAGS, 0)]
    norm = np.sqrt(audio_power * motion_power)
    return np.divide(products, norm, out=np.zeros_like(products), where=norm > 0)


def _peak_offset(scores: np.ndarray, best: int) -> float:
    """Vertex of the parabola through the best score and its neighbours, in frames relative to the best score."""
    if not 0 < best < len(scores) - 1:
        return 0.0
    before, top, after = scores[best - 1 : best + 2]
    curvature = before - 2 * top + after
    return float(np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0
