"""Alignment of two clips that say the same words in another rhythm."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotalk.corpus.alignments import Alignments, write_alignments
from emotalk.corpus.clip_files import ClipWriter
from emotalk.corpus.manifest import MANIFEST
from emotalk.corpus.samples import to_int16
from emotalk.corpus.warping import align_manifest, dtw_warp, mfcc
from emotalk.errors import CorpusError

RATE = 16_000


def speech(seconds: float, rhythm) -> np.ndarray:
    """Vowel-like sound whose pitch and colour follow `rhythm`, a function from time to place in the sentence (0-1)."""
    place = rhythm(np.linspace(0, 1, int(seconds * RATE)))
    colour = 700 + 500 * np.sin(12 * place) + 300 * np.sin(31 * place)
    phase = 2 * np.pi * np.cumsum(colour) / RATE
    return (0.2 * np.sin(phase) + 0.1 * np.sin(2.5 * phase)).astype(np.float32)


def test_a_clip_aligned_with_itself_is_spread_evenly():
    clip = mfcc(speech(2.0, lambda t: t))
    np.testing.assert_allclose(dtw_warp(clip, clip, 60), np.linspace(0, 1, 60), atol=1e-6)


def test_a_known_change_of_rhythm_is_found():
    """The target says the first half of the sentence in a third of its time."""

    def hurried(t):
        return np.where(t < 1 / 3, 1.5 * t, 0.5 + 0.75 * (t - 1 / 3))

    warp = dtw_warp(mfcc(speech(2.0, lambda t: t)), mfcc(speech(2.4, hurried)), 72)
    expected = hurried(np.linspace(0, 1, 72))
    assert np.abs(warp - expected).max() < 0.04
    assert np.abs(np.linspace(0, 1, 72) - expected).max() > 0.15


@pytest.mark.parametrize("num_frames", [1, 2, 15, 500])
def test_a_warp_rises_from_start_to_end_at_any_length(num_frames):
    a, b = mfcc(speech(1.0, lambda t: t)), mfcc(speech(1.7, lambda t: t**2))
    warp = dtw_warp(a, b, num_frames)
    assert warp.shape == (num_frames,)
    assert warp.dtype == np.float32
    assert warp[0] == 0
    assert (np.diff(warp) >= 0).all()
    assert num_frames == 1 or warp[-1] == 1


def test_silence_is_aligned_without_a_fault():
    silent = mfcc(np.zeros(8000, np.float32))
    assert np.isfinite(dtw_warp(silent, silent, 15)).all()


@pytest.fixture
def corpus(tmp_path):
    """Four clips, and a manifest with a pseudo-pair, a clip alone and a random pair."""
    with ClipWriter(tmp_path / "clips.arrow") as writer:
        for i in range(4):
            labels = dict(
                clip_id=f"c{i}", corpus="C", recording_id=f"c{i}", start_frame=0, stop_frame=30, is_whole=True
            )
            labels |= dict.fromkeys(("subject", "emotion", "intensity", "statement", "repetition"))
            frames = 30 + 3 * i
            waveform = to_int16(speech(frames / 30, lambda t: t))
            writer.write(labels, waveform, np.zeros((frames, 52), np.float32))
    common = dict(split="train", epoch=1, subject=0, intensity=0, emotion_e1=0, emotion_e2=1, num_frames=9)
    rows = [
        dict(kind="cross", audio_c1e2="c0", audio_c2e1="c1", track_c1e1="c2", track_c2e2="c3"),
        dict(kind="self", audio_c1e2="c0", audio_c2e1=None, track_c1e1=None, track_c2e2=None),
        dict(kind="random", audio_c1e2="c2", audio_c2e1="c3", track_c1e1="c2", track_c2e2="c3"),
    ]
    table = [row | common | {"position": i} for i, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(table, schema=MANIFEST), tmp_path / "manifest.parquet")
    return [tmp_path / "clips.arrow"], tmp_path / "manifest.parquet", tmp_path / "alignments.arrow"


def test_only_motion_of_another_clip_than_the_words_is_aligned(corpus):
    align_manifest(*corpus, alignment="dtw")
    aligned = Alignments(corpus[2])
    assert len(aligned) == 2
    assert aligned.get("c0", "c2").shape == (36,)
    assert aligned.get("c1", "c3").shape == (39,)
    assert aligned.get("c2", "c2") is None
    assert aligned.get("c2", "c0") is None


def test_linear_alignment_writes_no_warp(corpus):
    align_manifest(*corpus, alignment="linear")
    assert len(Alignments(corpus[2])) == 0


def test_alignments_are_read_as_they_were_written(tmp_path):
    warp = np.linspace(0, 1, 7, dtype=np.float32) ** 2
    write_alignments(tmp_path / "a.arrow", [("x", "y")], [warp])
    assert (Alignments(tmp_path / "a.arrow").get("x", "y") == warp).all()


@pytest.mark.parametrize("content", [b"", b"noise" * 99])
def test_a_file_that_holds_no_alignments_is_named(tmp_path, content):
    (tmp_path / "a.arrow").write_bytes(content)
    with pytest.raises(CorpusError, match=r"a.arrow holds no alignments .*--forcerun pair"):
        Alignments(tmp_path / "a.arrow")
