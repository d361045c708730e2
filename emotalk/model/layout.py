"""Layout of a batch: which frame comes from where, decided on the host before anything is computed.

The network then needs no loop over clips, copies nothing more to the device and never waits for it.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from emotalk.model.inputs import NUM_INTENSITIES, ReconstructionSpec, subject_weights
from emotalk.model.sequences import frame_mask, map_tensors

K = TypeVar("K", bound=Hashable)

_CONV_RATE_HZ = 50.0
_EMOTION_FPS = 30


@dataclass(frozen=True)
class ConvFrames:
    """Lengths that a convolutional stack makes of audio."""

    kernels: Sequence[int]
    strides: Sequence[int]

    def count(self, num_samples: int) -> int:
        """Frames of a clip; 0 or less if it is too short for one."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            num_samples = (num_samples - kernel) // stride + 1
        return num_samples


def num_emotion_frames(num_conv_frames: int) -> int:
    """Frames at which the emotion transformer runs.

    The released code computes this in floating point, which differs from integer arithmetic at 205, 410, 820, … frames.
    """
    return int(num_conv_frames / _CONV_RATE_HZ * _EMOTION_FPS)


def spread(num_in: int, num_out: int) -> np.ndarray:
    """Positions (num_out,) float32 among `num_in` frames, evenly from the first to the last.

    In float32, as torch's linear interpolation with `align_corners` places them; the released network was trained so.
    """
    step = np.float32(num_in - 1) / np.float32(num_out - 1) if num_out > 1 else np.float32(0)
    return step * np.arange(num_out, dtype=np.float32)


@dataclass(frozen=True)
class Resampling:
    """Sequences made by linear interpolation between frames of other sequences, padded to one length.

    Attributes
    ----------
    low, high : (V, T) int64
        Rows to mix, counted through the padded batch of sources.
    weight : (V, T, 1) float32
        Share of `high`.
    mask : (V, T) bool
        True where a sequence has a frame.
    is_padded
        Whether any is shorter than the longest.
    """

    low: Tensor
    high: Tensor
    weight: Tensor
    mask: Tensor
    is_padded: bool

    @classmethod
    def of(cls, lengths: Sequence[int], sources: Sequence[int], positions: Sequence[np.ndarray]) -> "Resampling":
        """Lay out sequences at `positions`, each in frames of its source.

        Parameters
        ----------
        lengths
            Frames of each source sequence; their batch is padded to the longest.
        sources
            For each sequence the number of its source.
        positions
            For each sequence (T_v,) float32.
        """
        num_frames = [len(places) for places in positions]
        low = np.zeros((len(positions), max(num_frames)), np.int64)
        high, weight = low.copy(), low.astype(np.float32)
        for v, (source, places) in enumerate(zip(sources, positions, strict=True)):
            last = lengths[source] - 1
            below = np.clip(places.astype(np.int64), 0, last)
            start, stop = source * max(lengths), len(places)
            low[v, :stop] = start + below
            high[v, :stop] = start + np.minimum(below + 1, last)
            weight[v, :stop] = places - below
        return cls(
            low=torch.from_numpy(low),
            high=torch.from_numpy(high),
            weight=torch.from_numpy(weight[..., None]),
            mask=frame_mask(num_frames),
            is_padded=len(set(num_frames)) > 1,
        )

    def __call__(self, sequences: Tensor) -> Tensor:
        """Resampled sequences (V, T, C) of padded sources (B, L, C); frames behind a sequence's end mean nothing."""
        rows = sequences.flatten(0, 1)
        low, high = (rows.index_select(0, which.flatten()).view(*which.shape, -1) for which in (self.low, self.high))
        weight = self.weight.to(rows.dtype)
        # Not torch.lerp, which rounds otherwise than the released network: Adam makes that visible after five steps.
        return (1 - weight) * low + weight * high

    @property
    def attention_mask(self) -> Tensor | None:
        """The mask, or None where attention needs none and takes its fastest path."""
        return self.mask if self.is_padded else None


def resample_frames(sequence: Tensor, num_frames: int) -> Tensor:
    """Stretch a sequence (1, L, C) evenly to (1, num_frames, C) by linear interpolation."""
    length = sequence.shape[1]
    resampling = Resampling.of([length], [0], [spread(length, num_frames)])
    return map_tensors(resampling, lambda tensor: tensor.to(sequence.device))(sequence)


@dataclass(frozen=True)
class Layout:
    """All of a batch's index tensors; V content views of B clips, R reconstructions.

    Attributes
    ----------
    content : Resampling
        From the content encoder's convolutional frames to its views: each distinct (clip, length) once.
    view : (R,) int64
        For each reconstruction its content view.
    emotion : Resampling
        From the emotion encoder's convolutional frames to 30 frames a second, each clip once.
    emotion_to_motion : Resampling
        From there to the frames of each reconstruction.
    intensity : (R, 2) float32
    subject : (R, 24) float32
        Weights of the intensities and of the subjects.
    """

    content: Resampling
    view: Tensor
    emotion: Resampling
    emotion_to_motion: Resampling
    intensity: Tensor
    subject: Tensor

    @classmethod
    def of(cls, request: ReconstructionSpec, content_conv: ConvFrames, emotion_conv: ConvFrames) -> "Layout":
        """Lay out a request for encoders with these convolutional stacks."""
        content_lengths = [content_conv.count(samples) for samples in request.content_samples]
        emotion_lengths = [emotion_conv.count(samples) for samples in request.emotion_samples]
        emotion_frames = [num_emotion_frames(length) for length in emotion_lengths]
        views, view = _distinct(zip(request.content, request.num_frames, strict=True))
        clips = [request.content[r] for r in views]
        content_positions = [
            spread(content_lengths[clip], request.num_frames[r]) for clip, r in zip(clips, views, strict=True)
        ]
        return cls(
            content=Resampling.of(content_lengths, clips, content_positions),
            view=torch.tensor(view),
            emotion=Resampling.of(
                emotion_lengths,
                range(len(emotion_lengths)),
                [spread(*lengths) for lengths in zip(emotion_lengths, emotion_frames, strict=True)],
            ),
            emotion_to_motion=Resampling.of(
                emotion_frames,
                request.emotion,
                [spread(emotion_frames[e], n) for e, n in zip(request.emotion, request.num_frames, strict=True)],
            ),
            intensity=torch.eye(NUM_INTENSITIES)[list(request.intensity)],
            subject=torch.tensor([subject_weights(subject) for subject in request.subject]),
        )


def _distinct(keys: Iterable[K]) -> tuple[list[int], list[int]]:
    """Where each distinct key stands first, and for each key its place among the distinct ones."""
    places: dict[K, int] = {}
    first: list[int] = []
    indices = []
    for i, key in enumerate(keys):
        if key not in places:
            places[key] = len(places)
            first.append(i)
        indices.append(places[key])
    return first, indices
