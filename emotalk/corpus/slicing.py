"""Slicing: recordings become clips of bounded length, audio and motion cut at the same instant."""

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from emotalk.corpus.audio import read_samples
from emotalk.corpus.clip_files import Bounds, ClipWriter, clip_batch, read_clips
from emotalk.corpus.earlier import Earlier, keep, source_digest
from emotalk.corpus.recordings import UsableRecordings
from emotalk.corpus.track_files import read_tracks
from emotalk.errors import CorpusError
from emotalk.parallel import in_threads
from emotalk.progress import progress
from emotalk.provenance import code_digest
from emotalk.timing import EXACT_FRAMES, frame_to_sample

_LOG = logging.getLogger(__name__)
_COPIED = ("corpus", "recording_id", "subject", "emotion", "intensity", "statement", "repetition")
_FRAMES_AT_ONCE = 100_000


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
    known: Earlier[pa.RecordBatch] = Earlier(read_clips(earlier))
    settings = (max_frames, code_digest("emotalk.corpus.slicing"))

    def with_earlier() -> Iterator[tuple[dict[str, Any], np.ndarray, str, pa.RecordBatch | None]]:
        for row, (recording_id, track_source, track) in zip(rows, read_tracks(tracks), strict=True):
            if recording_id != row["recording_id"]:
                raise CorpusError(f"{tracks} is not of {recordings}. Make it again with --forcerun smooth.")
            labels = [row[name] for name in _COPIED]
            lengths = (row["num_frames"], row["shift_frames"])
            source = source_digest(row["wav_sha256"], track_source, *labels, *lengths, *settings)
            yield row, track, source, known.take((recording_id,), source)

    def made(given: tuple[dict[str, Any], np.ndarray, str, pa.RecordBatch | None]) -> pa.RecordBatch:
        row, track, source, ready = given
        return ready or _clips_of(row, track, max_frames, source)

    batches = in_threads(
        made, with_earlier(), threads=threads, weight=lambda given: given[0]["num_frames"], budget=_FRAMES_AT_ONCE
    )
    count = 0
    with ClipWriter(out) as clips:
        for batch in progress(batches, total=len(rows), what=f"Slicing {corpus}", unit="recordings"):
            clips.write_batch(batch)
            count += batch.num_rows
    taken = f", {known.num_taken} of them as they were" if known.num_taken else ""
    _LOG.info("%s: %d recordings%s in %d clips", corpus, len(rows), taken, count)
    keep(out, earlier)


def _clips_of(row: dict[str, Any], track: np.ndarray, max_frames: int, source: str) -> pa.RecordBatch:
    """Clips of a recording, as rows of a clip store."""
    cuts = cut_points(row["num_frames"], max_frames)
    common = {name: row[name] for name in _COPIED} | {"is_whole": len(cuts) == 2}
    labels = [
        common
        | {
            "clip_id": f"{row['corpus']}_{row['recording_id']}_{start:06d}",
            "start_frame": start,
            "stop_frame": stop,
        }
        for start, stop in pairwise(cuts)
    ]
    bounds = Bounds([frame_to_sample(cut) for cut in cuts], cuts)
    return clip_batch(labels, _waveform(row), track[max(0, row["shift_frames"] or 0) :], bounds, source)


def _waveform(row: dict[str, Any]) -> np.ndarray:
    """Samples of a recording that its clips are cut from, as (N,) int16."""
    first = frame_to_sample(max(0, -(row["shift_frames"] or 0)))
    wanted = first + frame_to_sample(row["num_frames"])
    try:
        waveform = read_samples(row["wav_path"], wanted)[first:]
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise CorpusError(f"{row['wav_path']} has changed since it was indexed ({error}).") from None
    if len(waveform) < wanted - first:
        found = f"{len(waveform)} samples instead of {wanted - first}"
        raise CorpusError(f"{row['wav_path']} has changed since it was indexed: {found}. Run --forcerun index.")
    return waveform
