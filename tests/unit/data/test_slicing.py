import librosa
import numpy as np
import pytest
import soundfile
import soxr

from emotalk.config.corpus import SmoothSettings
from emotalk.data.audio import waveform_blocks
from emotalk.data.clips import ClipStore
from emotalk.data.slicing import compute_clip_boundaries, slice_corpus
from emotalk.data.smoothing import smooth_corpus
from emotalk.errors import CorpusError
from emotalk.timing import frame_to_sample


@pytest.mark.parametrize("max_frames", [30, 99, 300])
@pytest.mark.parametrize("num_frames", [1, 29, 30, 31, 299, 300, 301, 1799, 15_000, 59_401])
def test_clips_have_bounded_balanced_lengths_and_cover_all_frames(num_frames, max_frames):
    cuts = compute_clip_boundaries(num_frames, max_frames)
    lengths = np.diff(cuts)
    assert (cuts[0], cuts[-1]) == (0, num_frames)
    assert all(cut % 3 == 0 for cut in cuts[:-1])
    assert lengths.max() <= max_frames
    assert lengths.max() - lengths.min() <= 5
    assert len(lengths) == -(-num_frames // max_frames)


@pytest.mark.parametrize("max_frames", [0, -3, 100])
def test_a_clip_length_that_is_not_a_multiple_of_three_is_an_error(max_frames):
    with pytest.raises(ValueError, match="positive multiple of 3"):
        compute_clip_boundaries(500, max_frames)


@pytest.fixture
def sliced(index, data, tmp_path):
    """Run index, smooth and slice on HDTF."""

    def run(max_frames, *, smooth=False):
        index(["HDTF"], strict=True)
        recordings = data / "recordings.parquet"
        smooth_corpus(recordings, tmp_path / "t", corpus="HDTF", settings=SmoothSettings() if smooth else None)
        slice_corpus(recordings, tmp_path / "t", tmp_path / "c", corpus="HDTF", max_frames=max_frames)
        return ClipStore([tmp_path / "c"])

    return run


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("rate", [16_000, 48_000, 44_100])
def test_audio_and_motion_stay_aligned_in_a_long_recording(sliced, data, rate, smooth):
    num_frames, clicks = 15_000, [0, 299, 300, 777, 7_501, 14_998]  # 500 s
    audio, track = np.zeros(-(-num_frames * rate // 30)), np.zeros((num_frames, 52), np.float32)
    for frame in clicks:
        audio[round((frame + 0.5) * rate / 30)] = 0.9
        track[frame, 24] = 1
    soundfile.write(data / "HDTF/audio/WDA_A_000.wav", audio, rate)
    np.save(data / "HDTF/blendshape/WDA_A_000.npy", track)
    store = sliced(300, smooth=smooth)
    positions = []
    for row in store.metadata().to_pylist():
        clip = store[row["clip_id"]]
        assert len(clip.waveform) == frame_to_sample(row["stop_frame"]) - frame_to_sample(row["start_frame"])
        # After smoothing, a click is at least 13/35 high and its neighbours at most 12/35.
        for frame in np.flatnonzero(clip.track[:, 24] > 0.36):
            start = round((frame + 0.5) * 1600 / 3)
            window = np.abs(clip.waveform[max(0, start - 100) : start + 100].astype(int))
            assert abs(window.argmax() + max(0, start - 100) - start) <= 1
            positions.append(row["start_frame"] + int(frame))
    assert positions == clicks


def test_a_short_recording_is_one_clip_and_its_track_is_cut_to_the_audio(sliced, record):
    record("WDA_A_000", corpus="HDTF", frames=61, track_frames=63)
    store = sliced(300)
    (row,) = store.metadata().to_pylist()
    clip = store[row["clip_id"]]
    assert row["is_whole"]
    assert (row["start_frame"], row["stop_frame"], len(clip.track)) == (0, 61, 61)
    assert len(clip.waveform) == 61 * 1600 // 3


def test_the_clip_store_has_the_samples_and_motion_of_the_files(sliced, record, data):
    record("WDA_A_000", corpus="HDTF", frames=90)
    store = sliced(300)
    clip = store[store.metadata()["clip_id"][0].as_py()]
    samples, _ = soundfile.read(data / "HDTF/audio/WDA_A_000.wav", dtype="int16")
    assert (clip.waveform == samples).all()
    assert (clip.track == np.load(data / "HDTF/blendshape/WDA_A_000.npy")).all()


def test_audio_with_nan_is_an_error_with_its_path(sliced, record, data):
    record("WDA_A_000", corpus="HDTF", frames=60)
    samples = np.full(32_000, 0.1, np.float32)
    samples[5] = np.nan
    soundfile.write(data / "HDTF/audio/WDA_A_000.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(CorpusError, match=r"WDA_A_000\.wav has samples that are NaN"):
        sliced(300)


@pytest.fixture
def stereo(tmp_path) -> np.ndarray:
    """One second of noise in two channels at 48 kHz, which is also in the file `a.wav`."""
    audio = 0.1 * np.random.default_rng(0).standard_normal((48_000, 2))
    soundfile.write(tmp_path / "a.wav", audio, 48_000, subtype="FLOAT")
    return audio


def test_stereo_at_another_rate_is_the_resampled_mean_of_the_channels(stereo, tmp_path):
    expected = soxr.resample(stereo.mean(axis=1), 48_000, 16_000, quality="HQ")
    np.testing.assert_allclose(np.concatenate(list(waveform_blocks(tmp_path / "a.wav"))), expected, atol=1e-4)


@pytest.mark.long
def test_stereo_at_another_rate_is_read_like_librosa(stereo, tmp_path):
    """In a new environment, librosa compiles for 20 seconds."""
    expected, _ = librosa.load(tmp_path / "a.wav", sr=16_000, mono=True)
    np.testing.assert_allclose(np.concatenate(list(waveform_blocks(tmp_path / "a.wav"))), expected, atol=1e-4)
