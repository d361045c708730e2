"""Batches: the steps of an epoch, the reconstructions of each example, their tensors, and prefetching.

A batch holds each clip once, even if several reconstructions use it, so that the network encodes it once.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from emotalk.data.clips import ClipStore, from_int16
from emotalk.data.manifest import Example
from emotalk.emotions import UNLABELLED
from emotalk.errors import TrainingError
from emotalk.model.batch_layout import BatchLayout, ConvFrames
from emotalk.model.inputs import ReconstructionSpec
from emotalk.model.sequences import map_tensors, pad_batch, speech_batch
from emotalk.subjects import NUM_RELEASED_SLOTS
from emotalk.training.features import FeatureStore
from emotalk.training.settings import RunSettings

_POOL_SIZE = 256
"""Approximate number of consecutive examples that are sorted by length together; the order of pools stays random."""
_CLIP_COLUMNS = ("audio_c1e2", "audio_c2e1", "track_c1e1", "track_c2e2")
_NUM_PREFETCHED = 3
"""Number of batches that are prepared in advance for a GPU."""


class Reconstruction(NamedTuple):
    """One output of the network and its target.

    Attributes
    ----------
    content, emotion, target
        Clip ids of the content audio, of the emotion reference, and of the target track.
    term
        Loss term of the squared error: "cross" or "self".
    has_velocity
        Whether the velocity term includes this output.
    emotion_class
        Emotion class for the classification term, or `UNLABELLED`.
    """

    content: str
    emotion: str
    target: str
    term: str
    has_velocity: bool
    emotion_class: int = UNLABELLED


NUM_RECONSTRUCTIONS = {"self": 1, "cross": 3, "random": 3}
"""Number of reconstructions of an example, by kind."""


def list_reconstructions(example: Example, velocity_on: str) -> list[Reconstruction]:
    """Return the reconstructions of one example.

    Parameters
    ----------
    velocity_on
        Outputs in the velocity term: "every" output, the two "cross" reconstructions, or the "first" of these. The
        output of a single clip is always included.

    Source
    ------
    `cross`: paper, equations 2 to 5, which do not specify the outputs in the velocity term. `random`: training report
    (velocity term on the first output only, no classification); see docs/method.md, section "Losses".
    """
    main, partner = example["audio_c1e2"], example["audio_c2e1"]
    if example["kind"] == "self":
        return [Reconstruction(main, main, main, "self", True)]
    is_random = example["kind"] == "random"
    first, second = (UNLABELLED if is_random else example[name] for name in ("emotion_e1", "emotion_e2"))
    return [
        Reconstruction(main, partner, example["track_c1e1"], "cross", True, first),
        Reconstruction(partner, main, example["track_c2e2"], "cross", velocity_on != "first", second),
        Reconstruction(main, main, main, "self", velocity_on == "every"),
    ]


@dataclass(frozen=True)
class AudioInputs:
    """Padded inputs of the two encoders: waveforms (B, N), or cached features (B, L, C)."""

    content: Tensor
    emotion: Tensor
    are_features: bool


@dataclass(frozen=True)
class Batch:
    """Examples as tensors; R reconstructions of E examples.

    Attributes
    ----------
    audio
        Inputs of the encoders.
    layout
        Indices of the clips that each reconstruction uses.
    targets : (R, max T, 52) float32
        Target tracks, padded with zeros at the end.
    is_cross, has_velocity : (R,) bool
        Loss terms of each reconstruction; one that is not in "cross" is in "self".
    emotion_classes : (R,) int64
        Emotion classes, or `UNLABELLED`.
    examples
        The E rows of the manifest.
    """

    audio: AudioInputs
    layout: BatchLayout
    targets: Tensor
    is_cross: Tensor
    has_velocity: Tensor
    emotion_classes: Tensor
    examples: Sequence[Example]

    @property
    def num_examples(self) -> int:
        """E."""
        return len(self.examples)

    @property
    def mask(self) -> Tensor:
        """True for frames of a target, False for padding, (R, max T) bool."""
        return self.layout.emotion_to_motion.mask

    def pin_memory(self) -> "Batch":
        """Copy to page-locked memory, which allows asynchronous copies to a GPU."""
        return map_tensors(self, Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device; asynchronous for a pinned batch."""
        return map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class BatchMaker:
    """Collates examples to batches in host memory.

    Attributes
    ----------
    store
        Store of all clips.
    conv_frames
        Frame counts of the convolutional stacks of the content and the emotion encoder.
    velocity_on
        See `list_reconstructions`.
    features
        Cached features for the content and the emotion encoder, or None to use waveforms.
    num_slots
        Number of subject slots of the network.
    """

    store: ClipStore
    conv_frames: tuple[ConvFrames, ConvFrames]
    velocity_on: str
    features: tuple[FeatureStore, FeatureStore] | None = None
    num_slots: int = NUM_RELEASED_SLOTS

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Batch of some examples; their clips must be in the store."""
        rows = [(example, item) for example in examples for item in list_reconstructions(example, self.velocity_on)]
        items = [item for _, item in rows]
        clip_ids = list(dict.fromkeys(clip for item in items for clip in (item.content, item.emotion)))
        index = {clip_id: i for i, clip_id in enumerate(clip_ids)}
        tracks = [self.store[item.target].track for item in items]
        num_samples = [len(self.store[clip_id].waveform) for clip_id in clip_ids]
        spec = ReconstructionSpec(
            content_samples=num_samples,
            emotion_samples=num_samples,
            content=[index[item.content] for item in items],
            emotion=[index[item.emotion] for item in items],
            num_frames=[len(track) for track in tracks],
            intensity=[example["intensity"] for example, _ in rows],
            subject=[example["subject"] for example, _ in rows],
            num_slots=self.num_slots,
        )
        return Batch(
            audio=self._load_audio(clip_ids),
            layout=BatchLayout.from_spec(spec, *self.conv_frames),
            targets=pad_batch(tracks),
            is_cross=torch.tensor([item.term == "cross" for item in items]),
            has_velocity=torch.tensor([item.has_velocity for item in items]),
            emotion_classes=torch.tensor([item.emotion_class for item in items]),
            examples=examples,
        )

    def _load_audio(self, clip_ids: Sequence[str]) -> AudioInputs:
        if self.features is None:
            speech = speech_batch([from_int16(self.store[name].waveform) for name in clip_ids])
            return AudioInputs(speech, speech, are_features=False)
        # Encoders with a common store share one tensor, which is then padded and copied to the device once.
        padded = {store: pad_batch([store[name] for name in clip_ids]) for store in set(self.features)}
        content, emotion = (padded[store] for store in self.features)
        return AudioInputs(content, emotion, are_features=True)


def form_batches(examples: Sequence[Example], batch_size: int, max_frames: int | None) -> list[list[Example]]:
    """Group examples of similar length into batches, deterministically.

    Every example is in exactly one batch. Batches are sorted by their first example, so that their order is as random
    as that of the examples; with a `batch_size` of 1 the order does not change.

    Parameters
    ----------
    batch_size
        Maximum number of examples per batch.
    max_frames
        Maximum number of reconstructed frames per batch, or None. A longer example forms a batch by itself.
    """
    batches = []
    size = batch_size * max(1, _POOL_SIZE // batch_size)
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
    """Mean number of frames per reconstruction of an example."""
    return example["num_frames"] / NUM_RECONSTRUCTIONS[example["kind"]]


def group_batches(batches: Sequence[list[Example]], size: int) -> list[Sequence[list[Example]]]:
    """Group consecutive batches, one optimizer step per group; the last group may be smaller."""
    return [batches[start : start + size] for start in range(0, len(batches), size)]


def plan_steps(examples: Sequence[Example], settings: RunSettings) -> list[Sequence[list[Example]]]:
    """Optimizer steps of an epoch, each as a list of batches."""
    batches = form_batches(examples, settings.batch_size, settings.max_frames_per_batch)
    return group_batches(batches, settings.accumulate)


def select_share(step: Sequence[list[Example]], rank: int, num_processes: int) -> list[list[Example]]:
    """Examples of a step that process `rank` computes: an equal part of each batch.

    If a batch cannot be divided equally, the processes with the larger parts rotate from batch to batch. The result is
    empty if the step has fewer examples than processes.
    """
    parts = (batch[(rank + number) % num_processes :: num_processes] for number, batch in enumerate(step))
    return [part for part in parts if part]


def load_batches(plan: Sequence[Sequence[Example]], make_batch: BatchMaker, device: torch.device) -> Iterator[Batch]:
    """Load batches to `device`, in the order of the plan.

    For a GPU a thread prefetches: collating a batch takes 5 ms, while passing its twenty tensors from another process
    took 20 ms. On the CPU a thread would only compete with the computation.

    Raises
    ------
    TrainingError
        If a clip of the manifest is missing in the store.
    """
    clip_ids = {example[name] for examples in plan for example in examples for name in _CLIP_COLUMNS} - {None}
    missing = sorted(clip_id for clip_id in clip_ids if clip_id not in make_batch.store)
    if missing:
        raise TrainingError(
            f"The clip store does not contain {len(missing)} clips of the manifest, for example {missing[0]}. Run "
            "--forcerun slice."
        )
    if device.type != "cuda":
        yield from map(make_batch, plan)
        return

    def read(examples: Sequence[Example]) -> Batch:
        with torch.cuda.device(device):  # The current GPU is per thread; a new thread has GPU 0.
            return make_batch(examples).pin_memory()

    for batch in prefetch(plan, read):
        yield batch.to(device)


def prefetch(plan: Sequence[Sequence[Example]], read: Callable[[Sequence[Example]], Batch]) -> Iterator[Batch]:
    """Call `read` for each item of the plan in a background thread; yields the results in order."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
        pending: deque[Future[Batch]] = deque()
        try:
            for examples in plan:
                pending.append(reader.submit(read, examples))
                if len(pending) > _NUM_PREFETCHED:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
