"""Functions of the app: prediction, files, removal of uploads."""

import os
import shutil
import socket
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from emotalk.app import prediction
from emotalk.app.prediction import load_models
from emotalk.app.results import render_downloads, render_error, render_faces, write_files
from emotalk.app.server import serve
from emotalk.app.sessions import MAX_AGE_S, Sessions
from emotalk.blendshapes import CHANNELS
from emotalk.cli import build_parser
from emotalk.config.prediction import PredictSettings
from emotalk.errors import EmoTalkError, PredictionError, WeightsError
from emotalk.formats.files import read_motion
from emotalk.inference.predict import predict_files
from emotalk.inference.recordings import find_recordings
from tests.unit.formats.heads import read_animation, write_head

CPU = torch.device("cpu")


@pytest.mark.parametrize("emotion", [{}, {"emotion": "angry", "strength": 0.5}, {"emotion_from": "speech"}])
def test_the_app_predicts_the_same_as_the_command(app_weights, speech, tmp_path, emotion):
    emotion = {"emotion_from": str(speech)} if "emotion_from" in emotion else emotion
    settings = PredictSettings(intensity="strong", smooth=True, blink_seed=4, **emotion)
    predict_files(find_recordings([speech]), tmp_path, settings, weights=app_weights[0], device=CPU)
    waveform, tracks = prediction.predict(load_models(app_weights[:1], CPU), speech, settings)
    assert len(waveform) == 32_000
    np.testing.assert_array_equal(tracks["emotalk"], np.load(tmp_path / "hello you.npy"))


def test_emotions_by_name_are_those_that_all_weights_have(app_weights, tmp_path):
    page = pytest.importorskip("emotalk.app.page", reason="the extra [app] is not installed")
    models = load_models(app_weights, CPU)
    assert [choice for _, choice in page.emotion_choices(models)] == ["own", "angry", "reference"]
    shutil.copytree(app_weights[0], tmp_path / "weights")
    (tmp_path / "weights/emotalk.emotions.safetensors").unlink()
    models = load_models([tmp_path / "weights"], CPU)
    assert [choice for _, choice in page.emotion_choices(models)] == ["own", "reference"]


def test_subjects_have_the_names_of_the_speakers_in_the_card(app_weights):
    page = pytest.importorskip("emotalk.app.page", reason="the extra [app] is not installed")
    first, second = load_models(app_weights, CPU)
    named = replace(first, card={**first.card, "subject_slots": {"mine/anna": 1, "mine/ben": 3}})
    labels = [label for label, _ in page.subject_choices([named])]
    assert labels[1:5] == ["0 (not trained)", "1: mine/anna", "2 (not trained)", "3: mine/ben"]
    # The indices of two weights are different speakers.
    assert not any("anna" in label for label, _ in page.subject_choices([named, second]))


def test_labels_of_two_weights_are_the_folders_in_which_they_differ(app_weights, tmp_path):
    assert [model.label for model in load_models(app_weights, CPU)] == ["a", "b"]
    shutil.copytree(app_weights[0], tmp_path / "one")
    shutil.copytree(app_weights[0], tmp_path / "one/two")
    assert [model.label for model in load_models([tmp_path / "one", tmp_path / "one/two"], CPU)] == ["first", "second"]


def test_weights_that_cannot_be_compared_are_errors(app_weights):
    with pytest.raises(WeightsError, match="3 weights are given; the app shows one, or compares two"):
        load_models([app_weights[0]] * 3, CPU)
    with pytest.raises(WeightsError, match="given twice"):
        load_models([app_weights[0]] * 2, CPU)


def test_files_of_two_weights_have_different_names(tmp_path):
    tracks = {"x/a": np.zeros((3, 52), "f4"), "b": np.ones((3, 52), "f4")}
    files = write_files(tmp_path, "hello", tracks)
    assert len(list(tmp_path.iterdir())) == 8
    for label, paths in files.items():
        for path in paths.values():
            np.testing.assert_array_equal(read_motion(path).values, tracks[label])
    assert (tmp_path / "hello.x-a.npy").exists()


def test_a_head_is_animated(tmp_path):
    head = write_head(tmp_path / "head.glb", CHANNELS)
    track = np.random.default_rng(0).uniform(size=(3, 52)).astype("f4")
    files = write_files(tmp_path, "hello", {"a": track}, head)
    _, _, weights = read_animation(files["a"]["glb"])
    np.testing.assert_array_equal(weights, track)


def test_long_speech_is_an_error(speech, monkeypatch):
    monkeypatch.setattr(prediction, "MAX_DURATION_S", 1.5)
    with pytest.raises(PredictionError, match=r"hello you\.wav lasts 0.0 minutes.*'emotalk predict'"):
        prediction.read_speech(speech)


def test_a_video_without_pyav_is_answered_with_the_command_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(PredictionError, match=r"a\.mp4 .*\.\[media\]"):
        prediction.read_speech(tmp_path / "a.mp4")


def test_names_cannot_become_markup(tmp_path):
    faces = render_faces('"><b>', "", {"<i>": np.zeros((2, 52)), "b": np.zeros((2, 52))}, np.zeros(9, np.int16))
    assert faces.count("<") == 2, "only the tags of the frame"
    (tmp_path / "a&b.npy").touch()
    downloads = render_downloads({"<i>": {"npy": tmp_path / "a&b.npy"}, '"': {}})
    assert "<i>" not in downloads
    assert "a&amp;b.npy" in downloads
    assert "<b>" not in render_error("<b>")


def test_files_of_a_visitor_are_removed_at_the_end_of_the_visit(tmp_path):
    sessions = Sessions(tmp_path)
    path = sessions.uploads / "hash" / "a.wav"
    path.parent.mkdir()
    path.touch()
    sessions.keep_upload("one", "file", path)
    sessions.keep_upload("two", "file", path)
    results = [sessions.new_results("one"), sessions.new_results("one")]
    assert [folder.exists() for folder in results] == [False, True]
    sessions.close("one")
    assert path.exists(), "the other visitor has the same file"
    sessions.keep_upload("two", "file", None)
    assert not list(tmp_path.glob("*/*"))
    sessions.close("unknown")


def test_old_files_are_removed_whoever_uploaded_them(tmp_path):
    sessions = Sessions(tmp_path)
    for name in ("old", "new"):
        (sessions.uploads / name).mkdir()
        (sessions.uploads / name / "a.wav").touch()
    (sessions.uploads / "unfinished").touch()
    then = time.time() - MAX_AGE_S - 5
    for path in (sessions.uploads / "old", sessions.uploads / "unfinished", sessions.new_results("one")):
        os.utime(path, (then, then))
    sessions.keep_upload("one", "file", sessions.uploads / "old/a.wav")
    stop = threading.Event()
    thread = threading.Thread(target=sessions.remove_expired, args=(stop,), kwargs={"interval_s": 0.01})
    thread.start()
    for _ in range(500):
        if len(list(tmp_path.glob("*/*"))) == 1:
            break
        time.sleep(0.01)
    stop.set()
    thread.join()
    assert [path.name for path in tmp_path.glob("*/*")] == ["new"]
    sessions.close("one")


def test_a_file_outside_the_folder_of_uploads_is_never_removed(tmp_path):
    (tmp_path / "app").mkdir()
    sessions = Sessions(tmp_path / "app")
    (tmp_path / "mine.wav").touch()
    sessions.keep_upload("one", "file", tmp_path / "mine.wav")
    sessions.close("one")
    assert (tmp_path / "mine.wav").exists()


def test_messages_do_not_name_folders_of_the_server(tmp_path):
    sessions = Sessions(tmp_path)
    path = sessions.uploads / "hash" / "my a.wav"
    assert (
        sessions.hide_folders(f"{path} is bad (cannot open '{path}').") == "my a.wav is bad (cannot open 'my a.wav')."
    )


def test_the_app_is_local_and_not_shared_by_default():
    args = build_parser().parse_args(["app"])
    assert (args.host, args.port, args.share) == ("127.0.0.1", 7860, False)


def test_a_missing_gradio_is_answered_with_the_command_to_install_it(app_weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "emotalk.app.page", raising=False)
    with pytest.raises(EmoTalkError, match=r"\.\[app\]"), serve(app_weights[:1], device=CPU):
        pass


def test_a_port_in_use_is_an_error(app_weights):
    pytest.importorskip("gradio", reason="the extra [app] is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(EmoTalkError, match=f"Port {port} of 127.0.0.1 is in use"),
            serve(app_weights[:1], device=CPU, port=port),
        ):
            pass
