"""The page to try weights: its functions, and its use in a browser."""

import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("gradio", reason="the extra [app] is not installed")

from playwright.sync_api import sync_playwright

from emotalk.app import prediction
from emotalk.app.prediction import load_models, read_speech, write_files
from emotalk.app.server import serving
from emotalk.app.sessions import Sessions
from emotalk.cli import build_parser
from emotalk.config.use import PredictSettings
from emotalk.errors import EmoTalkError, EvaluationError, WeightsError
from emotalk.formats.files import SUFFIXES, read_motion
from emotalk.inference.predict import predict_files
from emotalk.model import EmoTalk
from emotalk.model.card import write_card
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.weights import save_weights
from tests.browser import CHROMIUM, needs_browser
from tests.conftest import TINY

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Folders of two different weights, of which only the first tells its training subjects."""
    root = tmp_path_factory.mktemp("weights")
    for seed, (name, card) in enumerate({"a": {"training_subjects": [1, 3]}, "b": {}}.items()):
        torch.manual_seed(seed)
        network = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))
        torch.nn.init.normal_(network.bs_map_r.weight, std=0.002)
        torch.nn.init.constant_(network.bs_map_r.bias, 0.5)
        folder = root / name / "weights"
        folder.mkdir(parents=True)
        save_weights(network, folder, "emotalk")
        write_card(folder / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}} | card)
    return [root / "a/weights", root / "b/weights"]


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "hello.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 32_000).astype("f4"), 16_000)
    return path


def test_the_app_predicts_what_the_command_predicts(weights, speech, tmp_path):
    settings = PredictSettings(intensity="strong", smooth=True, blink_seed=4, emotion_from=str(speech))
    predict_files([speech], tmp_path, settings, weights=weights[0], device=CPU)
    waveform, tracks = prediction.predict(load_models(weights[:1], CPU), speech, settings)
    assert len(waveform) == 32_000
    np.testing.assert_array_equal(tracks["emotalk"], np.load(tmp_path / "hello.npy"))


def test_two_weights_are_told_apart_by_what_differs_in_their_paths(weights):
    models = load_models(weights, CPU)
    assert [model.label for model in models] == ["a", "b"]
    assert [model.training_subjects for model in models] == [[1, 3], None]


def test_weights_that_cannot_be_compared_are_refused(weights):
    with pytest.raises(WeightsError, match="3 weights are given; the page shows one, or 2"):
        load_models([weights[0]] * 3, CPU)
    with pytest.raises(WeightsError, match="given twice"):
        load_models([weights[0]] * 2, CPU)


def test_files_of_two_weights_have_two_names(tmp_path):
    tracks = {"x/a": np.zeros((3, 52), "f4"), "b": np.ones((3, 52), "f4")}
    written = list(write_files(tmp_path, "hello", tracks, list(SUFFIXES)))
    assert len(written) == len({path for _, _, path in written}) == 2 * len(SUFFIXES)
    for label, _, path in written:
        np.testing.assert_array_equal(read_motion(path).values, tracks[label])
    assert (tmp_path / "hello.x-a.npy").exists()


def test_speech_of_more_than_ten_minutes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "MAX_DURATION_S", 60)
    soundfile.write(tmp_path / "long.wav", np.zeros(61 * 16_000), 16_000)
    with pytest.raises(EvaluationError, match=r"long\.wav is longer than 1 minutes.*'emotalk predict'"):
        read_speech(tmp_path / "long.wav")


def test_what_is_no_speech_is_named_without_the_folders_of_the_machine(tmp_path, weights, speech):
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    models = load_models(weights[:1], CPU)
    for name, said in (("text.wav", "is not a recording"), ("short.wav", "has 100 samples"), ("gone.wav", "is not a")):
        with pytest.raises(EvaluationError, match=said) as error:
            prediction.predict(models, tmp_path / name, PredictSettings())
        assert str(error.value).startswith(name)
        assert str(tmp_path) not in str(error.value)


def test_a_video_without_pyav_is_answered_by_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(EvaluationError, match=r"a\.mp4 cannot be read: .*\.\[media\]"):
        read_speech(tmp_path / "a.mp4")


def test_a_label_cannot_become_markup():
    page = prediction.in_frame(prediction.faces_page('"><b>', "", {"<i>": np.zeros((2, 52))}, np.zeros(9, np.int16)))
    assert page.count("<") == 2  # The frame's own tags.


def test_files_of_a_visitor_are_removed_with_the_visit(tmp_path):
    sessions = Sessions(tmp_path)
    path = sessions.uploads / "hash" / "a.wav"
    path.parent.mkdir()
    path.touch()
    sessions.keep_upload("one", "file", path)
    sessions.keep_upload("two", "file", path)
    results = [sessions.new_results("one"), sessions.new_results("one")]
    assert [folder.exists() for folder in results] == [False, True]
    sessions.close("one")
    assert path.exists(), "the other visitor still has it"
    sessions.keep_upload("two", "file", None)
    assert not list(tmp_path.glob("*/*"))
    sessions.close("unknown")


def test_an_upload_outside_the_app_s_folder_is_never_removed(tmp_path):
    (tmp_path / "app").mkdir()
    sessions = Sessions(tmp_path / "app")
    (tmp_path / "mine.wav").touch()
    sessions.keep_upload("one", "file", tmp_path / "mine.wav")
    sessions.close("one")
    assert (tmp_path / "mine.wav").exists()


def test_the_app_is_local_and_not_shared_by_default():
    given = build_parser().parse_args(["app"])
    assert (given.host, given.port, given.share) == ("127.0.0.1", 7860, False)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_in_use_is_named(weights):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(EmoTalkError, match=f"Port {port} of 127.0.0.1 is in use"),
            serving(weights[:1], device=CPU, port=port),
        ):
            pass


@pytest.fixture(scope="module")
def app(weights):
    import os

    with serving(weights, device=CPU, port=free_port()) as address:
        uploads = Path(os.environ["GRADIO_TEMP_DIR"])
        yield address, uploads
    assert not uploads.parent.exists()


@pytest.fixture
def tab(app):
    """The page, which must request nothing from elsewhere, and report no error."""
    address, _ = app
    errors, requests = [], []
    args = ["--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=args) as browser:
        tab = browser.new_context(viewport={"width": 390, "height": 800}).new_page()
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url[:80]))
        tab.goto(address)
        tab.locator("#predict").wait_for()
        yield tab
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        tab.close()
    elsewhere = [url for url in requests if not url.startswith((address, "data:", "blob:", "about:"))]
    assert requests and not errors and not elsewhere, f"errors: {errors}; requests: {elsewhere}"


def upload(tab, path):
    tab.set_input_files("#speech input[type=file]", path)
    tab.locator("#speech").get_by_text(path.stem).wait_for()


@needs_browser
def test_speech_is_dropped_predicted_played_and_downloaded(app, tab, speech, tmp_path):
    upload(tab, speech)
    tab.get_by_label("strong").check()
    tab.get_by_label("Smooth the motion").check()
    tab.get_by_label("Add synthetic blinks").check()
    tab.get_by_label("Seed of the blinks").wait_for()
    tab.locator("#predict").click()
    faces = tab.frame_locator("iframe.faces")
    faces.locator("canvas").nth(1).wait_for()
    assert faces.locator("figcaption").all_inner_texts() == ["a", "b"]
    faces.locator("[data-play]").click()
    tab.wait_for_timeout(700)
    assert float(faces.locator("[data-clock]").inner_text().split()[0]) > 0.1
    frame = tab.locator("iframe.faces")
    assert frame.bounding_box()["height"] >= faces.locator("body").evaluate("body => body.scrollHeight")

    links = tab.locator("#downloads a")
    assert links.count() == 2 * len(SUFFIXES)
    for at in range(links.count()):
        with tab.expect_download() as download:
            links.nth(at).click()
        target = tmp_path / download.value.suggested_filename
        shutil.copy(download.value.path(), target)
        motion = read_motion(target)
        assert motion.values.shape == (60, 52)
        assert np.ptp(motion.values) > 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"hello.{label}{suffix}" for label in "ab" for suffix in SUFFIXES.values()
    }


@needs_browser
def test_a_mistake_is_a_message_in_the_page(app, tab, tmp_path):
    message = tab.locator("#message [role=alert]")
    tab.locator("#predict").click()
    message.get_by_text("There is no speech yet").wait_for()
    (tmp_path / "broken.wav").write_text("no sound")
    upload(tab, tmp_path / "broken.wav")
    tab.locator("#predict").click()
    message.get_by_text("broken.wav is not a recording that can be read").wait_for()
    tab.get_by_label("of another recording").check()
    tab.locator("#predict").click()
    message.get_by_text("Give a recording with the emotion").wait_for()
    assert "Traceback" not in tab.content()


@needs_browser
def test_an_upload_is_removed_when_the_tab_is_closed(app, tab, tmp_path):
    address, uploads = app
    soundfile.write(tmp_path / "closing.wav", np.zeros(16_000), 16_000)
    visit = tab.context.new_page()
    visit.goto(address)
    visit.locator("#predict").wait_for()
    upload(visit, tmp_path / "closing.wav")
    assert list(uploads.glob("*/closing.wav"))
    visit.close()
    for _ in range(50):
        tab.wait_for_timeout(200)
        if not list(uploads.glob("*/closing.wav")):
            break
    assert not list(uploads.glob("*/closing.wav"))
