"""Motion for speech of any length: windows that overlap and fade into each other, at memory that does not grow."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.data.audio import waveform_blocks
from emotalk.errors import EvaluationError
from emotalk.model.inputs import MIN_SAMPLES
from emotalk.model.network import EmoTalk
from emotalk.progress import progress
from emotalk.timing import EXACT_FRAMES, FPS, SAMPLING_RATE, frame_to_sample, frames_to_predict

_LOG = logging.getLogger(__name__)
OVERLAP = 3 * FPS
"""Frames in which a window fades into the next one; the decoder, which sees only the past, has warmed up by then."""


@dataclass(frozen=True)
class AudioFile:
    """A recording on disk, read block by block.

    Attributes
    ----------
    num_samples
        At 16 kHz.
    mean, scale
        Of the whole recording, by which each window is normalised: a pause alone would become loud noise.
    """

    path: Path
    num_samples: int
    mean: float
    scale: float

    @classmethod
    def of(cls, path: str | Path) -> "AudioFile":
        """Look through a file.

        Raises
        ------
        EvaluationError
            If it cannot be read, or is too short or not finite.
        """
        count, total, squares = 0, 0.0, 0.0
        try:
            for block in waveform_blocks(path):
                count += len(block)
                total += float(block.sum(dtype=np.float64))
                squares += float(np.square(block, dtype=np.float64).sum())
        except (soundfile.SoundFileError, OSError) as error:
            raise EvaluationError(f"{path} is no audio that libsndfile reads ({error}).") from None
        if count < MIN_SAMPLES:
            raise EvaluationError(f"{path} has {count} samples at 16 kHz; at least {MIN_SAMPLES} are needed.")
        if not np.isfinite(squares):
            raise EvaluationError(f"{path} holds samples that are NaN or infinite.")
        mean = total / count
        return cls(Path(path), count, mean, float(np.sqrt(max(squares / count - mean**2, 0.0) + 1e-7)))

    @property
    def num_frames(self) -> int:
        """Frames to predict."""
        return frames_to_predict(self.num_samples)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / SAMPLING_RATE

    def pieces(self, bounds: Sequence[tuple[int, int]]) -> Iterator[torch.Tensor]:
        """Normalised samples of windows given by their first and last frame, in order; the last ends with the file."""
        blocks = waveform_blocks(self.path)
        held, start = np.empty(0, np.float32), 0
        for first, last in bounds:
            begin = frame_to_sample(first)
            end = self.num_samples if last == self.num_frames else frame_to_sample(last)
            held, start = held[begin - start :], begin
            while start + len(held) < end:
                held = np.concatenate([held, next(blocks)])
            yield torch.from_numpy((held[: end - begin] - np.float32(self.mean)) / np.float32(self.scale))


def window_bounds(num_frames: int, longest: int) -> list[tuple[int, int]]:
    """First and last frame of each window: as few as reach, evenly spread, and the whole where it fits into one.

    Windows begin at multiples of three frames, which are whole samples, and overlap by at least `OVERLAP` frames.
    """
    if num_frames <= longest:
        return [(0, num_frames)]
    step = longest - OVERLAP - EXACT_FRAMES
    count = -(-(num_frames - longest) // step) + 1
    last = -(-(num_frames - longest) // EXACT_FRAMES) * EXACT_FRAMES
    starts = [round(i * last / (count - 1) / EXACT_FRAMES) * EXACT_FRAMES for i in range(count)]
    return [(start, min(start + longest, num_frames)) for start in starts]


def predict_speech(
    network: EmoTalk,
    speech: AudioFile,
    *,
    intensity: int,
    subject: int | Sequence[float],
    emotion_from: AudioFile | None = None,
    window_s: float = 30.0,
) -> np.ndarray:
    """Motion for a recording of any length, (T, 52) float32 at 30 fps, not clamped.

    Equal to `EmoTalk.predict` where the recording fits into one window. Memory does not grow with its length but for
    the motion itself (6 KB a second).

    Parameters
    ----------
    emotion_from
        Recording whose emotion is worn throughout, its first `window_s` seconds; the speech's own by default.
    window_s
        Longest part that the network sees at once, at least 10 seconds; it was trained on clips of that order.
    """
    longest = max(10 * FPS, int(window_s * FPS) // EXACT_FRAMES * EXACT_FRAMES)
    bounds = window_bounds(speech.num_frames, longest)
    worn = _beginning(emotion_from, longest) if emotion_from else None
    track = np.zeros((speech.num_frames, NUM_CHANNELS), np.float32)
    shares = np.zeros((speech.num_frames, 1), np.float32)
    pieces = speech.pieces(bounds)
    if len(bounds) > 1:
        pieces = progress(pieces, total=len(bounds), what=f"Speaking {speech.path.name}", unit="windows")
    for number, ((first, last), piece) in enumerate(zip(bounds, pieces, strict=True)):
        emotion = piece if worn is None else worn
        part, _ = network.speak(piece, emotion, num_frames=last - first, intensity=intensity, subject=subject)
        share = np.ones((last - first, 1), np.float32)
        if number:
            overlap = bounds[number - 1][1] - first
            share[:overlap, 0] = _rising(overlap)
        if number + 1 < len(bounds):
            overlap = last - bounds[number + 1][0]
            share[-overlap:, 0] = np.minimum(share[-overlap:, 0], _rising(overlap)[::-1])
        track[first:last] += share * part
        shares[first:last] += share
    return track / shares


def _rising(count: int) -> np.ndarray:
    """Shares of a window that fades in."""
    return (np.arange(count, dtype=np.float32) + 0.5) / count


def _beginning(speech: AudioFile, longest: int) -> torch.Tensor:
    """The part of a recording whose emotion is worn."""
    frames = min(speech.num_frames, longest)
    if frames < speech.num_frames:
        _LOG.info("The emotion is that of the first %d s of %s.", longest // FPS, speech.path.name)
    return next(speech.pieces([(0, frames)]))
