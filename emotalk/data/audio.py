"""Reading of recorded speech: block by block, as 16 kHz mono or as what an inspection needs."""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from emotalk.data.containers import SUFFIXES as CONTAINER_SUFFIXES
from emotalk.data.containers import ContainerAudio
from emotalk.data.samples import from_int16, to_int16
from emotalk.errors import Issue
from emotalk.timing import FPS, SAMPLING_RATE

_BLOCK_S, _LARGEST_RATE_OF_VALUES = 10, 1_000_000
"""Seconds decoded at once, one where a second holds more values than this. Whole seconds are whole frames at any rate,
and memory does not grow with the file."""
_FASTEST_RATE, _MOST_CHANNELS = 384_000, 64
_SILENT_PEAK = 1e-3
_FULL_SCALE = 0.999
_CLIPPED_PART = 1e-3
_OVER_SCALE, _UNSCALED = 1.001, 10


@dataclass(frozen=True)
class AudioFacts:
    """What an inspection finds in an audio file.

    Attributes
    ----------
    sampling_rate, num_channels, num_samples
        As in the file; samples a channel.
    peak
        Largest amplitude of the down-mix.
    envelope : (T,) float32
        Root mean square of each motion frame (1/30 s), the last one perhaps of a part of a frame.
    """

    sampling_rate: int
    num_channels: int
    num_samples: int
    peak: float
    envelope: np.ndarray


def inspect_audio(path: Path) -> tuple[AudioFacts, list[Issue]]:
    """Decode a file from its beginning to its end and tell what is in it, and what is wrong with it.

    Raises
    ------
    Issue
        `unreadable_wav`, `unsupported_rate`, `empty_wav` or `non_finite`: such a file cannot be used.
    """
    energy, count, peak, full = [], 0, 0.0, 0
    try:
        cut_off = missing_bytes(path)
        # What overflows or is not finite is seen in the envelope.
        with _open(path) as file, np.errstate(all="ignore"):
            rate, num_channels = file.samplerate, file.channels
            if not FPS <= rate <= _FASTEST_RATE or num_channels > _MOST_CHANNELS:
                claims = f"claims {rate} samples a second in {num_channels} channels"
                rule = f"{FPS} to {_FASTEST_RATE} and at most {_MOST_CHANNELS} are read"
                raise Issue("unsupported_rate", f"{path.name} {claims}; {rule}", always_excludes=True)
            for block in _mono_blocks(file):
                count += len(block)
                energy.append(_energy(block, rate))
                loudest = float(max(block.max(), -block.min()))
                full += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE)) if loudest >= _FULL_SCALE else 0
                peak = max(peak, loudest)
    except (soundfile.SoundFileError, OSError, UnicodeError) as error:
        found = f"{path.name} cannot be read as audio ({error})"
        raise Issue("unreadable_wav", found, always_excludes=True) from None
    if count == 0:
        raise Issue("empty_wav", f"{path.name} holds no sample", always_excludes=True)
    envelope = np.sqrt(np.concatenate(energy))
    if not np.isfinite(envelope).all():
        frame = int(np.flatnonzero(~np.isfinite(envelope))[0])
        found = f"{path.name} holds samples that are NaN or infinite, the first in frame {frame}"
        raise Issue("non_finite", found, always_excludes=True)
    facts = AudioFacts(rate, num_channels, count, peak, envelope)
    return facts, list(_audio_faults(path.name, facts, cut_off, full / count))


def _audio_faults(name: str, facts: AudioFacts, cut_off: int, full_part: float) -> Iterator[Issue]:
    if cut_off:
        yield Issue("truncated_wav", f"{name} lacks {cut_off} of the bytes that its header promises")
    if facts.sampling_rate < SAMPLING_RATE:
        rule = f"the network hears {SAMPLING_RATE}, and what a slower recording lacks is lost"
        yield Issue("unsupported_rate", f"{name} has {facts.sampling_rate} samples a second; {rule}")
    if facts.peak < _SILENT_PEAK:
        yield Issue("silent_wav", f"{name} is nowhere louder than {facts.peak:.1g} (1 is full scale)")
    if facts.peak > _OVER_SCALE:
        rule = "what is above 1 is cut off, and so loud a file is taken for one that was never scaled"
        found = f"{name} reaches {facts.peak:.3g} times full scale; {rule} if above {_UNSCALED}"
        yield Issue("clipped_wav", found, always_excludes=facts.peak > _UNSCALED)
    elif full_part > _CLIPPED_PART:
        yield Issue("clipped_wav", f"{name} has {full_part:.1%} of its samples at full scale")


def _energy(block: np.ndarray, rate: int) -> np.ndarray:
    """Mean square of each frame in a block that begins on a frame."""
    starts = np.arange(-(-len(block) * FPS // rate)) * rate // FPS
    sums = np.add.reduceat(np.square(block), starts)
    return sums / np.diff(starts, append=len(block))


def _mono_blocks(file: soundfile.SoundFile | ContainerAudio) -> Iterator[np.ndarray]:
    """Float32 samples, the mean of all channels, in blocks."""
    seconds = _BLOCK_S if file.samplerate * file.channels <= _LARGEST_RATE_OF_VALUES else 1
    # libsndfile turns 16-bit samples into the same floats, at a third of the speed.
    kind, floats = ("int16", from_int16) if file.subtype == "PCM_16" else ("float32", np.asarray)
    for block in file.blocks(seconds * file.samplerate, dtype=kind, always_2d=True):
        yield floats(block[:, 0]) if file.channels == 1 else floats(block).mean(axis=1)


def waveform_blocks(path: str | Path) -> Iterator[np.ndarray]:
    """Audio as blocks of 16 kHz mono float32: channels are averaged, other rates are resampled.

    soxr's high-quality setting is what `librosa.load` uses by default; in blocks it gives the same samples.

    Raises
    ------
    soundfile.LibsndfileError, ContainerError
        If the file cannot be decoded.
    """
    with _open(path) as file:
        if file.samplerate == SAMPLING_RATE:
            yield from _mono_blocks(file)
            return
        resampler = soxr.ResampleStream(file.samplerate, SAMPLING_RATE, 1, dtype="float32", quality="HQ")
        for block in _mono_blocks(file):
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def read_waveform(path: str | Path) -> np.ndarray:
    """Audio as (N,) float32 at 16 kHz; see :func:`waveform_blocks`."""
    return np.concatenate([np.empty(0, np.float32), *waveform_blocks(path)])


def read_samples(path: str | Path, count: int) -> np.ndarray:
    """The first `count` samples of speech, or as many as there are, as clips store them: 16 kHz mono, int16.

    What is so already is taken as it is.

    Raises
    ------
    ValueError
        If samples are NaN or infinite.
    soundfile.LibsndfileError, ContainerError
        If the file cannot be decoded.
    """
    with _open(path) as file:
        is_stored_form = (file.samplerate, file.channels, file.subtype) == (SAMPLING_RATE, 1, "PCM_16")
        if is_stored_form and isinstance(file, soundfile.SoundFile):
            return file.read(count, dtype="int16")
    samples, filled = np.empty(count, np.int16), 0
    for block in waveform_blocks(path):
        if not np.isfinite(block).all():
            raise ValueError("samples that are NaN or infinite")
        part = to_int16(block[: count - filled])
        samples[filled : filled + len(part)] = part
        filled += len(part)
        if filled == count:
            break
    return samples[:filled]


_MOST_CHUNKS = 1000
_LARGEST_SIZE = 0x7F000000
"""Sizes from here on are placeholders of programs that do not know the end when they begin (pipes, recorders)."""
_HEADER_BYTES = 44


@dataclass(frozen=True)
class _DataChunk:
    """The data chunk of a RIFF wav.

    Attributes
    ----------
    size_at
        Place of the chunk's size in the file.
    size, available
        Bytes of samples as the header says, and as the file has.
    is_complete
        Whether the size of the whole file in the header is right.
    """

    size_at: int
    size: int
    available: int
    is_complete: bool


def _data_chunk(path: Path) -> _DataChunk | None:
    """Find the data chunk; None for every file that is not a RIFF wav.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    total = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        is_complete = struct.unpack("<I", head[4:8])[0] + 8 == total
        for _ in range(_MOST_CHUNKS):
            chunk = file.read(8)
            if len(chunk) < 8:
                return None
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                return _DataChunk(file.tell() - 4, size, total - file.tell(), is_complete)
            file.seek(size + size % 2, os.SEEK_CUR)
    return None


def missing_bytes(path: Path) -> int:
    """Bytes of samples that a RIFF wav lacks according to its header; 0 for every other file.

    Nothing is missing where the header's size is a placeholder, or exceeds the file by no more than a header (a writer
    that counted it), or where only the size of the data chunk is wrong and that of the file is right.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    data = _data_chunk(path)
    if data is None or data.size == 0 or data.size >= _LARGEST_SIZE or data.is_complete:
        return 0
    missing = data.size - data.available
    return missing if missing > _HEADER_BYTES else 0


def _open(path: str | Path) -> soundfile.SoundFile | ContainerAudio:
    """Open audio by libsndfile, or by FFmpeg's libraries.

    A wav whose data has size 0 in its header, and samples, is read to its end: its header is corrected in memory.

    Raises
    ------
    soundfile.LibsndfileError, OSError, ContainerError
        If it cannot be opened.
    """
    path = Path(path)
    if path.suffix.lower() in CONTAINER_SUFFIXES:
        return ContainerAudio(path)
    data = _data_chunk(path) if path.suffix.lower() == ".wav" else None
    if data is None or data.size or not data.available:
        return soundfile.SoundFile(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, data.size_at, data.available)
    struct.pack_into("<I", content, 4, len(content) - 8)
    return soundfile.SoundFile(io.BytesIO(content))
