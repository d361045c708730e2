"""Alignments: how the words of one clip lie in time in another that says the same, when they are not spread evenly."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from emotalk.errors import CorpusError

ALIGNMENTS = pa.schema(
    [
        pa.field("audio", pa.string(), nullable=False),
        pa.field("track", pa.string(), nullable=False),
        pa.field("warp", pa.list_(pa.float32()), nullable=False),
    ]
)
"""`audio` and `track` are clip ids; `warp` has one value a frame of the track: the place in the audio that is spoken
there, from 0 (its start) to 1 (its end)."""


ALIGNED_ROLES = (("audio_c1e2", "track_c1e1"), ("audio_c2e1", "track_c2e2"))
"""Columns of the manifest that hold such pairs: the clip that is spoken, and the one whose motion is to be matched."""


class Alignments:
    """Warps by the clip that is spoken and the clip whose motion is to be matched, memory-mapped.

    Raises
    ------
    CorpusError
        If the file holds no alignments.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
        except (pa.ArrowInvalid, OSError) as error:
            raise CorpusError(f"{path} holds no alignments ({error}). Make it again with --forcerun pair.") from None
        table = file.read_all()
        self._warps = table.column("warp")
        names = (table.column(name).to_pylist() for name in ("audio", "track"))
        self._rows = {pair: row for row, pair in enumerate(zip(*names, strict=True))}

    def __len__(self) -> int:
        return len(self._rows)

    def digest(self, pairs: Iterable[tuple[str, str]]) -> str:
        """Digest of the warps of some pairs."""
        digest = hashlib.sha256()
        for pair in sorted(set(pairs) & self._rows.keys()):
            digest.update(repr(pair).encode() + self._warps[self._rows[pair]].values.to_numpy().tobytes())
        return digest.hexdigest()[:16]

    def get(self, audio: str, track: str) -> np.ndarray | None:
        """Warp (T,) float32 of an audio clip to the frames of another clip's track, or None to spread it evenly."""
        row = self._rows.get((audio, track))
        return None if row is None else self._warps[row].values.to_numpy()


def write_alignments(path: str | Path, pairs: Sequence[tuple[str, str]], warps: Sequence[np.ndarray]) -> None:
    """Write a warp for each pair of audio and track."""
    columns = [[audio for audio, _ in pairs], [track for _, track in pairs], list(warps)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, ALIGNMENTS, strict=True)]
    with pa.ipc.new_file(str(path), ALIGNMENTS) as writer:
        writer.write_table(pa.Table.from_arrays(arrays, schema=ALIGNMENTS))
