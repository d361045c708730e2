"""Slicing: recordings become clips of bounded length, audio and motion cut at the same instant."""

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import soundfile

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.corpus.audio import read_samples
from emotalk.corpus.clip_files import Bounds, ClipWriter, clip_batch, content_digests, read_clips
from emotalk.corpus.earlier import FRAMES_AHEAD, Earlier, Input, keep, source_digest, taken_or_made
from emotalk.corpus.recordings import UsableRecordings
from emotalk.corpus.track_files import read_tracks
from emotalk.errors import CorpusError
from emotalk.provenance import code_digest
from emotalk.sharedring import Room
from emotalk.timing import EXACT_FRAMES, FPS, SAMPLING_RATE, frame_to_sample

_LOG = logging.getLogger(__name__)
_COPIED = ("corpus", "recording_id", "subject", "emotion", "intensity", "statement", "repetition")
_BYTES_A_FRAME = 4 * NUM_CHANNELS + 2 * (SAMPLING_RATE // FPS + 1)


def cut_points(num_frames: int, max_frames: int) -> list[int]:
    """Frames at which a recording is cut, its first and last frame included.

    Clips have at most `max_frames` frames and differ by at most three in length, so that no short remainder is left.
    Cuts fall on multiples of three frames, which are whole samples.

    Raises
    ------
    ValueError
        If `max_frames` is no positive multiple of three.
    """
    if max_frames <= 0 or max_frames % EXACT_FRAMES:
        raise ValueError(f"max_frames is {max_frames}; it must be a positive multiple of {EXACT_FRAMES}")
    units = -(-num_frames // EXACT_FRAMES)
    num_clips = -(-num_frames // max_frames)
    return [EXACT_FRAMES * (i * units // num_clips) for i in range(num_clips)] + [num_frames]


def slice_corpus(
    recordings: str | Path,
    tracks: str | Path,
    out: str | Path,
    *,
    corpus: str,
    max_frames: int,
    threads: int = 1,
    shard: int = 0,
    shards: int = 1,
    earlier: str | Path | None = None,
) -> None:
    """Cut the usable recordings of one corpus into clips of at most `max_frames` frames and write the clip store.

    Parameters
    ----------
    earlier
        What this function wrote the last time, if there is such a file: clips of the same audio and motion are taken
        from it. It becomes the present output.

    Raises
    ------
    CorpusError
        If audio is not what it was when it was indexed, or the tracks are of another table of recordings.
    """
    rows = UsableRecordings(recordings, corpus, shard=shard, shards=shards)
    settings = (max_frames, code_digest("emotalk.corpus.slicing"))

    def inputs() -> Iterator[Input[_Recording]]:
        for row, (recording_id, track_source, track) in zip(rows, read_tracks(tracks), strict=True):
            if recording_id != row["recording_id"]:
                raise CorpusError(f"{tracks} is not of {recordings}. Make it again with --forcerun smooth.")
            labels = {name: row[name] for name in _COPIED}
            shift = row["shift_frames"] or 0
            lengths = (row["num_frames"], shift)
            source = source_digest(row["wav_sha256"], track_source, *labels.values(), *lengths, *settings)
            item = _Recording(
                labels, source, row["wav_path"], cut_points(row["num_frames"], max_frames), -min(0, shift)
            )
            motion = track[max(0, shift) :][: row["num_frames"]]
            yield Input((recording_id,), source, item, item.num_bytes, motion)

    store = taken_or_made(
        inputs(),
        _read,
        _as_rows,
        Earlier(read_clips(earlier)),
        what=f"Slicing {corpus}",
        unit="recordings",
        total=len(rows),
        processes=threads,
        memory=max(rows.largest("num_frames"), threads * FRAMES_AHEAD) * _BYTES_A_FRAME,
    )
    count = 0
    with ClipWriter(out) as clips:
        for batch in store:
            clips.write_batch(batch)
            count += batch.num_rows
    _LOG.info("%s: %d recordings in %d clips", corpus, len(rows), count)
    keep(out, earlier)


class _Recording(NamedTuple):
    """What is to be cut; its room holds the motion, then the samples.

    Attributes
    ----------
    cuts
        Frames, counted from where audio and motion both begin.
    skipped_frames
        Frames of audio before that, which have no motion.
    """

    labels: dict[str, Any]
    source: str
    wav_path: str
    cuts: list[int]
    skipped_frames: int

    @property
    def bounds(self) -> Bounds:
        """Where clips begin and end."""
        return Bounds([frame_to_sample(cut) for cut in self.cuts], self.cuts)

    @property
    def num_bytes(self) -> int:
        """Size of the room."""
        return self.cuts[-1] * 4 * NUM_CHANNELS + 2 * frame_to_sample(self.cuts[-1])

    def arrays(self, room: Room) -> tuple[np.ndarray, np.ndarray]:
        """Samples (N,) int16 and motion (T, 52) float32 in the room."""
        size = self.cuts[-1] * 4 * NUM_CHANNELS
        return room[size:].view(np.int16), room[:size].view(np.float32).reshape(-1, NUM_CHANNELS)


def _read(item: _Recording, room: Room) -> list[str]:
    """Put the samples into the room and tell the clips' digests."""
    waveform, track = item.arrays(room)
    first = frame_to_sample(item.skipped_frames)
    try:
        samples = read_samples(item.wav_path, first + len(waveform))[first:]
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise CorpusError(f"{item.wav_path} has changed since it was indexed ({error}).") from None
    if len(samples) < len(waveform):
        found = f"{len(samples)} samples instead of {len(waveform)}"
        raise CorpusError(f"{item.wav_path} has changed since it was indexed: {found}. Run --forcerun index.")
    waveform[:] = samples
    return content_digests(waveform, track, item.bounds)


def _as_rows(item: _Recording, digests: list[str], room: Room) -> pa.RecordBatch:
    """Clips of a recording, as rows of a clip store."""
    common = item.labels | {"is_whole": len(item.cuts) == 2}
    name = f"{item.labels['corpus']}_{item.labels['recording_id']}"
    labels = [
        common | {"clip_id": f"{name}_{start:06d}", "start_frame": start, "stop_frame": stop}
        for start, stop in pairwise(item.cuts)
    ]
    waveform, track = item.arrays(room)
    return clip_batch(labels, waveform, track, item.bounds, digests=digests, source=item.source)
