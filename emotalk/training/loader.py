"""Loading: batches are read ahead of the step that takes them."""

import signal
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Dataset

from emotalk.errors import TrainingError
from emotalk.training.batches import Batch, BatchMaker
from emotalk.training.schedule import Example
from emotalk.training.signals import SIGNALS

_CLIPS = ("audio_c1e2", "audio_c2e1", "track_c1e1", "track_c2e2")


class _Batches(Dataset[Batch]):
    """Batches by number, each made when it is asked for."""

    def __init__(self, plan: Sequence[Sequence[Example]], make: BatchMaker) -> None:
        self._plan, self._make = plan, make

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, number: int) -> Batch:
        return self._make(self._plan[number])


def _leave_signals_to_training(number: int) -> None:
    """A signal to the whole group must not kill what the last step before saving reads from."""
    for name in SIGNALS:
        signal.signal(signal.Signals[name], signal.SIG_IGN)


def load_batches(
    plan: Sequence[Sequence[Example]], make: BatchMaker, device: torch.device, workers: int
) -> Iterator[Batch]:
    """Batches on `device`, in the order of the plan.

    Parameters
    ----------
    workers
        Processes that read ahead; 0 reads in this one. They draw nothing at random.

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
    loader = DataLoader(
        _Batches(plan, make),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=_leave_signals_to_training,
        # A generator of its own: else the loader would draw from the one that dropout draws from.
        generator=torch.Generator(),
    )
    for batch in loader:
        yield batch.to(device)
