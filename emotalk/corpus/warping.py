"""Dynamic time warping of two clips that say the same words, computed once for each pair that training meets."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emotalk.corpus.alignments import ALIGNED_ROLES, write_alignments
from emotalk.corpus.clips import ClipStore
from emotalk.corpus.samples import from_int16
from emotalk.progress import progress
from emotalk.timing import SAMPLING_RATE

_LOG = logging.getLogger(__name__)
_HOP_SAMPLES = 160
_NUM_MFCC = 13
_KEPT_CLIPS = 4096


def align_manifest(clips: Sequence[str | Path], manifest: str | Path, out: str | Path, *, alignment: str) -> None:
    """Write the warps of all pairs whose motion comes from another clip than the words.

    Parameters
    ----------
    alignment
        "linear" spreads the words evenly, as the released code does, and writes no warp; "dtw" aligns the two audios.
    """
    pairs = _pairs(manifest) if alignment == "dtw" else []
    store = ClipStore(clips)

    @lru_cache(maxsize=_KEPT_CLIPS)
    def cepstrum(clip_id: str) -> np.ndarray:
        return mfcc(from_int16(store[clip_id].waveform))

    shown = progress(pairs, total=len(pairs), what="Aligning", unit="pairs") if pairs else []
    warps = [dtw_warp(cepstrum(audio), cepstrum(track), len(store[track].track)) for audio, track in shown]
    write_alignments(out, pairs, warps)
    _LOG.info("%d pairs of clips aligned (%s)", len(pairs), alignment)


def _pairs(manifest: str | Path) -> list[tuple[str, str]]:
    """Distinct (spoken clip, clip whose motion is matched) of training's and validation's pseudo-pairs, sorted."""
    found: set[tuple[str, str]] = set()
    file = pq.ParquetFile(manifest)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=["split", *(name for role in ALIGNED_ROLES for name in role)])
        table = table.filter(pc.field("split") != "test")  # evaluated without pairs
        for role in ALIGNED_ROLES:
            found.update(zip(*(table.column(name).to_pylist() for name in role), strict=True))
    return sorted((audio, track) for audio, track in found if track is not None and audio != track)


def mfcc(waveform: np.ndarray) -> np.ndarray:
    """Cepstrum (12, L) of a waveform at 100 frames a second, each coefficient with mean 0 and variance 1.

    Without the zeroth, the loudness: that is what another emotion changes most.
    """
    import librosa.feature

    found = librosa.feature.mfcc(
        y=waveform, sr=SAMPLING_RATE, n_mfcc=_NUM_MFCC, n_fft=400, hop_length=_HOP_SAMPLES, n_mels=40
    )[1:]
    return (found - found.mean(axis=1, keepdims=True)) / (found.std(axis=1, keepdims=True) + 1e-6)


def dtw_warp(audio: np.ndarray, target: np.ndarray, num_frames: int) -> np.ndarray:
    """Where in `audio` the words of each frame of a target stand.

    Parameters
    ----------
    audio, target : (12, L), (12, L')
        Cepstra of the clip that is spoken, and of the clip whose motion is matched.
    num_frames
        T, frames of the target's track.

    Returns
    -------
    (T,) float32
        From 0, the start of the audio, to 1, its end; never falling.

    Source
    ------
    The author's earlier code aligned the two audios by DTW (DOMAIN.md, section 3); features and steps are unpublished,
    here they are librosa's.
    """
    from librosa.sequence import dtw

    _, path = dtw(X=audio, Y=target, metric="euclidean")
    in_audio, in_target = path[::-1].T
    visited, first = np.unique(in_target, return_index=True)
    last = np.append(first[1:], len(in_target)) - 1
    place = (in_audio[first] + in_audio[last]) / 2
    place[0], place[-1] = 0, in_audio[-1]
    frames = np.linspace(0, visited[-1], num_frames)
    return (np.interp(frames, visited, place) / max(in_audio[-1], 1)).astype(np.float32)
