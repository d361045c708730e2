"""Prediction for speech of any length in cross-faded windows."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch

from emotalk.data.audio import read_waveform
from emotalk.errors import PredictionError
from emotalk.inference.windows import OVERLAP, AudioFile, encode_reference, predict_speech, window_bounds
from emotalk.model import EmoTalk
from emotalk.model.encoder_config import EncoderConfig
from emotalk.timing import frames_to_predict
from tests.conftest import TINY


@pytest.fixture
def write_noise(tmp_path):
    def write(seconds, *, rate=16_000, name="a.wav", seed=0):
        rng = np.random.default_rng(seed)
        count = round(seconds * rate)
        loudness = 0.05 + 0.2 * np.abs(np.sin(np.arange(count) * 3 / rate))
        soundfile.write(tmp_path / name, (loudness * rng.standard_normal(count)).clip(-1, 1), rate, subtype="PCM_16")
        return tmp_path / name

    return write


@pytest.mark.parametrize("num_frames", [1, 899, 900, 901, 903, 1000, 1711, 1720, 18_000, 18_001, 108_000])
def test_windows_cover_all_frames_start_at_whole_samples_and_overlap(num_frames):
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
def test_a_recording_that_fits_into_one_window_equals_predict(network, write_noise, seconds, rate):
    path = write_noise(seconds, rate=rate)
    whole = network.predict(read_waveform(path), intensity=1, subject=3)
    np.testing.assert_allclose(
        predict_speech(network, AudioFile.from_path(path), intensity=1, subject=3), whole, atol=1e-4
    )


def test_an_emotion_reference_gives_the_same_result_as_predict(network, write_noise):
    path, reference = write_noise(4), write_noise(6, name="b.wav", seed=1)
    whole = network.predict(read_waveform(path), intensity=0, subject=3, emotion_from=read_waveform(reference))
    emotion = encode_reference(network, AudioFile.from_path(reference))
    predict = partial(predict_speech, network, AudioFile.from_path(path), intensity=0, subject=3)
    track = predict(emotion_features=emotion)
    np.testing.assert_allclose(track, whole, atol=1e-4)
    own = network.predict(read_waveform(path), intensity=0, subject=3)
    assert np.abs(track - own).max() > 1e-3
    np.testing.assert_allclose(predict(emotion_features=emotion, strength=0.0), own, atol=1e-4)
    half = predict(emotion_features=emotion, strength=0.5)
    assert np.abs(half - own).mean() < np.abs(track - own).mean()


def test_there_is_no_jump_between_windows(network, write_noise):
    path = write_noise(65)
    track = predict_speech(network, AudioFile.from_path(path), intensity=0, subject=0, window_s=20)
    assert track.shape == (frames_to_predict(65 * 16_000), 52)
    whole = network.predict(read_waveform(path), intensity=0, subject=0)
    steps = np.abs(np.diff(track, axis=0)).max(axis=1)
    assert steps.max() <= 1.5 * np.abs(np.diff(whole, axis=0)).max()


def test_a_constant_prediction_stays_constant_across_windows(write_noise):
    network = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))
    torch.nn.init.constant_(network.bs_map_r.bias, 0.4)
    track = predict_speech(network, AudioFile.from_path(write_noise(41.77)), intensity=0, subject=0, window_s=15)
    np.testing.assert_allclose(track, 0.4, atol=1e-6)


def test_each_window_has_the_samples_of_its_frames(write_noise):
    path = write_noise(50, rate=22_050)
    speech, samples = AudioFile.from_path(path), read_waveform(path)
    samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    bounds = window_bounds(speech.num_frames, 450)
    for (first, end), window in zip(bounds, speech.iter_windows(bounds), strict=True):
        expected = samples[first * 1600 // 3 : len(samples) if end == speech.num_frames else end * 1600 // 3]
        np.testing.assert_allclose(window.numpy(), expected, atol=1e-4)


def test_unusable_audio_is_an_error_with_the_reason(tmp_path, write_noise):
    (tmp_path / "no.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "nan.wav", np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    cases = [("no.wav", "libsndfile"), ("nan.wav", "NaN"), ("none.wav", "libsndfile")]
    write_noise(0.01, name="short.wav")
    for name, message in [*cases, ("short.wav", "160 samples at 16 kHz; at least 720")]:
        with pytest.raises(PredictionError, match=message):
            AudioFile.from_path(tmp_path / name)
