"""The processes that share the steps of a run: started by torchrun, connected by torch.distributed. Usually one."""

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
"""How long a process waits for the others: one may be writing features of a large corpus. torchrun ends all of them as
soon as one dies."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run, seen from this one.

    Tensors are exchanged on their device, everything else through the hosts.

    Attributes
    ----------
    rank
        Number of this process, from 0.
    size
        Number of processes.
    hosts
        Their connection on the hosts; None for a single process.
    """

    rank: int = 0
    size: int = 1
    hosts: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and log lines."""
        return self.rank == 0

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size > 1:
            for work in [distributed.all_reduce(tensor, async_op=True) for tensor in tensors]:
                work.wait()

    def all_reduce_max(self, value: int) -> int:
        """Largest value of any process."""
        if self.size == 1:
            return value
        largest = torch.tensor(value)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self.hosts)
        return int(largest)

    def all_gather(self, value: T) -> list[T]:
        """Values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value, group=self.hosts)
        return values

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Context that the main process goes through before all others."""
        if not self.is_main:
            distributed.barrier(group=self.hosts)
        yield
        if self.is_main and self.size > 1:
            distributed.barrier(group=self.hosts)


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def init_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Context in which this process, started by torchrun, is connected to the others of its run."""
    _die_with_parent()
    backend, gpu = ("nccl", device) if device.type == "cuda" else ("gloo", None)
    distributed.init_process_group(backend, timeout=_TIMEOUT, device_id=gpu)
    try:
        hosts = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size(), hosts)
    finally:
        distributed.destroy_process_group()


def _die_with_parent() -> None:
    """Else workers would write on after a SIGKILL of torchrun, beside those of the next attempt."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
