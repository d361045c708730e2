"""Writing behind training's back: it waits for a copy to host memory, and not for the disk."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import zip_longest
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from emotalk.device import free_memory

_LOG = logging.getLogger(__name__)
_HEADROOM = 1.2
"""Memory that must be free for a copy, as a multiple of it: the system wants some to write from."""


class BackgroundWriter:
    """Writes one thing after the other in a thread of its own.

    Parameters
    ----------
    write
        Called with a copy of what is submitted, or with the thing itself where host memory has no room for a copy; then
        training waits.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._pending: Future[None] | None = None
        # Kept for the next time: on a fresh one the system spends longer finding pages than copying.
        self._copy: dict[str, Any] | None = None

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            self.wait()

    def submit(self, content: dict[str, Any]) -> None:
        """Write this, once what was submitted before is written.

        Raises
        ------
        TrainingError
            If that failed.
        """
        self.wait()
        if self._copy is None and _HEADROOM * _num_bytes(content) > free_memory():
            _LOG.info("Host memory has no room for a copy of the checkpoint: training waits until it is written.")
            self._write(content)
            return
        self._copy = _copied(content, self._copy)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._pending = self._thread.submit(self._write, self._copy)

    def wait(self) -> None:
        """Wait until all is written.

        Raises
        ------
        TrainingError
            If it failed.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def check(self) -> None:
        """Raise what the last writing raised, if it has ended."""
        if self._pending is not None and self._pending.done():
            self.wait()


def _copied(value: Any, place: Any) -> Any:
    """Nested dicts and lists with every tensor copied to host memory, where it fits in the place of an earlier copy.

    Copies from a GPU are under way when this returns.
    """
    if isinstance(value, Tensor):
        if not isinstance(place, Tensor) or (place.shape, place.dtype) != (value.shape, value.dtype):
            place = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        return place.copy_(value.detach(), non_blocking=True)
    if isinstance(value, dict):
        places = place if isinstance(place, dict) else {}
        return {key: _copied(each, places.get(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        before = place[: len(value)] if isinstance(place, list | tuple) else ()
        return type(value)(_copied(*pair) for pair in zip_longest(value, before))
    return value


def _num_bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(_num_bytes, value.values()))
    return sum(map(_num_bytes, value)) if isinstance(value, list | tuple) else 0
