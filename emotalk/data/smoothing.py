"""Smoothing: the tracks of a corpus, read once, smoothed if asked for, and measured."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import correlate1d
from scipy.signal import savgol_coeffs

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.config.corpus import SmoothSettings
from emotalk.data.recordings import FRAMES_PER_CHUNK, UsableRecordings
from emotalk.data.track_files import write_tracks
from emotalk.errors import CorpusError, Issue
from emotalk.formats.tracks import TrackFormat, read_track
from emotalk.parallel import parallel_map
from emotalk.progress import progress


def smooth_track(track: np.ndarray, *, window: int, order: int, clip_negatives: bool = False) -> np.ndarray:
    """Smooth each channel along time by a local polynomial fit; the ends are fitted by the outermost window.

    Parameters
    ----------
    track : (T, 52) float32
    window
        Frames of one fit, odd. Tracks with fewer frames are returned as they are.
    order
        Degree of the polynomial, below `window`.
    clip_negatives
        Whether values below 0 become 0. Small negative values are normal in captured tracks.

    Source
    ------
    Savitzky & Golay 1964; window 5 and order 2 are what the makers of 3D-ETF and the released demo use.
    """
    if len(track) >= window:
        fits = _fits(window, order)
        half = window // 2
        smooth = correlate1d(track, fits[half], axis=0)
        smooth[:half] = fits[:half] @ track[:window]
        smooth[-half:] = fits[half + 1 :] @ track[-window:]
        track = smooth
    return track.clip(min=0) if clip_negatives else track


@cache
def _fits(window: int, order: int) -> np.ndarray:
    """What the fit says of each frame in its window, as weights of the window's frames."""
    return np.array([savgol_coeffs(window, order, pos=frame, use="dot") for frame in range(window)], np.float32)


def jitter(track: np.ndarray) -> np.ndarray:
    """Mean absolute second difference of each channel, in coefficient units a frame²: (52,) float32."""
    return np.abs(np.diff(track, n=2, axis=0)).mean(axis=0) if len(track) > 2 else np.zeros(NUM_CHANNELS, np.float32)


def smooth_recording(row: Mapping[str, Any], settings: SmoothSettings | None) -> dict[str, Any]:
    """Read a recording's track and smooth it, if that is enabled: its row in the file of tracks.

    Raises
    ------
    CorpusError
        If the track is not what it was when it was indexed.
    """
    path = Path(row["track_path"])
    try:
        form = TrackFormat.from_settings(row["channel_order"], row["track_fps"], row["track_scale"])
        track, _ = read_track(path, form)
    except Issue as issue:
        raise CorpusError(f"{path} has changed since it was indexed. {issue}") from None
    if len(track) != row["num_track_frames"]:
        found = f"{len(track)} frames instead of {row['num_track_frames']}"
        raise CorpusError(f"{path} has changed since it was indexed: {found}. Run --forcerun index.")
    smooth = track
    if settings is not None:
        smooth = smooth_track(
            track, window=settings.window, order=settings.order, clip_negatives=settings.clip_negatives
        )
    return {
        "recording_id": row["recording_id"],
        "jitter_before": jitter(track),
        "jitter_after": jitter(smooth),
        "mean": smooth.mean(axis=0),
        "std": smooth.std(axis=0),
        "lowest": smooth.min(axis=0),
        "highest": smooth.max(axis=0),
        "track": smooth,
    }


def smooth_corpus(
    recordings: str | Path,
    out: str | Path,
    *,
    corpus: str,
    settings: SmoothSettings | None,
    threads: int = 1,
    part: str | None = None,
) -> None:
    """Write the tracks of one corpus's usable recordings, smoothed if that is enabled, else as delivered.

    Parameters
    ----------
    settings
        How to smooth; None leaves the tracks as they are.
    part
        Which part of the recordings, `2-of-5` for example; by default all.

    Raises
    ------
    CorpusError
        If a track is not what it was when it was indexed.
    """
    rows = UsableRecordings(recordings, corpus, part)
    tracks = parallel_map(
        partial(smooth_recording, settings=settings),
        rows,
        processes=threads,
        cost=lambda row: row["num_track_frames"] / FRAMES_PER_CHUNK,
    )
    write_tracks(out, progress(tracks, total=len(rows), what=f"Smoothing {corpus}", unit="tracks"))
