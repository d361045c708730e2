"""Files of clips: written as clips come, and read again for what an earlier run made."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from emotalk.corpus.clips import CLIPS
from emotalk.corpus.earlier import fresh

_CLIPS_A_BATCH = 64


def clip_batch(clips: Iterable[tuple[Mapping[str, Any], np.ndarray, np.ndarray]], source: str = "") -> pa.RecordBatch:
    """Rows of a clip store.

    Parameters
    ----------
    clips
        Labels, (N,) int16 waveform and (T, 52) float32 track of each clip.
    source
        Digest of what they were made from.
    """
    rows = [
        {**labels, "digest": _digest(waveform, track), "source": source, "waveform": waveform, "track": track.ravel()}
        for labels, waveform, track in clips
    ]
    return pa.RecordBatch.from_pydict({name: [row[name] for row in rows] for name in CLIPS.names}, schema=CLIPS)


def _digest(waveform: np.ndarray, track: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(waveform).data)
    digest.update(np.ascontiguousarray(track).data)
    return digest.hexdigest()[:16]


class ClipWriter:
    """Writes clips as they come, so that memory does not grow with the corpus."""

    def __init__(self, path: str | Path) -> None:
        self._writer = pa.ipc.new_file(str(fresh(path)), CLIPS)
        self._pending: list[pa.RecordBatch] = []

    def __enter__(self) -> "ClipWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._writer.close()

    def write(self, labels: Mapping[str, Any], waveform: np.ndarray, track: np.ndarray) -> None:
        """Add a clip: its labels, (N,) int16 waveform and (T, 52) float32 track."""
        self.write_batch(clip_batch([(labels, waveform, track)]))

    def write_batch(self, clips: pa.RecordBatch) -> None:
        """Add the rows that :func:`clip_batch` made."""
        self._pending.append(clips)
        if sum(batch.num_rows for batch in self._pending) >= _CLIPS_A_BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_batch(pa.concat_batches(self._pending))
            self._pending = []


def read_clips(path: str | Path | None) -> Iterator[tuple[tuple[str, ...], str, pa.RecordBatch]]:
    """Rows of each recording in a clip store, with its id and source; nothing if there is no such file."""
    if path is None or not Path(path).exists():
        return
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
    except (pa.ArrowInvalid, OSError):
        return
    if not file.schema.equals(CLIPS):
        return
    pending: list[pa.RecordBatch] = []
    for number in range(file.num_record_batches):
        batch = file.get_batch(number)
        ids = batch["recording_id"].to_pylist()
        cuts = [0, *(row for row in range(1, len(ids)) if ids[row] != ids[row - 1]), len(ids)]
        for start, stop in pairwise(cuts):
            part = batch.slice(start, stop - start)
            if pending and _recording(pending[-1]) != _recording(part):
                yield _joined(pending)
                pending = []
            pending.append(part)
    if pending:
        yield _joined(pending)


def _recording(clips: pa.RecordBatch) -> tuple[str, str]:
    return clips["recording_id"][0].as_py(), clips["source"][0].as_py()


def _joined(parts: list[pa.RecordBatch]) -> tuple[tuple[str, ...], str, pa.RecordBatch]:
    recording_id, source = _recording(parts[0])
    return (recording_id,), source, parts[0] if len(parts) == 1 else pa.concat_batches(parts)
