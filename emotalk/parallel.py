"""Work on many items in several threads, results in the order of the items, at bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 4


def in_order(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int,
    weight: Callable[[T], float] = lambda _: 0.0,
    budget: float = 1.0,
) -> Iterator[R]:
    """Yield `work(item)` for each item; later items are worked on while earlier results are used.

    Threads suffice: decoding, hashing and arithmetic on arrays leave the interpreter to others.

    Parameters
    ----------
    threads
        How many items are worked on at once; a few more may wait.
    weight, budget
        What an item costs in memory, and how much may be under way at once. One item may always be.
    """
    with ThreadPoolExecutor(threads) as pool:
        under_way: deque[tuple[Future[R], float]] = deque()
        held = 0.0
        try:
            for item in items:
                cost = weight(item)
                while under_way and (held + cost > budget or len(under_way) == threads * _AHEAD):
                    future, freed = under_way.popleft()
                    yield future.result()
                    held -= freed
                under_way.append((pool.submit(work, item), cost))
                held += cost
            while under_way:
                yield under_way.popleft()[0].result()
        finally:
            for future, _ in under_way:
                future.cancel()
