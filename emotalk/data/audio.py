"""Reading audio block by block: as 16 kHz mono, or to inspect a file."""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from emotalk.data.clips import from_int16, to_int16
from emotalk.data.containers import SUFFIXES as CONTAINER_SUFFIXES
from emotalk.data.containers import ContainerAudio
from emotalk.errors import Issue
from emotalk.timing import FPS, SAMPLING_RATE

_BLOCK_S, _MAX_VALUES_PER_S = 10, 1_000_000
"""Seconds per decoded block; 1 if a second has more values than the limit. Whole seconds have whole frames at any rate.
Memory does not depend on the length of the file."""
_MAX_RATE, _MAX_CHANNELS = 384_000, 64
SILENT_PEAK = 1e-3
_FULL_SCALE_THRESHOLD = 0.999
_CLIPPED_SHARE = 1e-3
_MAX_PEAK, _UNSCALED_PEAK = 1.001, 10


@dataclass(frozen=True)
class AudioInfo:
    """Properties of an audio file.

    Attributes
    ----------
    sampling_rate, num_channels, num_samples
        Of the file; `num_samples` counts samples per channel.
    peak
        Largest amplitude of the mono mix.
    envelope : (T,) float32
        Root mean square of each motion frame (1/30 s); the last frame may be incomplete.
    """

    sampling_rate: int
    num_channels: int
    num_samples: int
    peak: float
    envelope: np.ndarray


def inspect_audio(path: Path) -> tuple[AudioInfo, list[Issue]]:
    """Decode the whole file; return its properties and its issues.

    Raises
    ------
    Issue
        `unreadable_wav`, `unsupported_rate`, `empty_wav` or `non_finite`, if the file cannot be used.
    """
    energy, count, peak, num_full_scale = [], 0, 0.0, 0
    try:
        num_missing = count_missing_bytes(path)
        # Overflows and non-finite samples are detected in the envelope.
        with _open(path) as file, np.errstate(all="ignore"):
            rate, num_channels = file.samplerate, file.channels
            if not FPS <= rate <= _MAX_RATE or num_channels > _MAX_CHANNELS:
                header = f"has a header with {rate} samples per second and {num_channels} channels"
                rule = f"{FPS} to {_MAX_RATE} samples per second and at most {_MAX_CHANNELS} channels are supported"
                raise Issue("unsupported_rate", f"{path.name} {header}; {rule}", always_excludes=True)
            for block in _mono_blocks(file):
                count += len(block)
                energy.append(_energy(block, rate))
                loudest = float(max(block.max(), -block.min()))
                if loudest >= _FULL_SCALE_THRESHOLD:
                    num_full_scale += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE_THRESHOLD))
                peak = max(peak, loudest)
    except (soundfile.SoundFileError, OSError, UnicodeError) as error:
        message = f"{path.name} cannot be read as audio ({error})"
        raise Issue("unreadable_wav", message, always_excludes=True) from None
    if count == 0:
        raise Issue("empty_wav", f"{path.name} has no samples", always_excludes=True)
    envelope = np.sqrt(np.concatenate(energy))
    if not np.isfinite(envelope).all():
        frame = int(np.flatnonzero(~np.isfinite(envelope))[0])
        message = f"{path.name} has samples that are NaN or infinite, the first in frame {frame}"
        raise Issue("non_finite", message, always_excludes=True)
    info = AudioInfo(rate, num_channels, count, peak, envelope)
    return info, list(_audio_issues(path.name, info, num_missing, num_full_scale / count))


def _audio_issues(name: str, info: AudioInfo, num_missing: int, full_scale_share: float) -> Iterator[Issue]:
    if num_missing:
        yield Issue("truncated_wav", f"{name} is {num_missing} bytes shorter than its header specifies")
    if info.sampling_rate < SAMPLING_RATE:
        rule = f"the network needs {SAMPLING_RATE}; resampling cannot restore the missing frequencies"
        yield Issue("unsupported_rate", f"{name} has {info.sampling_rate} samples per second; {rule}")
    if info.peak < SILENT_PEAK:
        yield Issue("silent_wav", f"{name} has a peak of {info.peak:.1g} (1 is full scale)")
    if info.peak > _MAX_PEAK:
        rule = f"samples above 1 are clipped; a peak above {_UNSCALED_PEAK} means that the file was never scaled"
        message = f"{name} reaches {info.peak:.3g} times full scale; {rule}"
        yield Issue("clipped_wav", message, always_excludes=info.peak > _UNSCALED_PEAK)
    elif full_scale_share > _CLIPPED_SHARE:
        yield Issue("clipped_wav", f"{name} has {full_scale_share:.1%} of its samples at full scale")


def _energy(block: np.ndarray, rate: int) -> np.ndarray:
    """Mean square of each frame in a block that starts at a frame boundary."""
    starts = np.arange(-(-len(block) * FPS // rate)) * rate // FPS
    sums = np.add.reduceat(np.square(block), starts)
    return sums / np.diff(starts, append=len(block))


def _mono_blocks(file: soundfile.SoundFile | ContainerAudio) -> Iterator[np.ndarray]:
    """Yield blocks of float32 samples, averaged over the channels."""
    seconds = _BLOCK_S if file.samplerate * file.channels <= _MAX_VALUES_PER_S else 1
    # libsndfile converts 16-bit samples to the same floats, but three times slower.
    dtype, to_float = ("int16", from_int16) if file.subtype == "PCM_16" else ("float32", np.asarray)
    for block in file.blocks(seconds * file.samplerate, dtype=dtype, always_2d=True):
        yield to_float(block[:, 0]) if file.channels == 1 else to_float(block).mean(axis=1)


def waveform_blocks(path: str | Path) -> Iterator[np.ndarray]:
    """Yield audio as blocks of 16 kHz mono float32: channels are averaged, other rates are resampled.

    `librosa.load` uses the same soxr quality (HQ) by default; reading in blocks gives the same samples.

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
    """Read audio as (N,) float32 at 16 kHz; see :func:`waveform_blocks`."""
    return np.concatenate([np.empty(0, np.float32), *waveform_blocks(path)])


def read_samples(path: str | Path, count: int) -> np.ndarray:
    """Read at most `count` samples in the format of the clip store: 16 kHz mono, int16.

    Files that have this format already are not converted.

    Raises
    ------
    ValueError
        If samples are NaN or infinite.
    soundfile.LibsndfileError, ContainerError
        If the file cannot be decoded.
    """
    with _open(path) as file:
        is_stored_format = (file.samplerate, file.channels, file.subtype) == (SAMPLING_RATE, 1, "PCM_16")
        if is_stored_format and isinstance(file, soundfile.SoundFile):
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


_MAX_CHUNKS = 1000
_MIN_PLACEHOLDER = 0x7F000000
"""Larger sizes are placeholders, written by programs that do not know the final size (pipes, recorders)."""
_HEADER_BYTES = 44


@dataclass(frozen=True)
class _DataChunk:
    """The data chunk of a RIFF wav.

    Attributes
    ----------
    size_offset
        Byte offset of the chunk's size field in the file.
    size, available
        Bytes of samples according to the header, and in the file.
    is_complete
        Whether the file size in the header is correct.
    """

    size_offset: int
    size: int
    available: int
    is_complete: bool


def _data_chunk(path: Path) -> _DataChunk | None:
    """Find the data chunk; None if the file is not a RIFF wav.

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
        for _ in range(_MAX_CHUNKS):
            chunk = file.read(8)
            if len(chunk) < 8:
                return None
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                return _DataChunk(file.tell() - 4, size, total - file.tell(), is_complete)
            file.seek(size + size % 2, os.SEEK_CUR)
    return None


def count_missing_bytes(path: Path) -> int:
    """Count the bytes of samples that a RIFF wav is shorter than its header specifies; 0 for other files.

    The result is also 0 if the size is a placeholder, if it exceeds the file by at most the length of a header (some
    programs count the header), or if the file size in the header is correct.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    data = _data_chunk(path)
    if data is None or data.size == 0 or data.size >= _MIN_PLACEHOLDER or data.is_complete:
        return 0
    missing = data.size - data.available
    return missing if missing > _HEADER_BYTES else 0


def _open(path: str | Path) -> soundfile.SoundFile | ContainerAudio:
    """Open audio with libsndfile or FFmpeg.

    If the header of a wav gives size 0 although there are samples, the header is corrected in memory.

    Raises
    ------
    soundfile.LibsndfileError, OSError, ContainerError
        If the file cannot be opened.
    """
    path = Path(path)
    if path.suffix.lower() in CONTAINER_SUFFIXES:
        return ContainerAudio(path)
    data = _data_chunk(path) if path.suffix.lower() == ".wav" else None
    if data is None or data.size or not data.available:
        return soundfile.SoundFile(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, data.size_offset, data.available)
    struct.pack_into("<I", content, 4, len(content) - 8)
    return soundfile.SoundFile(io.BytesIO(content))
