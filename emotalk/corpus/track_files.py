"""Files of tracks: written and read a group of rows at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.corpus.earlier import Key, fresh, has_table
from emotalk.corpus.gathering import Gathered

_CHANNEL = pa.list_(pa.field("element", pa.float32(), nullable=False))
TRACKS = pa.schema(
    [
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("jitter_before", _CHANNEL, nullable=False),
        pa.field("jitter_after", _CHANNEL, nullable=False),
        pa.field("mean", _CHANNEL, nullable=False),
        pa.field("std", _CHANNEL, nullable=False),
        pa.field("lowest", _CHANNEL, nullable=False),
        pa.field("highest", _CHANNEL, nullable=False),
        pa.field("track", _CHANNEL, nullable=False),
    ]
)
"""One row a recording, in the order of ids. `track` is its (T, 52) array, row after row; the other lists have a value
for each channel: jitter (see `emotalk.corpus.smoothing`) before and after smoothing, and statistics after it."""

_FRAMES_A_GROUP = 30_000


def write_tracks(out: str | Path, batches: Iterator[pa.RecordBatch]) -> None:
    """Write tracks in groups of bounded size; numbers of motion hardly repeat, so that no dictionary is tried."""
    group = Gathered(TRACKS, ["track"])
    with pq.ParquetWriter(
        fresh(out), TRACKS, use_dictionary=False, compression="NONE", write_statistics=False
    ) as writer:
        for batch in batches:
            group.add(batch)
            if group.num_values("track") >= _FRAMES_A_GROUP * NUM_CHANNELS:
                writer.write_batch(group.take())
        if group.num_rows:
            writer.write_batch(group.take())


def earlier_tracks(path: str | Path | None) -> Iterator[tuple[Key, str, pa.RecordBatch]]:
    """Rows of a file of tracks, each with its id and source; nothing if there is no such file."""
    for batch in _batches(path, TRACKS.names) if has_table(path, TRACKS) else ():
        yield (batch["recording_id"][0].as_py(),), batch["source"][0].as_py(), batch


def _batches(path: str | Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Rows of a file, a batch each; a group of rows is in memory at a time."""
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        for batch in file.read_row_group(group, columns=columns).to_batches():
            yield from (batch.slice(row, 1) for row in range(batch.num_rows))


def read_tracks(path: str | Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield each recording's id, the source of its track and the (T, 52) track, some of them in memory at a time."""
    for batch in _batches(path, ["recording_id", "source", "track"]):
        track = batch["track"].flatten().to_numpy().reshape(-1, NUM_CHANNELS)
        yield batch["recording_id"][0].as_py(), batch["source"][0].as_py(), track
