"""Reading of videos by PyAV: upright frames with their times, one at a time.

PyAV is in the extra `[capture]` and is imported where it is needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from emotalk.errors import CaptureError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.filter import Graph
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


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


class Broken(Protocol):
    """What counts packets that cannot be decoded."""

    num_broken: int


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
        with open_media(self.path) as container:
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
        for frame in decode(container, stream, self):
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


def decode(container: "InputContainer", stream: "VideoStream | AudioStream", report: Broken) -> Iterator:
    """Frames of a stream; packets that cannot be decoded are counted, a file that breaks off ends there."""
    from av.error import FFmpegError

    for packet in _packets(container, stream, report):
        try:
            yield from stream.decode(packet)
        except FFmpegError:
            report.num_broken += 1


def _packets(
    container: "InputContainer", stream: "VideoStream | AudioStream", report: Broken
) -> Iterator["Packet | None"]:
    """Packets of a stream, and None, at which the decoder gives what it holds back."""
    from av.error import FFmpegError

    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except FFmpegError:
        report.num_broken += 1
    yield None


@contextmanager
def open_media(path: Path) -> "Iterator[InputContainer]":
    """Open a file by FFmpeg; what FFmpeg says of it in the context is an error of this package.

    Raises
    ------
    CaptureError
        If it cannot be opened or decoded.
    """
    import av
    from av.error import FFmpegError

    try:
        container = av.open(path, metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise CaptureError(f"{path.name} cannot be opened as a video ({error.strerror})") from None
    try:
        with container:
            yield container
    except FFmpegError as error:
        raise CaptureError(f"{path.name} cannot be decoded ({error.strerror})") from None
