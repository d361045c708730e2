"""Audio in container formats of phones and cameras (m4a, mov, mp4, webm, …), decoded by FFmpeg through PyAV."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")
SUFFIXES = (*VIDEO_SUFFIXES, ".m4a", ".aac", ".3gp", ".wma")
"""Suffixes of files that libsndfile cannot read."""
_TOLERANCE_S = 0.02
"""Smaller differences between a timestamp and the number of samples so far are rounding errors of the container."""


class ContainerError(OSError):
    """The audio of a container cannot be decoded, or PyAV is not installed.

    It is an OSError, so that code that reads audio handles it as any other file that cannot be read.
    """


class ContainerAudio:
    """Audio of a container, with those methods of `soundfile.SoundFile` that this package uses.

    Time 0 is the start of the container: audio that starts later is padded with silence, audio before 0 is dropped.

    Raises
    ------
    ContainerError
        If PyAV is not installed, or there is no audio stream.
    """

    subtype = "FLOAT"

    def __init__(self, path: str | Path) -> None:
        try:
            import av
        except ImportError:
            raise ContainerError(
                f"reading {Path(path).suffix} needs PyAV: pip install -c requirements.lock '.[media]'"
            ) from None
        try:
            self._container = av.open(str(path))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise ContainerError(f"FFmpeg cannot open it ({error})") from None
        if not self._container.streams.audio:
            self._container.close()
            raise ContainerError("it has no audio stream")
        self._stream = self._container.streams.audio[0]
        self.samplerate = int(self._stream.rate)
        self.channels = int(self._stream.channels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def blocks(self, blocksize: int, dtype: str = "float32", always_2d: bool = True) -> Iterator[np.ndarray]:
        """Yield blocks (`blocksize`, channels) float32; the last block may be shorter."""
        pending: list[np.ndarray] = []
        count = 0
        for part in self._parts():
            pending.append(part)
            count += len(part)
            while count >= blocksize:
                joined = np.concatenate(pending)
                yield joined[:blocksize]
                pending, count = [joined[blocksize:]], count - blocksize
        if count:
            yield np.concatenate(pending)

    def _parts(self) -> Iterator[np.ndarray]:
        written = 0
        for start, samples in self._decoded():
            gap = start - written
            if written and abs(gap) < _TOLERANCE_S * self.samplerate:
                gap = 0
            if gap > 0:
                yield np.zeros((gap, self.channels), np.float32)
            part = samples[max(0, -gap) :]
            yield part
            written = start + len(samples) if gap else written + len(samples)

    def _decoded(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the start of each frame in samples since time 0, and its samples (N, channels)."""
        import av

        resampler: Any = av.AudioResampler(format="flt", layout=self._stream.layout, rate=self.samplerate)
        origin = self._origin()
        start = 0
        try:
            for frame in self._container.decode(self._stream):
                if frame.time is not None:
                    start = round((frame.time - origin) * self.samplerate)
                for converted in resampler.resample(frame):
                    samples = converted.to_ndarray().reshape(-1, self.channels)
                    yield start, samples
                    start += len(samples)
        except av.error.FFmpegError as error:
            raise ContainerError(f"its audio cannot be decoded ({error})") from None

    def _origin(self) -> float:
        """Start time of the video stream in seconds, or of the audio stream if there is no video."""
        streams = self._container.streams.video or [self._stream]
        times = [
            float(stream.start_time * (stream.time_base or 0)) for stream in streams if stream.start_time is not None
        ]
        return max(0.0, min(times)) if times else 0.0
