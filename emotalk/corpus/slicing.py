"""Slicing: recordings become clips of bounded length, audio and motion cut at the same instant."""

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from emotalk.corpus.audio import read_waveform
from emotalk.corpus.clips import ClipWriter
from emotalk.corpus.recordings import usable_recordings
from emotalk.corpus.samples import to_int16
from emotalk.corpus.smoothing import read_tracks
from emotalk.errors import CorpusError
from emotalk.progress import progress
from emotalk.timing import EXACT_FRAMES, frame_to_sample

_LOG = logging.getLogger(__name__)
_COPIED = ("corpus", "recording_id", "subject", "emotion", "intensity", "statement", "repetition")


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


def slice_corpus(recordings: str | Path, tracks: str | Path, out: str | Path, *, corpus: str, max_frames: int) -> None:
    """Cut the usable recordings of one corpus into clips of at most `max_frames` frames and write the clip store."""
    rows = usable_recordings(recordings, corpus)
    with ClipWriter(out) as clips:
        pairs = zip(rows, read_tracks(tracks), strict=True)
        count = 0
        for row, (recording_id, track) in progress(pairs, total=len(rows), what=f"Slicing {corpus}", unit="recordings"):
            if recording_id != row["recording_id"]:
                raise CorpusError(f"{tracks} is not of {recordings}. Make it again with --forcerun smooth.")
            for clip in _clips_of(row, track, max_frames):
                clips.write(*clip)
                count += 1
    _LOG.info("%s: %d recordings in %d clips", corpus, len(rows), count)


def _clips_of(
    row: dict[str, Any], track: np.ndarray, max_frames: int
) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    """Labels, waveform and track of each clip of a recording."""
    try:
        waveform = read_waveform(row["wav_path"])
    except (soundfile.SoundFileError, OSError) as error:
        raise CorpusError(
            f"{row['wav_path']} has a readable header, but its samples cannot be read ({error}). "
            "Replace the file, or take it out of the folder."
        ) from None
    wanted = frame_to_sample(row["num_frames"])
    if len(waveform) < wanted or not np.isfinite(waveform).all():
        found = f"{len(waveform)} samples of {wanted}" if len(waveform) < wanted else "samples that are NaN or infinite"
        raise CorpusError(f"{row['wav_path']} holds {found}. Replace the file, or take it out of the folder.")
    samples = to_int16(waveform)
    cuts = cut_points(row["num_frames"], max_frames)
    for start, stop in pairwise(cuts):
        labels = {name: row[name] for name in _COPIED} | {
            "clip_id": f"{row['corpus']}_{row['recording_id']}_{start:06d}",
            "start_frame": start,
            "stop_frame": stop,
            "is_whole": len(cuts) == 2,
        }
        yield labels, samples[frame_to_sample(start) : frame_to_sample(stop)], track[start:stop]
