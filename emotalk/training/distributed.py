"""Data-parallel processes of a run: started by torchrun, connected by torch.distributed."""

import ctypes
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")
_TIMEOUT = timedelta(days=1)
"""Timeout of collective operations: long, as one process may cache the features of a large corpus. If a process dies,
torchrun stops the others at once."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ProcessGroup:
    """Processes of a run, with the rank of this one.

    Tensors are exchanged on their device, all other values on the CPU.

    Attributes
    ----------
    rank
        Number of this process, from 0.
    size
        Number of processes.
    cpu_group
        Process group for values on the CPU; None for a single process.
    """

    rank: int = 0
    size: int = 1
    cpu_group: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and log lines."""
        return self.rank == 0

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in place."""
        if self.size > 1:
            for work in [distributed.all_reduce(tensor, async_op=True) for tensor in tensors]:
                work.wait()

    def all_reduce_max(self, value: int) -> int:
        """Maximum of a value over all processes."""
        if self.size == 1:
            return value
        largest = torch.tensor(value)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self.cpu_group)
        return int(largest)

    def all_gather(self, value: T) -> list[T]:
        """Values of all processes, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value, group=self.cpu_group)
        return values

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Context that the main process runs first; the others wait for it."""
        if not self.is_main:
            distributed.barrier(group=self.cpu_group)
        yield
        if self.is_main and self.size > 1:
            distributed.barrier(group=self.cpu_group)


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def init_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Context with a process group of the processes that torchrun started."""
    _die_with_parent()
    backend, gpu = ("nccl", device) if device.type == "cuda" else ("gloo", None)
    distributed.init_process_group(backend, timeout=_TIMEOUT, device_id=gpu)
    try:
        cpu_group = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size(), cpu_group)
    finally:
        distributed.destroy_process_group()


def _die_with_parent() -> None:
    """Kill this process when torchrun dies, so that it does not write at the same time as the next attempt."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
