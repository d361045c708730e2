"""Motion in formats of other programs: round trips, mapping by name, clamping on export."""

import json

import numpy as np
import pandas as pd
import pytest

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS
from emotalk.errors import FormatError
from emotalk.formats.channels import LIVELINK_ORDER
from emotalk.formats.files import SUFFIXES, format_from_name, read_motion, write_motion
from emotalk.formats.motion import Motion
from emotalk.timing import as_frame_rate
from tests.conftest import SHARED
from tests.unit.formats.heads import read_animation, write_head

CAPTURE = SHARED / "data/livelink/S88-001.csv"


def track(frames=90):
    """Track with different values in all channels, some outside of [0, 1]."""
    phase = np.arange(NUM_CHANNELS) / NUM_CHANNELS
    return (0.5 + 0.55 * np.sin(2 * np.pi * (np.arange(frames)[:, None] / 40 + phase))).astype(np.float32)


@pytest.mark.parametrize("kind", ["livelink", "arkit-csv", "json"])
def test_written_motion_is_read_unchanged_except_for_clamping(tmp_path, kind):
    path = tmp_path / f"a{SUFFIXES[kind]}"
    write_motion(path, Motion.from_track(track()), kind)
    assert format_from_name(path) == kind
    read = read_motion(path)
    np.testing.assert_allclose(read.values, track().clip(0, 1), atol=1e-6)
    np.testing.assert_allclose(read.seconds, np.arange(90) / 30, atol=2e-5)
    assert read.rate == 30


def test_a_track_is_not_clamped(tmp_path):
    write_motion(tmp_path / "a.npy", Motion.from_track(track()), "npy")
    np.testing.assert_array_equal(read_motion(tmp_path / "a.npy").values, track())


def test_motion_can_be_converted_between_all_formats(tmp_path):
    write_motion(tmp_path / "0.npy", Motion.from_track(track().clip(0, 1)), "npy")
    chain = ["npy", "livelink", "json", "arkit-csv", "npy"]
    for number, kind in enumerate(chain[1:]):
        source = tmp_path / f"{number}{SUFFIXES[chain[number]]}"
        write_motion(tmp_path / f"{number + 1}{SUFFIXES[kind]}", read_motion(source), kind)
    np.testing.assert_allclose(np.load(tmp_path / "4.npy"), track().clip(0, 1), atol=1e-6)


def test_a_capture_has_the_columns_of_the_app_and_regular_timecodes(tmp_path):
    write_motion(tmp_path / "a.csv", Motion.from_track(track()).resampled(60), "livelink")
    table = pd.read_csv(tmp_path / "a.csv")
    assert len(table.columns) == 63
    assert list(table.columns[:4]) == ["Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
    assert list(table["Timecode"][[0, 1, 59]]) == ["00:00:00:00.000", "00:00:00:01.000", "00:00:00:59.000"]
    assert table["Timecode"][60] == "00:00:01:00.000"
    assert set(table["BlendShapeCount"]) == {61}
    assert sorted(LIVELINK_ORDER) == list(CHANNELS)


def test_timecodes_continue_after_midnight(tmp_path):
    motion = Motion.from_track(track(120), 60)
    write_motion(tmp_path / "a.csv", Motion(motion.seconds, motion.values, 60, motion.rotations, 86_399.0), "livelink")
    assert list(pd.read_csv(tmp_path / "a.csv")["Timecode"][[0, 60]]) == ["23:59:59:00.000", "00:00:00:00.000"]
    np.testing.assert_allclose(read_motion(tmp_path / "a.csv").seconds, motion.seconds, atol=1e-5)


def test_channels_are_mapped_by_name_not_by_position(tmp_path):
    write_motion(tmp_path / "a.json", Motion.from_track(track()), "json")
    content = json.loads((tmp_path / "a.json").read_text())
    content["names"].reverse()
    for frame in content["frames"]:
        frame["weights"].reverse()
    (tmp_path / "a.json").write_text(json.dumps(content))
    np.testing.assert_allclose(read_motion(tmp_path / "a.json").values, track().clip(0, 1), atol=1e-6)
    table = pd.DataFrame(track(), columns=CHANNELS)[list(CHANNELS[::-1])]
    table.assign(time=np.arange(90) / 30).to_csv(tmp_path / "a.csv", index=False)
    np.testing.assert_allclose(read_motion(tmp_path / "a.csv").values, track(), atol=1e-6)


def test_a_head_is_animated_by_name_and_other_content_is_kept(tmp_path):
    vrm = {"extensions": {"VRM": {"meta": {"title": "mine"}}}, "extensionsUsed": ["VRM"]}
    names = ["Fcl_ALL_Joy", *(name[0].upper() + name[1:] for name in reversed(CHANNELS))]
    head = write_head(tmp_path / "head.glb", names, **vrm)
    write_motion(tmp_path / "a.glb", Motion.from_track(track()), "glb", head=head)
    content, times, weights = read_animation(tmp_path / "a.glb")
    assert content["extensions"] == vrm["extensions"]
    np.testing.assert_allclose(times, np.arange(90) / 30, atol=1e-6)
    np.testing.assert_array_equal(weights[:, 1:], track()[:, ::-1].clip(0, 1))
    assert not weights[:, 0].any()


@pytest.mark.parametrize(
    "spelling",
    [
        lambda name: name.replace("Left", "_L").replace("Right", "_R"),
        lambda name: name.replace("Left", ".l").replace("Right", ".r"),
        lambda name: f"blendShape1.{name}",
        lambda name: f"Head_{name.upper()}",
    ],
)
def test_channels_of_a_head_are_found_in_any_spelling(tmp_path, spelling):
    head = write_head(tmp_path / "head.glb", [spelling(name) for name in CHANNELS])
    write_motion(tmp_path / "a.glb", Motion.from_track(track()), "glb", head=head)
    np.testing.assert_array_equal(read_animation(tmp_path / "a.glb")[2], track().clip(0, 1))


def test_a_head_that_lacks_channels_needs_partial_except_for_the_tongue(tmp_path, caplog):
    without_tongue = write_head(tmp_path / "a.glb", [name for name in CHANNELS if name != "tongueOut"])
    write_motion(tmp_path / "b.glb", Motion.from_track(track()), "glb", head=without_tongue)
    assert "a.glb has no tongueOut" in caplog.text
    half = write_head(tmp_path / "half.glb", CHANNELS[:26])
    with pytest.raises(FormatError, match=r"include no mouthClose, .* … \(26 of 52 channels are missing\).*--partial"):
        write_motion(tmp_path / "c.glb", Motion.from_track(track()), "glb", head=half)
    write_motion(tmp_path / "c.glb", Motion.from_track(track()), "glb", head=half, partial=True)
    np.testing.assert_array_equal(read_animation(tmp_path / "c.glb")[2], track()[:, :26].clip(0, 1))


def test_other_morph_targets_keep_their_weight(tmp_path):
    head = write_head(tmp_path / "head.glb", ["beard", *CHANNELS], weights=[0.7] + [0.0] * 52)
    write_motion(tmp_path / "a.glb", Motion.from_track(track()), "glb", head=head)
    np.testing.assert_allclose(read_animation(tmp_path / "a.glb")[2][:, 0], 0.7)


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "29.97", "30", "59.94", "60"])
@pytest.mark.parametrize("name", ["a.json", "a.arkit.csv", "a.csv"])
def test_a_frame_rate_survives_writing_and_reading(tmp_path, rate, name):
    motion = Motion.from_track(track()).resampled(rate)
    assert motion.rate == as_frame_rate(rate)
    write_motion(tmp_path / name, motion, format_from_name(name))
    read = read_motion(tmp_path / name)
    assert read.rate == motion.rate
    np.testing.assert_allclose(read.seconds, np.arange(len(motion.seconds)) / float(motion.rate), atol=1e-4)


def test_target_names_in_primitives_are_used_as_in_early_vrm_heads(tmp_path):
    head = write_head(tmp_path / "head.glb", CHANNELS, on_primitive=True)
    write_motion(tmp_path / "a.glb", Motion.from_track(track()), "glb", head=head)
    assert read_animation(tmp_path / "a.glb")[2].any()


def test_the_error_for_a_missing_head_has_the_option(tmp_path):
    with pytest.raises(FormatError, match=r"GLB file needs a head to animate; .* with --head HEAD\.glb"):
        write_motion(tmp_path / "a.glb", Motion.from_track(track()), "glb")
    assert not (tmp_path / "a.glb").exists()


def test_reading_a_glb_is_an_error(tmp_path):
    with pytest.raises(FormatError, match="GLB cannot be read"):
        read_motion(write_head(tmp_path / "head.glb", CHANNELS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"buffers": [{"byteLength": 36, "uri": "head.bin"}]},
            "it uses the file head.bin; export it with all data in one",
        ),
        ({"buffers": [{"byteLength": 36, "uri": "data:;base64,AAAA"}]}, "first buffer is a data URI"),
        ({"images": [{"uri": "skin.png"}]}, "it uses the file skin.png"),
        ({"meshes": []}, "head.glb is inconsistent"),
        ({"nodes": {}}, "head.glb: its morph targets .* include no channel"),
    ],
)
def test_a_head_that_cannot_be_animated_is_an_error(tmp_path, change, message):
    head = write_head(tmp_path / "head.glb", CHANNELS, **change)
    with pytest.raises(FormatError, match=message):
        write_motion(tmp_path / "a.glb", Motion.from_track(track()), "glb", head=head)
    assert not (tmp_path / "a.glb").exists()


@pytest.mark.parametrize("content", [b"glTF", b"glTF\x02\0\0\0\x20\0\0\0\x04\0\0\0JSON[1] ", b""])
def test_the_error_for_a_damaged_head_has_its_path(tmp_path, content):
    (tmp_path / "head.glb").write_bytes(content)
    with pytest.raises(FormatError, match=r"head\.glb is not a valid GLB file"):
        write_motion(tmp_path / "a.glb", Motion.from_track(track()), "glb", head=tmp_path / "head.glb")


def test_a_capture_with_a_byte_order_mark_is_read(tmp_path):
    write_motion(tmp_path / "a.csv", Motion.from_track(track()), "livelink")
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.csv").read_bytes())
    assert len(read_motion(tmp_path / "b.csv").seconds) == 90


def test_times_that_are_not_in_seconds_are_an_error(tmp_path):
    table = pd.DataFrame(track(), columns=CHANNELS).assign(time=np.arange(90) * 33.3)
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(FormatError, match="must be in seconds"):
        read_motion(tmp_path / "a.csv")


def test_a_head_without_arkit_names_is_an_error(tmp_path):
    with pytest.raises(FormatError, match=r"head\.glb: its morph targets .* include no channel with an ARKit name"):
        head = write_head(tmp_path / "head.glb", ["A", "I", "U"])
        write_motion(tmp_path / "a.glb", Motion.from_track(track()), "glb", head=head)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"Timecode,BlendShapeCount\n"),
        ("a.csv", b"nothing,at,all\n1,2,3\n"),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.csv", b""),
        ("a.json", b"[1, 2"),
        ("a.json", b'{"frames": [], "names": []}'),
        ("a.json", b'{"frames": [{"time": 0, "weights": [1]}], "names": ["jawOpen"]}'),
        ("a.glb", b"glTF"),
        ("a.npy", b"\x93NUMPY"),
        ("a.npy", b"\x80\x04."),
        ("a.txt", b"?"),
    ],
)
def test_an_unreadable_file_is_an_error_with_its_path(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=name):
        read_motion(tmp_path / name)


@pytest.mark.skipif(not CAPTURE.exists(), reason="there is no shared/data")
def test_an_iphone_capture_is_unchanged_after_a_round_trip(tmp_path):
    original = read_motion(CAPTURE)
    write_motion(tmp_path / "back.csv", original, "livelink")
    written, original_lines = ((path.read_text().splitlines()) for path in (tmp_path / "back.csv", CAPTURE))
    assert written[0] == original_lines[0]
    for line, original_line in zip(written[1:], original_lines[1:], strict=True):
        cells, original_cells = line.split(","), original_line.split(",")
        assert cells[:2] == original_cells[:2]
        expected = np.clip(np.array(original_cells[2:], float), *_limits(len(cells)))
        np.testing.assert_allclose(np.array(cells[2:], float), expected, atol=1e-6)


def _limits(columns):
    """Limits of a row: coefficients are clamped, rotations are not."""
    low, high = np.full(max(columns - 2, 0), -np.inf), np.full(max(columns - 2, 0), np.inf)
    low[:52], high[:52] = 0, 1
    return low, high


@pytest.mark.skipif(not CAPTURE.exists(), reason="there is no shared/data")
def test_an_iphone_capture_becomes_a_track_without_gaps(tmp_path):
    motion = read_motion(CAPTURE)
    write_motion(tmp_path / "a.npy", motion, "npy")
    written = np.load(tmp_path / "a.npy")
    assert written.shape == (int(motion.seconds[-1] * 30) + 1, 52)
    assert np.isfinite(written).all()
