"""The table of recordings: one row for every recording found on disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emotalk.corpus.earlier import fresh
from emotalk.corpus.shards import shard_of

RECORDINGS = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("wav_path", pa.string()),
        pa.field("track_path", pa.string()),
        pa.field("channel_order", pa.string(), nullable=False),
        pa.field("track_fps", pa.float64(), nullable=False),
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
        pa.field("source", pa.string(), nullable=False),
    ]
)
"""`num_track_frames` counts frames of 30 fps, `num_frames` those that audio and track have in common once both begin
together: motion is `shift_frames` late, if a shift is to be mended. `num_samples` counts the file's own samples.
`offset_scores` are the correlations of `emotalk.corpus.synchrony`. `status` is `ok`, `repaired` or `excluded`; each
reason starts with its code. `source` is a digest of all that the row was made from."""

ROWS_A_GROUP = 1024
_OF_NO_STAGE = ("offset_scores", "reasons", "source")


class TableWriter:
    """Writes rows to a parquet file as they come, so that memory does not grow with the table."""

    def __init__(self, path: str | Path, schema: pa.Schema, rows_a_group: int = ROWS_A_GROUP) -> None:
        self._writer = pq.ParquetWriter(fresh(path), schema)
        self._schema, self._most = schema, rows_a_group
        self._pending: list[dict[str, Any]] = []

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._writer.close()

    def write(self, row: dict[str, Any]) -> None:
        """Add a row; columns that it lacks are null."""
        self._pending.append(row)
        if len(self._pending) == self._most:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
            self._pending = []


def read_rows(path: str | Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a parquet file in their order, some of them in memory at a time."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=ROWS_A_GROUP, columns=columns):
        yield from batch.to_pylist()


class UsableRecordings:
    """Rows of one corpus, and of one shard of it, that are not excluded, in the order of the table.

    Parameters
    ----------
    path
        Table of recordings.
    shard, shards
        Which part of how many; a recording's id decides where it belongs.
    """

    def __init__(self, path: str | Path, corpus: str, *, shard: int = 0, shards: int = 1) -> None:
        self._path, self._corpus, self._shard, self._shards = path, corpus, shard, shards
        lengths = ["num_track_frames", "num_frames"]
        self._length, self._largest = 0, dict.fromkeys(lengths, 0)
        for row in self._rows(["corpus", "recording_id", "status", *lengths]):
            self._length += 1
            for name in lengths:
                self._largest[name] = max(self._largest[name], row[name])

    def __len__(self) -> int:
        return self._length

    def largest(self, name: str) -> int:
        """Most frames of a recording, in column `num_track_frames` or `num_frames`."""
        return self._largest[name]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._rows([name for name in RECORDINGS.names if name not in _OF_NO_STAGE])

    def _rows(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        for batch in pq.ParquetFile(self._path).iter_batches(batch_size=ROWS_A_GROUP, columns=columns):
            usable = pc.and_(pc.equal(batch["corpus"], self._corpus), pc.not_equal(batch["status"], "excluded"))
            for row in batch.filter(usable).to_pylist():
                if shard_of(row["recording_id"], self._shards) == self._shard:
                    yield row
