"""Files of clips: written as clips come, and read again for what an earlier run made."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.corpus.clips import CLIPS
from emotalk.corpus.earlier import Key, fresh
from emotalk.corpus.gathering import Gathered

_CLIPS_A_BATCH = 16


class Bounds(NamedTuple):
    """Where the clips of a recording begin, and where the last one ends: numbers of samples and of frames."""

    samples: Sequence[int]
    frames: Sequence[int]


def content_digests(waveform: np.ndarray, track: np.ndarray, bounds: Bounds) -> list[str]:
    """Digest of each clip's waveform and track."""
    return [
        _digest(waveform[first:last], track[start:stop])
        for (first, last), (start, stop) in zip(pairwise(bounds.samples), pairwise(bounds.frames), strict=True)
    ]


def _digest(waveform: np.ndarray, track: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(waveform).data)
    digest.update(np.ascontiguousarray(track).data)
    return digest.hexdigest()[:16]


def clip_batch(
    labels: Sequence[Mapping[str, Any]],
    waveform: np.ndarray,
    track: np.ndarray,
    bounds: Bounds,
    *,
    digests: Sequence[str],
    source: str = "",
) -> pa.RecordBatch:
    """Rows of a clip store: the clips of one recording, whose arrays are not copied.

    Parameters
    ----------
    labels
        Of each clip.
    waveform, track
        (N,) int16 samples and (T, 52) float32 motion of the whole recording.
    digests
        Those of :func:`content_digests`.
    source
        Digest of what the recording's clips were made from.
    """
    columns: dict[str, Any] = {name: [row[name] for row in labels] for name in labels[0]}
    columns["digest"] = list(digests)
    columns["source"] = [source] * len(labels)
    columns["waveform"] = pa.ListArray.from_arrays(np.array(bounds.samples, np.int32), waveform)
    columns["track"] = pa.ListArray.from_arrays(np.array(bounds.frames, np.int32) * NUM_CHANNELS, track.ravel())
    return pa.RecordBatch.from_pydict({name: columns[name] for name in CLIPS.names}, schema=CLIPS)


class ClipWriter:
    """Writes clips as they come, so that memory does not grow with the corpus."""

    def __init__(self, path: str | Path) -> None:
        self._writer = pa.ipc.new_file(str(fresh(path)), CLIPS)
        self._pending = Gathered(CLIPS, ["waveform", "track"])

    def __enter__(self) -> "ClipWriter":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pending.num_rows:
            self._writer.write_batch(self._pending.take())
        self._writer.close()

    def write(self, labels: Mapping[str, Any], waveform: np.ndarray, track: np.ndarray) -> None:
        """Add a clip: its labels, (N,) int16 waveform and (T, 52) float32 track."""
        bounds = Bounds([0, len(waveform)], [0, len(track)])
        self.write_batch(
            clip_batch([labels], waveform, track, bounds, digests=content_digests(waveform, track, bounds))
        )

    def write_batch(self, clips: pa.RecordBatch) -> None:
        """Add the rows that :func:`clip_batch` made; they are copied or written before this returns."""
        self._pending.add(clips)
        if self._pending.num_rows >= _CLIPS_A_BATCH:
            self._writer.write_batch(self._pending.take())


def read_clips(path: str | Path | None) -> Iterator[tuple[Key, str, pa.RecordBatch]]:
    """Rows of each recording in a clip store, with its id and source; nothing if there is no such file."""
    if path is None or not Path(path).exists():
        return
    try:
        file = pa.ipc.open_file(pa.OSFile(str(path)))
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


def _joined(parts: list[pa.RecordBatch]) -> tuple[Key, str, pa.RecordBatch]:
    recording_id, source = _recording(parts[0])
    return (recording_id,), source, parts[0] if len(parts) == 1 else pa.concat_batches(parts)
