"""Work on many items at once, results in the order of the items, at bounded memory."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from emotalk.errors import EmoTalkError

T = TypeVar("T")
R = TypeVar("R")
_START = "fork" if sys.platform == "linux" else None
"""Linux: a copy of this process, at once and with all that is imported; elsewhere what the system knows."""
_AHEAD = 3
_AT_ONCE = 8


def in_threads(
    work: Callable[[T], R], items: Iterable[T], *, threads: int, weight: Callable[[T], float], budget: float
) -> Iterator[R]:
    """Yield `work(item)` for each item; later items are worked on while earlier results are used.

    For work with large results, which processes would have to send, and most of which is done by libraries that leave
    the interpreter to others.

    Parameters
    ----------
    weight, budget
        What an item costs in memory, and how much may be under way at once. One item may always be.
    """
    with ThreadPoolExecutor(threads) as pool:
        yield from _in_order(pool, work, ((item, weight(item)) for item in items), threads * _AHEAD, budget)


def in_processes(work: Callable[[T], R], items: Iterable[T], *, processes: int) -> Iterator[R]:
    """Yield `work(item)` for each item, done in processes of their own, some items at a time.

    For work with small results that keeps the interpreter busy. One process means this one.

    Raises
    ------
    EmoTalkError
        If a process dies, of lack of memory for example.
    """
    if processes == 1:
        yield from map(work, items)
        return
    items = iter(items)
    chunks = iter(lambda: list(islice(items, _AT_ONCE)), [])
    with ProcessPoolExecutor(processes, get_context(_START)) as pool:
        try:
            for results in _in_order(
                pool, partial(_each, work), ((chunk, 0.0) for chunk in chunks), processes * _AHEAD, 1.0
            ):
                yield from results
        except BrokenProcessPool:
            raise EmoTalkError(
                "A process that helped has died, most often of lack of memory. Give the job more memory or fewer "
                "threads, and type the command again."
            ) from None


def _each(work: Callable[[T], R], items: list[T]) -> list[R]:
    return [work(item) for item in items]


def _in_order(
    pool: Executor, work: Callable[[T], R], items: Iterable[tuple[T, float]], most: int, budget: float
) -> Iterator[R]:
    """Results for items, each given with its weight."""
    under_way: deque[tuple[Future[R], float]] = deque()
    held = 0.0
    try:
        for item, weight in items:
            while under_way and (held + weight > budget or len(under_way) == most):
                future, freed = under_way.popleft()
                yield future.result()
                held -= freed
            under_way.append((pool.submit(work, item), weight))
            held += weight
        while under_way:
            yield under_way.popleft()[0].result()
    finally:
        for future, _ in under_way:
            future.cancel()
