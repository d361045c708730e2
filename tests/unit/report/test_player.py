"""Player page in a real browser: drawing of each channel, playing, scrubbing and keys."""

import numpy as np
import pytest
import soundfile

from emotalk.blendshapes import CHANNELS, channel_indices
from emotalk.errors import CorpusError
from emotalk.report.page import write_page
from emotalk.report.player import PlayerClip, encode_clips, write_preview
from tests.browser import LOW_CONTRAST, OVERFLOW, needs_browser, run_in_page

JAW = channel_indices(["jawOpen"])[0]


@pytest.fixture
def page(tmp_path):
    """Two clips of 3 seconds, the first with audio and two tracks; the jaw is open from 1 s to 2 s."""
    track = np.full((90, 52), 0.02, np.float32)
    track[30:60, JAW] = 0.8
    tone = (8000 * np.sin(np.arange(48_000) / 10)).astype(np.int16)
    clips = [PlayerClip("one", "the first", {"captured": track, "model": 0.5 * track}, tone)]
    clips.append(PlayerClip("two <b>", "the second", {"captured": track[::-1]}))
    write_page("preview.html.j2", tmp_path / "page.html", {"title": "A & B", "player": encode_clips(clips)})
    return tmp_path / "page.html"


MEASURE_CHANGES = """
const canvas = document.createElement("canvas");
canvas.style.width = "400px";
canvas.style.height = "400px";
document.body.append(canvas);
const pixels = (pose) => {
  drawFace(canvas, pose);
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
};
const neutral = pixels({});
const changes = {};
for (const name of JSON.parse(document.getElementById("player-data").textContent).channels) {
  const posed = pixels({ [name]: 1 });
  let count = 0, x = 0, y = 0;
  for (let i = 0; i < posed.length; i += 4) {
    const difference = Math.abs(posed[i] - neutral[i]) + Math.abs(posed[i + 1] - neutral[i + 1])
      + Math.abs(posed[i + 2] - neutral[i + 2]) + Math.abs(posed[i + 3] - neutral[i + 3]);
    if (difference > 30) {
      count++;
      x += (i / 4) % canvas.width;
      y += Math.floor(i / 4 / canvas.width);
    }
  }
  changes[name] = [count / (canvas.width * canvas.height), x / count / canvas.width, y / count / canvas.height];
}
return changes;
"""

HEIGHTS = {"brow": (0.1, 0.42), "eye": (0.32, 0.48), "nose": (0.4, 0.65), "cheek": (0.42, 0.7)}
LOW = (0.6, 1.0)


@needs_browser
def test_each_channel_changes_the_face_in_the_expected_region(page):
    changes = run_in_page(page, MEASURE_CHANGES)
    assert set(changes) == set(CHANNELS)
    for name, (fraction, x, y) in changes.items():
        assert fraction > 4e-4, f"{name} is hardly visible"
        low, high = next((band for prefix, band in HEIGHTS.items() if name.startswith(prefix)), LOW)
        assert low < y < high, f"{name} changes the face at height {y:.2f}"
        if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
            assert x > 0.5, f"{name} changes the viewer's left"
        if name.endswith("Right") and name not in ("jawRight", "mouthRight"):
            assert x < 0.5, f"{name} changes the viewer's right"


BROKEN_PAGE = """<!doctype html>
<script>console.error("no clip")</script>
<script>throw new Error("no face")</script>
<script>Promise.reject(new Error("no sound"))</script>
<img src="missing.png">
<script>fetch("http://localhost:1/far.json").catch(() => {})</script>
"""


@needs_browser
def test_errors_and_requests_of_a_page_fail_the_test(tmp_path):
    (tmp_path / "page.html").write_text(BROKEN_PAGE)
    with pytest.raises(AssertionError) as failure:
        run_in_page(tmp_path / "page.html", "await wait(100);")
    for message in ("no clip", "no face", "no sound", "ERR_FILE_NOT_FOUND", "http://localhost:1/far.json"):
        assert message in str(failure.value)


@needs_browser
def test_faint_texts_and_wide_elements_are_found(tmp_path):
    faint = '<p style="color:#888">faint</p><p style="color:#555">clear</p>'
    (tmp_path / "page.html").write_text(f'<!doctype html><main>{faint}<p style="width:400px">wide</p></main>')
    (low,) = run_in_page(tmp_path / "page.html", LOW_CONTRAST)
    assert "faint" in low
    assert run_in_page(tmp_path / "page.html", OVERFLOW, size=(390, 800)) == [False, ["wide"]]


HELPERS = """
const find = (name) => document.querySelector(`[data-${name}]`);
const key = (name) => document.getElementById("player").dispatchEvent(new KeyboardEvent("keydown", { key: name }));
const scrub = (time) => { find("scrubber").value = time; find("scrubber").dispatchEvent(new Event("input")); };
const time = () => parseFloat(find("clock").textContent);
const dark = () => [...document.querySelectorAll(".face canvas")].map((canvas) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  const isMouth = (i) => data[i] < 110 && data[i] > 60 && data[i + 1] < 40 && data[i + 2] < 60;
  for (let i = 0; i < data.length; i += 4) count += isMouth(i);
  return count / (canvas.width * canvas.height);
});
"""


@needs_browser
def test_faces_follow_the_scrubber_and_a_click_on_a_curve(page):
    script = """
    const count = (selector) => document.querySelectorAll(selector).length;
    const result = { faces: count(".face"), curves: count(".curve") };
    result.closed = dark();
    scrub(1.5);
    result.open = dark();
    result.time = time();
    result.heads = [...document.querySelectorAll(".curve i")].map((head) => head.style.left);
    const curve = document.querySelectorAll(".curve")[24], box = curve.getBoundingClientRect();
    curve.dispatchEvent(new PointerEvent("pointerenter"));
    result.status = find("status").textContent;
    result.highlighted = curve.className;
    curve.dispatchEvent(new PointerEvent("pointerdown", { clientX: box.left + 0.25 * box.width }));
    result.clicked = time();
    return result;
    """
    result = run_in_page(page, HELPERS + script)
    assert (result["faces"], result["curves"]) == (2, 52)
    assert max(result["closed"]) < 1e-3
    assert result["open"][0] > result["open"][1] > 1.5e-3, "the jaw is open, half as far in the model's track"
    assert result["time"] == 1.5
    assert set(result["heads"]) == {"50%"}
    assert result["status"] == "jawOpen: captured 0.800, model 0.400"
    assert "highlighted" in result["highlighted"]
    assert result["clicked"] == pytest.approx(0.75, abs=0.01)


@needs_browser
@pytest.mark.parametrize("clip", [0, 1])
def test_button_and_space_play_and_pause_and_playing_stops_at_the_end(page, clip):
    script = f"""
    find("choice").value = {clip};
    find("choice").dispatchEvent(new Event("change"));
    find("play").click();
    const label = find("play").textContent;
    await wait(900);
    key(" ");
    const playing = time();
    await wait(300);
    const paused = time();
    key(" ");
    await wait(3500);
    return {{ label, playing, paused, end: time(), ended: find("play").textContent }};
    """
    result = run_in_page(page, HELPERS + script)
    assert result["label"] == "Pause"
    assert 0.2 < result["playing"] < 2.5
    assert result["paused"] == result["playing"]
    assert result["end"] == 3.0
    assert result["ended"] == "Play"


@needs_browser
def test_keys_step_by_frames_and_choose_the_clip(page):
    script = """
    key("ArrowRight"); key("ArrowRight");
    const two = find("clock").textContent;
    key("ArrowLeft");
    const one = find("clock").textContent;
    key("End");
    const end = time();
    key("PageDown");
    const name = find("choice").selectedOptions[0].text;
    return { two, one, end, note: find("status").textContent, name, start: time() };
    """
    result = run_in_page(page, HELPERS + script)
    assert "frame 2" in result["two"]
    assert "frame 1" in result["one"]
    assert result["end"] == 3.0
    assert (result["note"], result["name"], result["start"]) == ("the second", "two <b>", 0.0)


@needs_browser
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_is_not_wider_than_the_window(page, width):
    script = "return [document.documentElement.scrollWidth, innerWidth];"
    page_width, window_width = run_in_page(page, script, size=(width, 800))
    assert page_width <= window_width


@needs_browser
def test_motion_and_speech_of_different_lengths_are_not_stretched(tmp_path):
    track = np.zeros((30, 52), np.float32)
    track[15, JAW] = 1.0
    soundfile.write(tmp_path / "a.wav", np.full(32_000, 0.1), 16_000)
    write_preview(tmp_path / "p.html", track, title="a", audio=tmp_path / "a.wav")
    script = """
    document.querySelectorAll(".curve")[24].dispatchEvent(new PointerEvent("pointerenter"));
    const values = [0.5, 14 / 30, 1.9].map((time) => { scrub(time); return find("status").textContent; });
    return [...values, find("clock").textContent];
    """
    at, before, after, clock = run_in_page(tmp_path / "p.html", HELPERS + script)
    assert (at, before, after) == ("jawOpen: motion 1.000", "jawOpen: motion 0.000", "jawOpen: motion 0.000")
    assert "of 2.00 s" in clock


def test_a_preview_contains_the_motion_and_the_speech(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((44_100, 2)), 44_100)
    write_preview(tmp_path / "p.html", np.zeros((30, 52), np.float32), title="a<script>", audio=tmp_path / "a.wav")
    text = (tmp_path / "p.html").read_text()
    assert "a&lt;script&gt;" in text
    assert "data:audio/flac;base64," in text
    assert "30 frames, 1.00 s; 1.00 s of speech" in text


def test_unreadable_speech_is_an_error_with_the_path(tmp_path):
    (tmp_path / "a.wav").write_text("no")
    with pytest.raises(CorpusError, match=r"a\.wav is not an audio file"):
        write_preview(tmp_path / "p.html", np.zeros((30, 52), np.float32), title="a", audio=tmp_path / "a.wav")
