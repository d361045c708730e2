"""The reader of motion files, shared by the index and all commands."""

import json

import numpy as np
import pytest

from emotalk.blendshapes import CHANNELS
from emotalk.errors import FormatError, Issue
from emotalk.formats.channels import LIVELINK_ORDER, ROTATIONS, find_channel, guess_channel_order
from emotalk.formats.files import read_motion, write_motion
from emotalk.formats.motion import Motion
from emotalk.formats.tracks import TrackFormat, read_track

RNG = np.random.default_rng(3)
TRACK = RNG.random((90, 52)).astype(np.float32)


def capture(path, *, delimiter=",", decimal=".", quote="", first="", names=LIVELINK_ORDER, codes=None):
    """Write a capture in the csv dialect of another program."""
    codes = codes or [f"00:00:{i // 30:02}:{2 * (i % 30):02}.000" for i in range(len(TRACK))]
    columns = [CHANNELS.index(name) for name in names]
    header = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in names)]
    rows = [
        [code, "61", *(f"{row[column]:.6f}".replace(".", decimal) for column in columns)]
        for code, row in zip(codes, TRACK, strict=True)
    ]
    lines = [delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in [header, *rows]]
    path.write_text(first + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "dialect",
    [
        {},
        {"quote": '"'},
        {"delimiter": ";"},
        {"delimiter": "\t"},
        {"delimiter": ";", "decimal": ","},
        {"first": "sep=,\n"},
        {"first": "\ufeff"},
    ],
    ids=str,
)
def test_a_capture_in_any_csv_dialect_gives_the_same_motion(tmp_path, dialect):
    path = capture(tmp_path / "a.csv", **dialect)
    track, issues = read_track(path, TrackFormat())
    assert issues == []
    np.testing.assert_allclose(track, TRACK, atol=1e-5)
    np.testing.assert_allclose(read_motion(path).values, TRACK, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("EyeBlinkLeft", "eyeBlinkLeft"),
        ("eyeBlink_L", "eyeBlinkLeft"),
        ("eye_blink_R", "eyeBlinkRight"),
        ("blendShape1.mouthSmile_L", "mouthSmileLeft"),
        ("Head_JAWOPEN", "jawOpen"),
        ("mouth left", "mouthLeft"),
        ("mouthPressLeft", "mouthPressLeft"),
        ("headYaw", None),
        ("_neutral", None),
    ],
)
def test_channels_are_found_in_any_spelling(name, channel):
    assert find_channel(name) == channel


def test_all_channel_names_are_found():
    assert [find_channel(name) for name in LIVELINK_ORDER] == list(LIVELINK_ORDER)
    assert not any(find_channel(name) for name in ROTATIONS)


def test_a_missing_tongue_is_reported_and_other_missing_channels_are_an_error(tmp_path):
    path = capture(tmp_path / "a.csv", names=[name for name in LIVELINK_ORDER if name != "tongueOut"])
    track, (issue,) = read_track(path, TrackFormat())
    assert issue.code == "no_tongue"
    assert (track[:, CHANNELS.index("tongueOut")] == 0).all()
    path = capture(tmp_path / "b.csv", names=[name for name in LIVELINK_ORDER if name != "jawOpen"])
    with pytest.raises(FormatError, match=r"it has no jawOpen \(1 of 52 channels are missing\)"):
        read_motion(path)


@pytest.mark.parametrize(("columns", "channels"), [(52, "livelink"), (61, "livelink"), (52, LIVELINK_ORDER)])
def test_an_npy_in_live_link_order_is_reordered(tmp_path, columns, channels):
    values = TRACK[:, [CHANNELS.index(name) for name in LIVELINK_ORDER]]
    np.save(tmp_path / "a.npy", np.pad(values, ((0, 0), (0, columns - 52))))
    track, issues = read_track(tmp_path / "a.npy", TrackFormat(channels))
    np.testing.assert_array_equal(track, TRACK)
    assert issues == []


def test_the_channel_order_is_guessed_from_left_right_correlation():
    time = np.arange(300) / 30
    track = np.zeros((300, 52))
    for i, name in enumerate(CHANNELS):
        pair = CHANNELS.index(name.removesuffix("Right") + "Left") if name.endswith("Right") else i
        track[:, i] = 0.5 + 0.4 * np.sin(time * (1 + pair * 0.37))
    assert guess_channel_order(track) is None
    assert guess_channel_order(track[:, [CHANNELS.index(name) for name in LIVELINK_ORDER]]) == "livelink"


def test_percentages_are_an_error_unless_scale_is_set(tmp_path):
    np.save(tmp_path / "a.npy", 100 * TRACK)
    with pytest.raises(FormatError, match="look like percentages: set 'scale: 100'"):
        read_motion(tmp_path / "a.npy")
    np.testing.assert_allclose(read_motion(tmp_path / "a.npy", TrackFormat(scale=100)).values, TRACK, atol=1e-6)


def test_a_row_with_an_earlier_time_is_dropped_and_reported(tmp_path):
    codes = [f"00:00:{i // 24:02}:{i % 24:02}.000" for i in range(90)]
    codes[50] = "00:00:01:02.000"
    track, (issue,) = read_track(capture(tmp_path / "a.csv", codes=codes), TrackFormat())
    assert issue.code == "time_order"
    assert "1 rows" in issue.description
    assert len(track) == 113


def test_milliseconds_in_timecodes_are_supported(tmp_path):
    times = [25 * i for i in range(90)]
    codes = [f"00:00:{t // 1000:02}:{t % 1000 * 60 // 1000:02}.{t % 1000:03}" for t in times]
    motion = read_motion(capture(tmp_path / "a.csv", codes=codes))
    np.testing.assert_allclose(motion.seconds, np.array(times) / 1000, atol=1e-9)
    assert motion.rate == 40


def test_captures_at_30_fps_are_written_with_60_fps_timecodes(tmp_path):
    write_motion(tmp_path / "a.csv", Motion.from_track(TRACK), "livelink")
    codes = [line.partition(",")[0] for line in (tmp_path / "a.csv").read_text().splitlines()[1:]]
    assert codes[:3] == ["00:00:00:00.000", "00:00:00:02.000", "00:00:00:04.000"]
    assert codes[30] == "00:00:01:00.000"
    assert read_motion(tmp_path / "a.csv").rate == 30


def test_a_late_start_is_filled_with_the_first_row(tmp_path):
    content = {"names": [name.upper() for name in CHANNELS], "frames": []}
    content["frames"] = [{"time": 0.5 + i / 30, "weights": row.tolist()} for i, row in enumerate(TRACK)]
    (tmp_path / "a.json").write_text(json.dumps(content))
    motion = read_motion(tmp_path / "a.json")
    assert motion.seconds[0] == 0.5
    track = motion.resampled(30).values
    assert len(track) == 105
    np.testing.assert_allclose(track[:16], np.tile(TRACK[:1], (16, 1)), atol=1e-6)
    np.testing.assert_allclose(track[15:], TRACK, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"), (b"<!doctype html>", "a web page")],
)
def test_text_in_an_npy_file_is_recognized(tmp_path, content, reason):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(Issue, match=rf"unreadable_track: .*it is text, {reason}"):
        read_track(tmp_path / "a.npy", TrackFormat())


def test_rows_of_nan_in_an_npy_are_interpolated_and_reported(tmp_path):
    track = TRACK.copy()
    track[40:50] = np.nan
    np.save(tmp_path / "a.npy", track)
    read, (issue,) = read_track(tmp_path / "a.npy", TrackFormat())
    assert issue.code == "track_gap"
    np.testing.assert_allclose(read[45], TRACK[39] + (TRACK[50] - TRACK[39]) * 6 / 11, atol=1e-5)
    track[20:60] = np.nan
    np.save(tmp_path / "a.npy", track)
    with pytest.raises(Issue, match="track_gap"):
        read_track(tmp_path / "a.npy", TrackFormat())
