"""Batches: the steps of an epoch, which reconstructions an example asks for, their tensors, and reading them ahead.

A clip that several reconstructions share stands in the batch once; the network encodes it once.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Example
from emotalk.data.samples import from_int16
from emotalk.emotions import UNLABELLED
from emotalk.errors import TrainingError
from emotalk.model.inputs import Request
from emotalk.model.layout import ConvFrames, Layout
from emotalk.model.sequences import map_tensors, pad_batch, speech_batch
from emotalk.training.features import FeatureStore
from emotalk.training.settings import RunSettings

_POOL = 256
"""About as many consecutive examples of an epoch are sorted by length: beyond, its order stays random."""
_CLIPS = ("audio_c1e2", "audio_c2e1", "track_c1e1", "track_c2e2")
_AHEAD = 3
"""Batches that a GPU's reader prepares before they are asked for."""


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
    conv_frames
        Of the content and the emotion encoder.
    velocity_on
        See `reconstructions`.
    features
        Cached features for the content and the emotion encoder, or None to take the waveforms.
    """

    store: ClipStore
    conv_frames: tuple[ConvFrames, ConvFrames]
    velocity_on: str
    features: tuple[FeatureStore, FeatureStore] | None = None

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Batch of some examples, all of whose clips are in the store."""
        wanted = [(example, item) for example in examples for item in reconstructions(example, self.velocity_on)]
        items = [item for _, item in wanted]
        clip_ids = list(dict.fromkeys(clip for item in items for clip in (item.content, item.emotion)))
        place = {clip_id: i for i, clip_id in enumerate(clip_ids)}
        tracks = [self.store[item.target].track for item in items]
        num_samples = [len(self.store[clip_id].waveform) for clip_id in clip_ids]
        request = Request(
            content_samples=num_samples,
            emotion_samples=num_samples,
            content=[place[item.content] for item in items],
            emotion=[place[item.emotion] for item in items],
            num_frames=[len(track) for track in tracks],
            level=[example["intensity"] for example, _ in wanted],
            person=[example["subject"] for example, _ in wanted],
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
            speech = speech_batch([from_int16(self.store[name].waveform) for name in clip_ids])
            return Heard(speech, speech, are_features=False)
        # Encoders that share a store share its batch, which is then made and moved once.
        made = {store: pad_batch([store[name] for name in clip_ids]) for store in set(self.features)}
        content, emotion = (made[store] for store in self.features)
        return Heard(content, emotion, are_features=True)


def form_batches(examples: Sequence[Example], batch_size: int, max_frames: int | None) -> list[list[Example]]:
    """Batches of examples of like length; the same examples always form the same batches.

    Every example is in exactly one batch. A batch stands where the first of its examples stood, so that the order of
    batches is as random as that of the examples; with a `batch_size` of 1 nothing is moved.

    Parameters
    ----------
    batch_size
        Most examples in a batch.
    max_frames
        Most frames that a batch reconstructs, or None. An example that has more is a batch of its own.
    """
    batches = []
    size = batch_size * max(1, _POOL // batch_size)
    for start in range(0, len(examples), size):
        pool = range(start, min(start + size, len(examples)))
        formed: list[list[int]] = []
        num_frames = 0
        for i in sorted(pool, key=lambda i: _length(examples[i])):
            num_frames += examples[i]["num_frames"]
            if not formed or len(formed[-1]) == batch_size or (max_frames is not None and num_frames > max_frames):
                formed.append([])
                num_frames = examples[i]["num_frames"]
            formed[-1].append(i)
        batches += [[examples[i] for i in batch] for batch in sorted(formed, key=min)]
    return batches


def _length(example: Example) -> float:
    """Frames of an example's typical reconstruction."""
    return example["num_frames"] / (1 if example["kind"] == "self" else 3)


def in_groups(items: Sequence[list[Example]], size: int) -> list[Sequence[list[Example]]]:
    """Consecutive batches in groups of `size`, one optimizer step each; the last may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def plan_steps(examples: Sequence[Example], settings: RunSettings) -> list[Sequence[list[Example]]]:
    """Optimizer steps of an epoch with these examples: the batches of each."""
    return in_groups(form_batches(examples, settings.batch_size, settings.max_frames_per_batch), settings.accumulate)


def share_of(group: Sequence[list[Example]], rank: int, count: int) -> list[list[Example]]:
    """What one of `count` processes computes of a step: of each batch a part as large as those of the others.

    Where parts cannot be equal, the larger one goes to the next process with each batch. A process may get nothing.
    """
    parts = (batch[(rank + number) % count :: count] for number, batch in enumerate(group))
    return [part for part in parts if part]


def load_batches(plan: Sequence[Sequence[Example]], make: BatchMaker, device: torch.device) -> Iterator[Batch]:
    """Batches on `device`, in the order of the plan.

    A GPU's are read by a thread: a batch takes 5 ms to make, and to hand its twenty tensors from another process to
    this one took 20. On the CPU a thread would only take time from computing.

    Raises
    ------
    TrainingError
        If the store lacks a clip of the manifest.
    """
    wanted = {example[name] for examples in plan for example in examples for name in _CLIPS} - {None}
    missing = sorted(clip_id for clip_id in wanted if clip_id not in make.store)
    if missing:
        raise TrainingError(
            f"{len(missing)} clips of the manifest are not in the clip store, {missing[0]} first. Run --forcerun slice."
        )
    if device.type != "cuda":
        yield from map(make, plan)
        return

    def read(examples: Sequence[Example]) -> Batch:
        with torch.cuda.device(device):  # A thread begins on the first GPU, wherever its process computes.
            return make(examples).pin_memory()

    for batch in read_ahead(plan, read):
        yield batch.to(device)


def read_ahead(plan: Sequence[Sequence[Example]], read: Callable[[Sequence[Example]], Batch]) -> Iterator[Batch]:
    """What `read` makes of each part of a plan, in a thread that goes on while the parts before are used."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
        ahead: deque[Future[Batch]] = deque()
        try:
            for examples in plan:
                ahead.append(reader.submit(read, examples))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for each in ahead:
                each.cancel()
