"""AudioFile of any length: windows that fade into each other."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch

from emotalk.data.audio import read_waveform
from emotalk.errors import EvaluationError
from emotalk.inference.windows import OVERLAP, AudioFile, predict_speech, window_bounds
from emotalk.model import EmoTalk
from emotalk.model.encoder_config import EncoderConfig
from emotalk.timing import frames_to_predict
from tests.conftest import TINY


@pytest.fixture
def say(tmp_path):
    def write(seconds, *, rate=16_000, name="a.wav", seed=0):
        rng = np.random.default_rng(seed)
        count = round(seconds * rate)
        loudness = 0.05 + 0.2 * np.abs(np.sin(np.arange(count) * 3 / rate))
        soundfile.write(tmp_path / name, (loudness * rng.standard_normal(count)).clip(-1, 1), rate, subtype="PCM_16")
        return tmp_path / name

    return write


@pytest.mark.parametrize("num_frames", [1, 899, 900, 901, 903, 1000, 1711, 1720, 18_000, 18_001, 108_000])
def test_windows_cover_every_frame_begin_on_whole_samples_and_overlap(num_frames):
    bounds = window_bounds(num_frames, 900)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == num_frames
    for (start, stop), (following, _) in pairwise(bounds):
        assert following % 3 == 0
        assert stop - following >= OVERLAP
        assert stop - start == 900
    assert all(0 < stop - start <= 900 for start, stop in bounds)
    assert len(bounds) <= max(1, -(-num_frames // (900 - OVERLAP - 3)) + 1)


@pytest.mark.parametrize(("seconds", "rate"), [(4.0, 16_000), (29.98, 16_000), (7.3, 44_100)])
def test_what_fits_into_a_window_equals_the_whole(network, say, seconds, rate):
    path = say(seconds, rate=rate)
    whole = network.predict(read_waveform(path), intensity=1, subject=3)
    np.testing.assert_allclose(predict_speech(network, AudioFile.of(path), intensity=1, subject=3), whole, atol=1e-4)


def test_a_worn_emotion_equals_that_of_the_whole(network, say):
    path, donor = say(4), say(6, name="b.wav", seed=1)
    whole = network.predict(read_waveform(path), intensity=0, subject=3, emotion_from=read_waveform(donor))
    worn = predict_speech(network, AudioFile.of(path), intensity=0, subject=3, emotion_from=AudioFile.of(donor))
    np.testing.assert_allclose(worn, whole, atol=1e-4)
    own = network.predict(read_waveform(path), intensity=0, subject=3)
    assert np.abs(worn - own).max() > 1e-3


def test_windows_pass_into_each_other_without_a_jump(network, say):
    path = say(65)
    track = predict_speech(network, AudioFile.of(path), intensity=0, subject=0, window_s=20)
    assert track.shape == (frames_to_predict(65 * 16_000), 52)
    whole = network.predict(read_waveform(path), intensity=0, subject=0)
    steps = np.abs(np.diff(track, axis=0)).max(axis=1)
    assert steps.max() <= 1.5 * np.abs(np.diff(whole, axis=0)).max()


def test_a_network_that_shows_one_face_shows_it_throughout(say):
    network = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))
    torch.nn.init.constant_(network.bs_map_r.bias, 0.4)
    track = predict_speech(network, AudioFile.of(say(41.77)), intensity=0, subject=0, window_s=15)
    np.testing.assert_allclose(track, 0.4, atol=1e-6)


def test_each_window_gets_the_samples_of_its_frames(say):
    path = say(50, rate=22_050)
    speech, samples = AudioFile.of(path), read_waveform(path)
    samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    bounds = window_bounds(speech.num_frames, 450)
    for (first, last), piece in zip(bounds, speech.pieces(bounds), strict=True):
        expected = samples[first * 1600 // 3 : len(samples) if last == speech.num_frames else last * 1600 // 3]
        np.testing.assert_allclose(piece.numpy(), expected, atol=1e-4)


def test_audio_that_cannot_be_spoken_is_one_clear_error(tmp_path, say):
    (tmp_path / "no.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "nan.wav", np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    cases = [("no.wav", "libsndfile"), ("nan.wav", "NaN"), ("none.wav", "libsndfile")]
    say(0.01, name="short.wav")
    for name, said in [*cases, ("short.wav", "160 samples at 16 kHz; at least 720")]:
        with pytest.raises(EvaluationError, match=said):
            AudioFile.of(tmp_path / name)
