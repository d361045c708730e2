"""Extraction of audio from videos to wav files that begin and end with the picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from emotalk.capture.video import decode, open_media
from emotalk.errors import CaptureError

if TYPE_CHECKING:
    from av.audio.resampler import AudioResampler
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_CLOCK_TOLERANCE_S = 0.02
"""Timestamps that differ by less than this from the number of samples so far are ignored: containers round times to
milliseconds, and the clocks of recorders are not exact."""
_MAX_END_SILENCE_S = 0.5
_SILENCE_SAMPLES = 1 << 16
_MAX_WAV_BYTES = 2**32 - 2**16
"""Sizes in the header of a wav have 32 bits; RF64, which libsndfile reads too, has 64."""


@dataclass(frozen=True)
class Span:
    """A time interval of a video, in seconds of its timestamps.

    Attributes
    ----------
    begin_s
        Begin.
    end_s
        End, exclusive.
    """

    begin_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return self.end_s - self.begin_s


@dataclass
class AudioReport:
    """Result of the audio extraction of a video.

    Attributes
    ----------
    num_streams
        Number of audio streams in the file.
    chosen
        Index of the stream that was read: the default stream, else the first.
    num_broken
        Number of packets that could not be decoded; they are replaced by silence.
    num_samples
        Samples per channel in the file of each span.
    """

    num_streams: int = 0
    chosen: int = 0
    num_broken: int = 0
    num_samples: list[int] = field(default_factory=list)


def write_audio(video: Path, spans: Sequence[Span], paths: Sequence[Path]) -> AudioReport:
    """Write spans of the audio of a video as 16-bit wav files, with the original sampling rate and channels.

    Each file begins exactly at its span: silence is inserted if the audio begins later, and audio outside of the span
    is cut. Audio that ends up to half a second before its span is padded with silence. No file is written for a span
    without audio.

    Parameters
    ----------
    spans
        In increasing order, without overlap.
    paths
        Output file of each span.

    Raises
    ------
    CaptureError
        If the video cannot be opened, or the sampling rate or channels change within the audio.
    """
    report = AudioReport(num_samples=[0] * len(spans))
    with open_media(video) as container:
        streams = container.streams.audio
        report.num_streams = len(streams)
        if not streams:
            return report
        stream = next((each for each in streams if _is_default(each)), streams[0])
        report.chosen = streams.index(stream)
        waiting = list(enumerate(map(_SpanWriter, spans, paths)))
        for start_s, rate, samples in _audio_blocks(container, stream, report):
            while waiting and not waiting[0][1].write(start_s, rate, samples):
                number, writer = waiting.pop(0)
                report.num_samples[number] = writer.close()
            if not waiting:
                break
        for number, writer in waiting:
            report.num_samples[number] = writer.close()
    return report


def _is_default(stream: "AudioStream") -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.default)


def _audio_blocks(
    container: "InputContainer", stream: "AudioStream", report: AudioReport
) -> Iterator[tuple[float | None, int, np.ndarray]]:
    """Yield time (None if a block continues the previous one), sampling rate and (N, channels) int16 samples."""
    import av

    resampler: AudioResampler | None = None
    for frame in decode(container, stream, report):
        if resampler is None:  # Layout and rate of decoded frames are more reliable than the header.
            resampler = av.AudioResampler(format="s16", layout=frame.layout, rate=frame.sample_rate)
            first_format = frame.layout.name, frame.sample_rate
        if (frame.layout.name, frame.sample_rate) != first_format:
            raise CaptureError(
                f"the audio format changes from {first_format} to {(frame.layout.name, frame.sample_rate)}"
            )
        seconds = frame.time
        for converted in resampler.resample(frame):
            samples = converted.to_ndarray().reshape(-1, frame.layout.nb_channels)
            yield seconds, frame.sample_rate, samples
            seconds = None


class _SpanWriter:
    """Writer of the audio of one span; the file is created with the first sample."""

    def __init__(self, span: Span, path: Path) -> None:
        self._span, self._path = span, path
        self._file: soundfile.SoundFile | None = None
        self._written = 0

    def write(self, start_s: float | None, rate: int, samples: np.ndarray) -> bool:
        """Write the part of a block that is in the span; return False if the block ends after the span.

        Parameters
        ----------
        start_s
            Time of the first sample; None if the block continues the previous one.
        samples : (N, channels) int16
        """
        start = self._written if start_s is None else round((start_s - self._span.begin_s) * rate)
        if self._file is not None and abs(start - self._written) < _CLOCK_TOLERANCE_S * rate:
            start = self._written
        limit = round(self._span.duration_s * rate)
        part = samples[max(0, self._written - start) : max(0, limit - start)]
        if len(part):
            file = self._open(rate, samples.shape[1])
            self._write_silence(file, start - self._written)
            file.write(part)
            self._written += len(part)
        return start + len(samples) <= limit

    def close(self) -> int:
        """Close the file, and return its number of samples."""
        if self._file is not None:
            rate = self._file.samplerate
            missing = round(self._span.duration_s * rate) - self._written
            self._write_silence(self._file, missing if missing <= _MAX_END_SILENCE_S * rate else 0)
            self._file.close()
        return self._written

    def _open(self, rate: int, channels: int) -> soundfile.SoundFile:
        if self._file is None:
            num_bytes = 2 * channels * round(self._span.duration_s * rate)
            kind = "WAV" if num_bytes < _MAX_WAV_BYTES else "RF64"
            self._file = soundfile.SoundFile(self._path, "w", rate, channels, "PCM_16", format=kind)
        return self._file

    def _write_silence(self, file: soundfile.SoundFile, count: int) -> None:
        while count > 0:
            block = np.zeros((min(count, _SILENCE_SAMPLES), file.channels), np.int16)
            file.write(block)
            self._written += len(block)
            count -= len(block)
