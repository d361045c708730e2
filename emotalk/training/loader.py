"""Loading: on a GPU, batches are read while the steps before them are computed."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
