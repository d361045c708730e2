"""Forming of batches: examples of like length stand together, so that little of a batch is padding."""

from collections.abc import Sequence

from emotalk.training.schedule import Example
from emotalk.training.settings import TrainingSettings

_POOL = 256
"""About as many consecutive examples of an epoch are sorted by length: beyond, its order stays random."""


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


def plan_steps(examples: Sequence[Example], settings: TrainingSettings) -> list[Sequence[list[Example]]]:
    """Optimizer steps of an epoch with these examples: the batches of each."""
    return in_groups(form_batches(examples, settings.batch_size, settings.max_frames_per_batch), settings.accumulate)


def share_of(group: Sequence[list[Example]], rank: int, count: int) -> list[list[Example]]:
    """What one of `count` processes computes of a step: of each batch a part as large as those of the others.

    Where parts cannot be equal, the larger one goes to the next process with each batch. A process may get nothing.
    """
    parts = (batch[(rank + number) % count :: count] for number, batch in enumerate(group))
    return [part for part in parts if part]
