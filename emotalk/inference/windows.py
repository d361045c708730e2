"""Prediction for speech of any length in overlapping, cross-faded windows with constant memory."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.data.audio import waveform_blocks
from emotalk.errors import PredictionError
from emotalk.model.emotion_references import mix_emotions
from emotalk.model.inputs import MIN_SAMPLES
from emotalk.model.network import EmoTalk
from emotalk.progress import progress
from emotalk.timing import EXACT_FRAMES, FPS, SAMPLING_RATE, frame_to_sample, frames_to_predict

_LOG = logging.getLogger(__name__)
OVERLAP = 3 * FPS
"""Minimum overlap, in frames, of two windows, which are cross-faded there. The causal decoder needs it as context."""


@dataclass(frozen=True)
class AudioFile:
    """An audio file that is read in blocks.

    Attributes
    ----------
    num_samples
        Number of samples at 16 kHz.
    peak
        Largest absolute sample; 1 is full scale.
    mean, std
        Mean and standard deviation of the whole recording, with which each window is normalised. With its own
        statistics, a window of silence would become loud noise.
    """

    path: Path
    num_samples: int
    peak: float
    mean: float
    std: float

    @classmethod
    def from_path(cls, path: str | Path) -> "AudioFile":
        """Read a file once to measure its length, mean and standard deviation.

        Raises
        ------
        PredictionError
            If the file cannot be read, is too short, or has samples that are not finite.
        """
        count, peak, total, squares = 0, 0.0, 0.0, 0.0
        try:
            for block in waveform_blocks(path):
                count += len(block)
                peak = max(peak, float(np.abs(block).max(initial=0)))
                total += float(block.sum(dtype=np.float64))
                squares += float(np.square(block, dtype=np.float64).sum())
        except (soundfile.SoundFileError, OSError) as error:
            raise PredictionError(
                f"{path} is not an audio file that libsndfile or FFmpeg can read ({error})."
            ) from None
        if count < MIN_SAMPLES:
            raise PredictionError(f"{path} has {count} samples at 16 kHz; at least {MIN_SAMPLES} are needed.")
        if not np.isfinite(squares):
            raise PredictionError(f"{path} has samples that are NaN or infinite.")
        mean = total / count
        return cls(Path(path), count, peak, mean, float(np.sqrt(max(squares / count - mean**2, 0.0) + 1e-7)))

    @property
    def num_frames(self) -> int:
        """Number of frames to predict."""
        return frames_to_predict(self.num_samples)

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return self.num_samples / SAMPLING_RATE

    def iter_windows(self, bounds: Sequence[tuple[int, int]]) -> Iterator[torch.Tensor]:
        """Yield the normalised samples of consecutive windows.

        Parameters
        ----------
        bounds
            First frame and end frame (exclusive) of each window, in order; the last window ends with the file.
        """
        blocks = waveform_blocks(self.path)
        buffer, buffer_start = np.empty(0, np.float32), 0
        for first, end in bounds:
            start = frame_to_sample(first)
            stop = self.num_samples if end == self.num_frames else frame_to_sample(end)
            buffer, buffer_start = buffer[start - buffer_start :], start
            while buffer_start + len(buffer) < stop:
                buffer = np.concatenate([buffer, next(blocks)])
            yield torch.from_numpy((buffer[: stop - start] - np.float32(self.mean)) / np.float32(self.std))


def window_bounds(num_frames: int, max_frames: int) -> list[tuple[int, int]]:
    """Return first frame and end frame (exclusive) of the fewest windows that cover a recording, evenly spaced.

    Windows start at multiples of three frames, which are at a whole sample, and overlap by at least `OVERLAP` frames.
    """
    if num_frames <= max_frames:
        return [(0, num_frames)]
    step = max_frames - OVERLAP - EXACT_FRAMES
    count = -(-(num_frames - max_frames) // step) + 1
    last_start = -(-(num_frames - max_frames) // EXACT_FRAMES) * EXACT_FRAMES
    starts = [round(i * last_start / (count - 1) / EXACT_FRAMES) * EXACT_FRAMES for i in range(count)]
    return [(start, min(start + max_frames, num_frames)) for start in starts]


def predict_speech(
    network: EmoTalk,
    speech: AudioFile,
    *,
    intensity: int,
    subject: int | Sequence[float],
    emotion_features: torch.Tensor | None = None,
    strength: float = 1.0,
    window_s: float = 30.0,
) -> np.ndarray:
    """Predict motion for a recording of any length.

    The result equals `EmoTalk.predict` if the recording fits into one window. Memory does not grow with the length of
    the recording, except for the motion itself (6 KB per second).

    Parameters
    ----------
    emotion_features : (F, D) float32, optional
        Emotion features for all windows. By default, each window provides its own emotion.
    strength
        Share of `emotion_features`; the rest is the emotion of each window.
    window_s
        Length in seconds of the longest part that is processed at once, at least 10.

    Returns
    -------
    (T, 52) float32
        Motion at 30 fps, not clamped.
    """
    bounds = window_bounds(speech.num_frames, _window_frames(window_s))
    track = np.zeros((speech.num_frames, NUM_CHANNELS), np.float32)
    weights = np.zeros((speech.num_frames, 1), np.float32)
    windows = speech.iter_windows(bounds)
    if len(bounds) > 1:
        windows = progress(windows, total=len(bounds), what=f"Predicting {speech.path.name}", unit="windows")
    for number, ((first, end), content) in enumerate(zip(bounds, windows, strict=True)):
        features = _window_features(network, content, emotion_features, strength)
        part, _ = network.infer(content, features, num_frames=end - first, intensity=intensity, subject=subject)
        weight = np.ones((end - first, 1), np.float32)
        if number:
            overlap = bounds[number - 1][1] - first
            weight[:overlap, 0] = _fade_in(overlap)
        if number + 1 < len(bounds):
            overlap = end - bounds[number + 1][0]
            weight[-overlap:, 0] = np.minimum(weight[-overlap:, 0], _fade_in(overlap)[::-1])
        track[first:end] += weight * part
        weights[first:end] += weight
    return track / weights


def _fade_in(count: int) -> np.ndarray:
    """Linear weights of the first `count` frames of a window."""
    return (np.arange(count, dtype=np.float32) + 0.5) / count


def _window_features(
    network: EmoTalk, content: torch.Tensor, reference: torch.Tensor | None, strength: float
) -> torch.Tensor:
    """Emotion features of a window: those of the reference, of the window itself, or a mixture."""
    if reference is not None and strength == 1:
        return reference
    own = network.encode_emotion(content)
    return own if reference is None else mix_emotions(own, reference, strength)


def encode_reference(network: EmoTalk, speech: AudioFile, *, window_s: float = 30.0) -> torch.Tensor:
    """Compute emotion features (F, D) float32 of the first `window_s` seconds of a recording."""
    num_frames = min(speech.num_frames, _window_frames(window_s))
    if num_frames < speech.num_frames:
        _LOG.info("Emotion reference: the first %d s of %s.", num_frames // FPS, speech.path.name)
    return network.encode_emotion(next(speech.iter_windows([(0, num_frames)])))


def _window_frames(window_s: float) -> int:
    """Largest number of frames of a window; a multiple of three frames, at least 10 s."""
    return max(10 * FPS, int(window_s * FPS) // EXACT_FRAMES * EXACT_FRAMES)
