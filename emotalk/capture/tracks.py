"""From what was seen in irregular frames to (T, 52) tracks at 30 fps, one for each scene."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emotalk.capture.audio import Span
from emotalk.timing import FPS, resample

LONGEST_BRIDGE_S = 0.5
"""A face that is not seen for longer is not guessed: rows in such gaps are NaN."""
SHORTEST_SCENE_S = 1.0
_EVEN_S = 0.5e-3
_HIGHEST_RATE = 240
_FAST = 1.1
"""Times the track's rate from which on motion is low-passed."""


@dataclass(frozen=True)
class Scene:
    """Frames [begin, end) of a video without a cut.

    Attributes
    ----------
    begin, end
        Positions of frames.
    span
        Its time on the clock of the file.
    """

    begin: int
    end: int
    span: Span


def frame_period(seconds: np.ndarray) -> float:
    """Usual time from a frame to the next; that of a track's frames where there is only one."""
    return float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1 / FPS


def scenes_of(seconds: np.ndarray, is_found: np.ndarray, is_cut: np.ndarray) -> Iterator[Scene]:
    """Divide a video of N frames at its cuts.

    A scene ends with its last frame that shows a face; what follows until the cut belongs to none. The first one begins
    with the video and the last one ends with it.

    Parameters
    ----------
    seconds, is_found, is_cut : (N,)
        Times of the frames, whether they show a face, and whether another scene begins with them.
    """
    ends_s = [*seconds[1:].tolist(), float(seconds[-1] + frame_period(seconds))]
    begins = [0, *np.flatnonzero(is_cut).tolist()]
    for begin, following in zip(begins, [*begins[1:], len(seconds)], strict=True):
        end = following
        while following < len(seconds) and end > begin and not is_found[end - 1]:
            end -= 1
        if end > begin:
            yield Scene(begin, end, Span(float(seconds[begin]), ends_s[end - 1]))


def track_of(seconds: np.ndarray, values: np.ndarray, duration_s: float) -> np.ndarray:
    """Track at 30 fps of samples at the times of a video's frames.

    Row i is the instant i / 30 s after the first sample, by linear interpolation; motion of more than 33 frames per
    second is low-passed first, samples that lie at such instants stay as they are. Where no face was seen for at most
    half a second, the straight line from before to after (at an end, the nearest sample) stands in.

    Parameters
    ----------
    seconds : (N,) float64
        Increasing.
    values : (N, C) float32
        NaN where no face was seen.
    duration_s
        From the first sample to the end of the last one.

    Returns
    -------
    (floor(30 duration_s), C) float32
        NaN in longer gaps; all NaN where no sample shows a face.
    """
    times = seconds - seconds[0]
    num_rows = int(duration_s * FPS + 0.01)  # Times are rounded by their containers.
    rows = np.arange(num_rows) / FPS
    seen = ~np.isnan(values).any(axis=1)
    if not seen.any():
        return np.full((num_rows, values.shape[1]), np.nan, np.float32)
    track = _resampled(times[seen], values[seen], rows, 1 / frame_period(times))
    track[_in_long_gap(times[seen], rows, duration_s, frame_period(times))] = np.nan
    return track


def _resampled(times: np.ndarray, values: np.ndarray, rows: np.ndarray, rate: float) -> np.ndarray:
    """Values at the instants of rows."""
    nearest = np.round(times * FPS) / FPS
    if np.abs(times - nearest).max() <= _EVEN_S:
        times = nearest  # Interpolation then leaves them as they are.
    if rate <= _FAST * FPS:
        return _interpolated(times, values, rows)
    even_rate = min(round(rate), _HIGHEST_RATE)
    even = np.arange(-(-len(rows) * even_rate // FPS)) / even_rate
    return resample(_interpolated(times, values, even), even_rate, FPS)[: len(rows)]


def _interpolated(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(at, times, column) for column in values.T], axis=1).astype(np.float32)


def _in_long_gap(seen_s: np.ndarray, rows: np.ndarray, duration_s: float, period_s: float) -> np.ndarray:
    """Which rows lie between samples with a face that are too far apart, (T,) bool.

    A sample counts until the next frame, and the ends of the track as if a face were seen behind them.
    """
    before = np.concatenate([[-period_s], seen_s])
    after = np.concatenate([seen_s, [duration_s]])
    gap = after - before - period_s > LONGEST_BRIDGE_S
    interval = np.searchsorted(seen_s, rows + _EVEN_S, side="right")
    at_sample = np.abs(rows - before[interval]) <= _EVEN_S
    return gap[interval] & ~at_sample
