"""Prediction of motion files from audio files."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch

from emotalk.blendshapes import channel_indices
from emotalk.config.prediction import PredictSettings
from emotalk.errors import OutputError, PredictionError, WeightsError
from emotalk.formats.files import read_motion
from emotalk.inference.predict import predict_files, predict_folder, resolve_subject
from emotalk.inference.recordings import find_recordings
from emotalk.model.card import find_weights, write_card
from emotalk.model.emotion_references import EmotionReferences, read_reference
from emotalk.model.sequences import normalize
from emotalk.model.weights import save_weights
from emotalk.subjects import mean_subject
from tests.conftest import TINY


@pytest.fixture
def weights(network, tmp_path):
    """Folder with the weights of the network."""
    return save_network(network, tmp_path / "weights")


def predict(audio, out, weights, **settings):
    recordings = find_recordings(audio)
    return predict_files(recordings, out, PredictSettings(**settings), weights=weights, device=torch.device("cpu"))


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
    with pytest.raises(PredictionError, match=r"None of the 1 recordings could be predicted: broken\.wav"):
        predict(audio[:1], tmp_path / "out", weights)
    assert (tmp_path / "out/a.npy").exists()


def test_a_video_that_cannot_be_read_is_skipped_like_any_audio(weights, speech, tmp_path):
    (speech / "broken.mp4").write_bytes(b"no container")
    audio = [speech / "broken.mp4", speech / "a.wav"]
    assert predict(audio, tmp_path / "out", weights) == ["broken.mp4"]


def test_an_empty_list_and_a_missing_file_are_errors(tmp_path):
    with pytest.raises(PredictionError, match="There are no recordings"):
        find_recordings([])
    with pytest.raises(PredictionError, match=r"File .*none\.wav does not exist"):
        find_recordings([tmp_path / "none.wav"])


def test_two_recordings_with_the_same_output_are_an_error_before_prediction(weights, speech, tmp_path):
    soundfile.write(speech / "a.flac", np.zeros(16_000), 16_000)
    with pytest.raises(OutputError, match=r"Two outputs have the path .*a\.npy"):
        predict_folder(
            tmp_path / "out", PredictSettings(audio=str(speech)), weights=weights, device=torch.device("cpu")
        )


def test_an_emotion_by_name_is_the_stored_reference(network, weights, speech, tmp_path):
    reference, _ = soundfile.read(speech / "deep/b.flac", dtype="float32")
    features = network.encode_emotion(torch.from_numpy(normalize(reference)))
    references = EmotionReferences({("angry", "strong"): features}, {("angry", "strong"): "clip"})
    references.save(weights / "emotalk.emotions.safetensors")
    tracks = {}
    for name, settings in {
        "named": {"emotion": "anger", "intensity": "strong"},
        "recording": {"emotion_from": str(speech / "deep/b.flac"), "intensity": "strong"},
        "half": {"emotion": "生气", "intensity": "strong", "strength": 0.5},
        "own": {"intensity": "strong"},
    }.items():
        predict([speech / "a.wav"], tmp_path / name, weights, **settings)
        tracks[name] = np.load(tmp_path / name / "a.npy")
    np.testing.assert_allclose(tracks["named"], tracks["recording"], atol=1e-4)
    assert np.abs(tracks["named"] - tracks["own"]).max() > 1e-3
    assert np.abs(tracks["half"] - tracks["own"]).mean() < np.abs(tracks["named"] - tracks["own"]).mean()


def test_an_emotion_that_training_did_not_have_is_an_error_with_those_it_had(network, weights, speech, tmp_path):
    with pytest.raises(WeightsError, match=r"no emotion references: .*Rule 'extract'.*--emotion-from"):
        predict([speech / "a.wav"], tmp_path / "out", weights, emotion="sad")
    features = {("happy", "normal"): torch.zeros(9, 64)}
    EmotionReferences(features, {("happy", "normal"): "clip"}).save(weights / "emotalk.emotions.safetensors")
    with pytest.raises(WeightsError, match=r"no emotion sad; it has happy \(normal\)"):
        predict([speech / "a.wav"], tmp_path / "out", weights, emotion="sad")


def test_the_other_intensity_is_used_if_training_did_not_have_the_requested_one(tmp_path, caplog):
    features = {("calm", "normal"): torch.ones(9, 4)}
    EmotionReferences(features, {("calm", "normal"): "clip"}).save(tmp_path / "w.emotions.safetensors")
    assert read_reference(tmp_path / "w.json", "calm", "strong", 4).shape == (9, 4)
    assert "no clip of calm with strong intensity; calm normal is used" in caplog.text
    with pytest.raises(WeightsError, match=r"has shape \(9, 4\); the network needs \(frames, 8\)"):
        read_reference(tmp_path / "w.json", "calm", "normal", 8)
    (tmp_path / "w.emotions.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="not a valid file of emotion references"):
        read_reference(tmp_path / "w.json", "calm", "normal", 4)


def test_formats_other_than_npy_have_the_requested_frame_rate(weights, speech, tmp_path):
    predict([speech / "a.wav"], tmp_path, weights, formats=["npy", "json", "livelink"], fps="30000/1001")
    assert len(np.load(tmp_path / "a.npy")) == 30
    assert read_motion(tmp_path / "a.json").rate == Fraction(30000, 1001)
    assert read_motion(tmp_path / "a.csv").rate == Fraction(30000, 1001)


def test_silence_is_a_warning(weights, tmp_path, caplog):
    soundfile.write(tmp_path / "quiet.wav", np.zeros(16_000), 16_000)
    predict([tmp_path / "quiet.wav"], tmp_path / "out", weights)
    assert "quiet.wav is silent" in caplog.text


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
    out = tmp_path / "out"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.npy")) == ["a.npy", "deep/b.npy"]
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


def test_a_training_speaker_is_found_by_name(network, tmp_path):
    slots = {"mine/anna": 4, "mine/ben": 5, "other/ben": 6}
    card = save_network(network, tmp_path / "weights", subject_slots=slots) / "emotalk.json"
    assert resolve_subject("anna", card) == 4
    assert resolve_subject("other/ben", card) == 6
    with pytest.raises(PredictionError, match="several speakers ben: it has mine/anna, mine/ben, other/ben"):
        resolve_subject("ben", card)
    with pytest.raises(PredictionError, match="no speaker carl"):
        resolve_subject("carl", card)


def test_recordings_with_errors_are_listed_beside_the_predictions(weights, speech, tmp_path):
    device = torch.device("cpu")
    (speech / "broken.wav").write_text("no sound")
    predict_folder(tmp_path / "out", PredictSettings(audio=str(speech)), weights=weights, device=device)
    assert (tmp_path / "out/failed.txt").read_text() == "broken.wav\n"
    assert (tmp_path / "out/deep/b.npy").exists()
    with pytest.raises(PredictionError, match="nowhere does not exist"):
        settings = PredictSettings(audio=str(tmp_path / "nowhere"))
        predict_folder(tmp_path / "out", settings, weights=weights, device=device)


def test_a_folder_with_several_weights_files_is_ambiguous(network, tmp_path):
    folder = save_network(network, tmp_path / "weights")
    assert find_weights(folder).name == "emotalk.json"
    (folder / "emotalk.json").unlink()
    assert find_weights(folder).name == "emotalk.safetensors"
    (folder / "other.safetensors").touch()
    with pytest.raises(WeightsError, match=r"2 \.safetensors files; set one"):
        find_weights(folder)
    with pytest.raises(WeightsError, match="contains no weights"):
        find_weights(tmp_path)
