"""Work on many items at once by helping processes, results in the order of the items, at bounded memory."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Generic, TypeVar

import numpy as np

from emotalk.errors import EmoTalkError
from emotalk.sharedring import Room, SharedRing

T = TypeVar("T")
R = TypeVar("R")
B = TypeVar("B")
_CAN_COPY_PROCESSES = sys.platform == "linux"
_AHEAD = 3
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Job(Generic[T, B]):
    """One item of work.

    Attributes
    ----------
    item
        What a helper is given; it should be small.
    num_bytes
        Size of the item's room.
    data
        What the room begins with, if anything.
    ready
        What would come of it, if that is known already: nobody works on it then.
    """

    item: T
    num_bytes: int = 0
    data: np.ndarray | None = None
    ready: B | None = None


def in_processes(
    work: Callable[[T, Room], R],
    finish: Callable[[T, R, Room], B],
    jobs: Iterable[Job[T, B]],
    *,
    processes: int,
    memory: int = 0,
) -> Iterator[B]:
    """Yield what comes of each job: `finish(item, work(item, room), room)`, worked on by helpers, some items ahead.

    A room is memory that helpers and this process share, so that long arrays need not be sent; it is valid until the
    next result is asked for. Helpers are copies of this process, there at once and with all that is imported. Where a
    system cannot copy processes (it is not Linux), or `processes` is 1, this process does the work itself.

    Parameters
    ----------
    memory
        Bytes of all rooms together, at least those of the largest.

    Raises
    ------
    EmoTalkError
        If a process dies, of lack of memory for example.
    """
    alone = processes == 1 or not _CAN_COPY_PROCESSES
    with _Here() if alone else ProcessPoolExecutor(processes, get_context("fork")) as helpers:
        queue = _Queue(helpers, work, finish, memory=memory, most=1 if alone else processes * _AHEAD)
        try:
            for job in jobs:
                while queue.is_full or not queue.add(job):
                    yield from queue.oldest()
            while not queue.is_empty:
                yield from queue.oldest()
        except BrokenProcessPool:
            raise EmoTalkError(
                "A process that helped has died, most often of lack of memory. Give the job more memory or fewer "
                "threads, and type the command again."
            ) from None
        finally:
            queue.cancel()


class _Here(Executor):
    """Work done where it is asked for."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args, **kwargs))
        return done


class _Queue(Generic[T, R, B]):
    """Jobs in their order: those under way with helpers, some at a time, and those that are being gathered."""

    def __init__(
        self,
        helpers: Executor,
        work: Callable[[T, Room], R],
        finish: Callable[[T, R, Room], B],
        *,
        memory: int,
        most: int,
    ) -> None:
        self._helpers, self._work, self._finish = helpers, work, finish
        self._ring, self._most = SharedRing(memory), most
        self._at_once, self._share = 1 if most == 1 else _AT_ONCE, memory // most
        self._open: list[tuple[Job[T, B], slice]] = []
        self._submitted: deque[tuple[list[tuple[Job[T, B], slice]], Future[list[R]]]] = deque()

    @property
    def is_full(self) -> bool:
        return len(self._submitted) == self._most

    @property
    def is_empty(self) -> bool:
        return not self._submitted and not self._open

    def add(self, job: Job[T, B]) -> bool:
        """Take a job; False while there is no room for it."""
        place = self._ring.take(job.num_bytes)
        if place is None:
            return False
        if job.ready is None and job.data is not None:
            self._ring[place][: job.data.nbytes] = job.data.reshape(-1).view(np.uint8)
        self._open.append((job, place))
        size = sum(place.stop - place.start for _, place in self._open)
        if len(self._open) == self._at_once or size > self._share:
            self._submit()
        return True

    def _submit(self) -> None:
        """Let helpers work on what was gathered."""
        tasks = [(job.item, place) for job, place in self._open if job.ready is None]
        self._submitted.append((self._open, self._helpers.submit(_each, self._work, tasks, self._ring)))
        self._open = []

    def oldest(self) -> Iterator[B]:
        """What is due next; its rooms are free afterwards."""
        if not self._submitted:
            self._submit()
        jobs, future = self._submitted.popleft()
        made = iter(future.result())
        for job, place in jobs:
            yield self._finish(job.item, next(made), self._ring[place]) if job.ready is None else job.ready
            self._ring.give_back()

    def cancel(self) -> None:
        """Begin nothing new."""
        for _, future in self._submitted:
            future.cancel()


def _each(work: Callable[[T, Room], R], tasks: list[tuple[T, slice]], ring: SharedRing) -> list[R]:
    return [work(item, ring[place]) for item, place in tasks]
