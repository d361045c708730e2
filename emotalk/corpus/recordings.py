"""The table of recordings: one row for every stem found on disk."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.errors import CorpusError

RECORDINGS = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("wav_path", pa.string()),
        pa.field("track_path", pa.string()),
        pa.field("sampling_rate", pa.int32()),
        pa.field("num_audio_channels", pa.int16()),
        pa.field("num_samples", pa.int64()),
        pa.field("num_track_frames", pa.int32()),
        pa.field("num_frames", pa.int32()),
        pa.field("duration_s", pa.float64()),
        pa.field("subject", pa.string()),
        pa.field("emotion", pa.string()),
        pa.field("intensity", pa.int8()),
        pa.field("statement", pa.int8()),
        pa.field("repetition", pa.int8()),
        pa.field("wav_sha256", pa.string()),
        pa.field("track_sha256", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
    ]
)
"""`num_frames` is the length, in 30 fps frames, that audio and track have in common; `num_samples` counts the file's
own samples; `status` is `ok`, `repaired` or `excluded`; each reason starts with its code."""


def usable_recordings(path: str | Path, corpus: str) -> list[dict]:
    """Rows of one corpus that are not excluded, in the order of the table.

    Raises
    ------
    CorpusError
        If there is none.
    """
    keep = [("corpus", "=", corpus), ("status", "in", ["ok", "repaired"])]
    rows = pq.read_table(path, filters=keep).to_pylist()
    if not rows:
        raise CorpusError(
            f"{path} holds no usable recording of {corpus}. Its column 'reasons' says why each is excluded."
        )
    return rows
