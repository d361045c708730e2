"""Tracks files: one parquet file per corpus, written and read one row group at a time."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.files import atomic_path

_CHANNEL = pa.list_(pa.field("element", pa.float32(), nullable=False))
TRACKS_SCHEMA = pa.schema(
    [
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("jitter_before", _CHANNEL, nullable=False),
        pa.field("jitter_after", _CHANNEL, nullable=False),
        pa.field("mean", _CHANNEL, nullable=False),
        pa.field("std", _CHANNEL, nullable=False),
        pa.field("lowest", _CHANNEL, nullable=False),
        pa.field("highest", _CHANNEL, nullable=False),
        pa.field("track", _CHANNEL, nullable=False),
    ]
)
"""One row per recording, sorted by id. `track` is the flattened (T, 52) array; other lists have one value per channel:
jitter (see `emotalk.data.smoothing`) before and after smoothing, and statistics after smoothing."""

_FRAMES_PER_GROUP = 30_000


def write_tracks(out: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of `TRACKS_SCHEMA` incrementally; each `track` is a (T, 52) float32 array."""
    # Coefficients rarely repeat, so a dictionary or compression would not reduce the size.
    options = {"use_dictionary": False, "compression": "NONE", "write_statistics": False}
    with atomic_path(out) as path, pq.ParquetWriter(path, TRACKS_SCHEMA, **options) as writer:
        group: list[dict[str, Any]] = []
        num_frames = 0
        for row in rows:
            group.append(row)
            num_frames += len(row["track"])
            if num_frames >= _FRAMES_PER_GROUP:
                writer.write_batch(_to_batch(group))
                group, num_frames = [], 0
        if group:
            writer.write_batch(_to_batch(group))


def _to_batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    columns = {name: [row[name] for row in rows] for name in TRACKS_SCHEMA.names}
    columns["track"] = [track.ravel() for track in columns["track"]]
    return pa.RecordBatch.from_pydict(columns, schema=TRACKS_SCHEMA)


def read_statistics(path: str | Path, names: Sequence[str]) -> pa.Table:
    """Read columns of all recordings, without the tracks."""
    return pq.read_table(path, columns=list(names))


def read_tracks(path: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the id and the (T, 52) track of each recording; only one row group is in memory."""
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        for batch in file.read_row_group(group, columns=["recording_id", "track"]).to_batches():
            for recording_id, values in zip(batch["recording_id"].to_pylist(), batch["track"], strict=True):
                yield recording_id, values.values.to_numpy().reshape(-1, NUM_CHANNELS)
