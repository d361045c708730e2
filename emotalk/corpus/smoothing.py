"""Smoothing: the tracks of a corpus, read once, smoothed if asked for, and measured."""

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.ndimage import correlate1d
from scipy.signal import savgol_coeffs

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.corpus.earlier import FRAMES_AHEAD, Earlier, Input, keep, source_digest, taken_or_made
from emotalk.corpus.faults import Fault
from emotalk.corpus.recordings import UsableRecordings
from emotalk.corpus.sources import TrackFormat
from emotalk.corpus.track_files import TRACKS, earlier_tracks, write_tracks
from emotalk.corpus.tracks import read_track
from emotalk.errors import CorpusError
from emotalk.provenance import code_digest
from emotalk.sharedring import Room

_BYTES_A_FRAME = 4 * NUM_CHANNELS


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


class Smoothing(NamedTuple):
    """Settings of the stage, as the configuration's section `smooth` has them."""

    enabled: bool
    window: int
    order: int
    clip_negatives: bool

    def __call__(self, track: np.ndarray) -> np.ndarray:
        """Smooth a track, if this is asked for."""
        if not self.enabled:
            return track
        return smooth_track(track, window=self.window, order=self.order, clip_negatives=self.clip_negatives)


def smooth_corpus(
    recordings: str | Path,
    out: str | Path,
    *,
    corpus: str,
    smoothing: Smoothing,
    threads: int = 1,
    shard: int = 0,
    shards: int = 1,
    earlier: str | Path | None = None,
) -> None:
    """Write the tracks of one corpus's usable recordings, smoothed if that is enabled, else as delivered.

    Parameters
    ----------
    earlier
        What this function wrote the last time, if there is such a file: tracks made from the same files are taken from
        it. It becomes the present output.

    Raises
    ------
    CorpusError
        If a track is not what it was when it was indexed.
    """
    rows = UsableRecordings(recordings, corpus, shard=shard, shards=shards)
    settings = (smoothing, code_digest("emotalk.corpus.smoothing"))

    def inputs() -> Iterator[Input[_Recording]]:
        for row in rows:
            source = source_digest(row["track_sha256"], row["channel_order"], row["track_fps"], *settings)
            form = TrackFormat(row["channel_order"], row["track_fps"])
            item = _Recording(row["recording_id"], source, row["track_path"], form, row["num_track_frames"])
            yield Input((row["recording_id"],), source, item, item.num_frames * _BYTES_A_FRAME)

    longest = rows.largest("num_track_frames")
    tracks = taken_or_made(
        inputs(),
        partial(_smooth, smoothing),
        _as_row,
        Earlier(earlier_tracks(earlier)),
        what=f"Smoothing {corpus}",
        unit="tracks",
        total=len(rows),
        processes=threads,
        memory=max(longest, threads * FRAMES_AHEAD) * _BYTES_A_FRAME,
    )
    write_tracks(out, tracks)
    keep(out, earlier)


class _Recording(NamedTuple):
    recording_id: str
    source: str
    path: str
    form: TrackFormat
    num_frames: int


def _smooth(smoothing: Smoothing, item: _Recording, room: Room) -> dict[str, np.ndarray]:
    """Put the smoothed track into the room and tell what is known of it, channel by channel."""
    try:
        track, _ = read_track(Path(item.path), item.form)
    except Fault as fault:
        raise CorpusError(f"{item.path} has changed since it was indexed. {fault}") from None
    if len(track) != item.num_frames:
        found = f"{len(track)} frames instead of {item.num_frames}"
        raise CorpusError(f"{item.path} has changed since it was indexed: {found}. Run --forcerun index.")
    smooth = smoothing(track)
    room.view(np.float32)[:] = smooth.ravel()
    return {
        "jitter_before": jitter(track),
        "jitter_after": jitter(smooth),
        "mean": smooth.mean(axis=0),
        "std": smooth.std(axis=0),
        "lowest": smooth.min(axis=0),
        "highest": smooth.max(axis=0),
    }


def _as_row(item: _Recording, known: dict[str, np.ndarray], room: Room) -> pa.RecordBatch:
    columns = {"recording_id": item.recording_id, "source": item.source, **known}
    arrays = [pa.array([value], TRACKS.field(name).type) for name, value in columns.items()]
    bounds = np.array([0, item.num_frames * NUM_CHANNELS], np.int32)
    motion = pa.ListArray.from_arrays(bounds, room.view(np.float32), type=TRACKS.field("track").type)  # Not copied.
    return pa.RecordBatch.from_arrays([*arrays, motion], schema=TRACKS)
