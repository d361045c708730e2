"""Prediction of motion files from audio files."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from emotalk.blendshapes import channel_indices
from emotalk.config.use import PredictSettings
from emotalk.errors import EvaluationError, WeightsError
from emotalk.formats.files import read_motion
from emotalk.inference.predict import predict_files, predict_folder, resolve_subject
from emotalk.model.card import write_card
from emotalk.model.inputs import mean_subject
from emotalk.model.weights import save_weights, weights_in
from tests.conftest import TINY


@pytest.fixture
def weights(network, tmp_path):
    """Folder with the weights of the network."""
    return save_network(network, tmp_path / "weights")


def predict(audio, out, weights, **settings):
    return predict_files(audio, out, PredictSettings(**settings), weights=weights, device=torch.device("cpu"))


@pytest.fixture
def speech(tmp_path):
    """Folder with a recording of one second, and one of two seconds in a subfolder."""
    folder = tmp_path / "speech"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, seconds in (("a.wav", 1), ("deep/b.flac", 2)):
        soundfile.write(folder / name, 0.1 * rng.standard_normal(16_000 * seconds), 16_000)
    return folder


def test_each_recording_is_written_in_each_format(weights, speech, tmp_path):
    out = tmp_path / "out"
    audio = [speech / "a.wav", speech / "deep/b.flac"]
    predict(audio, out, weights, formats=["npy", "livelink", "json", "arkit-csv"])
    assert {path.name for path in out.iterdir()} == {
        f"{stem}{suffix}" for stem in "ab" for suffix in (".npy", ".csv", ".json", ".arkit.csv")
    }
    for stem, frames in (("a", 30), ("b", 60)):
        track = np.load(out / f"{stem}.npy")
        assert track.shape == (frames, 52)
        for suffix in (".csv", ".json", ".arkit.csv"):
            np.testing.assert_allclose(read_motion(out / f"{stem}{suffix}").values, track.clip(0, 1), atol=1e-6)


def test_a_recording_with_an_error_is_skipped(weights, speech, tmp_path):
    (speech / "broken.wav").write_text("no sound")
    audio = [speech / "broken.wav", speech / "a.wav"]
    assert predict(audio, tmp_path / "out", weights) == ["broken.wav"]
    with pytest.raises(EvaluationError, match=r"None of the 1 recordings could be predicted: broken\.wav"):
        predict(audio[:1], tmp_path / "out", weights)
    assert (tmp_path / "out/a.npy").exists()


def test_a_video_that_cannot_be_read_is_skipped_like_any_audio(weights, speech, tmp_path):
    (speech / "broken.mp4").write_bytes(b"no container")
    audio = [speech / "broken.mp4", speech / "a.wav"]
    assert predict(audio, tmp_path / "out", weights) == ["broken.mp4"]


def test_duplicate_names_and_an_empty_list_are_errors(weights, speech, tmp_path):
    with pytest.raises(EvaluationError, match="Two recordings are named a"):
        predict([speech / "a.wav", tmp_path / "a.flac"], tmp_path / "out", weights)
    with pytest.raises(EvaluationError, match="There are no recordings"):
        predict([], tmp_path / "out", weights)


def test_blinks_and_smoothing_are_applied_if_enabled(weights, speech, tmp_path):
    tracks = {}
    for name, settings in (("plain", {}), ("postprocessed", {"smooth": True, "blink_seed": 3})):
        predict([speech / "deep/b.flac"], tmp_path / name, weights, **settings)
        tracks[name] = np.load(tmp_path / name / "b.npy")
    lids = channel_indices(["eyeBlinkLeft"])
    assert set(np.unique(tracks["postprocessed"][:, lids])) <= set(
        np.sin(np.pi * np.arange(9) / 8).astype("f4") ** 2
    ) | {0}
    other_channels = np.delete(np.arange(52), lids)
    assert np.abs(tracks["postprocessed"] - tracks["plain"])[:, other_channels].max() > 0


def save_network(network, folder, **card):
    folder.mkdir()
    save_weights(network, folder, "emotalk")
    write_card(folder / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}} | card)
    return folder


def test_a_folder_of_recordings_is_predicted_with_a_folder_of_weights(network, speech, tmp_path):
    weights = save_network(network, tmp_path / "weights", training_subjects=[1, 3])
    settings = PredictSettings(audio=str(speech), intensity="strong")
    predict_folder(tmp_path / "out", settings, weights=weights, device=torch.device("cpu"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.npy", "b.npy"]
    waveform, _ = soundfile.read(speech / "a.wav", dtype="float32")
    expected = network.predict(waveform, intensity=1, subject=mean_subject([1, 3]))
    np.testing.assert_allclose(np.load(tmp_path / "out/a.npy"), expected, atol=1e-4)


def test_predicting_imports_neither_transformers_nor_torchs_compiler(network, speech, tmp_path, monkeypatch):
    """Importing either of them takes as long as the rest of the command."""
    weights = save_network(network, tmp_path / "weights")
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    command = ["predict", speech / "a.wav", "--weights", weights, "--out", tmp_path / "out"]
    done = subprocess.run([sys.executable, "-m", "emotalk", *command], capture_output=True, text=True, check=False)
    assert (tmp_path / "out/a.npy").exists(), done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"torch", "emotalk.model.weights"} <= imported
    assert not imported & {"transformers", "torch._dynamo", "sympy", "pandas", "scipy", "matplotlib", "librosa"}


def test_the_mean_subject_is_over_the_training_subjects_of_the_card_or_over_all(network, tmp_path):
    card = save_network(network, tmp_path / "weights", training_subjects=[0, 5]) / "emotalk.json"
    assert resolve_subject("mean", card) == mean_subject([0, 5])
    assert resolve_subject("mean", tmp_path / "EmoTalk.pth") == mean_subject(range(24))
    assert resolve_subject(7, card) == 7


def test_recordings_with_errors_are_listed_beside_the_predictions(weights, speech, tmp_path):
    device = torch.device("cpu")
    (speech / "broken.wav").write_text("no sound")
    predict_folder(tmp_path / "out", PredictSettings(audio=str(speech)), weights=weights, device=device)
    assert (tmp_path / "out/left_out.txt").read_text() == "broken.wav\n"
    assert (tmp_path / "out/b.npy").exists()
    with pytest.raises(EvaluationError, match="nowhere contains no"):
        settings = PredictSettings(audio=str(tmp_path / "nowhere"))
        predict_folder(tmp_path / "out", settings, weights=weights, device=device)


def test_a_folder_with_several_weights_files_is_ambiguous(network, tmp_path):
    folder = save_network(network, tmp_path / "weights")
    assert weights_in(folder).name == "emotalk.json"
    (folder / "emotalk.json").unlink()
    assert weights_in(folder).name == "emotalk.safetensors"
    (folder / "other.safetensors").touch()
    with pytest.raises(WeightsError, match=r"2 \.safetensors files; name one"):
        weights_in(folder)
    with pytest.raises(WeightsError, match="holds no weights"):
        weights_in(tmp_path)
