"""Slicing: cuts recordings into clips of limited length, with audio and motion cut at the same points in time."""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from emotalk.data.audio import read_samples
from emotalk.data.clips import clip_row, write_clips
from emotalk.data.recordings import FRAMES_PER_CHUNK, UsableRecordings
from emotalk.data.track_files import read_tracks
from emotalk.errors import CorpusError
from emotalk.parallel import parallel_map
from emotalk.progress import progress
from emotalk.timing import EXACT_FRAMES, frame_to_sample

_LOG = logging.getLogger(__name__)
_INDEX_AGAIN = "Run the same command with --forcerun index."
_COPIED_COLUMNS = ("corpus", "recording_id", "subject", "emotion", "intensity", "statement", "repetition")


def compute_clip_boundaries(num_frames: int, max_frames: int) -> list[int]:
    """Compute the boundaries of the clips of a recording in frames, including 0 and `num_frames`.

    Clips have at most `max_frames` frames and nearly equal lengths, so that there is no short remainder. Cuts are at
    multiples of three frames, which are whole numbers of samples.

    Raises
    ------
    ValueError
        If `max_frames` is not a positive multiple of three.
    """
    if max_frames <= 0 or max_frames % EXACT_FRAMES:
        raise ValueError(f"max_frames is {max_frames}; it must be a positive multiple of {EXACT_FRAMES}")
    units = -(-num_frames // EXACT_FRAMES)
    num_clips = -(-num_frames // max_frames)
    return [EXACT_FRAMES * (i * units // num_clips) for i in range(num_clips)] + [num_frames]


def slice_recording(item: tuple[Mapping[str, Any], np.ndarray], max_frames: int) -> list[dict[str, Any]]:
    """Cut one recording into clips; return their rows of the clip store.

    Parameters
    ----------
    item
        Row of the recording, and its (T, 52) track from stage `smooth`.

    Raises
    ------
    CorpusError
        If the audio has changed since it was indexed.
    """
    row, track = item
    # Positive: the motion is late, and its first frames are dropped. Negative: the start of the audio is dropped.
    shift = row["shift_frames"] or 0
    num_frames = row["num_frames"]
    waveform = _read_indexed_samples(row["wav_path"], frame_to_sample(max(0, -shift)), frame_to_sample(num_frames))
    track = track[max(0, shift) :][:num_frames]
    cuts = compute_clip_boundaries(num_frames, max_frames)
    labels = {name: row[name] for name in _COPIED_COLUMNS} | {"is_whole": len(cuts) == 2}
    return [
        clip_row(
            f"{row['corpus']}_{row['recording_id']}_{start:06d}",
            waveform[frame_to_sample(start) : frame_to_sample(stop)],
            track[start:stop],
            labels | {"start_frame": start, "stop_frame": stop},
        )
        for start, stop in pairwise(cuts)
    ]


def _read_indexed_samples(path: str, start: int, count: int) -> np.ndarray:
    """Read `count` int16 samples at 16 kHz mono, from sample `start`."""
    try:
        samples = read_samples(path, start + count)[start:]
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise CorpusError(f"{path} has changed since it was indexed ({error}). {_INDEX_AGAIN}") from None
    if len(samples) < count:
        difference = f"{len(samples)} samples instead of {count}"
        raise CorpusError(f"{path} has changed since it was indexed: {difference}. {_INDEX_AGAIN}")
    return samples


def slice_corpus(
    recordings: str | Path,
    tracks: str | Path,
    out: str | Path,
    *,
    corpus: str,
    max_frames: int,
    threads: int = 1,
    part: str | None = None,
) -> None:
    """Cut the usable recordings of one corpus into clips of at most `max_frames` frames, and write the clip store.

    Parameters
    ----------
    part
        Part of the recordings, for example `2-of-5`; None for all. `tracks` must contain the same part.

    Raises
    ------
    CorpusError
        If audio has changed since it was indexed, or the tracks do not match the table of recordings.
    """
    rows = UsableRecordings(recordings, corpus, part)

    def items() -> Iterator[tuple[Mapping[str, Any], np.ndarray]]:
        for row, (recording_id, track) in zip(rows, read_tracks(tracks), strict=True):
            if recording_id != row["recording_id"]:
                raise CorpusError(f"{tracks} does not match {recordings}. Run the same command with --forcerun smooth.")
            yield row, track

    clips = parallel_map(
        partial(slice_recording, max_frames=max_frames),
        items(),
        processes=threads,
        chunk_share=lambda item: item[0]["num_frames"] / FRAMES_PER_CHUNK,
    )
    clips_with_progress = progress(clips, total=len(rows), what=f"Slicing {corpus}", unit="recordings")
    count = write_clips(out, chain.from_iterable(clips_with_progress))
    _LOG.info("Sliced %d recordings of %s into %d clips", len(rows), corpus, count)
