"""Use of the app in a real browser. The app runs as a process that records all its connections."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

pytest.importorskip("gradio", reason="the extra [app] is not installed")

from playwright.sync_api import TimeoutError, expect, sync_playwright

from emotalk.blendshapes import CHANNELS
from emotalk.formats.files import SUFFIXES, read_motion
from tests.browser import CHROMIUM, needs_browser
from tests.unit.formats.heads import read_animation, write_head

pytestmark = needs_browser

RECORD_CONNECTIONS = """
import sys

def record(event, args):
    if event in ("socket.connect", "socket.sendto"):
        log.write(f"{args[1][0] if isinstance(args[1], tuple) else args[1]}\\n")
    elif event == "socket.getaddrinfo":
        log.write(f"{args[0]}\\n")

log = open(sys.argv[1], "w", buffering=1)
sys.addaudithook(record)
from emotalk.cli import main
main(sys.argv[2:])
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def app(app_weights, tmp_path_factory):
    """The app with two weights. It must connect to nothing but itself, and leave no files."""
    folder, port = tmp_path_factory.mktemp("app"), free_port()
    command = [
        sys.executable,
        "-c",
        RECORD_CONNECTIONS,
        folder / "hosts.txt",
        "app",
        "--weights",
        *app_weights,
        "--port",
        str(port),
    ]
    (folder / "tmp").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GRADIO_", "HF_"))}
    with subprocess.Popen(
        [str(part) for part in command],
        env=environment | {"TMPDIR": str(folder / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if "in a browser" in line:
                break
        else:
            pytest.fail("the app did not start")
        (root,) = (folder / "tmp").glob("emotalk-app-*")
        yield SimpleNamespace(address=f"http://127.0.0.1:{port}/", uploads=root / "uploads")
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert "Traceback" not in output
    assert not root.exists()
    hosts = set((folder / "hosts.txt").read_text().split())
    assert hosts and hosts <= {"127.0.0.1", "localhost", "None"}, hosts


@pytest.fixture(scope="module")
def browser(speech):
    args = [
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={speech}",
    ]
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=args) as browser:
        yield browser


@pytest.fixture
def open_tab(app, browser):
    """Function that opens the page. The page must request nothing from other hosts, log no error, and fit."""
    contexts, errors, requests = [], [], []

    def open_tab(width=360, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, **options))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(15_000)
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url[:80]))
        with tab.expect_request("**/heartbeat/**"):  # From now on, events are handled.
            tab.goto(app.address)
        return tab

    yield open_tab
    for context in contexts:
        for tab in context.pages:
            assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
        context.close()
    remote = [url for url in requests if not url.startswith((app.address, "data:", "blob:", "about:"))]
    assert requests and not errors and not remote, f"errors: {errors}; requests: {remote}"


def upload(tab, path, control="speech"):
    tab.set_input_files(f"#{control} input[type=file]", path)
    tab.locator(f"#{control} a[download]").wait_for()  # A link to the uploaded file.


def choose(tab, control, option):
    tab.locator(f"{control} input").click()
    tab.get_by_role("option", name=option).click()


def predict(tab):
    tab.locator("#predict").click()
    faces = tab.frame_locator("iframe.faces")
    faces.locator("canvas").nth(1).wait_for()
    return faces


def test_speech_is_dropped_predicted_played_and_downloaded(open_tab, speech, tmp_path):
    tab = open_tab()
    upload(tab, speech)
    tab.get_by_label("strong").check()
    tab.get_by_label("Smooth the motion").check()
    tab.get_by_label("Add synthetic blinks").check()
    tab.get_by_label("Seed of the blinks").wait_for()
    tab.get_by_text("Your own head, for GLB").click()
    upload(tab, write_head(tmp_path / "head.glb", CHANNELS), "head")
    faces = predict(tab)
    assert faces.locator("figcaption").all_inner_texts() == ["a", "b"]
    faces.locator("[data-play]").click()
    tab.wait_for_timeout(700)
    assert float(faces.locator("[data-clock]").inner_text().split()[0]) > 0.1
    height = tab.locator("iframe.faces").bounding_box()["height"]
    assert height >= faces.locator("body").evaluate("body => body.scrollHeight")

    (tmp_path / "downloads").mkdir()
    for link in tab.locator("#downloads a").all():
        with tab.expect_download() as download:
            link.press("Enter")  # A click may miss while the page scrolls.
        shutil.copy(download.value.path(), tmp_path / "downloads" / download.value.suggested_filename)
    names = {f"hello you.{label}{suffix}" for label in "ab" for suffix in (*SUFFIXES.values(), ".glb")}
    assert {path.name for path in (tmp_path / "downloads").iterdir()} == names
    for name in names:
        path = tmp_path / "downloads" / name
        values = read_animation(path)[2] if path.suffix == ".glb" else read_motion(path).values
        assert values.shape == (60, 52)
        assert np.ptp(values) > 0


@pytest.mark.long
def test_a_voice_is_recorded_and_predicted(open_tab):
    tab = open_tab(permissions=["microphone"])
    tab.get_by_role("tab", name="Microphone").click()
    tab.get_by_role("button", name="Record", exact=True).click()
    tab.wait_for_timeout(1500)
    tab.get_by_role("button", name="Stop", exact=True).click()
    tab.locator("#voice audio, #voice [data-testid='waveform-Speech']").first.wait_for()
    assert not tab.evaluate(LOW_CONTRASTS, tab.locator("body").evaluate(GROUND))
    assert tab.get_by_label("Share").count() == 0, "Gradio's button uploads to another host"
    faces = predict(tab)
    assert float(faces.locator("[data-clock]").inner_text().split()[3]) > 1
    assert tab.locator("#downloads a").first.get_attribute("download") == "recording.a.csv"


@pytest.mark.long
def test_another_recording_gives_the_emotion(open_tab, speech, tmp_path):
    tab = open_tab()
    upload(tab, speech)
    choose(tab, "#emotion", "Emotion of another recording")
    tab.locator("#predict").click()
    tab.locator("#error").get_by_text("Add a recording with the emotion").wait_for()
    soundfile.write(tmp_path / "angry.wav", np.random.default_rng(1).normal(0, 0.3, 16_000), 16_000)
    upload(tab, tmp_path / "angry.wav", "reference")
    tab.locator("#error").get_by_role("alert").wait_for(state="hidden")
    predict(tab)


@pytest.mark.long
def test_errors_are_messages_in_the_page(open_tab, speech, tmp_path):
    tab = open_tab()
    message = tab.locator("#error").get_by_role("alert")
    tab.locator("#predict").click()
    message.get_by_text("There is no speech yet").wait_for()
    (tmp_path / "broken.wav").write_text("no sound")
    upload(tab, tmp_path / "broken.wav")
    message.wait_for(state="hidden")
    tab.locator("#predict").click()
    message.get_by_text("broken.wav is not an audio file").wait_for()
    assert "/" not in message.inner_text(), "a folder of the server is named"
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    tab.get_by_label("Remove").or_(tab.get_by_label("Clear")).first.click()
    upload(tab, tmp_path / "short.wav")
    tab.locator("#predict").click()
    message.get_by_text("short.wav has 100 samples").wait_for()
    tab.get_by_text("Your own head, for GLB").click()
    upload(tab, write_head(tmp_path / "bald.glb", ["smile"]), "head")
    tab.get_by_label("Remove").or_(tab.get_by_label("Clear")).first.click()
    upload(tab, speech)
    tab.locator("#predict").click()
    message.get_by_text("bald.glb").wait_for()
    assert "Traceback" not in tab.content()


@pytest.mark.long
def test_everything_works_by_keyboard(open_tab, speech):
    tab = open_tab(1000)

    def press_until(key, selector):
        for _ in range(90):
            tab.keyboard.press(key)
            if tab.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        pytest.fail(f"{selector} is not reached by {key}")

    for attempts_left in (2, 1, 0):
        press_until("Tab", "#speech button")
        try:
            with tab.expect_file_chooser(timeout=3000) as chooser:
                tab.keyboard.press("Enter")
            break
        except TimeoutError:  # Gradio has rendered the control again in the meantime.
            if not attempts_left:
                raise
    chooser.value.set_files(speech)
    tab.locator("#speech").get_by_text(speech.stem).wait_for()
    press_until("Tab", "#emotion input")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    expect(tab.get_by_label("Emotion", exact=True)).to_have_value("Angry")
    press_until("Tab", "#strength input")
    tab.keyboard.press("ArrowLeft")
    press_until("Tab", "#intensity input[value=strong]")
    tab.keyboard.press("Space")
    expect(tab.get_by_label("strong")).to_be_checked()
    press_until("Tab", "#smooth input")
    tab.keyboard.press("Space")
    expect(tab.get_by_label("Smooth the motion")).to_be_checked()
    press_until("Tab", "#predict")
    tab.keyboard.press("Enter")
    faces = tab.frame_locator("iframe.faces")
    faces.locator("canvas").nth(1).wait_for()
    press_until("Tab", "#downloads a")
    with tab.expect_download() as download:
        tab.keyboard.press("Enter")
    assert download.value.suggested_filename == "hello you.a.csv"
    press_until("Tab", "iframe.faces")
    tab.keyboard.press("Space")
    tab.wait_for_timeout(400)
    assert float(faces.locator("[data-clock]").inner_text().split()[0]) > 0


LOW_CONTRASTS = """
base => {
  const parse = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [...parts.slice(0, 3).map((part) => part * scale), parts[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const luminance = (color) => {
    const [r, g, b] = color.map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  for (const element of document.querySelectorAll("body, body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    const shown = element.checkVisibility({ visibilityProperty: true }) && box.width > 1;
    if (!text || !shown || element.closest("script, style, option, :disabled")) continue;
    const ancestors = [];
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) {
      ancestors.unshift(at);
      opacity *= Number(getComputedStyle(at).opacity);
    }
    const ground = ancestors.reduce((color, at) => over(parse(getComputedStyle(at).backgroundColor), color), base);
    const color = parse(style.color);
    const [a, b] = [luminance(over([...color.slice(0, 3), color[3] * opacity], ground)), luminance(ground)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found[text.slice(0, 40)] = `${contrast.toFixed(2)} ${style.color} on ${ground.map(Math.round)}`;
  }
  return found;
}
"""
GROUND = "element => getComputedStyle(element).backgroundColor.match(/[\\d.]+/g).map(Number).slice(0, 3)"


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(open_tab, speech, scheme):
    tab = open_tab(1440, color_scheme=scheme)
    ground = tab.locator("body").evaluate(GROUND)
    assert max(ground) < 60 if scheme == "dark" else min(ground) > 240
    assert not tab.evaluate(LOW_CONTRASTS, ground)
    tab.locator("#predict").click()
    tab.locator("#error").get_by_role("alert").wait_for()
    choose(tab, "#emotion", "Emotion of another recording")
    tab.get_by_label("Add synthetic blinks").check()
    tab.get_by_text("Your own head, for GLB").click()
    tab.locator("#head").wait_for()
    tab.get_by_role("tab", name="Microphone").click()
    tab.wait_for_timeout(500)
    assert not tab.evaluate(LOW_CONTRASTS, ground)
    tab.get_by_role("tab", name="File").click()
    choose(tab, "#emotion", "Emotion of the speech")
    upload(tab, speech)
    faces = predict(tab)
    tab.wait_for_timeout(500)
    assert not tab.evaluate(LOW_CONTRASTS, ground)
    assert not faces.locator("body").evaluate(
        f"(body, base) => ({LOW_CONTRASTS})(base)", tab.locator("#faces").evaluate(GROUND)
    )


@pytest.mark.long
def test_uploads_are_removed_when_the_tab_is_closed(app, open_tab, tmp_path):
    soundfile.write(tmp_path / "closing.wav", np.zeros(16_000), 16_000)
    tab = open_tab()
    upload(tab, tmp_path / "closing.wav")
    assert list(app.uploads.glob("*/closing.wav"))
    tab.close()
    deadline = time.monotonic() + 10
    while list(app.uploads.glob("*/closing.wav")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(app.uploads.glob("*/closing.wav"))
