"""Smoothing: reads the tracks of a corpus, optionally smooths them, and computes statistics."""

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
    """Smooth each channel over time with a local polynomial fit; both ends use the fit of the first or last window.

    Parameters
    ----------
    track : (T, 52) float32
    window
        Frames per fit, odd. Tracks with fewer frames are not smoothed.
    order
        Degree of the polynomial, less than `window`.
    clip_negatives
        If true, set values below 0 to 0. Small negative values are normal in captured tracks.

    Source
    ------
    Savitzky & Golay 1964; the authors of 3D-ETF and the released demo use window 5 and order 2.
    """
    if len(track) >= window:
        weights = _fit_weights(window, order)
        half = window // 2
        smooth = correlate1d(track, weights[half], axis=0)
        smooth[:half] = weights[:half] @ track[:window]
        smooth[-half:] = weights[half + 1 :] @ track[-window:]
        track = smooth
    return track.clip(min=0) if clip_negatives else track


@cache
def _fit_weights(window: int, order: int) -> np.ndarray:
    """Weights (window, window) of the polynomial fit: row i gives the smoothed value at frame i of the window."""
    return np.array([savgol_coeffs(window, order, pos=frame, use="dot") for frame in range(window)], np.float32)


def jitter(track: np.ndarray) -> np.ndarray:
    """Mean absolute second difference of each channel, in coefficient units per frame²: (52,) float32."""
    return np.abs(np.diff(track, n=2, axis=0)).mean(axis=0) if len(track) > 2 else np.zeros(NUM_CHANNELS, np.float32)


def smooth_recording(row: Mapping[str, Any], settings: SmoothSettings | None) -> dict[str, Any]:
    """Read the track of a recording, smooth it if enabled, and return its row of the tracks file.

    Raises
    ------
    CorpusError
        If the track has changed since it was indexed.
    """
    path = Path(row["track_path"])
    track_format = TrackFormat.from_settings(row["channel_order"], row["track_fps"], row["track_scale"])
    try:
        track, _ = read_track(path, track_format)
    except Issue as issue:
        raise CorpusError(f"{path} has changed since it was indexed. {issue}") from None
    if len(track) != row["num_track_frames"]:
        difference = f"{len(track)} frames instead of {row['num_track_frames']}"
        raise CorpusError(
            f"{path} has changed since it was indexed: {difference}. Run the same command with --forcerun index."
        )
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
    """Write the tracks of the usable recordings of one corpus at 30 fps in ARKit order, smoothed if `settings` are set.

    Parameters
    ----------
    settings
        Settings of the filter; None disables smoothing.
    part
        Part of the recordings, for example `2-of-5`; None for all.

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
        chunk_share=lambda row: row["num_track_frames"] / FRAMES_PER_CHUNK,
    )
    write_tracks(out, progress(tracks, total=len(rows), what=f"Reading tracks of {corpus}", unit="tracks"))
