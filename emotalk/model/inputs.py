"""What the network takes: speech in batches, and which reconstructions are asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emotalk.errors import EmoTalkError
from emotalk.model.sequences import normalise, pad_batch

NUM_LEVELS = 2
NUM_PERSONS = 24
MIN_SAMPLES = 720
"""Shortest audio (16 kHz samples) of which the emotion encoder makes a frame."""


@dataclass(frozen=True)
class Speech:
    """Clips of speech in one batch.

    Attributes
    ----------
    waveforms : (B, N) float32
        Each clip normalised alone; zeros behind the shorter ones.
    num_samples
        Length of each clip, on the host.
    """

    waveforms: Tensor
    num_samples: Sequence[int]

    @classmethod
    def of(cls, waveforms: Sequence[Tensor]) -> "Speech":
        """Normalise and pad waveforms (N_i,) float32."""
        return cls(pad_batch([normalise(clip) for clip in waveforms]), [len(clip) for clip in waveforms])


@dataclass(frozen=True)
class Request:
    """Reconstructions asked of the network: the content of clip `content[r]` with the emotion of clip `emotion[r]`.

    Attributes
    ----------
    content, emotion
        For each reconstruction an index into the clips of a :class:`Speech`.
    num_frames
        For each reconstruction its length in frames.
    level : (R,) int64
        Intensity index.
    person : (R,) int64 or (R, 24) float32
        Subject index, or a mixture of subjects.
    """

    content: Sequence[int]
    emotion: Sequence[int]
    num_frames: Sequence[int]
    level: Tensor
    person: Tensor


def mean_person(subjects: Sequence[int]) -> list[float]:
    """Mixture (24 weights) of some subjects in equal parts: the person of someone whom training never saw."""
    return [(index in subjects) / len(subjects) for index in range(NUM_PERSONS)]


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


def person_input(subject: int | Sequence[float], device: torch.device) -> Tensor:
    """Subject index (1,), or mixture (1, 24), as the network takes it."""
    if isinstance(subject, int | np.integer):
        return torch.tensor([check_index(subject, NUM_PERSONS, "subject")], device=device)
    if len(subject) != NUM_PERSONS:
        raise EmoTalkError(
            f"The mixture of subjects has {len(subject)} weights; the network knows {NUM_PERSONS} subjects."
        )
    return torch.tensor([list(subject)], dtype=torch.float32, device=device)
