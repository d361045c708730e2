"""Memory that a process and its copies share: long arrays pass between them without being sent."""

import mmap
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

Room: TypeAlias = np.ndarray
"""(N,) uint8: a piece of shared memory."""

_ALIGNMENT = 64


class SharedRing:
    """Rooms of any size in one piece of memory, taken and given back in the same order.

    Copies of the process that were made after the ring see the same memory. Only the original takes and gives back; a
    copy is told where a room is, and finds the ring again when it is sent to it.

    Parameters
    ----------
    num_bytes
        Size of all of it. Memory that is never used costs nothing.
    """

    def __init__(self, num_bytes: int) -> None:
        self._memory = np.frombuffer(mmap.mmap(-1, num_bytes + _ALIGNMENT), np.uint8)
        self._held: deque[slice] = deque()
        self._end = 0
        _rings[id(self)] = self

    def __reduce__(self) -> tuple[Callable[[int], Any], tuple[int]]:
        return _ring_of, (id(self),)

    def __getitem__(self, place: slice) -> Room:
        return self._memory[place]

    def take(self, num_bytes: int) -> slice | None:
        """Where the next room is, or None while there is no place for it.

        Raises
        ------
        ValueError
            If there never will be.
        """
        size = -(-num_bytes // _ALIGNMENT) * _ALIGNMENT
        if size > len(self._memory):
            raise ValueError(f"a room of {num_bytes} bytes in a ring of {len(self._memory)}")
        start = self._end if self._held else 0
        limit = len(self._memory)
        if self._held:
            oldest = self._held[0].start
            if start < oldest:  # Around the end once: up to the oldest room, which is never quite reached.
                limit = oldest - 1
            elif start + size > limit:
                start, limit = 0, oldest - 1
        if start + size > limit:
            return None
        self._end = start + size
        self._held.append(slice(start, start + num_bytes))
        return self._held[-1]

    def give_back(self) -> None:
        """The oldest room is free again."""
        self._held.popleft()


_rings: WeakValueDictionary[int, SharedRing] = WeakValueDictionary()


def _ring_of(number: int) -> SharedRing:
    return _rings[number]
