"""The table of recordings: one row per recording on disk."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emotalk.data.parts import part_range
from emotalk.files import atomic_path

RECORDINGS_SCHEMA = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("wav_path", pa.string()),
        pa.field("track_path", pa.string()),
        pa.field("channel_order", pa.string(), nullable=False),
        pa.field("track_fps", pa.float64(), nullable=False),
        pa.field("track_scale", pa.float64(), nullable=False),
        pa.field("sampling_rate", pa.int32()),
        pa.field("num_audio_channels", pa.int16()),
        pa.field("num_samples", pa.int64()),
        pa.field("num_track_frames", pa.int32()),
        pa.field("num_frames", pa.int32()),
        pa.field("shift_frames", pa.int32()),
        pa.field("duration_s", pa.float64()),
        pa.field("peak", pa.float32()),
        pa.field("offset_frames", pa.float32()),
        pa.field("offset_confidence", pa.float32()),
        pa.field("offset_scores", pa.list_(pa.float32())),
        pa.field("subject", pa.string()),
        pa.field("emotion", pa.string()),
        pa.field("intensity", pa.int8()),
        pa.field("statement", pa.string()),
        pa.field("repetition", pa.int8()),
        pa.field("wav_sha256", pa.string()),
        pa.field("track_sha256", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
    ]
)
"""`num_track_frames` counts frames at 30 fps, `num_frames` the frames that audio and track have in common after the
shift. `shift_frames` is the delay of the motion, if it is to be repaired. `num_samples` counts samples of the file.
`offset_scores` are the correlations of `emotalk.data.av_sync`. `status` is `ok`, `repaired` or `excluded`; each
reason starts with its issue code."""

FRAMES_PER_CHUNK = 3_000
"""Number of frames per task of a worker process: 100 seconds, or one longer recording."""
_ROWS_PER_GROUP = 1024
_UNUSED_BY_STAGES = ("offset_scores", "reasons")


def write_rows(path: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows incrementally; missing columns are null."""
    iterator = iter(rows)
    with atomic_path(path) as partial, pq.ParquetWriter(partial, RECORDINGS_SCHEMA) as writer:
        while group := list(islice(iterator, _ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=RECORDINGS_SCHEMA))


def read_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the rows in order; only one batch is in memory."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_ROWS_PER_GROUP):
        yield from batch.to_pylist()


class UsableRecordings:
    """Rows of one corpus that are not excluded, in table order.

    Parameters
    ----------
    path
        Table of recordings.
    part
        Part of the rows, for example `2-of-5`; None for all.
    """

    def __init__(self, path: str | Path, corpus: str, part: str | None = None) -> None:
        self._path, self._corpus = path, corpus
        self._range = part_range(part, sum(1 for _ in self._usable(["corpus", "status"])))

    def __len__(self) -> int:
        return len(self._range)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rows = self._usable([name for name in RECORDINGS_SCHEMA.names if name not in _UNUSED_BY_STAGES])
        return islice(rows, self._range.start, self._range.stop)

    def _usable(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        for batch in pq.ParquetFile(self._path).iter_batches(batch_size=_ROWS_PER_GROUP, columns=columns):
            usable = pc.and_(pc.equal(batch["corpus"], self._corpus), pc.not_equal(batch["status"], "excluded"))
            yield from batch.filter(usable).to_pylist()
