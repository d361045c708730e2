"""Loading: on a GPU, batches are read while the steps before them are computed."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from emotalk.errors import TrainingError
from emotalk.training.batches import Batch, BatchMaker
from emotalk.training.schedule import Example

_CLIPS = ("audio_c1e2", "audio_c2e1", "track_c1e1", "track_c2e2")
_AHEAD = 3
"""Batches that are read before they are asked for."""


def load_batches(plan: Sequence[Sequence[Example]], make: BatchMaker, device: torch.device) -> Iterator[Batch]:
    """Batches on `device`, in the order of the plan.

    A GPU's are read by a thread: a batch takes 5 ms to make, and to hand its twenty tensors from another process to
    this one took 20. The CPU reads where it computes, which is what reading would take its time from.

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
    for batch in read_ahead(plan, make):
        yield batch.to(device)


def read_ahead(plan: Sequence[Sequence[Example]], make: BatchMaker) -> Iterator[Batch]:
    """Batches that a thread makes and, where there is a GPU, puts where it copies from without a wait."""

    def read(examples: Sequence[Example]) -> Batch:
        batch = make(examples)
        return batch.pin_memory() if torch.cuda.is_available() else batch

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
