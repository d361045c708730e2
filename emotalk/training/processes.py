"""The processes that share the steps of a run; usually one."""

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
_PATIENCE = timedelta(days=1)
"""How long a process waits for the others: one may be writing features of a large corpus. The launcher ends all of them
as soon as one dies."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Processes:
    """The process that runs this, among those of its run.

    Tensors are exchanged where they are, everything else through the hosts.

    Attributes
    ----------
    rank
        Its number, from 0.
    count
        How many there are.
    hosts
        Their connection on the hosts; None for a single process.
    """

    rank: int = 0
    count: int = 1
    hosts: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and tells."""
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.count > 1:
            for work in [distributed.all_reduce(tensor, async_op=True) for tensor in tensors]:
                work.wait()

    def highest(self, value: int) -> int:
        """Highest value of any process."""
        if self.count == 1:
            return value
        highest = torch.tensor(value)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX, group=self.hosts)
        return int(highest)

    def gather(self, value: T) -> list[T]:
        """Values of all processes, by rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value, group=self.hosts)
        return values

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Context that the main process goes through before all others."""
        if not self.is_main:
            distributed.barrier(group=self.hosts)
        yield
        if self.is_main and self.count > 1:
            distributed.barrier(group=self.hosts)


ALONE = Processes()
"""One process."""


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Context in which this process, started by torchrun, is connected to the others of its run."""
    _die_with_the_launcher()
    backend, gpu = ("nccl", device) if device.type == "cuda" else ("gloo", None)
    distributed.init_process_group(backend, timeout=_PATIENCE, device_id=gpu)
    try:
        hosts = distributed.new_group(backend="gloo", timeout=_PATIENCE)
        yield Processes(distributed.get_rank(), distributed.get_world_size(), hosts)
    finally:
        distributed.destroy_process_group()


def _die_with_the_launcher() -> None:
    """Else workers would go on writing after a SIGKILL of the launcher, beside those of a run begun again."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
