"""Audio in containers, and wav files with unusual headers."""

import struct

import numpy as np
import pytest
import soundfile

from emotalk.data.audio import inspect_audio, read_waveform
from emotalk.errors import Issue

RATE = 16_000
TONE = (0.4 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)
PCM = (TONE * 32767).astype("<i2").tobytes()


@pytest.fixture
def container(tmp_path):
    """Write a container with the tone, which starts `start_s` seconds after the video."""
    av = pytest.importorskip("av")

    def write(name, *, start_s=None):
        path = tmp_path / name
        with av.open(str(path), "w") as file:
            video = None
            if start_s is not None:
                video = file.add_stream("mpeg4", rate=30)
                video.width, video.height = 64, 64
            codec = "libopus" if name.endswith(".webm") else "aac"
            audio = file.add_stream(codec, rate=48_000 if codec == "libopus" else RATE)
            audio.layout = "mono"
            if video is not None:
                for number in range(75):
                    picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                    picture.pts = number
                    file.mux(video.encode(picture))
                file.mux(video.encode(None))
            frame = av.AudioFrame.from_ndarray(TONE[None], format="fltp", layout="mono")
            frame.rate, frame.pts = RATE, round((start_s or 0) * RATE)
            for part in av.AudioResampler(format="fltp", layout="mono", rate=audio.rate).resample(frame):
                file.mux(audio.encode(part))
            file.mux(audio.encode(None))
        return path

    return write


@pytest.mark.parametrize("name", ["a.m4a", "a.mov", "a.mp4", "a.mkv"])
def test_audio_of_a_container_is_decoded(container, name):
    waveform = read_waveform(container(name))
    assert abs(len(waveform) - len(TONE)) < 0.1 * RATE
    power = np.abs(np.fft.rfft(waveform))
    assert abs(np.argmax(power) / len(waveform) * RATE - 440) < 2


def test_audio_that_starts_after_the_video_is_padded_with_silence(container):
    waveform = read_waveform(container("a.mov", start_s=0.5))
    start = np.flatnonzero(np.abs(waveform) > 0.1)[0] / RATE
    assert start == pytest.approx(0.5, abs=0.03)


def test_an_invalid_container_is_an_issue(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(b"no container" * 100)
    with pytest.raises(Issue, match="unreadable_wav"):
        inspect_audio(tmp_path / "a.mp4")


def wav(size: int, payload: bytes = PCM, riff: int | None = None) -> bytes:
    """A wav with `size` in its header."""
    format_chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    whole = (4 + len(format_chunk) + 8 + size) % 2**32 if riff is None else riff
    return b"RIFF" + struct.pack("<I", whole) + b"WAVE" + format_chunk + b"data" + struct.pack("<I", size) + payload


@pytest.mark.parametrize(
    "content",
    [
        wav(len(PCM)),
        wav(0x7FFFF000),
        wav(0x80000000),
        wav(0xFFFFFF00),
        wav(0xFFFFFFFF),
        wav(len(PCM) + 44),
        wav(2 * len(PCM), riff=36 + len(PCM)),
        wav(0),
    ],
    ids=["right", "SoX pipe", "killed arecord", "GStreamer pipe", "streamed", "header counted", "double", "zero"],
)
def test_a_complete_wav_with_an_unusual_header_is_read_to_its_end(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    info, issues = inspect_audio(path)
    assert (info.num_samples, issues) == (len(TONE), [])
    np.testing.assert_allclose(read_waveform(path), TONE, atol=1e-3)


def test_a_truncated_wav_is_an_issue(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(len(PCM), PCM[: len(PCM) // 2]))
    assert [issue.code for issue in inspect_audio(tmp_path / "a.wav")[1]] == ["truncated_wav"]


def test_mp3_is_read(tmp_path):
    soundfile.write(tmp_path / "a.mp3", TONE, RATE, format="MP3")
    assert abs(len(read_waveform(tmp_path / "a.mp3")) - len(TONE)) < 0.1 * RATE
