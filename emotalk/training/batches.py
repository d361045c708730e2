"""Batches: which reconstructions an example asks for, and their tensors.

A clip that several reconstructions share stands in the batch once; the network encodes it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from emotalk.corpus.alignments import Alignments
from emotalk.corpus.clips import ClipStore
from emotalk.corpus.samples import from_int16
from emotalk.emotions import UNLABELLED
from emotalk.model.inputs import Request
from emotalk.model.layout import ConvFrames, Layout
from emotalk.model.sequences import map_tensors, pad_batch, speech_batch
from emotalk.training.features import FeatureStore
from emotalk.training.schedule import Example


class Reconstruction(NamedTuple):
    """One output of the network and what it is held against.

    Attributes
    ----------
    content, emotion, target
        Clip ids of the audio that is spoken, of the audio whose emotion is worn, and of the track to match.
    term
        Loss term of its squared error: "cross" or "self".
    has_velocity
        Whether it counts in the velocity term.
    label
        Class of its emotion for the classification term, or `UNLABELLED`.
    """

    content: str
    emotion: str
    target: str
    term: str
    has_velocity: bool
    label: int = UNLABELLED


def reconstructions(example: Example, velocity_on: str) -> list[Reconstruction]:
    """Outputs that an example asks for.

    Parameters
    ----------
    velocity_on
        Outputs in the velocity term: "every" one, the two "cross" reconstructions, or the "first" of them; a clip
        alone counts in any case.

    Source
    ------
    `cross`: paper, equations 2 to 5, which leave open what the velocity term falls on. `random`: the training report,
    whose velocity term is on the first output, without classification.
    """
    main, donor = example["audio_c1e2"], example["audio_c2e1"]
    if example["kind"] == "self":
        return [Reconstruction(main, main, main, "self", True)]
    labels = (UNLABELLED, UNLABELLED) if example["kind"] == "random" else (example["emotion_e1"], example["emotion_e2"])
    return [
        Reconstruction(main, donor, example["track_c1e1"], "cross", True, labels[0]),
        Reconstruction(donor, main, example["track_c2e2"], "cross", velocity_on != "first", labels[1]),
        Reconstruction(main, main, main, "self", velocity_on == "every"),
    ]


@dataclass(frozen=True)
class Heard:
    """The clips of a batch, padded, as each encoder takes them: waveforms (B, N), or cached features (B, L, C)."""

    content: Tensor
    emotion: Tensor
    are_features: bool


@dataclass(frozen=True)
class Batch:
    """Examples as tensors; R reconstructions of E examples.

    Attributes
    ----------
    heard
        The clips that are heard.
    layout
        Which reconstructions to make of them.
    targets : (R, max T, 52) float32
        Tracks to match, zeros behind the shorter ones.
    is_cross, has_velocity : (R,) bool
        Which terms a reconstruction counts in; one that is not cross is self.
    labels : (R,) int64
        Emotion classes, `UNLABELLED` for none.
    examples
        The E rows of the manifest.
    """

    heard: Heard
    layout: Layout
    targets: Tensor
    is_cross: Tensor
    has_velocity: Tensor
    labels: Tensor
    examples: Sequence[Example]

    @property
    def num_examples(self) -> int:
        """E."""
        return len(self.examples)

    @property
    def mask(self) -> Tensor:
        """True where a target has a frame, (R, max T) bool."""
        return self.layout.emotion_to_motion.mask

    def pin_memory(self) -> "Batch":
        """In page-locked memory, from which a copy to the GPU does not wait."""
        return map_tensors(self, Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """On a device; the copy of a pinned batch is not waited for."""
        return map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class BatchMaker:
    """Reads the clips of examples and lays them out as a batch, in host memory.

    Attributes
    ----------
    store
        The clips.
    alignments
        Timings of spoken content in other clips; empty where it is spread evenly.
    conv_frames
        Of the content and the emotion encoder.
    velocity_on
        See `reconstructions`.
    features
        Cached features for the content and the emotion encoder, or None to take the waveforms.
    """

    store: ClipStore
    alignments: Alignments
    conv_frames: tuple[ConvFrames, ConvFrames]
    velocity_on: str
    features: tuple[FeatureStore, FeatureStore] | None = None

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Batch of some examples, all of whose clips are in the store."""
        wanted = [(example, item) for example in examples for item in reconstructions(example, self.velocity_on)]
        items = [item for _, item in wanted]
        clip_ids = list(dict.fromkeys(clip for item in items for clip in (item.content, item.emotion)))
        place = {clip_id: i for i, clip_id in enumerate(clip_ids)}
        tracks = [torch.tensor(self.store[item.target].track) for item in items]
        num_samples = [len(self.store[clip_id].waveform) for clip_id in clip_ids]
        timings = [(item.content, item.target) for item in items]
        warps = {timing: self.alignments.get(*timing) for timing in set(timings)}
        request = Request(
            content_samples=num_samples,
            emotion_samples=num_samples,
            content=[place[item.content] for item in items],
            emotion=[place[item.emotion] for item in items],
            num_frames=[len(track) for track in tracks],
            level=[example["intensity"] for example, _ in wanted],
            person=[example["subject"] for example, _ in wanted],
            warps=[warps[timing] for timing in timings],
        )
        return Batch(
            heard=self._hear(clip_ids),
            layout=Layout.of(request, *self.conv_frames),
            targets=pad_batch(tracks),
            is_cross=torch.tensor([item.term == "cross" for item in items]),
            has_velocity=torch.tensor([item.has_velocity for item in items]),
            labels=torch.tensor([item.label for item in items]),
            examples=examples,
        )

    def _hear(self, clip_ids: Sequence[str]) -> Heard:
        if self.features is None:
            speech = speech_batch([torch.from_numpy(from_int16(self.store[name].waveform)) for name in clip_ids])
            return Heard(speech, speech, are_features=False)
        # Encoders that share a store share its batch, which is then made and moved once.
        made = {store: pad_batch([torch.tensor(store[name]) for name in clip_ids]) for store in set(self.features)}
        content, emotion = (made[store] for store in self.features)
        return Heard(content, emotion, are_features=True)
