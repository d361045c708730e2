"""Savitzky-Golay smoothing of motion."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.signal import savgol_filter

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.corpus.faults import Fault, read_track
from emotalk.corpus.recordings import usable_recordings
from emotalk.errors import CorpusError
from emotalk.progress import progress

TRACKS = pa.schema([pa.field("recording_id", pa.string()), pa.field("track", pa.list_(pa.float32()))])
"""One row a recording; `track` is its (T, 52) array, row after row."""


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
        track = savgol_filter(track, window, order, axis=0, mode="interp").astype(np.float32)
    return track.clip(min=0) if clip_negatives else track


def smooth_corpus(
    recordings: str | Path,
    out: str | Path,
    *,
    corpus: str,
    enabled: bool,
    window: int,
    order: int,
    clip_negatives: bool,
) -> None:
    """Write the tracks of one corpus's usable recordings, smoothed if `enabled`, else as delivered."""
    rows = usable_recordings(recordings, corpus)
    with pq.ParquetWriter(out, TRACKS) as writer:
        for row in progress(rows, total=len(rows), what=f"Smoothing {corpus}", unit="tracks"):
            try:
                track = read_track(Path(row["track_path"]))
            except Fault as fault:
                raise CorpusError(f"{row['track_path']} has changed since it was indexed. {fault}") from None
            if enabled:
                track = smooth_track(track, window=window, order=order, clip_negatives=clip_negatives)
            columns = {"recording_id": [row["recording_id"]], "track": [track.ravel()]}
            writer.write_table(pa.table(columns, schema=TRACKS))


def read_tracks(path: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each recording's id and its (T, 52) track, one at a time: memory does not grow with the corpus."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1):
        flat = batch.column("track").flatten().to_numpy()
        yield batch.column("recording_id")[0].as_py(), flat.reshape(-1, NUM_CHANNELS)
