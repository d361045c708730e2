"""Videos for tests, made with PyAV from frames, times and samples."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

CLOCK = 12_000
"""Time base of frames in units per second, a multiple of 24, 25, 30, 50 and 60."""
RATE = 16_000


def write_video(
    path: Path,
    images: Sequence[np.ndarray],
    seconds: np.ndarray,
    audio: Sequence[tuple[float, np.ndarray]] = (),
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    interlaced: bool = False,
) -> Path:
    """Write (H, W, 3) uint8 images with given times, and 16 kHz mono audio streams with given begin times."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        video = container.add_stream(codec, rate=30, options=options or {"crf": "8", "preset": "ultrafast", "g": "12"})
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = _fraction(CLOCK)
        streams = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in audio]
        for image, second in zip(images, seconds, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(second * CLOCK), _fraction(CLOCK)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for stream, (begin_s, samples) in zip(streams, audio, strict=True):
            for start in range(0, len(samples), 1600):
                frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1600], format="s16", layout="mono")
                frame.sample_rate, frame.time_base = RATE, _fraction(RATE)
                frame.pts = round(begin_s * RATE) + start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def _fraction(denominator: int):
    from fractions import Fraction

    return Fraction(1, denominator)


def turn(path: Path, quarters: int) -> None:
    """Set the rotation flag of an mp4, in quarters clockwise: a matrix of 16.16 numbers in its track header."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters % 4]
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd") + 4
    matrix = header + (40 if content[header] == 0 else 52)
    numbers = [65536 * each for each in (cosine, sine, 0, -sine, cosine, 0, 0, 0)]
    content[matrix : matrix + 36] = struct.pack(">9i", *numbers, 1 << 30)
    path.write_bytes(content)


def damage(source: Path, target: Path, packets: Sequence[int]) -> Path:
    """Copy a video with some of its packets overwritten."""
    import av

    with av.open(source) as container, av.open(target, "w") as damaged:
        stream = container.streams.video[0]
        copied = damaged.add_stream_from_template(stream)
        for number, packet in enumerate(container.demux(stream)):
            if packet.dts is None:
                continue
            content = bytes(packet)
            if number in packets:
                content = np.random.default_rng(number).bytes(len(content))
            written = av.Packet(content)
            written.pts, written.dts, written.time_base = packet.pts, packet.dts, packet.time_base
            written.is_keyframe, written.stream = packet.is_keyframe, copied
            damaged.mux(written)
    return target


def tone(seconds: float, click_s: float) -> np.ndarray:
    """Return int16 silence with one click."""
    samples = np.zeros(round(seconds * RATE), np.int16)
    samples[round(click_s * RATE)] = 30_000
    return samples
