"""Inputs of the network and their validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotalk.errors import EmoTalkError
from emotalk.subjects import NUM_RELEASED_SLOTS

INTENSITIES = ("normal", "strong")
NUM_INTENSITIES = len(INTENSITIES)
MIN_SAMPLES = 720
"""Shortest audio, in samples at 16 kHz, for which the emotion encoder computes a frame."""


@dataclass(frozen=True)
class ReconstructionSpec:
    """Specification of R reconstructions: the content of clip `content[r]` with the emotion of clip `emotion[r]`.

    Attributes
    ----------
    content_samples, emotion_samples
        Number of samples of each clip in the two batches of speech (in training, both are the same batch).
    content, emotion
        Clip index of each reconstruction.
    num_frames
        Number of frames of each reconstruction.
    intensity
        Intensity index of each reconstruction.
    subject
        Subject index of each reconstruction, or the weights of a mixture of all subjects.
    num_slots
        Number of subject slots of the network.
    """

    content_samples: Sequence[int]
    emotion_samples: Sequence[int]
    content: Sequence[int]
    emotion: Sequence[int]
    num_frames: Sequence[int]
    intensity: Sequence[int]
    subject: Sequence[int | Sequence[float]]
    num_slots: int = NUM_RELEASED_SLOTS


def intensity_name(label: float | None) -> str:
    """Return the name of an intensity label, 1 or 2; "normal" if it is missing (None or NaN)."""
    return INTENSITIES[1 if label == 2 else 0]


def check_waveform(waveform: np.ndarray) -> None:
    """Check that a waveform has shape (N,), is long enough and is finite.

    Raises
    ------
    EmoTalkError
        If it is not.
    """
    if waveform.ndim != 1:
        raise EmoTalkError(f"The waveform has shape {waveform.shape}; it must be mono, with shape (samples,).")
    if len(waveform) < MIN_SAMPLES:
        raise EmoTalkError(f"The waveform has {len(waveform)} samples; at least {MIN_SAMPLES} at 16 kHz are needed.")
    if not np.isfinite(waveform).all():
        raise EmoTalkError("The waveform contains NaN or infinite values; repair or exclude the recording.")
