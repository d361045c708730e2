"""The clip store: written incrementally, read by memory mapping without copies."""

import bisect
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.errors import CorpusError
from emotalk.files import atomic_path

CLIPS_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("start_frame", pa.int32(), nullable=False),
        pa.field("stop_frame", pa.int32(), nullable=False),
        pa.field("is_whole", pa.bool_(), nullable=False),
        pa.field("subject", pa.string()),
        pa.field("emotion", pa.string()),
        pa.field("intensity", pa.int8()),
        pa.field("statement", pa.string()),
        pa.field("repetition", pa.int8()),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("waveform", pa.list_(pa.int16()), nullable=False),
        pa.field("track", pa.list_(pa.float32()), nullable=False),
    ]
)
"""Frame numbers count from the start of the recording, after the repair of an offset. `is_whole` is true if the
recording was not cut. `digest` covers both arrays. `waveform` is 16 kHz mono; `track` is a flattened (T, 52) array."""

METADATA_COLUMNS = [name for name in CLIPS_SCHEMA.names if name not in ("waveform", "track")]


@dataclass(frozen=True)
class Clip:
    """Training data of one clip.

    Attributes
    ----------
    clip_id
        Id in the manifest and in file names.
    waveform : (N,) int16
        16 kHz mono.
    track : (T, 52) float32
        At 30 fps. Both arrays are views of the memory map.
    """

    clip_id: str
    waveform: np.ndarray
    track: np.ndarray


_CLIPS_PER_BATCH = 16
FULL_SCALE = 32768
"""int16 value of an amplitude of 1."""


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Convert amplitudes in [-1, 1) to int16, rounded; larger values are clipped."""
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(waveform * FULL_SCALE), limits.min, limits.max).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Convert stored samples to float32 amplitudes in [-1, 1)."""
    return samples.astype(np.float32) / FULL_SCALE


def content_digest(waveform: np.ndarray, track: np.ndarray) -> str:
    """Compute a digest of waveform and track."""
    digest = hashlib.sha256(np.ascontiguousarray(waveform).data)
    digest.update(np.ascontiguousarray(track).data)
    return digest.hexdigest()[:16]


def clip_row(clip_id: str, waveform: np.ndarray, track: np.ndarray, labels: Mapping[str, Any]) -> dict[str, Any]:
    """Create a row of the clip store.

    Parameters
    ----------
    waveform : (N,) int16
    track : (T, 52) float32
    labels
        All other columns, without the digest.
    """
    digest = content_digest(waveform, track)
    return {**labels, "clip_id": clip_id, "digest": digest, "waveform": waveform, "track": track}


def write_clips(out: str | Path, clips: Iterable[Mapping[str, Any]]) -> int:
    """Write rows from :func:`clip_row` incrementally, in constant memory; return their number."""
    count = 0
    iterator = iter(clips)
    with atomic_path(out) as path, pa.ipc.new_file(str(path), CLIPS_SCHEMA) as writer:
        while batch := list(islice(iterator, _CLIPS_PER_BATCH)):
            columns = {name: [clip[name] for clip in batch] for name in CLIPS_SCHEMA.names}
            columns["track"] = [track.ravel() for track in columns["track"]]
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=CLIPS_SCHEMA))
            count += len(batch)
    return count


class ClipStore:
    """Read clips by id from one or more Arrow files, which are memory-mapped and cached by the operating system.

    The digest of a clip is verified when it is first read.

    Raises
    ------
    CorpusError
        If a file is not a clip store, two clips have the same id, or a clip does not match its digest.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._verified: set[str] = set()
        for path in paths:
            try:
                file = pa.ipc.open_file(pa.memory_map(str(path)))
            except (pa.ArrowInvalid, OSError) as error:
                raise CorpusError(
                    f"{path} is not a clip store ({error}). Run the same command with --forcerun slice."
                ) from None
            if not file.schema.equals(CLIPS_SCHEMA):
                raise CorpusError(
                    f"{path} does not have the columns of a clip store. Run the same command with --forcerun slice."
                )
            self._batches += [file.get_batch(i) for i in range(file.num_record_batches)]
        self._starts = [0]
        for batch in self._batches:
            self._starts.append(self._starts[-1] + batch.num_rows)
        self._rows = {clip_id: row for row, clip_id in enumerate(self._column("clip_id"))}
        if len(self._rows) < len(self):
            duplicate_id = next(name for name, count in Counter(self._column("clip_id")).items() if count > 1)
            raise CorpusError(
                f"Two clips have the id {duplicate_id}, because names of corpora and recordings are joined by '_'. "
                "Rename a corpus in 'corpora'."
            )

    def _column(self, name: str) -> Iterator[str]:
        return (value for batch in self._batches for value in batch.column(name).to_pylist())

    def __len__(self) -> int:
        return self._starts[-1]

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._rows

    def __getitem__(self, clip_id: str) -> Clip:
        row = self._rows[clip_id]
        number = bisect.bisect_right(self._starts, row) - 1
        batch, row = self._batches[number], row - self._starts[number]
        waveform = batch.column("waveform")[row].values.to_numpy()
        track = batch.column("track")[row].values.to_numpy().reshape(-1, NUM_CHANNELS)
        if clip_id not in self._verified:
            if content_digest(waveform, track) != batch.column("digest")[row].as_py():
                raise CorpusError(
                    f"Clip {clip_id} in the clip store is damaged: its data does not match its digest. Recreate the "
                    "clip store with --forcerun slice."
                )
            self._verified.add(clip_id)
        return Clip(clip_id, waveform, track)

    def metadata(self) -> pa.Table:
        """Return all columns except waveforms and tracks, one row per clip."""
        schema = pa.schema(map(CLIPS_SCHEMA.field, METADATA_COLUMNS))
        return pa.Table.from_batches([batch.select(METADATA_COLUMNS) for batch in self._batches], schema)

    def digest(self) -> str:
        """Compute a digest of ids and contents of all clips, independent of the order of files."""
        pairs = sorted(zip(self._column("clip_id"), self._column("digest"), strict=True))
        return hashlib.sha256(repr(pairs).encode()).hexdigest()[:16]
