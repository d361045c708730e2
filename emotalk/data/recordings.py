"""The table of recordings: one row for every recording found on disk."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emotalk.files import atomic_path

RECORDINGS = pa.schema(
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
"""`num_track_frames` counts frames of 30 fps, `num_frames` those that audio and track have in common once both begin
together: motion is `shift_frames` late, if a shift is to be mended. `num_samples` counts the file's own samples.
`offset_scores` are the correlations of `emotalk.data.av_sync`. `status` is `ok`, `repaired` or `excluded`; each
reason starts with its code."""

FRAMES_PER_CHUNK = 3_000
"""Frames of recordings that a worker is given at once: 100 seconds, or one longer recording."""
_ROWS_PER_GROUP = 1024
_NOT_FOR_STAGES = ("offset_scores", "reasons")


def write_rows(path: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of the table as they come; columns that a row lacks are null."""
    iterator = iter(rows)
    with atomic_path(path) as partial, pq.ParquetWriter(partial, RECORDINGS) as writer:
        while group := list(islice(iterator, _ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=RECORDINGS))


def read_rows(path: str | Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of the table in their order, some of them in memory at a time."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_ROWS_PER_GROUP, columns=columns):
        yield from batch.to_pylist()


class UsableRecordings:
    """Rows of one corpus that are not excluded, in the order of the table.

    Parameters
    ----------
    path
        Table of recordings.
    part
        Which part of them, `2-of-5` for example; by default all.
    """

    def __init__(self, path: str | Path, corpus: str, part: str | None = None) -> None:
        self._path, self._corpus = path, corpus
        self._range = part_range(part, sum(1 for _ in self._usable(["corpus", "status"])))

    def __len__(self) -> int:
        return len(self._range)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rows = self._usable([name for name in RECORDINGS.names if name not in _NOT_FOR_STAGES])
        return islice(rows, self._range.start, self._range.stop)

    def _usable(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        for batch in pq.ParquetFile(self._path).iter_batches(batch_size=_ROWS_PER_GROUP, columns=columns):
            usable = pc.and_(pc.equal(batch["corpus"], self._corpus), pc.not_equal(batch["status"], "excluded"))
            yield from batch.filter(usable).to_pylist()


_NAME = re.compile(r"(\d+)-of-(\d+)")


def part_range(part: str | None, total: int) -> range:
    """Numbers of the items that belong to a part.

    Parameters
    ----------
    part
        `2-of-5` for example, as Snakemake's `scattergather` names parts; None for everything.
    total
        Number of all items.
    """
    match = _NAME.fullmatch(part or "1-of-1")
    if match is None:
        raise ValueError(f"{part!r} is no part; parts are named like '2-of-5'")
    number, count = int(match[1]), int(match[2])
    return range(total * (number - 1) // count, total * number // count)


def join_parquet(parts: Sequence[str | Path], out: str | Path) -> None:
    """Write the rows of all parts to one parquet file, a row group at a time."""
    files = [pq.ParquetFile(part) for part in parts]
    with atomic_path(out) as path, pq.ParquetWriter(path, files[0].schema_arrow, compression="NONE") as writer:
        for file in files:
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))


def join_arrow(parts: Sequence[str | Path], out: str | Path) -> None:
    """Write the record batches of all parts to one Arrow file, one at a time."""
    files = [pa.ipc.open_file(pa.memory_map(str(part))) for part in parts]
    with atomic_path(out) as path, pa.ipc.new_file(str(path), files[0].schema) as writer:
        for file in files:
            for number in range(file.num_record_batches):
                writer.write_batch(file.get_batch(number))


def by_corpus(parts: Sequence[str], num_corpora: int) -> list[list[str]]:
    """Files of the parts of each corpus, which stand corpus after corpus; empty lists if there are no parts."""
    count = len(parts) // num_corpora
    return [list(parts[count * number : count * (number + 1)]) for number in range(num_corpora)]
