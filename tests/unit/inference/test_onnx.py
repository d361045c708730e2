"""ONNX graphs of the network, compared with torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emotalk.blendshapes import CHANNELS
from emotalk.errors import ExportError, OutputError
from emotalk.inference import onnx
from emotalk.inference.onnx import data_file, emotion_file, export_onnx, max_difference, open_session, write_onnx
from emotalk.model.batch_layout import num_emotion_frames
from emotalk.model.card import write_card
from emotalk.model.weights import save_weights
from emotalk.subjects import mean_subject
from emotalk.timing import frames_to_predict
from tests.conftest import TINY

INSTALLED = all(onnx.find_spec(name) for name in onnx._EXTRA)
needs_extra = pytest.mark.skipif(not INSTALLED, reason="the extra [onnx] is not installed")


@pytest.fixture
def weights(network, tmp_path):
    """Folder with weights of the network."""
    folder = tmp_path / "weights"
    folder.mkdir()
    save_weights(network, folder, "emotalk")
    write_card(folder / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}, "training_subjects": [1, 3]})
    return folder


@pytest.fixture(scope="module")
def written(network, tmp_path_factory):
    """Exported network; the export takes half a minute."""
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    file = tmp_path_factory.mktemp("onnx") / "emotalk.onnx"
    write_onnx(network, file, metadata={"mean_subject": "[1]"})
    return file


@pytest.fixture(scope="module")
def sessions(written):
    return open_session(emotion_file(written)), open_session(written)


def noise(num_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples) + 0.01).astype(np.float32)


def predicted(sessions, waveform, *, intensity=0, subject=0, emotion_from=None):
    """Predict with the ONNX graphs."""
    emotion_session, session = sessions
    reference = waveform if emotion_from is None else emotion_from
    (features,) = emotion_session.run(None, {"waveform": reference[None]})
    weights = np.eye(24, dtype=np.float32)[subject] if isinstance(subject, int) else np.array(subject, np.float32)
    inputs = {
        "waveform": waveform[None],
        "emotion_features": features,
        "intensity": np.array([intensity]),
        "subject": weights[None],
    }
    return session.run(["coefficients"], inputs)[0][0]


def test_coefficients_equal_torch_for_short_and_long_audio(network, written):
    assert max_difference(network, written, (0.5, 3.7, 20)) < 1e-4


@pytest.mark.parametrize("num_samples", [1600, 1601, 16_000, 16_001, 66_000, 131_072])
def test_the_number_of_frames_equals_torch_for_every_length(network, sessions, num_samples):
    """The example inputs of the export had 16,123 samples and 41 frames of emotion features."""
    waveform, reference = noise(num_samples), noise(40_000, seed=1)
    actual = predicted(sessions, waveform, emotion_from=reference)
    assert len(actual) == frames_to_predict(num_samples)
    expected = network.predict(waveform, intensity=0, subject=0, emotion_from=reference)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("num_conv_frames", [3, 204, 205, 206, 410, 820])
def test_emotion_features_have_as_many_frames_as_in_the_released_code(network, sessions, num_conv_frames):
    """They differ from integer arithmetic at 205, 410 and 820."""
    conv = network.conv_frames[1]
    num_samples = next(n for n in range(320 * num_conv_frames, 2**20) if conv.count(n) == num_conv_frames)
    (features,) = sessions[0].run(None, {"waveform": noise(num_samples)[None]})
    assert features.shape == (1, num_emotion_frames(num_conv_frames), TINY["hidden_size"])


@pytest.mark.parametrize(("intensity", "subject"), [(0, 0), (1, 0), (0, 23), (1, mean_subject([2, 5, 7]))])
def test_intensity_and_subject_are_inputs(network, sessions, intensity, subject):
    waveform = noise(20_000)
    actual = predicted(sessions, waveform, intensity=intensity, subject=subject)
    expected = network.predict(waveform, intensity=intensity, subject=subject)
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    if (intensity, subject) != (0, 0):
        assert np.abs(actual - predicted(sessions, waveform)).max() > 1e-3


def test_emotion_features_can_be_stored_and_mixed(sessions):
    waveform = noise(20_000)
    (stored,) = sessions[0].run(None, {"waveform": noise(50_000, seed=2)[None]})
    inputs = {"waveform": waveform[None], "intensity": np.array([0]), "subject": np.eye(24, dtype=np.float32)[:1]}
    tracks = [sessions[1].run(None, inputs | {"emotion_features": share * stored})[0] for share in (0.5, 1)]
    assert np.abs(tracks[0] - tracks[1]).max() > 1e-3


def test_loudness_and_offset_of_audio_have_no_effect(sessions):
    waveform = noise(16_000)
    np.testing.assert_allclose(
        predicted(sessions, 3 * waveform + 0.5), predicted(sessions, waveform), atol=1e-3, rtol=1e-3
    )


def test_silence_is_finite(network, sessions):
    silence = np.zeros(16_000, np.float32)
    expected = network.predict(silence, intensity=0, subject=0)
    np.testing.assert_allclose(predicted(sessions, silence), expected, atol=1e-4)


def test_an_invalid_intensity_is_an_error(sessions):
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    with pytest.raises(InvalidArgument, match="out of data bounds"):
        predicted(sessions, noise(16_000), intensity=2)


def test_metadata_has_what_programs_need_and_no_local_paths(written):
    entries = open_session(written).get_modelmeta().custom_metadata_map
    assert tuple(json.loads(entries["channels"])) == CHANNELS
    assert {name: entries[name] for name in ("fps", "sampling_rate", "mean_subject")} == {
        "fps": "30",
        "sampling_rate": "16000",
        "mean_subject": "[1]",
    }
    for file in (written, emotion_file(written)):
        content = file.read_bytes()
        assert b"stack_trace" not in content
        assert str(Path(onnx.__file__).parent).encode() not in content


@pytest.fixture
def exporting(monkeypatch, written):
    """Replace the slow export by the graphs of `written`, with other metadata."""
    import onnx_ir

    def read(graph):
        return onnx_ir.load(written if graph.output == "coefficients" else emotion_file(written))

    monkeypatch.setattr(onnx, "export_graph", read)


def test_float16_files_are_half_as_large_and_accurate(exporting, network, written, tmp_path, caplog):
    file = tmp_path / "half.onnx"
    write_onnx(network, file, fp16=True)
    assert file.stat().st_size < 0.55 * written.stat().st_size
    assert "Maximum difference of a coefficient from torch, fp16" in caplog.text
    largest = np.abs(network.predict(noise(16_000), intensity=0, subject=0)).max()
    assert 1e-5 < max_difference(network, file, (0.5, 3.7)) < 0.005 * largest


def test_the_mean_of_the_training_subjects_is_exported(exporting, weights, tmp_path):
    file = tmp_path / "new/folder/face.onnx"
    export_onnx(weights, file, fp16=False, overwrite=False)
    assert sorted(path.name for path in file.parent.iterdir()) == ["face.emotion.onnx", "face.onnx"]
    entries = open_session(file).get_modelmeta().custom_metadata_map
    assert json.loads(entries["mean_subject"]) == mean_subject([1, 3])


@pytest.mark.parametrize("name", ["face.onnx", "face.emotion.onnx", "face.onnx.data"])
def test_an_existing_file_is_replaced_only_with_overwrite(exporting, weights, tmp_path, name):
    (tmp_path / name).write_text("kept")
    with pytest.raises(OutputError, match=rf"These files exist: .*{name}\. Set another output, or --overwrite"):
        export_onnx(weights, tmp_path / "face.onnx", fp16=False, overwrite=False)
    assert (tmp_path / name).read_text() == "kept"
    export_onnx(weights, tmp_path / "face.onnx", fp16=False, overwrite=True)
    assert open_session(tmp_path / "face.onnx")
    assert not (tmp_path / "face.onnx.data").exists()


def test_parameters_of_large_graphs_are_in_separate_files(exporting, network, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "MAX_GRAPH_BYTES", 1_000_000)
    file = tmp_path / "face.onnx"
    write_onnx(network, file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face.emotion.onnx", "face.onnx", "face.onnx.data"]
    assert data_file(file).stat().st_size > 1_000_000 > file.stat().st_size
    assert max_difference(network, file, (0.5,)) < 1e-4


def test_a_graph_that_differs_from_torch_is_not_written(exporting, network, tmp_path, monkeypatch):
    (tmp_path / "face.onnx").write_text("kept")
    for difference in (2e-4, float("nan")):
        monkeypatch.setattr(onnx, "max_difference", lambda *_, difference=difference: difference)
        with pytest.raises(ExportError, match=r"the limit is 0\.0001\. No file is written"):
            write_onnx(network, tmp_path / "face.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["face.onnx"]
    assert (tmp_path / "face.onnx").read_text() == "kept"


def test_another_network_differs_from_the_exported_one(exporting, network, written):
    other = type(network).from_configs(*network.encoder_configs.values())
    assert max_difference(other, written, (0.5,)) > 1e-2


@needs_extra
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder.onnx", "folder.onnx is a folder"),
        ("name.bin", "must end in .onnx"),
        ("folder.onnx/file/face.onnx", "it or one of its parents is a file"),
    ],
)
def test_an_invalid_target_is_an_error_before_weights_are_read(tmp_path, name, message):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "folder.onnx/file").touch()
    with pytest.raises((ExportError, OutputError), match=message):
        export_onnx(tmp_path / "none.pth", tmp_path / name, fp16=False, overwrite=True)


def test_a_missing_extra_is_an_error_with_instructions(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ExportError, match=r"onnxscript.*pip install -c requirements.lock '\.\[onnx\]'"):
        export_onnx(tmp_path / "none.pth", tmp_path / "face.onnx", fp16=False, overwrite=False)


@needs_extra
def test_an_input_error_is_reported_without_traceback(tmp_path):
    command = [sys.executable, "-m", "emotalk", "export", "none.pth", "--onnx", tmp_path / "face.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "File none.pth does not exist" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
