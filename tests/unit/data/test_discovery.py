"""Discovery with different folders, tables, channel orders and frame rates."""

import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile

from emotalk.blendshapes import CHANNELS
from emotalk.config.corpus import SourceSettings
from emotalk.data.discovery import Listing, Source
from emotalk.data.tables import files_outside_folders
from emotalk.errors import CorpusError
from emotalk.formats.tracks import TrackFormat, read_track
from emotalk.timing import resample

STEM = "01-01-03-01-01-01-01"
RNG = np.random.default_rng(0)


def put(folder, name, frames=60, suffix=".wav", rate=16_000):
    """Write a recording of noise."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}{suffix}", 0.1 * RNG.standard_normal(frames * rate // 30), rate)
    np.save(folder / f"{name}.npy", RNG.random((frames, 52)).astype(np.float32))


def test_ravdess_may_have_a_folder_per_actor(record, index, data):
    record(STEM)
    actor = data / "RAVDESS/audio/Actor_01"
    actor.mkdir()
    shutil.move(data / f"RAVDESS/audio/{STEM}.wav", actor / f"03{STEM[2:]}.wav")
    row = index()[STEM]
    assert row["status"] == "ok"
    assert row["wav_path"].endswith(f"Actor_01/03{STEM[2:]}.wav")


def test_audio_and_tracks_may_be_in_different_folders(record, index, data):
    record(STEM)
    shutil.move(data / "RAVDESS/audio", data / "originals")
    sources = {"RAVDESS": {"audio": str(data / "originals")}}
    assert index(sources=sources)[STEM]["status"] == "ok"


def test_a_take_folder_of_live_link_face_is_one_recording(data):
    take = data / "Own/20260101_MySlate_3"
    take.mkdir(parents=True)
    stem = "MySlate_3_iPhone"
    others = (f"{stem}_cal.csv", f"{stem}_raw.csv", f"{stem}_neutral.csv", "frame_log.csv", "take.json")
    for name in (f"{stem}.csv", f"{stem}.mov", *others, "thumbnail.jpg", "video_metadata.json"):
        (take / name).touch()
    source = Source.from_settings("Own", data, SourceSettings(audio=str(data / "Own"), tracks=str(data / "Own")))
    (recording,) = Listing(source)
    assert (recording.wav, recording.track) == (take / f"{stem}.mov", take / f"{stem}.csv")
    assert recording.issues == ()


def test_folders_of_a_generic_corpus_are_subjects(index, data):
    put(data / "Own", "anna/take1")
    put(data / "Own", "ben/take1", suffix=".flac", rate=48_000)
    put(data / "Own", "lone")
    rows = index(["Own"])
    assert {name: row["subject"] for name, row in rows.items()} == {
        "anna.take1": "anna",
        "ben.take1": "ben",
        "lone": "Own",
    }
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_nested_and_flat_folders_are_matched(index, data):
    put(data / "tmp", "a/take1")
    put(data / "tmp", "a/take2")
    for name, wav, track in (("take1", "audio/a", "blendshape/a"), ("take2", "wav", "npy/a")):
        for folder, suffix in ((wav, ".wav"), (track, ".npy")):
            (data / "Own" / folder).mkdir(parents=True, exist_ok=True)
            shutil.move(data / f"tmp/a/{name}{suffix}", data / "Own" / folder)
    rows = index(["Own"])
    assert {name: row["status"] for name, row in rows.items()} == {"a.take1": "ok", "a.take2": "ok"}


def test_files_of_two_subjects_are_not_matched(index, data):
    put(data / "Own", "anna/take1")
    put(data / "Own", "ben/take1")
    (data / "Own/anna/take1.npy").unlink()
    (data / "Own/ben/take1.wav").unlink()
    put(data / "Own", "ben/take2")
    rows = index(["Own"])
    assert [row["reasons"][0].partition(":")[0] for row in rows.values() if row["status"] == "excluded"] == [
        "orphan_wav",
        "orphan_track",
    ]


def test_circular_links_are_visited_once(index, data):
    put(data / "Own", "anna/take1")
    (data / "Own/anna/loop").symlink_to(data / "Own")
    assert list(index(["Own"])) == ["anna.take1"]


TABLE = pd.DataFrame(
    {
        "wav": ["a/one.wav", "a/two.wav", "a/three.wav"],
        "track": ["a/one.npy", "a/two.npy", "a/three.npy"],
        "subject": ["anna", "ben", None],
        "emotion": ["happy", "FEAR", "bored"],
        "intensity": [2, 1, 7],
        "statement": ["Hello there", "Hello there", None],
        "remark": ["x", "y", "z"],
    }
)


def test_table_files_outside_the_folders_are_listed(data, tmp_path):
    """The index must become stale when they change."""
    (data / "Own").mkdir()
    table = pd.DataFrame({"wav": ["a.wav", "../b.wav", str(tmp_path / "far/c.wav")], "track": ["a.npy", None, "c.npy"]})
    table.to_csv(data / "Own/table.csv", index=False)
    settings = SourceSettings(table=str(data / "Own/table.csv"))
    paths = files_outside_folders(Source.from_settings("Own", data, settings))
    assert paths == [data / "Own/../b.wav", tmp_path / "far/c.wav"]


def test_cells_with_lists_do_not_fail(index, data):
    put(data / "Own", "one")
    table = pd.DataFrame({"wav": ["one.wav"], "track": ["one.npy"], "statement": [["x", "y"]]})
    table.to_parquet(data / "Own/table.parquet")
    assert index(["Own"], sources={"Own": {"table": str(data / "Own/table.parquet")}})["one"]["status"] == "ok"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_lists_recordings_and_labels(index, data, suffix):
    for name in ("one", "two", "three"):
        put(data / "Own", f"a/{name}")
    path = data / f"table{suffix}"
    TABLE.to_parquet(path) if suffix == ".parquet" else TABLE.to_csv(path, index=False)
    rows = index(["Own"], sources={"Own": {"table": str(path)}})
    labels = ("subject", "emotion", "intensity", "statement")
    assert {name: tuple(row[label] for label in labels) for name, row in rows.items()} == {
        "one": ("anna", "happy", 2, "Hello there"),
        "two": ("ben", "fearful", 1, "Hello there"),
        "three": ("three", None, None, None),
    }
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert [reason.partition(":")[0] for reason in rows["three"]["reasons"]] == ["unknown_label"] * 2


def test_an_invalid_row_of_a_table_does_not_affect_others(index, data):
    for name in ("one", "two"):
        put(data / "Own", name)
    rows = [
        {"wav": "one.wav", "track": "one.npy"},
        {"wav": "absent.wav", "track": "one.npy"},
        {"wav": "two.wav", "track": None},
        {"wav": None, "track": None},
        {"wav": "two.wav", "track": "two.npy", "recording_id": "../../two"},
        {"wav": "one.wav", "track": "one.npy", "recording_id": "one"},
        {"wav": "/dev/zero", "track": "/dev/zero", "recording_id": "endless"},
    ]
    pd.DataFrame(rows).to_csv(data / "t.csv", index=False)
    indexed = index(["Own"], sources={"Own": {"table": str(data / "t.csv")}})
    assert len(indexed) == len(rows)
    assert [name for name, row in indexed.items() if row["status"] == "ok"] == ["one"]
    assert not any("/" in name for name in indexed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a table"),
        (b"\xff\xfe\x00\x01" * 50, "cannot be read as a table"),
        (b"a,b\n1,2\n", "has no column wav, track; it has 'a', 'b'"),
    ],
)
def test_an_invalid_table_is_an_error(index, data, content, message):
    (data / "Own").mkdir()
    (data / "t.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        index(["Own"], sources={"Own": {"table": str(data / "t.csv")}})


def test_the_order_of_mediapipe_is_shifted_by_one_and_has_no_tongue(tmp_path):
    """docs/method.md, section "Data": `_neutral`, then the first 51 of the 52 names."""
    values = np.arange(3 * 52, dtype=np.float32).reshape(3, 52)
    np.save(tmp_path / "t.npy", values)
    track, _ = read_track(tmp_path / "t.npy", TrackFormat("mediapipe"))
    names = ["_neutral", *CHANNELS[:51]]
    for channel in ("browDownLeft", "jawOpen", "noseSneerRight"):
        assert (track[:, CHANNELS.index(channel)] == values[:, names.index(channel)]).all()
    assert (track[:, CHANNELS.index("tongueOut")] == 0).all()


def test_the_order_of_mediapipe_is_reported_if_it_is_not_set(index, data):
    put(data / "Own", "take", frames=90)
    names = ["_neutral", *CHANNELS[:51]]
    values = np.full((90, 52), 0.01)
    values[:, 0] = 1e-5
    values[:, names.index("jawOpen")] = np.abs(np.sin(np.arange(90) / 3))
    values[:, -1] += 0.01 * RNG.random(90)
    np.save(data / "Own/take.npy", values)
    assert "channel_order: take.npy may have the channel order of mediapipe" in index(["Own"])["take"]["reasons"][0]
    assert index(["Own"], sources={"Own": {"channels": "mediapipe"}})["take"]["status"] == "ok"


@pytest.mark.parametrize("fps", [24, 25, 50, 60, 120])
def test_motion_at_another_rate_is_resampled_without_a_shift(fps):
    seconds, frames = np.arange(10 * fps) / fps, np.arange(300) / 30
    slow = np.sin(2 * np.pi * 2.0 * seconds)[:, None].repeat(52, axis=1).astype(np.float32)
    track = resample(slow, fps, 30)
    assert track.shape == (300, 52)
    np.testing.assert_allclose(track[20:-20, 0], np.sin(2 * np.pi * 2.0 * frames)[20:-20], atol=0.01)


def test_resampling_has_no_aliasing():
    """Taking every second frame at 60 fps would turn 25 Hz into 5 Hz."""
    fast = np.sin(2 * np.pi * 25 * np.arange(600) / 60)[:, None].repeat(52, axis=1).astype(np.float32)
    assert np.abs(resample(fast, 60, 30)[20:-20]).max() < 0.02
    assert np.abs(fast[::2][20:-20]).max() > 0.8


def test_a_frame_rate_that_is_set_or_repaired_makes_a_track_usable(index, data):
    put(data / "Own", "take", frames=90)
    np.save(data / "Own/take.npy", RNG.random((180, 52)).astype(np.float32))
    put(data / "Own", "other", frames=90)
    assert (
        "track_rate_mismatch: the track has 180 frames for 3.00 s of audio, which matches 60 fps"
        in (index(["Own"])["take"]["reasons"][0])
    )
    repaired = index(["Own"], index={"issues": {"track_rate_mismatch": "repair"}})["take"]
    assert (repaired["status"], repaired["track_fps"], repaired["num_track_frames"]) == ("repaired", 60, 90)
    (data / "Own/other.npy").unlink()
    row = index(["Own"], sources={"Own": {"fps": 60}})["take"]
    assert (row["status"], row["num_frames"]) == ("ok", 90)


def test_corpora_of_all_layouts_are_in_one_table(record, index, data):
    record(STEM)
    record("WDA_EdMarkey0_000", corpus="HDTF", frames=61)
    put(data / "Own", "anna/take1")
    index(["RAVDESS", "HDTF", "Own"])
    table = pq.read_table(data / "recordings.parquet").to_pandas()
    assert table["corpus"].tolist() == ["HDTF", "Own", "RAVDESS"]
    assert (table["status"] == "ok").all()
