"""Complete captures of short videos, which are made from real ones."""

import os
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from emotalk.capture.capture import capture_videos
from emotalk.capture.faces import Faces, follow_face
from emotalk.capture.landmarks import Detector, Landmarker
from emotalk.capture.video import VideoReader
from emotalk.config.corpus import CaptureSettings
from emotalk.errors import CaptureError
from emotalk.parallel import prepend_pythonpath
from emotalk.provenance import file_digest
from emotalk.timing import resample
from tests.conftest import SHARED
from tests.unit.capture.conftest import VIDEOS
from tests.unit.capture.videos import damage, tone, turn, write_video

RADIO, MARKEY, HILL = "RD_Radio2_000", "WDA_EdMarkey0_000", "WDA_KatieHill_000"
SEEN = {"num_faces": 1, "is_found": True, "is_cut": False, "part": 1}


@pytest.fixture
def capture(tmp_path, model):
    """Capture videos into `captured` and return their records."""

    def run(*videos, **settings):
        return capture_videos(videos, tmp_path / "captured", CaptureSettings(model=str(model), **settings), processes=1)

    return run


@pytest.fixture
def made(tmp_path):
    """Captured tracks, audio and tables of faces, by name."""

    class Captured:
        def track(self, name):
            return np.load(tmp_path / f"captured/blendshape/{name}.npy")

        def audio(self, name):
            return soundfile.read(tmp_path / f"captured/audio/{name}.wav")[0]

        def faces(self, name):
            return pq.read_table(tmp_path / f"captured/faces/{name}.parquet").to_pandas()

        def videos(self):
            return pq.read_table(tmp_path / "captured/videos.parquet").to_pandas().set_index("name")

    return Captured()


def at(rate, images):
    return np.arange(len(images)) / rate


def measure_faces(video, model):
    """Measure the face in each frame with MediaPipe."""
    with Detector(model) as detector, Landmarker(model) as landmarker:
        return Faces.from_samples(follow_face(VideoReader(video), detector, landmarker))


@pytest.mark.parametrize("stem", [RADIO, MARKEY, HILL])
def test_captured_tracks_and_audio_equal_the_delivered_ones(capture, made, stem):
    """Numbers differ between processors and versions of MediaPipe; the largest measured mean difference is 6e-4."""
    record = capture(VIDEOS / f"{stem}.mp4")[0]
    delivered = SHARED / "data/3D-ETF-mini/HDTF"
    track = made.track(stem)
    assert track.dtype == np.float32
    difference = np.abs(track - np.load(delivered / f"blendshape/{stem}.npy"))
    assert difference.mean() < 1e-3
    assert difference.max() < 0.1
    speech = soundfile.read(delivered / f"audio/{stem}.wav")[0]
    np.testing.assert_allclose(made.audio(stem).mean(axis=1), speech, atol=2e-5)
    faces = made.faces(stem)
    assert (faces[list(SEEN)] == SEEN).all(axis=None)
    assert faces.confidence.min() > 0.8
    assert (record.num_frames, record.fps, record.notes) == (200, pytest.approx(25), ())


def test_values_at_30_fps_do_not_change(capture, made, images, model, tmp_path):
    video = write_video(tmp_path / "a.mp4", images(RADIO, 40), at(30, images(RADIO, 40)))
    capture(video)
    np.testing.assert_array_equal(made.track("a"), measure_faces(video, model).values)
    assert not made.track("a")[:, -1].any()


def test_60_fps_are_low_pass_filtered(capture, made, images, model, tmp_path):
    video = write_video(tmp_path / "a.mp4", images(RADIO, 60), at(60, images(RADIO, 60)))
    capture(video)
    np.testing.assert_allclose(made.track("a"), resample(measure_faces(video, model).values, 60, 30), atol=1e-5)


def test_a_variable_frame_rate_gives_the_same_motion(capture, made, images, tmp_path):
    pictures, kept = images(RADIO, 60), np.sort(np.random.default_rng(1).choice(59, 40, replace=False) + 1)
    kept = np.concatenate([[0], kept])
    write_video(tmp_path / "whole.mp4", pictures, at(25, pictures))
    write_video(tmp_path / "variable.mp4", [pictures[n] for n in kept], at(25, pictures)[kept])
    capture(tmp_path / "whole.mp4", tmp_path / "variable.mp4")
    count = min(len(made.track("whole")), len(made.track("variable")))
    assert count >= 60
    difference = np.abs(made.track("whole")[:count] - made.track("variable")[:count])
    assert difference.mean() < 0.25 * np.abs(made.track("whole")[5:count] - made.track("whole")[: count - 5]).mean()


def test_a_rotated_video_gives_the_same_track(capture, made, images, tmp_path):
    pictures = images(HILL, 35)
    write_video(tmp_path / "upright.mp4", pictures, at(30, pictures))
    turn(write_video(tmp_path / "turned.mp4", [np.rot90(each) for each in pictures], at(30, pictures)), 1)
    capture(tmp_path / "upright.mp4", tmp_path / "turned.mp4")
    assert np.abs(made.track("upright") - made.track("turned")).mean() < 0.01


def test_a_cut_divides_audio_and_motion_at_the_same_time(capture, made, images, tmp_path):
    pictures = images(RADIO, 36) + images(MARKEY, 45)
    sound = tone(2.7, click_s=1.3)
    record = capture(write_video(tmp_path / "a.mp4", pictures, at(30, pictures), [(0.0, sound)]))[0]
    assert len(made.track("a_part1")) == 36
    assert len(made.track("a_part2")) == 45
    assert np.flatnonzero(made.faces("a").is_cut).tolist() == [36]
    assert made.faces("a").part.tolist() == [1] * 36 + [2] * 45
    assert len(made.audio("a_part1")) == 19_200
    assert np.abs(made.audio("a_part2")).argmax() == pytest.approx(1600, abs=20)
    assert "1 cuts: 2 parts." in record.notes


def test_a_short_scene_is_excluded_and_noted(capture, made, images, tmp_path):
    pictures = images(RADIO, 15) + images(MARKEY, 36)
    record = capture(write_video(tmp_path / "a.mp4", pictures, at(30, pictures)))[0]
    assert record.num_recordings == 1
    assert len(made.track("a_part1")) == 36
    assert any("1 parts with less than 1 s of a face are excluded" in note for note in record.notes)


def test_a_video_with_cuts_is_captured_again_when_on_cut_changes(capture, made, images, tmp_path):
    pictures = images(RADIO, 31) + images(HILL, 31)
    video = write_video(tmp_path / "a.mp4", pictures, at(30, pictures))
    whole = write_video(tmp_path / "b.mp4", pictures[:31], at(30, pictures[:31]))
    capture(video, whole, on_cut="exclude")
    assert made.videos().status.to_dict() == {"a": "excluded", "b": "captured"}
    assert "it has 1 cuts (at 1.03 s)" in made.videos().reason["a"]
    before = (tmp_path / "captured/blendshape/b.npy").stat().st_mtime_ns
    assert [record.num_recordings for record in capture(video, whole, on_cut="divide")] == [2, 1]
    assert (tmp_path / "captured/blendshape/b.npy").stat().st_mtime_ns == before
    capture(video, whole, on_cut="exclude")
    assert not list((tmp_path / "captured").glob("*/a_part*"))


@pytest.mark.parametrize("small_is_left", [True, False])
def test_the_larger_of_two_faces_is_captured(capture, made, images, tmp_path, small_is_left):
    large, small = images(RADIO, 33), images(HILL, 33)
    pictures = []
    for first, second in zip(large, small, strict=True):
        other = np.full_like(first, 90)
        other[128:384, 128:384] = second[::2, ::2]
        pictures.append(np.concatenate([other, first] if small_is_left else [first, other], axis=1))
    write_video(tmp_path / "two.mp4", pictures, at(30, pictures))
    write_video(tmp_path / "alone.mp4", large, at(30, large))
    records = capture(tmp_path / "two.mp4", tmp_path / "alone.mp4")
    assert (made.faces("two").num_faces == 2).all()
    assert ((made.faces("two").left_px > 500) == small_is_left).all()
    assert any(note.startswith("Up to 2 faces") for note in records[1].notes)
    assert np.corrcoef(made.track("two")[:, 24], made.track("alone")[:, 24])[0, 1] > 0.9


def test_a_short_gap_without_a_face_is_interpolated_and_a_long_one_is_nan(capture, made, images, tmp_path):
    pictures, black = list(images(RADIO, 100)), np.zeros((512, 512, 3), np.uint8)
    pictures[20:30] = [black] * 10
    pictures[50:75] = [black] * 25
    record = capture(write_video(tmp_path / "a.mp4", pictures, at(30, pictures)))[0]
    marked = np.isnan(made.track("a")).any(axis=1)
    assert not marked[:50].any()
    assert marked[50:75].all()
    assert not marked[77:].any()
    assert not made.faces("a").is_found[50:75].any()
    assert record.num_cuts == 0
    assert any(note.startswith("No face for 1.") for note in record.notes)


def test_only_the_frames_of_broken_packets_are_lost(capture, made, images, tmp_path):
    pictures = images(RADIO, 40)
    whole = write_video(tmp_path / "whole.mkv", pictures, at(30, pictures))
    record = capture(damage(whole, tmp_path / "a.mkv", [17, 18]))[0]
    assert record.num_broken == 2
    assert made.track("a").shape == (40, 52)
    assert not np.isnan(made.track("a")).any()


def test_videos_without_a_face_are_excluded_with_the_reason(capture, made, images, tmp_path):
    folder = tmp_path / "videos"
    black = [np.zeros((64, 64, 3), np.uint8)] * 40
    write_video(folder / "black.mp4", black, at(30, black))
    (folder / "text.mp4").write_text("no video")
    pictures = images(RADIO, 35)
    write_video(folder / "Actor_01/a.mp4", pictures, at(30, pictures))
    capture(folder)
    videos = made.videos()
    assert videos.status.to_dict() == {"Actor_01/a": "captured", "black": "excluded", "text": "excluded"}
    assert videos.reason["black"] == "no scene has a face for at least 1 s"
    assert videos.reason["text"].startswith("text.mp4 cannot be opened as a video")
    assert made.track("Actor_01/a").shape == (35, 52)
    assert "The video has no audio" in videos.notes["Actor_01/a"]


def test_captured_videos_are_skipped_until_they_change(capture, images, tmp_path):
    pictures = images(RADIO, 32)
    video = write_video(tmp_path / "a.mp4", pictures, at(30, pictures))
    capture(video)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "captured").glob("*/a*")}
    assert len(files) == 2
    os.utime(video)
    capture(video, write_video(tmp_path / "b.mp4", pictures, at(30, pictures)))
    assert {path: path.stat().st_mtime_ns for path in files} == files
    write_video(tmp_path / "a.mp4", pictures[:31], at(30, pictures[:31]))
    assert capture(video)[0].num_frames == 31
    (tmp_path / "captured/blendshape/a.npy").unlink()
    capture(video)
    assert (tmp_path / "captured/blendshape/a.npy").exists()


def test_a_killed_capture_is_resumed(images, model, tmp_path):
    pictures = images(RADIO, 40)
    for name in "abcd":
        write_video(tmp_path / f"videos/{name}.mp4", pictures, at(30, pictures))
    prepend_pythonpath()
    out = tmp_path / "captured"
    command = [sys.executable, "-m", "emotalk", "capture", tmp_path / "videos", "--out", out, "--model", model]
    running = subprocess.Popen([*map(str, command), "--processes", "1"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list(out.glob("blendshape/*.npy"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    running.kill()
    running.communicate()
    before = {path: path.stat().st_mtime_ns for path in out.glob("blendshape/*.npy")}
    assert 2 <= len(before) < 4
    done = subprocess.run([*map(str, command), "--processes", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "of 4 videos are captured already." in done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(path.name for path in out.rglob("*") if path.is_file() and path.suffix != ".parquet") == [
        f"{name}.npy" for name in "abcd"
    ]


def test_videos_are_captured_in_parallel(images, model, tmp_path, monkeypatch):
    monkeypatch.setattr("emotalk.parallel._SERIAL_S", 0.0)
    pictures = images(RADIO, 31)
    for name in "abc":
        write_video(tmp_path / f"{name}.mp4", pictures, at(30, pictures))
    records = capture_videos([tmp_path], tmp_path / "out", CaptureSettings(model=str(model)), processes=2)
    assert [record.status for record in records] == ["captured"] * 3
    tracks = [np.load(tmp_path / f"out/blendshape/{name}.npy") for name in "abc"]
    np.testing.assert_array_equal(tracks[0], tracks[2])


def test_other_or_edited_files_are_not_replaced(capture, images, tmp_path):
    pictures = images(RADIO, 32)
    video = write_video(tmp_path / "a.mp4", pictures, at(30, pictures))
    track = tmp_path / "captured/blendshape/a.npy"
    track.parent.mkdir(parents=True)
    track.write_bytes(b"precious")
    with pytest.raises(CaptureError, match=r"a\.npy was not written by a capture.*not replaced; move it"):
        capture(video)
    assert track.read_bytes() == b"precious"
    track.unlink()
    capture(video)
    track.write_bytes(b"edited")
    write_video(tmp_path / "a.mp4", pictures[:31], at(30, pictures[:31]))
    with pytest.raises(CaptureError, match="was changed afterwards"):
        capture(video)
    assert track.read_bytes() == b"edited"


def test_two_videos_with_the_same_name_are_an_error(capture, tmp_path):
    for name in ("a.mp4", "a.mov"):
        (tmp_path / name).touch()
    with pytest.raises(CaptureError, match=r"a\.mov and .*a\.mp4 have the same output a\.npy"):
        capture(tmp_path)


def test_an_empty_or_missing_folder_is_an_error(capture, tmp_path):
    with pytest.raises(CaptureError, match=r"No video was found\. In folders, names must end in one of \.mp4"):
        capture(tmp_path)
    with pytest.raises(CaptureError, match="does not exist"):
        capture(tmp_path / "nowhere")


def test_a_broken_link_is_an_error(capture, tmp_path):
    (tmp_path / "a.mp4").symlink_to(tmp_path / "gone.mp4")
    with pytest.raises(CaptureError, match=r"a\.mp4 is a broken link"):
        capture(tmp_path)


def test_another_videos_parquet_is_not_replaced(model, tmp_path):
    (tmp_path / "videos.parquet").write_bytes(b"mine")
    with pytest.raises(CaptureError, match=r"videos\.parquet is not a parquet file"):
        capture_videos([VIDEOS], tmp_path, CaptureSettings(model=str(model)), processes=1)
    assert (tmp_path / "videos.parquet").read_bytes() == b"mine"


def test_a_missing_or_other_model_is_an_error(model, tmp_path):
    (tmp_path / "other.task").write_bytes(b"other")
    with pytest.raises(CaptureError, match=r"other\.task is not the supported model"):
        capture_videos([VIDEOS], tmp_path, CaptureSettings(model=str(tmp_path / "other.task")), processes=1)
    with pytest.raises(CaptureError, match=r"Model .*none\.task does not exist\. Download it once: curl"):
        capture_videos([VIDEOS], tmp_path, CaptureSettings(model=str(tmp_path / "none.task")), processes=1)


def test_a_missing_extra_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "any.task").touch()
    monkeypatch.setattr("emotalk.capture.landmarks.MODEL_SHA256", file_digest(tmp_path / "any.task"))
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(CaptureError, match=r"pip install -c requirements\.lock '\.\[capture\]'"):
        capture_videos([tmp_path], tmp_path, CaptureSettings(model=str(tmp_path / "any.task")), processes=1)
