import os

import numpy as np
import pytest

from emotalk.data.recordings import UsableRecordings
from emotalk.errors import CorpusError

STEM = "01-01-03-01-01-01-01"
OTHER = "01-01-04-01-01-01-01"


def reasons(row) -> str:
    return "; ".join(row["reasons"])


def test_a_valid_recording_has_all_properties(record, index):
    record(STEM, frames=60, rate=48_000)
    row = index()[STEM]
    assert (row["status"], row["reasons"]) == ("ok", [])
    assert (row["sampling_rate"], row["num_audio_channels"], row["num_samples"]) == (48_000, 1, 96_000)
    assert (row["num_track_frames"], row["num_frames"], row["duration_s"]) == (60, 60, 2.0)
    assert (row["subject"], row["emotion"], row["intensity"], row["statement"]) == ("1", "happy", 1, "1")
    assert len(row["wav_sha256"]) == len(row["track_sha256"]) == 64


def test_every_stem_has_a_row_even_if_others_have_issues(record, index):
    record(STEM)
    record("01-01-03-01-01-02-01", track=False)
    record("01-01-03-01-02-01-01", wav=False)
    rows = index()
    assert {stem: row["status"] for stem, row in rows.items()} == {
        STEM: "ok",
        "01-01-03-01-01-02-01": "excluded",
        "01-01-03-01-02-01-01": "excluded",
    }
    assert "orphan_wav: there is no track for 01-01-03-01-01-02-01.wav" in reasons(rows["01-01-03-01-01-02-01"])
    assert "orphan_track: there is no audio for 01-01-03-01-02-01-01.npy" in reasons(rows["01-01-03-01-02-01-01"])


INVALID_TRACKS = {
    "50 channels": (
        np.zeros((60, 50), np.float32),
        "wrong_width: {}: it has 50 channels; arkit has 52 or 51",
    ),
    "53 channels": (np.zeros((60, 53), np.float32), "wrong_width"),
    "one dimension": (np.zeros(60 * 52, np.float32), "wrong_dims: {} has shape (3120,)"),
    "three dimensions": (np.zeros((1, 60, 52), np.float32), "wrong_dims"),
    "one NaN": (
        np.where(np.arange(60 * 52).reshape(60, 52) == 5 * 52 + 7, np.nan, 0),
        "non_finite: {} has 1 values that are NaN or infinite, the first at frame 5, cheekSquintRight",
    ),
    "infinite": (np.full((60, 52), np.inf), "non_finite: {} has 3120 values"),
    "overflowing in float32": (np.full((60, 52), 1e300), "non_finite"),
    "objects": (np.array([{"a": 1}], dtype=object), "pickled_track"),
    "words": (np.full((60, 52), "x"), "unreadable_track"),
    "complex": (np.zeros((60, 52), complex), "unreadable_track"),
    "no frame": (np.zeros((0, 52), np.float32), "wrong_dims: {} has no frames"),
    "three frames too many": (
        np.zeros((63, 52), np.float32),
        "frame_mismatch: the track has 63 frames, the audio 60; the largest allowed difference is 2 frames",
    ),
    "three frames too few": (np.zeros((57, 52), np.float32), "frame_mismatch: the track has 57 frames"),
}


@pytest.mark.parametrize("case", INVALID_TRACKS)
def test_an_invalid_track_is_excluded_with_its_numbers(record, index, case):
    track, message = INVALID_TRACKS[case]
    record(STEM, frames=60, track=track)
    record(OTHER)
    rows = index()
    assert message.format(f"{STEM}.npy") in reasons(rows[STEM])
    assert rows[STEM]["status"] == "excluded"
    assert rows[OTHER]["status"] == "ok"


INVALID_CONTENTS = {
    "empty": b"",
    "noise": bytes(range(256)) * 8,
    "a truncated header": b"RIFF\x10\x00\x00\x00WAVE",
    "numpy magic": b"\x93NUMPY\x01\x00",
    "a truncated npz": b"PK\x03\x04" + bytes(40),
    "a corrupted header": b"\x93NUMPY\x01\x00\x16\x00{'descr': (((((((((((((\n",
    "a shape larger than any memory": b"\x93NUMPY\x01\x00\x50\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 52), }".ljust(79)
    + b"\n",
}


@pytest.mark.parametrize("case", INVALID_CONTENTS)
def test_damaged_audio_and_damaged_tracks_are_excluded(record, index, data, case):
    for stem, part, suffix in (
        (STEM, "audio", "wav"),
        ("01-01-03-01-02-01-01", "blendshape", "npy"),
    ):
        record(stem)
        (data / "RAVDESS" / part / f"{stem}.{suffix}").write_bytes(INVALID_CONTENTS[case])
    record(OTHER)
    rows = index()
    assert rows[STEM]["reasons"][0].startswith("unreadable_wav")
    assert rows["01-01-03-01-02-01-01"]["reasons"][0].startswith("unreadable_track")
    assert rows[OTHER]["status"] == "ok"


def test_a_pickle_in_a_track_is_never_executed(record, index, data):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(data / "was_executed"),)

    record(STEM, track=np.array([Payload()], dtype=object))
    record(OTHER)
    assert "pickled_track" in reasons(index()[STEM])
    assert not (data / "was_executed").exists()


def test_a_wav_without_samples_is_reported_as_empty(record, index):
    record(STEM, frames=0, track=np.zeros((60, 52), np.float32))
    record(OTHER)
    assert "empty_wav" in reasons(index()[STEM])


@pytest.mark.parametrize(
    ("track_frames", "status"), [(58, "repaired"), (59, "ok"), (60, "ok"), (61, "repaired"), (62, "repaired")]
)
def test_audio_and_track_are_cut_to_the_common_length(record, index, track_frames, status):
    record(STEM, frames=60, track_frames=track_frames)
    row = index()[STEM]
    assert (row["status"], row["num_frames"]) == (status, min(60, track_frames))
    assert bool(row["reasons"]) == (status == "repaired")


def test_a_recording_below_the_minimum_length_is_excluded(record, index):
    record(STEM, frames=14)
    record(OTHER, frames=15)
    rows = index()
    assert "too_short: 14 frames; the minimum is 15" in reasons(rows[STEM])
    assert rows[OTHER]["status"] == "ok"


def test_an_unknown_name_is_excluded(record, index):
    record("my_take")
    record(OTHER)
    assert "unknown_name: my_take does not match the naming of RAVDESS" in reasons(index()["my_take"])


def test_audio_only_originals_are_matched_with_tracks_of_videos(record, index, data):
    record(STEM, wav=False)
    record("03" + STEM[2:], track=False)
    rows = index()
    assert list(rows) == [STEM]
    assert rows[STEM]["status"] == "ok"
    assert rows[STEM]["wav_path"].endswith("03" + STEM[2:] + ".wav")


def test_other_files_are_ignored(record, index, data):
    record(STEM)
    (data / "RAVDESS/audio/readme.txt").write_text("hello")
    assert list(index()) == [STEM]


def test_a_corpus_without_usable_recordings_is_an_error(record, index):
    record(STEM, track=False)
    with pytest.raises(CorpusError, match=r"RAVDESS has no usable recording: all 1 are excluded\. .*orphan_wav"):
        index()


def test_empty_folders_are_an_error(index):
    with pytest.raises(CorpusError, match="no audio and no track was found"):
        index()


def test_the_error_of_a_missing_folder_has_its_path_and_a_remedy(index, data):
    (data / "HDTF/audio").rmdir()
    with pytest.raises(CorpusError, match=r"Folder .*HDTF/audio does not exist.*'corpora'"):
        index(["HDTF"])


def test_strict_makes_an_excluded_recording_an_error(record, index):
    record(STEM, track=False)
    record(OTHER)
    with pytest.raises(CorpusError, match=f"1 of 2 recordings are excluded and 'strict' is set: {STEM}: orphan_wav"):
        index(strict=True)


def test_both_corpora_are_in_one_table(record, index, data):
    record(STEM)
    record("WDA_EdMarkey0_000", corpus="HDTF")
    assert {row["corpus"] for row in index(["RAVDESS", "HDTF"], threads=2).values()} == {"RAVDESS", "HDTF"}
    out = data / "recordings.parquet"
    assert [row["subject"] for row in UsableRecordings(out, "HDTF")] == ["EdMarkey"]
