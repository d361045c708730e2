"""Records of captured videos, and replacement of files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotalk.capture.audio import Span
from emotalk.capture.faces import BOX, POSE, Faces
from emotalk.capture.records import (
    CAPTURED,
    Origin,
    VideoRecord,
    check_replaceable,
    check_videos_table,
    commit,
    faces_path,
    faces_table,
    is_current,
    read_record,
    read_records,
    staged_paths,
    summarize_captures,
    write_videos_table,
)
from emotalk.capture.tracks import Scene
from emotalk.errors import CaptureError
from emotalk.provenance import file_digest

MODEL = "0" * 64


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"video")
    return path


def no_faces():
    return faces_table(Faces.from_samples(()), ())


def captured(out, video, files, before=None, **facts):
    """Commit a capture with given file contents."""
    origin = Origin.from_files(video, MODEL, facts.pop("on_cut", "divide"))
    with staged_paths(out, files) as staged:
        for file, content in files.items():
            staged[file].write_bytes(content)
        digests = {file: file_digest(path) for file, path in staged.items()}
        record = VideoRecord(facts.pop("name", "a"), str(video), origin, CAPTURED, files=digests, **facts)
        commit(out, record, before, no_faces(), staged)
    return record


def test_a_record_can_be_written_and_read(tmp_path, video):
    record = captured(
        tmp_path, video, {"audio/a.wav": b"1", "blendshape/a.npy": b"2"}, notes=("One.", "Two."), fps=25.0
    )
    assert read_record(tmp_path / faces_path("a")) == record
    assert read_records(tmp_path) == [record]
    assert record.num_recordings == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_a_record_is_current_for_the_same_bytes_model_and_settings(tmp_path, video):
    record = captured(tmp_path, video, {"blendshape/a.npy": b"2"})
    assert is_current(record, tmp_path, video, MODEL, "divide")
    assert is_current(record, tmp_path, video, MODEL, "exclude"), "a video without a cut does not depend on that"
    assert not is_current(replace(record, num_cuts=1), tmp_path, video, MODEL, "exclude")
    assert not is_current(record, tmp_path, video, "1" * 64, "divide")
    assert not is_current(None, tmp_path, video, MODEL, "divide")
    video.write_bytes(b"video")
    assert is_current(record, tmp_path, video, MODEL, "divide"), "touched"
    video.write_bytes(b"VIDEO")
    assert not is_current(record, tmp_path, video, MODEL, "divide")
    video.write_bytes(b"video")
    (tmp_path / "blendshape/a.npy").unlink()
    assert not is_current(record, tmp_path, video, MODEL, "divide")


def test_obsolete_parts_are_removed(tmp_path, video):
    before = captured(tmp_path, video, {"blendshape/a_part1.npy": b"1", "blendshape/a_part2.npy": b"2"})
    captured(tmp_path, video, {"blendshape/a.npy": b"3"}, before)
    assert [path.name for path in (tmp_path / "blendshape").iterdir()] == ["a.npy"]


def test_a_capture_that_was_killed_while_renaming_is_not_current(tmp_path, video, monkeypatch):
    before = captured(tmp_path, video, {"audio/a.wav": b"1", "blendshape/a.npy": b"2"})
    video.write_bytes(b"another")
    renames, rename = [], Path.replace

    def killed(path, target):
        renames.append(target.name)
        if target.name == "a.npy":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        captured(tmp_path, video, {"audio/a.wav": b"3", "blendshape/a.npy": b"4"}, before)
    monkeypatch.undo()
    assert renames == ["a.parquet", "a.wav", "a.npy"]
    record = read_record(tmp_path / faces_path("a"))
    assert not is_current(record, tmp_path, video, MODEL, "divide")
    check_replaceable(tmp_path, ["audio/a.wav", "blendshape/a.npy"], record)


def test_foreign_or_edited_files_are_not_replaced(tmp_path, video):
    record = captured(tmp_path, video, {"blendshape/a.npy": b"2"})
    check_replaceable(tmp_path, ["audio/a.wav", "blendshape/a.npy"], record)
    (tmp_path / "blendshape/a.npy").write_bytes(b"edited")
    with pytest.raises(CaptureError, match=r"a\.npy was not written by a capture, or was changed afterwards"):
        check_replaceable(tmp_path, [], record)
    with pytest.raises(CaptureError, match=r"a\.npy was not written by a capture"):
        check_replaceable(tmp_path, ["blendshape/a.npy"], None)


@pytest.mark.parametrize("content", [b"text", b""])
def test_another_parquet_is_not_a_record(tmp_path, content):
    (tmp_path / "videos.parquet").write_bytes(content)
    with pytest.raises(CaptureError, match="was not written by a capture"):
        read_record(tmp_path / "videos.parquet")
    with pytest.raises(CaptureError, match=r"videos\.parquet is not a parquet file"):
        check_videos_table(tmp_path)
    pq.write_table(no_faces(), tmp_path / "videos.parquet")
    with pytest.raises(CaptureError, match=r"videos\.parquet was not written by a capture"):
        check_videos_table(tmp_path)


def test_the_table_of_videos_has_a_row_for_each(tmp_path, video):
    captured(tmp_path, video, {"blendshape/a.npy": b"2"}, notes=("One.", "Two."))
    write_videos_table(tmp_path)
    check_videos_table(tmp_path)
    rows = pq.read_table(tmp_path / "videos.parquet").to_pylist()
    assert [(row["name"], row["status"], row["num_recordings"], row["notes"]) for row in rows] == [
        ("a", "captured", 1, "One. Two.")
    ]


def test_the_table_of_faces_has_a_row_per_frame_with_its_part():
    faces = Faces(
        np.arange(6) / 30,
        np.zeros((6, 52), np.float32),
        np.ones(6, np.int16),
        np.ones(6, np.float32),
        np.zeros((6, 6), np.float32),
        np.zeros((6, 4), np.float32),
        np.array([False, False, False, True, False, False]),
    )
    table = faces_table(faces, [Scene(0, 2, Span(0, 2 / 30)), Scene(3, 6, Span(0.1, 0.2))])
    assert table["part"].to_pylist() == [1, 1, 0, 2, 2, 2]
    assert table.column_names == [*("time_s", "is_found", "num_faces", "confidence", *POSE, *BOX, "is_cut", "part")]


def test_a_summary_of_a_capture_has_its_tools_and_the_least_confident_videos(tmp_path, video):
    out = tmp_path / "out"
    tools = {"mediapipe": "1.2", "av": "18.1"}
    for name, frames, confidence in (("a", 100, 0.9), ("b", 300, 0.5)):
        files = {f"blendshape/{name}.npy": b"track"}
        captured(out, video, files, name=name, num_frames=frames, mean_confidence=confidence, made_with=tools)
    (summary,) = summarize_captures({"mine": write_videos_table(out)}).values()
    assert summary.made_with == "mediapipe 1.2, av 18.1"
    assert summary.model_sha256 == MODEL
    assert summary.mean_confidence == pytest.approx((100 * 0.9 + 300 * 0.5) / 400)
    assert [name for name, _, _ in summary.least_confident] == ["b", "a"]


def test_a_table_of_another_program_is_not_summarized(tmp_path):
    pq.write_table(pa.table({"name": ["a"]}), tmp_path / "videos.parquet")
    assert summarize_captures({"mine": tmp_path / "videos.parquet", "none": tmp_path / "none.parquet"}) == {}
