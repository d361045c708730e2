"""Captures of Live Link Face."""

import numpy as np
import pytest

from emotalk.blendshapes import CHANNELS
from emotalk.errors import Issue
from emotalk.formats.files import read_motion
from emotalk.formats.tracks import TrackFormat, read_track
from tests.conftest import SHARED

ROTATION_NAMES = ["HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw"]
ROTATION_NAMES += ["RightEyePitch", "RightEyeRoll"]


def timecode(frame: int, rate: int, start: int = 0) -> str:
    second = start + frame // rate
    return f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}:{frame % rate:02}.123"


def capture(path, values, *, rate=60, start=0, names=None, without_face=()):
    """Write a capture with reversed column order."""
    names = names or [name[0].upper() + name[1:] for name in CHANNELS[::-1]] + ROTATION_NAMES
    lines = ["Timecode,BlendShapeCount," + ",".join(names)]
    for frame, row in enumerate(values):
        cells = [*row[::-1], *np.zeros(len(ROTATION_NAMES))]
        line = f"{timecode(frame, rate, start)},61," + ",".join(f"{cell:.6f}" for cell in cells)
        lines.append(f"{timecode(frame, rate, start)},0" if frame in without_face else line)
    path.write_text("\n".join(lines))
    return path


def waves(count, rate=60):
    phase = np.arange(52) / 52
    return 0.5 + 0.3 * np.sin(2 * np.pi * (np.arange(count)[:, None] / rate + phase)).astype(np.float32)


def test_columns_are_mapped_by_name_and_timecodes_become_seconds(tmp_path):
    values = waves(300)
    motion = read_motion(capture(tmp_path / "a.csv", values))
    seconds, read = motion.seconds, motion.values
    np.testing.assert_allclose(read, values, atol=1e-6)
    np.testing.assert_allclose(seconds, np.arange(300) / 60, atol=1e-9)


@pytest.mark.parametrize("rate", [24, 30, 60])
def test_the_frame_rate_is_read_from_timecodes_and_resampled_to_30(tmp_path, rate):
    track, issues = read_track(capture(tmp_path / "a.csv", waves(5 * rate, rate), rate=rate), TrackFormat())
    assert issues == []
    np.testing.assert_allclose(track[10:140], waves(150, 30)[10:140], atol=0.02)


def test_times_increase_over_midnight(tmp_path):
    seconds = read_motion(capture(tmp_path / "a.csv", waves(300), start=86_398)).seconds
    assert np.diff(seconds) == pytest.approx(1 / 60)


def test_rows_without_a_face_are_interpolated_and_reported(tmp_path):
    values = waves(600)
    track, (issue,) = read_track(capture(tmp_path / "a.csv", values, without_face=range(100, 130)), TrackFormat())
    assert np.isfinite(track).all()
    assert issue.code == "track_gap"
    assert "has rows without a face for 0.5 s (5%), the longest gap starts at 1.6 s" in issue.description


@pytest.mark.parametrize("without_face", [range(100, 300), range(600)])
def test_a_capture_with_few_faces_is_excluded(tmp_path, without_face):
    with pytest.raises(Issue, match="track_gap") as raised:
        read_track(capture(tmp_path / "a.csv", waves(600), without_face=without_face), TrackFormat())
    assert raised.value.always_excludes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("JawOpen", "JawOpened"), "it has no jawOpen"),
        (lambda text: text.replace("00:00:01:05.123", "now"), "row 66 has timecode 'now'"),
        (lambda text: "\n".join(text.splitlines()[:1] + text.splitlines()[:0:-1]), "times of 149 rows do not increase"),
        (lambda text: text.replace("00:00:01:05.123", "00:00:01:75.123"), "has frame 75; at most 60 frames per second"),
        (lambda text: text.splitlines()[0], "there is no row below the header"),
        (lambda text: text.replace("0.500000", "half", 1), "a cell is not a number"),
    ],
)
def test_an_invalid_capture_has_a_clear_message(tmp_path, change, message):
    path = capture(tmp_path / "a.csv", waves(150))
    path.write_text(change(path.read_text()))
    with pytest.raises(Issue, match=message):
        read_track(path, TrackFormat())


def test_a_capture_of_an_iphone_is_read():
    path = SHARED / "data/livelink/S88-001.csv"
    if not path.exists():
        pytest.skip("needs shared/data/livelink")
    track, (gap,) = read_track(path, TrackFormat())
    assert track.shape == (1941, 52)
    assert gap.code == "track_gap"
