"""Reading of videos with PyAV: upright frames with their times, one at a time.

PyAV is in the extra `[capture]` and is imported only where it is used.
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
        Timestamp in the file.
    image : (H, W, 3) uint8
        RGB, upright.
    """

    seconds: float
    image: np.ndarray


class DecodeReport(Protocol):
    """Counter of packets that cannot be decoded."""

    num_broken: int


@dataclass
class VideoReader:
    """Iterable over the frames of a video with increasing times.

    Attributes
    ----------
    num_broken
        Number of frames and packets so far that could not be decoded or were out of order.
    is_deinterlaced
        Whether any frame so far was interlaced.
    """

    path: Path
    num_broken: int = 0
    is_deinterlaced: bool = field(default=False, init=False)

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the beginning; broken frames are skipped and counted.

        Raises
        ------
        CaptureError
            If the file cannot be opened or has no video stream.
        """
        from av.video.stream import VideoStream

        last = -np.inf
        with open_media(self.path) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise CaptureError(f"{self.path.name} has no video stream")
            stream.codec_context.thread_count = 1  # Several videos are decoded in parallel instead.
            for frame in self._deinterlace(self._decode(container, stream)):
                if frame.time is None or frame.time <= last:
                    self.num_broken += 1
                    continue
                last = frame.time
                # The angle is counter-clockwise, as in numpy.
                image = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                yield Frame(frame.time, np.ascontiguousarray(image))

    def _decode(self, container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame"]:
        for frame in decode(container, stream, self):
            if frame.is_corrupt:
                self.num_broken += 1
            else:
                yield frame

    def _deinterlace(self, frames: Iterator["VideoFrame"]) -> Iterator["VideoFrame"]:
        """Deinterlace frames with a filter, from the first interlaced frame; progressive frames do not change."""
        graph: Graph | None = None
        for frame in frames:
            if graph is None and frame.interlaced_frame:
                self.is_deinterlaced = True
                graph = _make_deinterlacer(frame)
            if graph is None:
                yield frame
            else:
                graph.push(frame)
                yield from _pull_frames(graph)
        if graph is not None:
            graph.push(None)
            yield from _pull_frames(graph)


def _make_deinterlacer(frame: "VideoFrame") -> "Graph":
    """Create a filter graph for frames of this format, with one output frame per input frame at the same time."""
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    return graph


def _pull_frames(graph: "Graph") -> Iterator["VideoFrame"]:
    from av.error import BlockingIOError, EOFError

    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return


def decode(container: "InputContainer", stream: "VideoStream | AudioStream", report: DecodeReport) -> Iterator:
    """Decode the frames of a stream; packets that cannot be decoded are counted, and a truncated file ends early."""
    from av.error import FFmpegError

    for packet in _packets(container, stream, report):
        try:
            yield from stream.decode(packet)
        except FFmpegError:
            report.num_broken += 1


def _packets(
    container: "InputContainer", stream: "VideoStream | AudioStream", report: DecodeReport
) -> Iterator["Packet | None"]:
    """Yield the packets of a stream, then None, which flushes the decoder."""
    from av.error import FFmpegError

    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except FFmpegError:
        report.num_broken += 1
    yield None


@contextmanager
def open_media(path: Path) -> "Iterator[InputContainer]":
    """Open a file with FFmpeg, and convert errors of FFmpeg in the context to `CaptureError`.

    Raises
    ------
    CaptureError
        If the file cannot be opened or decoded.
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
