"""Audio of videos as wav files that begin and end with the picture."""

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
"""Audio whose times differ from its count of samples by less than this goes on without a seam: containers round times
to milliseconds, and recorders' clocks are not exact."""
_LONGEST_END_S = 0.5
_SILENCE_SAMPLES = 1 << 16
_MAX_WAV_BYTES = 2**32 - 2**16
"""Sizes in the header of a wav have 32 bits; RF64, which libsndfile reads too, has 64."""


@dataclass(frozen=True)
class Span:
    """A stretch of a file's clock.

    Attributes
    ----------
    begin_s
        Its first instant.
    end_s
        The first instant behind it.
    """

    begin_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return self.end_s - self.begin_s


@dataclass
class AudioReport:
    """What was found and written of a video's audio.

    Attributes
    ----------
    num_streams
        Audio streams in the file.
    chosen
        Position of the one that was read: the default one, else the first.
    num_broken
        Packets that could not be decoded; silence stands in their place.
    num_samples
        Samples per channel that were written for each span.
    """

    num_streams: int = 0
    chosen: int = 0
    num_broken: int = 0
    num_samples: list[int] = field(default_factory=list)


def write_audio(video: Path, spans: Sequence[Span], paths: Sequence[Path]) -> AudioReport:
    """Write spans of a video's audio as 16-bit wav files, unchanged in sampling rate and channels.

    Sample 0 is the first instant of its span: audio that begins later is preceded by silence, what lies outside is cut
    off. Audio that ends up to half a second before its span is followed by silence. A file is written only if its span
    has audio.

    Parameters
    ----------
    spans
        One after the other, without overlap.
    paths
        A file for each.

    Raises
    ------
    CaptureError
        If the video cannot be opened, or its audio changes its rate or channels.
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
    """Time (None where a block follows the one before), sampling rate and (N, channels) int16 samples."""
    import av

    resampler: AudioResampler | None = None
    for frame in decode(container, stream, report):
        if resampler is None:  # The decoder knows layout and rate better than the header does.
            resampler = av.AudioResampler(format="s16", layout=frame.layout, rate=frame.sample_rate)
            form = frame.layout.name, frame.sample_rate
        if (frame.layout.name, frame.sample_rate) != form:
            raise CaptureError(f"the audio changes from {form} to {(frame.layout.name, frame.sample_rate)} on its way")
        seconds = frame.time
        for converted in resampler.resample(frame):
            samples = converted.to_ndarray().reshape(-1, frame.layout.nb_channels)
            yield seconds, frame.sample_rate, samples
            seconds = None


class _SpanWriter:
    """Writes what falls into one span; the file is made at its first sample."""

    def __init__(self, span: Span, path: Path) -> None:
        self._span, self._path = span, path
        self._file: soundfile.SoundFile | None = None
        self._written = 0

    def write(self, start_s: float | None, rate: int, samples: np.ndarray) -> bool:
        """Write the part of a block that falls into the span; False if the block reaches beyond it.

        Parameters
        ----------
        start_s
            Time of its first sample; None if it follows the block before.
        samples : (N, channels) int16
        """
        start = self._written if start_s is None else round((start_s - self._span.begin_s) * rate)
        if self._file is not None and abs(start - self._written) < _CLOCK_TOLERANCE_S * rate:
            start = self._written
        limit = round(self._span.duration_s * rate)
        part = samples[max(0, self._written - start) : max(0, limit - start)]
        if len(part):
            file = self._opened(rate, samples.shape[1])
            self._silence(file, start - self._written)
            file.write(part)
            self._written += len(part)
        return start + len(samples) <= limit

    def close(self) -> int:
        """Finish the file; returns its number of samples."""
        if self._file is not None:
            rate = self._file.samplerate
            missing = round(self._span.duration_s * rate) - self._written
            self._silence(self._file, missing if missing <= _LONGEST_END_S * rate else 0)
            self._file.close()
        return self._written

    def _opened(self, rate: int, channels: int) -> soundfile.SoundFile:
        if self._file is None:
            num_bytes = 2 * channels * round(self._span.duration_s * rate)
            kind = "WAV" if num_bytes < _MAX_WAV_BYTES else "RF64"
            self._file = soundfile.SoundFile(self._path, "w", rate, channels, "PCM_16", format=kind)
        return self._file

    def _silence(self, file: soundfile.SoundFile, count: int) -> None:
        while count > 0:
            block = np.zeros((min(count, _SILENCE_SAMPLES), file.channels), np.int16)
            file.write(block)
            self._written += len(block)
            count -= len(block)
