"""Tracks (T, 52) at 30 fps from samples at the times of video frames, one track per scene."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emotalk.capture.audio import Span
from emotalk.timing import FPS, resample

MAX_INTERPOLATED_GAP_S = 0.5
"""Longest gap without a face that is interpolated; rows in longer gaps are NaN."""
MIN_SCENE_S = 1.0
_TIME_TOLERANCE_S = 0.5e-3
_MAX_RATE = 240
_LOW_PASS_RATIO = 1.1
"""Motion is low-pass filtered if its frame rate exceeds that of the track by this factor."""


@dataclass(frozen=True)
class Scene:
    """Frames [begin, end) of a video without a cut.

    Attributes
    ----------
    begin, end
        Indices of frames.
    span
        Time interval of the frames.
    """

    begin: int
    end: int
    span: Span


def frame_period(seconds: np.ndarray) -> float:
    """Return the median interval between frames; that of a track for a single frame."""
    return float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1 / FPS


def split_scenes(seconds: np.ndarray, is_found: np.ndarray, is_cut: np.ndarray) -> Iterator[Scene]:
    """Divide a video of N frames into scenes at its cuts.

    A scene ends with its last frame with a face; the frames between this frame and the cut belong to no scene. The
    first scene begins with the first frame of the video, and the last scene ends with the last frame.

    Parameters
    ----------
    seconds, is_found, is_cut : (N,)
        Times of the frames, whether they have a face, and whether a new scene begins with them.
    """
    ends_s = [*seconds[1:].tolist(), float(seconds[-1] + frame_period(seconds))]
    begins = [0, *np.flatnonzero(is_cut).tolist()]
    for begin, following in zip(begins, [*begins[1:], len(seconds)], strict=True):
        end = following
        while following < len(seconds) and end > begin and not is_found[end - 1]:
            end -= 1
        if end > begin:
            yield Scene(begin, end, Span(float(seconds[begin]), ends_s[end - 1]))


def resample_track(seconds: np.ndarray, values: np.ndarray, duration_s: float) -> np.ndarray:
    """Resample the samples of a scene to a track at 30 fps.

    Row i is at i / 30 s after the first sample, by linear interpolation; samples at these times are not changed. Motion
    of more than 33 frames per second is low-pass filtered first. Gaps without a face of at most half a second are
    interpolated linearly; at an end of the track, the nearest sample is repeated.

    Parameters
    ----------
    seconds : (N,) float64
        Increasing.
    values : (N, C) float32
        NaN where no face was found.
    duration_s
        Time from the first sample to the end of the last one.

    Returns
    -------
    (floor(30 duration_s), C) float32
        NaN in longer gaps; all NaN if no sample has a face.
    """
    times = seconds - seconds[0]
    num_rows = int(duration_s * FPS + 0.01)  # Containers round times.
    row_times = np.arange(num_rows) / FPS
    has_face = ~np.isnan(values).any(axis=1)
    if not has_face.any():
        return np.full((num_rows, values.shape[1]), np.nan, np.float32)
    track = _resample(times[has_face], values[has_face], row_times, 1 / frame_period(times))
    track[_is_in_long_gap(times[has_face], row_times, duration_s, frame_period(times))] = np.nan
    return track


def _resample(times: np.ndarray, values: np.ndarray, row_times: np.ndarray, rate: float) -> np.ndarray:
    nearest = np.round(times * FPS) / FPS
    if np.abs(times - nearest).max() <= _TIME_TOLERANCE_S:
        times = nearest  # Values at these times are then not changed by interpolation.
    if rate <= _LOW_PASS_RATIO * FPS:
        return _interpolate(times, values, row_times)
    grid_rate = min(round(rate), _MAX_RATE)
    grid = np.arange(-(-len(row_times) * grid_rate // FPS)) / grid_rate
    return resample(_interpolate(times, values, grid), grid_rate, FPS)[: len(row_times)]


def _interpolate(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(at, times, column) for column in values.T], axis=1).astype(np.float32)


def _is_in_long_gap(face_times: np.ndarray, row_times: np.ndarray, duration_s: float, period_s: float) -> np.ndarray:
    """Whether each row is in a gap without a face that is too long to be interpolated, (T,) bool.

    A sample lasts until the next frame. Both ends of the track count as samples with a face.
    """
    before = np.concatenate([[-period_s], face_times])
    after = np.concatenate([face_times, [duration_s]])
    is_long = after - before - period_s > MAX_INTERPOLATED_GAP_S
    interval = np.searchsorted(face_times, row_times + _TIME_TOLERANCE_S, side="right")
    is_at_sample = np.abs(row_times - before[interval]) <= _TIME_TOLERANCE_S
    return is_long[interval] & ~is_at_sample
