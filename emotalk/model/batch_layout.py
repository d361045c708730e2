"""Layout of a batch: index tensors and interpolation weights, computed on the CPU before the network runs.

The network therefore has no loop over clips, and does not synchronize with the device in its forward pass.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from emotalk.model.inputs import NUM_INTENSITIES, ReconstructionSpec
from emotalk.model.sequences import frame_mask, map_tensors
from emotalk.subjects import subject_weights

K = TypeVar("K", bound=Hashable)

_CONV_RATE_HZ = 50.0
_EMOTION_FPS = 30


@dataclass(frozen=True)
class ConvFrames:
    """Frame counts of a convolutional stack."""

    kernels: Sequence[int]
    strides: Sequence[int]

    def count(self, num_samples: int) -> int:
        """Return the number of frames of a clip; 0 or less if the clip is too short for a frame."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            num_samples = (num_samples - kernel) // stride + 1
        return num_samples


def num_emotion_frames(num_conv_frames: int) -> int:
    """Return the number of frames of the emotion transformer.

    As in the released code, it is computed in floating point, which differs from integer arithmetic at 205, 410, 820, …
    frames.
    """
    return int(num_conv_frames / _CONV_RATE_HZ * _EMOTION_FPS)


def interpolation_positions(num_in: int, num_out: int) -> np.ndarray:
    """Return `num_out` equidistant positions from the first to the last of `num_in` frames, (num_out,) float32.

    They are computed in float32 as in torch's linear interpolation with `align_corners=True`, with which the released
    network was trained.
    """
    step = np.float32(num_in - 1) / np.float32(num_out - 1) if num_out > 1 else np.float32(0)
    return step * np.arange(num_out, dtype=np.float32)


@dataclass(frozen=True)
class Interpolation:
    """Linear interpolation of V sequences between frames of source sequences, padded to one length.

    Attributes
    ----------
    low, high : (V, T) int64
        Rows of the flattened padded batch of sources, between which each frame is interpolated.
    weight : (V, T, 1) float32
        Weight of `high`.
    mask : (V, T) bool
        True for valid frames, False for padding.
    is_padded
        Whether the sequences have different lengths.
    """

    low: Tensor
    high: Tensor
    weight: Tensor
    mask: Tensor
    is_padded: bool

    @classmethod
    def from_positions(
        cls, lengths: Sequence[int], sources: Sequence[int], positions: Sequence[np.ndarray]
    ) -> "Interpolation":
        """Create the interpolation of V sequences at given positions.

        Parameters
        ----------
        lengths
            Number of frames of each source sequence; the batch of sources is padded to the longest.
        sources
            Index of the source of each sequence.
        positions
            Positions of each sequence in frames of its source, (T_v,) float32.
        """
        num_frames = [len(sequence) for sequence in positions]
        low = np.zeros((len(positions), max(num_frames)), np.int64)
        high, weight = low.copy(), low.astype(np.float32)
        for v, (source, sequence) in enumerate(zip(sources, positions, strict=True)):
            last = lengths[source] - 1
            floor = np.clip(sequence.astype(np.int64), 0, last)
            start, stop = source * max(lengths), len(sequence)
            low[v, :stop] = start + floor
            high[v, :stop] = start + np.minimum(floor + 1, last)
            weight[v, :stop] = sequence - floor
        return cls(
            low=torch.from_numpy(low),
            high=torch.from_numpy(high),
            weight=torch.from_numpy(weight[..., None]),
            mask=frame_mask(num_frames),
            is_padded=len(set(num_frames)) > 1,
        )

    def __call__(self, sequences: Tensor) -> Tensor:
        """Interpolate padded sources (B, L, C) to (V, T, C); frames after the end of a sequence have no meaning."""
        rows = sequences.flatten(0, 1)
        low, high = (rows.index_select(0, index.flatten()).view(*index.shape, -1) for index in (self.low, self.high))
        weight = self.weight.to(rows.dtype)
        # torch.lerp rounds differently from the released network; with Adam the difference is visible after five steps.
        return (1 - weight) * low + weight * high

    @property
    def attention_mask(self) -> Tensor | None:
        """The mask, or None without padding, which allows faster attention kernels."""
        return self.mask if self.is_padded else None


def stretch_frames(sequence: Tensor, num_frames: int) -> Tensor:
    """Stretch a sequence (1, L, C) evenly to (1, num_frames, C) by linear interpolation."""
    length = sequence.shape[1]
    resampling = Interpolation.from_positions([length], [0], [interpolation_positions(length, num_frames)])
    return map_tensors(resampling, lambda tensor: tensor.to(sequence.device))(sequence)


@dataclass(frozen=True)
class BatchLayout:
    """Index tensors of a batch with V content views of B clips, and R reconstructions.

    Attributes
    ----------
    content : Interpolation
        From the convolutional frames of the content encoder to the frames of the content views, which are the distinct
        pairs of a clip and a target length.
    view : (R,) int64
        Content view of each reconstruction.
    emotion : Interpolation
        From the convolutional frames of the emotion encoder to 30 frames per second, once per clip.
    emotion_to_motion : Interpolation
        From the frames of the emotion encoder to the frames of each reconstruction.
    intensity : (R, 2) float32
        Weights of the intensities.
    subject : (R, S) float32
        Weights of the subjects.
    """

    content: Interpolation
    view: Tensor
    emotion: Interpolation
    emotion_to_motion: Interpolation
    intensity: Tensor
    subject: Tensor

    @classmethod
    def from_spec(cls, spec: ReconstructionSpec, content_conv: ConvFrames, emotion_conv: ConvFrames) -> "BatchLayout":
        """Create the layout of reconstructions for encoders with the given convolutional stacks."""
        content_lengths = [content_conv.count(samples) for samples in spec.content_samples]
        emotion_lengths = [emotion_conv.count(samples) for samples in spec.emotion_samples]
        emotion_frames = [num_emotion_frames(length) for length in emotion_lengths]
        views, view = _unique_with_inverse(zip(spec.content, spec.num_frames, strict=True))
        clips = [spec.content[r] for r in views]
        content_positions = [
            interpolation_positions(content_lengths[clip], spec.num_frames[r])
            for clip, r in zip(clips, views, strict=True)
        ]
        return cls(
            content=Interpolation.from_positions(content_lengths, clips, content_positions),
            view=torch.tensor(view),
            emotion=Interpolation.from_positions(
                emotion_lengths,
                range(len(emotion_lengths)),
                [interpolation_positions(*lengths) for lengths in zip(emotion_lengths, emotion_frames, strict=True)],
            ),
            emotion_to_motion=Interpolation.from_positions(
                emotion_frames,
                spec.emotion,
                [
                    interpolation_positions(emotion_frames[e], n)
                    for e, n in zip(spec.emotion, spec.num_frames, strict=True)
                ],
            ),
            intensity=torch.eye(NUM_INTENSITIES)[list(spec.intensity)],
            subject=torch.tensor([subject_weights(subject, spec.num_slots) for subject in spec.subject]),
        )


def _unique_with_inverse(keys: Iterable[K]) -> tuple[list[int], list[int]]:
    """Return the index of the first occurrence of each unique key, and the index of each key among the unique ones."""
    index_of: dict[K, int] = {}
    first: list[int] = []
    inverse = []
    for i, key in enumerate(keys):
        if key not in index_of:
            index_of[key] = len(index_of)
            first.append(i)
        inverse.append(index_of[key])
    return first, inverse
