"""Files with random bytes: no crash, no hang, no code execution, no change of other files.

`EMOTALK_FUZZ=1000000 pytest tests/unit/data/test_fuzz.py` runs a million cases.
"""

import io
import os
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotalk.data.audio import inspect_audio, read_samples
from emotalk.errors import Issue
from emotalk.formats.tracks import TrackFormat, inspect_track, read_track
from tests.unit.formats.test_livelink import capture, waves

CASES = int(os.environ.get("EMOTALK_FUZZ", "500"))
ANY = settings(
    max_examples=CASES // 5, deadline=10_000, database=None, suppress_health_check=list(HealthCheck), derandomize=True
)
"""Reading a file of a few kilobytes for ten seconds counts as a hang."""

_FORBIDDEN_EVENTS = (
    "os.system",
    "subprocess.Popen",
    "pickle.find_class",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.",
)
_WRITE_EVENTS = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "shutil.")
_current_files: list[Path] = []
_violations: list[str] = []


def _audit(event: str, args: tuple) -> None:
    """Record forbidden events while a file is being read."""
    if not _current_files:
        return
    if event.startswith((*_FORBIDDEN_EVENTS, *_WRITE_EVENTS)):
        _violations.append(f"{event} {args}")
    elif event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _violations.append(f"opens {args[0]} for writing")


sys.addaudithook(_audit)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def audio_seeds() -> list[bytes]:
    """Small audio files in several formats."""
    samples = 0.1 * np.random.default_rng(0).standard_normal((400, 2))
    files = []
    for container, subtype in (
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("WAVEX", "PCM_24"),
        ("FLAC", "PCM_16"),
    ):
        memory = io.BytesIO()
        soundfile.write(memory, samples, 16_000, subtype=subtype, format=container)
        files.append(memory.getvalue())
    return files


def track_seeds() -> list[bytes]:
    """npy files in several formats, and a pickle."""
    files = [
        b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85R."
    ]
    for array in (np.zeros((20, 52), "f4"), np.zeros((20, 52), ">f8", order="F"), np.zeros((3, 52), "i1")):
        memory = io.BytesIO()
        np.save(memory, array)
        files.append(memory.getvalue())
    return files


@st.composite
def damaged_content(draw, seeds: list[bytes]) -> bytes:
    """Random bytes, or a valid file with some bytes changed, removed, repeated or truncated."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=600))
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        limit = draw(st.sampled_from([60, 200, len(content)]))  # Headers have the most cases.
        offset = draw(st.integers(0, max(0, min(limit, len(content)) - 1)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            content[offset : offset + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == 1:
            content[offset : offset + 4] = struct.pack(
                "<I", draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))
            )
        elif kind == 2:
            del content[offset : offset + draw(st.integers(1, 40))]
        elif kind == 3:
            content[offset:offset] = content[offset : offset + draw(st.integers(1, 40))]
        else:
            del content[offset:]
    return bytes(content)


def check_reading(path: Path, content: bytes, read) -> None:
    """Read a file as the index does: the outcome is a result or an `Issue`, without side effects."""
    path.write_bytes(content)
    before = sorted(path.parent.iterdir())
    _violations.clear()
    _current_files.append(path)
    try:
        read()
    except Issue as issue:
        assert len(str(issue)) < 1000
    finally:
        _current_files.clear()
    assert _violations == []
    assert sorted(path.parent.iterdir()) == before
    assert path.read_bytes() == content


@ANY
@given(content=damaged_content(audio_seeds()))
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_audio_with_random_bytes_is_read_or_an_issue(folder, suffix, content):
    path = folder / f"a.{suffix}"

    def read():
        info, _ = inspect_audio(path)
        num_samples = info.num_samples * 16_000 // info.sampling_rate
        assert len(read_samples(path, num_samples)) == num_samples

    check_reading(path, content, read)


@ANY
@given(
    content=damaged_content(track_seeds()), track_format=st.sampled_from([TrackFormat(), TrackFormat("mediapipe", 60)])
)
@pytest.mark.parametrize("is_truncated", [False, True])
def test_tracks_with_random_bytes_are_read_or_an_issue(folder, is_truncated, content, track_format):
    path = folder / "a.npy"

    def read():
        track, _ = read_track(path, track_format)
        assert track.shape[1] == 52
        assert np.isfinite(track).all()
        list(inspect_track(path.name, track, track_format))

    check_reading(path, content[:300] if is_truncated else content, read)


def small_capture() -> bytes:
    """A capture of 0.2 seconds."""
    with tempfile.TemporaryDirectory() as name:
        return capture(Path(name) / "a.csv", waves(12)).read_bytes()


@ANY
@given(content=damaged_content([small_capture()]))
def test_captures_with_random_bytes_are_read_or_an_issue(folder, content):
    path = folder / "a.csv"

    def read():
        track, _ = read_track(path, TrackFormat())
        assert track.shape[1] == 52
        assert np.isfinite(track).all()

    check_reading(path, content, read)
