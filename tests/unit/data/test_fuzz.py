"""Files of any bytes: no crash, no hang, no code run, nothing touched that is not ours.

`EMOTALK_FUZZ=1000000 pytest tests/unit/data/test_fuzz.py` tries that many.
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
"""Ten seconds for a file of a few kilobytes is a hang."""

_FORBIDDEN = ("os.system", "subprocess.Popen", "pickle.find_class", "os.exec", "os.posix_spawn", "os.fork", "socket.")
_CHANGING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "shutil.")
_watched: list[Path] = []
_seen: list[str] = []


def _watch(event: str, given: tuple) -> None:
    """Note what a reader has no business to do while the file of a test is being read."""
    if not _watched:
        return
    if event.startswith((*_FORBIDDEN, *_CHANGING)):
        _seen.append(f"{event} {given}")
    elif event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _seen.append(f"opens {given[0]} to write")


sys.addaudithook(_watch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def seeds_of_audio() -> list[bytes]:
    """Sound files of several kinds, small."""
    samples = 0.1 * np.random.default_rng(0).standard_normal((400, 2))
    made = []
    for kind, subtype in (
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("WAVEX", "PCM_24"),
        ("FLAC", "PCM_16"),
    ):
        memory = io.BytesIO()
        soundfile.write(memory, samples, 16_000, subtype=subtype, format=kind)
        made.append(memory.getvalue())
    return made


def seeds_of_tracks() -> list[bytes]:
    """npy files of several kinds, and a pickle."""
    made = [
        b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85R."
    ]
    for array in (np.zeros((20, 52), "f4"), np.zeros((20, 52), ">f8", order="F"), np.zeros((3, 52), "i1")):
        memory = io.BytesIO()
        np.save(memory, array)
        made.append(memory.getvalue())
    return made


@st.composite
def damaged(draw, seeds: list[bytes]) -> bytes:
    """Any bytes, or a sound file with some of its bytes changed, left out, doubled or cut off."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=600))
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        near = draw(st.sampled_from([60, 200, len(content)]))  # Headers are where it hurts.
        place = draw(st.integers(0, max(0, min(near, len(content)) - 1)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == 1:
            content[place : place + 4] = struct.pack(
                "<I", draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))
            )
        elif kind == 2:
            del content[place : place + draw(st.integers(1, 40))]
        elif kind == 3:
            content[place:place] = content[place : place + draw(st.integers(1, 40))]
        else:
            del content[place:]
    return bytes(content)


def reading(path: Path, content: bytes, work) -> None:
    """Read a file as the index does: what comes is a result or a issue of the catalogue, and nothing else happens."""
    path.write_bytes(content)
    before = sorted(path.parent.iterdir())
    _seen.clear()
    _watched.append(path)
    try:
        work()
    except Issue as issue:
        assert len(str(issue)) < 1000
    finally:
        _watched.clear()
    assert _seen == []
    assert sorted(path.parent.iterdir()) == before
    assert path.read_bytes() == content


@ANY
@given(content=damaged(seeds_of_audio()))
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_audio_of_any_bytes_is_read_or_named(folder, suffix, content):
    path = folder / f"a.{suffix}"

    def work():
        facts, _ = inspect_audio(path)
        wanted = facts.num_samples * 16_000 // facts.sampling_rate
        assert len(read_samples(path, wanted)) == wanted

    reading(path, content, work)


@ANY
@given(content=damaged(seeds_of_tracks()), form=st.sampled_from([TrackFormat(), TrackFormat("mediapipe", 60)]))
@pytest.mark.parametrize("few", [False, True])
def test_tracks_of_any_bytes_are_read_or_named(folder, few, content, form):
    path = folder / "a.npy"

    def work():
        track, _ = read_track(path, form)
        assert track.shape[1] == 52
        assert np.isfinite(track).all()
        list(inspect_track(path.name, track, form))

    reading(path, content[:300] if few else content, work)


def small_capture() -> bytes:
    """A capture of a fifth of a second."""
    with tempfile.TemporaryDirectory() as name:
        return capture(Path(name) / "a.csv", waves(12)).read_bytes()


@ANY
@given(content=damaged([small_capture()]))
def test_captures_of_any_bytes_are_read_or_named(folder, content):
    path = folder / "a.csv"

    def work():
        track, _ = read_track(path, TrackFormat())
        assert track.shape[1] == 52
        assert np.isfinite(track).all()

    reading(path, content, work)
