"""What is asked of the network, and which inputs it refuses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotalk.errors import EmoTalkError

INTENSITIES = ("normal", "strong")
NUM_INTENSITIES = len(INTENSITIES)
NUM_SUBJECTS = 24
MIN_SAMPLES = 720
"""Shortest audio (16 kHz samples) of which the emotion encoder makes a frame."""


@dataclass(frozen=True)
class ReconstructionSpec:
    """Reconstructions asked of the network: the content of clip `content[r]` with the emotion of clip `emotion[r]`.

    Attributes
    ----------
    content_samples, emotion_samples
        Length of each clip in the two batches of speech (in training they are one batch).
    content, emotion
        For each reconstruction an index into these clips.
    num_frames
        For each reconstruction its length in frames.
    intensity
        For each reconstruction its intensity index.
    subject
        For each reconstruction a subject index, or 24 weights of a mixture of subjects.
    """

    content_samples: Sequence[int]
    emotion_samples: Sequence[int]
    content: Sequence[int]
    emotion: Sequence[int]
    num_frames: Sequence[int]
    intensity: Sequence[int]
    subject: Sequence[int | Sequence[float]]


def mean_subject(subjects: Sequence[int]) -> list[float]:
    """Mixture (24 weights) of some subjects in equal parts: the subject of someone whom training never saw."""
    return [(index in subjects) / len(subjects) for index in range(NUM_SUBJECTS)]


def check_waveform(waveform: np.ndarray) -> None:
    """Refuse a waveform that is not (N,) finite samples, or too short.

    Raises
    ------
    EmoTalkError
    """
    if waveform.ndim != 1:
        raise EmoTalkError(f"The waveform has shape {waveform.shape}; speech is one channel, shape (samples,).")
    if len(waveform) < MIN_SAMPLES:
        raise EmoTalkError(f"The waveform has {len(waveform)} samples; at least {MIN_SAMPLES} at 16 kHz are needed.")
    if not np.isfinite(waveform).all():
        raise EmoTalkError("The waveform holds values that are NaN or infinite; repair or leave out the recording.")


def check_index(index: int, count: int, what: str) -> int:
    """Pass an index on, as a plain number, if it is below `count`.

    Raises
    ------
    EmoTalkError
    """
    if not 0 <= index < count:
        raise EmoTalkError(f"{what} is {index}; the network knows the indices 0 to {count - 1}.")
    return int(index)


def subject_weights(subject: int | Sequence[float]) -> list[float]:
    """Weights of the 24 subjects: 1 for an index, or a mixture as it is.

    Raises
    ------
    EmoTalkError
    """
    if isinstance(subject, int | np.integer):
        index = check_index(subject, NUM_SUBJECTS, "subject")
        return [float(i == index) for i in range(NUM_SUBJECTS)]
    if len(subject) != NUM_SUBJECTS:
        raise EmoTalkError(
            f"The mixture of subjects has {len(subject)} weights; the network knows {NUM_SUBJECTS} subjects."
        )
    return [float(weight) for weight in subject]
