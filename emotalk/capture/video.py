"""Reading of videos by PyAV: upright frames with their times, and audio on the same clock; a frame at a time.

PyAV is in the extra `[capture]` and is imported where it is needed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from emotalk.errors import CaptureError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.filter import Graph
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp", ".ogv"),
)
"""How the names of the videos in a folder end, in small letters."""

_CLOCK_TOLERANCE_S = 0.02
"""Audio whose times differ from its count of samples by less than this goes on without a seam: containers round times
to milliseconds, and recorders' clocks are not exact."""
_LONGEST_END_S = 0.5
_SILENCE_SAMPLES = 1 << 16


@dataclass(frozen=True)
class Frame:
    """A decoded picture.

    Attributes
    ----------
    seconds
        Its time on the clock of the file.
    image : (H, W, 3) uint8
        RGB, upright.
    """

    seconds: float
    image: np.ndarray


@dataclass
class VideoReader:
    """Frames of a video in the order of their times.

    Attributes
    ----------
    num_broken
        Frames and packets that could not be decoded, or came out of order, so far.
    is_deinterlaced
        Whether frames so far were interlaced.
    """

    path: Path
    num_broken: int = 0
    is_deinterlaced: bool = field(default=False, init=False)

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the beginning; what is broken is left out and counted.

        Raises
        ------
        CaptureError
            If the file cannot be opened or has no picture.
        """
        from av.video.stream import VideoStream

        last = -np.inf
        with _opened(self.path) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise CaptureError(f"{self.path.name} has no video stream")
            stream.codec_context.thread_count = 1  # Videos run beside each other instead.
            for frame in self._deinterlaced(self._decoded(container, stream)):
                if frame.time is None or frame.time <= last:
                    self.num_broken += 1
                    continue
                last = frame.time
                # An angle is counter-clockwise, as in numpy.
                image = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                yield Frame(frame.time, np.ascontiguousarray(image))

    def _decoded(self, container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame"]:
        for frame in _decode(container, stream, self):
            if frame.is_corrupt:
                self.num_broken += 1
            else:
                yield frame

    def _deinterlaced(self, frames: Iterator["VideoFrame"]) -> Iterator["VideoFrame"]:
        """Frames, from the first interlaced one on through a filter that leaves progressive ones as they are."""
        graph: Graph | None = None
        for frame in frames:
            if graph is None and frame.interlaced_frame:
                self.is_deinterlaced = True
                graph = _deinterlacer(frame)
            if graph is None:
                yield frame
            else:
                graph.push(frame)
                yield from _pulled(graph)
        if graph is not None:
            graph.push(None)
            yield from _pulled(graph)


def _deinterlacer(frame: "VideoFrame") -> "Graph":
    """Filter graph for frames like this one: one whole frame for each interlaced one, at its time."""
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    return graph


def _pulled(graph: "Graph") -> Iterator["VideoFrame"]:
    from av.error import BlockingIOError, EOFError

    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return


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
    with _opened(video) as container:
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

    resampler: av.AudioResampler | None = None
    for frame in _decode(container, stream, report):
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
            self._file = soundfile.SoundFile(self._path, "w", rate, channels, "PCM_16", format="WAV")
        return self._file

    def _silence(self, file: soundfile.SoundFile, count: int) -> None:
        while count > 0:
            block = np.zeros((min(count, _SILENCE_SAMPLES), file.channels), np.int16)
            file.write(block)
            self._written += len(block)
            count -= len(block)


def _decode(
    container: "InputContainer", stream: "VideoStream | AudioStream", report: "VideoReader | AudioReport"
) -> Iterator:
    """Frames of a stream; packets that cannot be decoded are counted, a file that breaks off ends there."""
    from av.error import FFmpegError

    for packet in _packets(container, stream, report):
        try:
            yield from stream.decode(packet)
        except FFmpegError:
            report.num_broken += 1


def _packets(
    container: "InputContainer", stream: "VideoStream | AudioStream", report: "VideoReader | AudioReport"
) -> Iterator["Packet | None"]:
    """Packets of a stream, and None, at which the decoder gives what it holds back."""
    from av.error import FFmpegError

    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except FFmpegError:
        report.num_broken += 1
    yield None


@contextmanager
def _opened(path: Path) -> "Iterator[InputContainer]":
    import av
    from av.error import FFmpegError

    try:
        container = av.open(path, metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise CaptureError(f"{path.name} cannot be opened as a video ({error.strerror})") from None
    with container:
        yield container
