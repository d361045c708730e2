"""Each kind of invalid input has an issue code and does not affect valid recordings."""

import errno
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotalk.config.corpus import FIXED_POLICIES, IssueSettings
from emotalk.errors import CorpusError
from emotalk.formats.channels import LIVELINK_ORDER, ROTATIONS

FRAMES = 60
RNG = np.random.default_rng(0)
SPEECH = (0.1 * RNG.standard_normal(32_000)).astype(np.float32)
MOTION = RNG.random((FRAMES, 52)).astype(np.float32)
OTHER = "other"


def sound(samples=SPEECH, rate=16_000, subtype="PCM_16", suffix=".wav"):
    def write(path: Path) -> None:
        soundfile.write(path.with_suffix(suffix), samples, rate, subtype=subtype)

    return write


def motion(track):
    return lambda path: np.save(path.with_suffix(".npy"), track)


def raw(content: bytes, suffix: str):
    return lambda path: path.with_suffix(suffix).write_bytes(content)


def changed(track=MOTION, **cells):
    """Write motion with some values replaced."""
    track = np.array(track, np.float64)
    for name, value in cells.items():
        frame, channel = map(int, name.strip("_").split("_"))
        track[frame, channel] = value
    return motion(track)


def capture(*timecodes: str):
    """Write a Live Link take of a still face with these timecodes."""
    names = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in (*LIVELINK_ORDER, *ROTATIONS))]
    rows = [",".join([timecode, "61", *["0.1"] * (len(names) - 2)]) for timecode in timecodes]
    return raw("\n".join([",".join(names), *rows, ""]).encode(), ".csv")


def riff(payload: bytes, header_size: int | None = None, *, rate=16_000, channels=1, kind=1) -> bytes:
    size = 2 * channels
    format_chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, rate * size, size, 16)
    length = len(payload) if header_size is None else header_size
    data = b"data" + struct.pack("<I", length) + payload
    return b"RIFF" + struct.pack("<I", (12 + len(format_chunk) + length) % 2**32) + b"WAVE" + format_chunk + data


def npz(path: Path) -> None:
    with open(path.with_suffix(".npy"), "wb") as file:
        np.savez(file, a=MOTION)


PCM = (SPEECH * 32767).astype("<i2").tobytes()
NPY = b"\x93NUMPY\x01\x00"


def header(text: str) -> bytes:
    text = text.ljust(117) + "\n"
    return NPY + struct.pack("<H", len(text)) + text.encode("latin1")


CASES = {
    # audio
    "an empty file as wav": ("unreadable_wav", raw(b"", ".wav"), motion(MOTION)),
    "noise as wav": ("unreadable_wav", raw(bytes(range(256)) * 9, ".wav"), motion(MOTION)),
    "text as wav": ("unreadable_wav", raw(b"404: Not Found\n" * 20, ".wav"), motion(MOTION)),
    "half a header": ("unreadable_wav", raw(riff(PCM)[:20], ".wav"), motion(MOTION)),
    "a wav without data": ("unreadable_wav", raw(riff(b"")[:36], ".wav"), motion(MOTION)),
    "an unknown codec": ("unreadable_wav", raw(riff(PCM, kind=0x55AA), ".wav"), motion(MOTION)),
    "no channel": ("unreadable_wav", raw(riff(PCM, channels=0), ".wav"), motion(MOTION)),
    "no rate": ("unreadable_wav", raw(riff(PCM, rate=0), ".wav"), motion(MOTION)),
    "a flac cut in its header": ("unreadable_wav", raw(b"fLaC\x00\x00\x00\x22" + bytes(9), ".flac"), motion(MOTION)),
    "a folder named as wav": ("orphan_track", lambda path: path.with_suffix(".wav").mkdir(), motion(MOTION)),
    "a broken link": (
        "unreadable_wav",
        lambda path: path.with_suffix(".wav").symlink_to("nowhere.wav"),
        motion(MOTION),
    ),
    "a circular link": (
        "unreadable_wav",
        lambda path: path.with_suffix(".wav").symlink_to("bad.wav"),
        motion(MOTION),
    ),
    "a pipe named as wav": ("unreadable_wav", lambda path: os.mkfifo(path.with_suffix(".wav")), motion(MOTION)),
    "no sample": ("empty_wav", sound(SPEECH[:0]), motion(MOTION)),
    "a data chunk of length 0": ("empty_wav", raw(riff(b""), ".wav"), motion(MOTION)),
    "half the samples of the header": ("truncated_wav", raw(riff(PCM[:32_000], len(PCM)), ".wav"), motion(MOTION[:30])),
    "30 samples fewer than in the header": ("truncated_wav", raw(riff(PCM[:-60], len(PCM)), ".wav"), motion(MOTION)),
    "zeros": ("silent_wav", sound(np.zeros(32_000)), motion(MOTION)),
    "a peak below 0.001": ("silent_wav", sound(np.full(32_000, 9e-4), subtype="FLOAT"), motion(MOTION)),
    "two channels that cancel": ("silent_wav", sound(np.stack([SPEECH, -SPEECH], 1)), motion(MOTION)),
    "8,000 Hz": ("unsupported_rate", sound(SPEECH[:16_000], 8_000), motion(MOTION)),
    "11,025 Hz": ("unsupported_rate", sound(SPEECH[:22_050], 11_025), motion(MOTION)),
    "a million samples per second": ("unsupported_rate", sound(SPEECH, 1_000_000), motion(MOTION)),
    "20 samples per second": ("unsupported_rate", sound(SPEECH, 20), motion(MOTION)),
    "floats with the range of integers": ("clipped_wav", sound(32_767 * SPEECH, subtype="FLOAT"), motion(MOTION)),
    "65 channels": ("unsupported_rate", sound(np.tile(SPEECH[:, None], 65)), motion(MOTION)),
    "NaN in audio": ("non_finite", sound(np.append(SPEECH, np.nan), subtype="FLOAT"), motion(MOTION)),
    "infinity in audio": ("non_finite", sound(np.append(SPEECH, np.inf), subtype="DOUBLE"), motion(MOTION)),
    "overflow in float32 audio": ("non_finite", sound(np.append(SPEECH, 1e30), subtype="FLOAT"), motion(MOTION)),
    # motion
    "an empty file as npy": ("unreadable_track", sound(), raw(b"", ".npy")),
    "noise as npy": ("unreadable_track", sound(), raw(bytes(range(1, 256)) * 9, ".npy")),
    "only the magic of npy": ("unreadable_track", sound(), raw(NPY, ".npy")),
    "a corrupted header": ("unreadable_track", sound(), raw(header("{'descr': '<f4', ((((((((("), ".npy")),
    "code in the header": (
        "unreadable_track",
        sound(),
        raw(header("{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (60, 52)}"), ".npy"),
    ),
    "a truncated array": (
        "unreadable_track",
        sound(),
        raw(header("{'descr': '<f4', 'fortran_order': False, 'shape': (60, 52)}") + MOTION.tobytes()[:-4], ".npy"),
    ),
    "a shape larger than any memory": (
        "unreadable_track",
        sound(),
        raw(header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 52)}"), ".npy"),
    ),
    "a negative shape": (
        "unreadable_track",
        sound(),
        raw(header("{'descr': '<f4', 'fortran_order': False, 'shape': (-60, 52)}") + MOTION.tobytes(), ".npy"),
    ),
    "an npz": ("unreadable_track", sound(), npz),
    "strings": ("unreadable_track", sound(), motion(np.full((FRAMES, 52), "x"))),
    "complex numbers": ("unreadable_track", sound(), motion(MOTION.astype(complex))),
    "dates": ("unreadable_track", sound(), motion(np.zeros((FRAMES, 52), "datetime64[s]"))),
    "a structured array": ("unreadable_track", sound(), motion(np.zeros((FRAMES, 52), [("a", "f4")]))),
    "objects": ("pickled_track", sound(), motion(np.array([{"a": 1}], dtype=object))),
    "a bare pickle": ("pickled_track", sound(), raw(b"\x80\x04cos\nsystem\n", ".npy")),
    "a flat array": ("wrong_dims", sound(), motion(MOTION.ravel())),
    "a batch of one": ("wrong_dims", sound(), motion(MOTION[None])),
    "a single number": ("wrong_dims", sound(), motion(np.float32(1))),
    "50 channels": ("wrong_width", sound(), motion(MOTION[:, :50])),
    "53 channels": ("wrong_width", sound(), motion(np.pad(MOTION, ((0, 0), (0, 1))))),
    "61 channels, as Live Link has": ("wrong_width", sound(), motion(np.zeros((FRAMES, 61)))),
    "channels before frames": ("wrong_width", sound(), motion(MOTION.T)),
    "one NaN": ("non_finite", sound(), changed(_5_7=np.nan)),
    "one infinity": ("non_finite", sound(), changed(_0_0=-np.inf)),
    "overflow in float32": ("non_finite", sound(), changed(_59_51=1e300)),
    "percentages": ("out_of_range", sound(), motion(100 * MOTION)),
    "one value of 1.6": ("out_of_range", sound(), changed(_5_5=1.6)),
    "one value of -0.6": ("out_of_range", sound(), changed(_5_5=-0.6)),
    "zeros as motion": ("constant_track", sound(), motion(np.zeros((FRAMES, 52)))),
    "one pose": ("constant_track", sound(), motion(np.tile(MOTION[:1], (FRAMES, 1)))),
    "no frame": ("wrong_dims", sound(), motion(MOTION[:0])),
    "three frames too many": ("frame_mismatch", sound(), motion(np.concatenate([MOTION, MOTION[:3]]))),
    "three frames too few": ("frame_mismatch", sound(), motion(MOTION[:-3])),
    "60 fps": ("track_rate_mismatch", sound(), motion(np.repeat(MOTION, 2, axis=0))),
    "25 fps": ("track_rate_mismatch", sound(), motion(MOTION[:50])),
    "under half a second": ("too_short", sound(SPEECH[: 14 * 1600 // 3 + 1]), motion(MOTION[:14])),
    # captures
    "an empty csv": ("unreadable_track", sound(), raw(b"", ".csv")),
    "another csv": ("unreadable_track", sound(), raw(b"a,b\n1,2\n", ".csv")),
    "a capture with an infinite timecode": (
        "unreadable_track",
        sound(),
        capture("00:00:00:00.000", f"{'9' * 400}:00:00:01.000"),
    ),
    "a csv of noise": ("unreadable_track", sound(), raw(bytes(range(256)) * 9, ".csv")),
    # pairs
    "no track": ("orphan_wav", sound(), lambda path: None),
    "no audio": ("orphan_track", lambda path: None, motion(MOTION)),
}


@pytest.fixture
def generic(index, data):
    """Index a generic corpus with one valid recording and the files of the test."""
    (data / "Own").mkdir()
    sound(0.1 * RNG.standard_normal(32_000))(data / "Own" / OTHER)
    motion(RNG.random((FRAMES, 52)).astype(np.float32))(data / "Own" / OTHER)
    return lambda **changes: index(["Own"], **changes)


@pytest.mark.parametrize("case", CASES)
def test_an_invalid_input_is_excluded_with_its_code_and_does_not_affect_others(generic, data, case):
    code, write_audio, write_motion = CASES[case]
    write_audio(data / "Own/bad")
    write_motion(data / "Own/bad")
    rows = generic()
    assert rows["bad"]["status"] == "excluded"
    assert code in {reason.partition(":")[0] for reason in rows["bad"]["reasons"]}
    assert rows[OTHER]["status"] == "ok"
    assert set(rows) == {"bad", OTHER}


def test_each_code_that_one_recording_can_have_has_a_case():
    tested_elsewhere = {
        "duplicate_stem",
        "duplicate_content",
        "unknown_name",
        "unknown_label",
        "channel_order",
        "track_gap",
        "time_order",
        "no_tongue",
        "too_long",
        "av_offset",
    }
    assert {code for code, *_ in CASES.values()} | tested_elsewhere == POLICIES
    assert len(CASES) >= 60


SETTINGS = IssueSettings.model_json_schema()["properties"]
POLICIES = FIXED_POLICIES.keys() | SETTINGS.keys()


def test_each_code_in_the_source_has_one_policy():
    source = "".join(path.read_text() for path in Path("emotalk").glob("*/*.py"))
    used = set(re.findall(r'Issue\(\s*"(\w+)"', source)) | set(re.findall(r'_digest\(item\.\w+, "(\w+)"\)', source))
    assert used == POLICIES
    assert not FIXED_POLICIES.keys() & SETTINGS.keys()


def test_all_codes_are_documented():
    text = Path("docs/own-data.md").read_text(encoding="utf-8")
    assert [code for code in POLICIES if f"`{code}`" not in text] == []


@pytest.mark.parametrize("code", SETTINGS)
def test_each_setting_describes_its_choices(code):
    assert len(SETTINGS[code]["enum"]) > 1
    assert "repair" not in SETTINGS[code]["enum"] or "`repair`" in SETTINGS[code]["description"]


@pytest.mark.parametrize(
    ("code", "case"),
    [
        ("silent_wav", "zeros"),
        ("unsupported_rate", "8,000 Hz"),
        ("out_of_range", "percentages"),
        ("constant_track", "zeros as motion"),
    ],
)
def test_a_kept_issue_is_reported_and_the_recording_is_used(generic, data, code, case):
    _, write_audio, write_motion = CASES[case]
    write_audio(data / "Own/bad")
    write_motion(data / "Own/bad")
    row = generic(index={"issues": {code: "keep"}})["bad"]
    assert (row["status"], row["num_frames"]) == ("ok", FRAMES)
    assert row["reasons"][0].startswith(code)


def test_clipping_is_reported_and_kept(generic, data):
    sound(np.clip(20 * SPEECH, -1, 1))(data / "Own/loud")
    motion(MOTION)(data / "Own/loud")
    row = generic()["loud"]
    assert row["status"] == "ok"
    assert re.match(r"clipped_wav: loud.wav has \d+\.\d% of its samples at full scale", row["reasons"][0])


def test_samples_above_full_scale_are_reported_and_kept(generic, data):
    sound(np.append(SPEECH[:-9], np.full(9, 1.5)), subtype="FLOAT")(data / "Own/loud")
    motion(MOTION)(data / "Own/loud")
    row = generic()["loud"]
    assert row["status"] == "ok"
    assert row["reasons"][0].startswith("clipped_wav: loud.wav reaches 1.5 times full scale")


def test_a_pipe_with_the_same_stem_does_not_block(generic, data):
    sound()(data / "Own/a")
    motion(MOTION)(data / "Own/a")
    os.mkfifo(data / "Own/a.WAV")
    assert generic()["a"]["status"] == "excluded"


def test_an_unreadable_folder_is_an_error(generic, data, monkeypatch):
    """Uses a mock, because root can read every folder."""
    unreadable = data / "Own/closed"
    unreadable.mkdir()
    original_scandir = os.scandir

    def scandir(path):
        if path == str(unreadable):
            raise PermissionError(errno.EACCES, "Permission denied")
        return original_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(CorpusError, match=r"closed cannot be read \(Permission denied\)"):
        generic()


def test_a_corpus_without_usable_recordings_is_an_error_with_its_own_reasons(index, data):
    for corpus, write in (("A", sound()), ("B", motion(MOTION))):
        (data / corpus).mkdir()
        write(data / corpus / f"lone_{corpus}")
    sound(0.1 * RNG.standard_normal(32_000))(data / "A/good")
    motion(MOTION)(data / "A/good")
    with pytest.raises(CorpusError, match=r"B has no usable recording: .* reasons: lone_B: orphan_track"):
        index(["A", "B"])


def test_a_recording_above_the_maximum_length_is_excluded(generic, data):
    sound()(data / "Own/long")
    motion(MOTION)(data / "Own/long")
    (data / "Own/other.npy").unlink()
    sound(SPEECH[:16_000])(data / "Own/other")
    motion(MOTION[:30])(data / "Own/other")
    rows = generic(index={"max_minutes": 0.02})
    assert rows["long"]["reasons"] == ["too_long: 0.0 minutes; the maximum is 0.02"]
    assert rows["other"]["status"] == "ok"


def test_identical_audio_or_motion_excludes_the_later_recording(generic, data):
    for name in ("a", "b"):
        sound()(data / f"Own/{name}")
        motion(MOTION)(data / f"Own/{name}")
    rows = generic()
    assert (rows["a"]["status"], rows["b"]["status"]) == ("ok", "excluded")
    assert rows["b"]["reasons"] == [
        "duplicate_content: its audio is identical to that of a",
        "duplicate_content: its motion is identical to that of a",
    ]
    assert generic(index={"issues": {"duplicate_content": "keep"}})["b"]["status"] == "ok"


def test_equal_copies_in_several_folders_are_one_recording(generic, data):
    sound()(data / "Own/a")
    motion(MOTION)(data / "Own/a")
    (data / "Own/audio").mkdir()
    sound()(data / "Own/audio/a")
    row = generic()["a"]
    assert row["status"] == "repaired"
    assert "duplicate_stem: 2 files belong to a:" in row["reasons"][0]


@pytest.mark.parametrize("second", ["a.WAV", "a.flac", "audio/a.wav"])
def test_different_files_with_the_same_stem_exclude_the_recording(generic, data, second):
    sound()(data / "Own/a")
    motion(MOTION)(data / "Own/a")
    (data / "Own/audio").mkdir()
    file_format = "FLAC" if second.endswith("flac") else "WAV"
    soundfile.write(data / "Own" / second, SPEECH / 2, 16_000, format=file_format)
    assert generic()["a"]["status"] == "excluded"


def test_names_with_the_same_id_are_both_listed(generic, data):
    (data / "Own/x").mkdir()
    for name in ("x/a", "x.a"):
        sound(0.1 * RNG.standard_normal(32_000))(data / "Own" / f"{name}.wav")
        motion(RNG.random((FRAMES, 52)))(data / "Own" / f"{name}.npy")
    rows = generic()
    assert sorted(rows) == [OTHER, "x.a", "x.a~2"]
    assert rows["x.a~2"]["reasons"] == ["duplicate_stem: another recording has the same id x.a"]


@pytest.mark.parametrize("name", [b"bad\xff", b"line\nbreak", b"-rf", b"x" * 200, "\u202eevil".encode()])
def test_an_invalid_name_is_reported_and_escaped(generic, data, name):
    for suffix, write in ((".wav", sound()), (".npy", motion(MOTION))):
        write(data / "Own/tmp")
        (data / f"Own/tmp{suffix}").rename(data / "Own" / (os.fsdecode(name) + suffix))
    rows = generic()
    (recording_id,) = set(rows) - {OTHER}
    assert rows[recording_id]["reasons"][0].startswith("unknown_name")
    assert recording_id.isprintable()


def test_hidden_files_are_ignored(generic, data):
    (data / "Own/._other.wav").write_bytes(b"metadata of macOS")
    assert set(generic()) == {OTHER}


def test_the_log_ends_with_a_table_of_codes_counts_and_first_recordings(generic, data, caplog):
    for name in "abcd":
        sound(0.1 * RNG.standard_normal(32_000))(data / f"Own/{name}")
    generic()
    assert re.search(r"orphan_wav +exclude +4  a, b, c, …", caplog.messages[-1])
