"""Writing behind training's back: it waits for a copy to host memory, and not for the disk."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from torch import Tensor

from emotalk.training.device import free_memory

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
        if _HEADROOM * _num_bytes(content) > free_memory():
            _LOG.info("Host memory has no room for a copy of the checkpoint: training waits until it is written.")
            self._write(content)
        else:
            self._pending = self._thread.submit(self._write, _copied(content))

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


def _copied(value: Any) -> Any:
    """Nested dicts and lists with a copy of every tensor in host memory."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(each) for each in value)
    return value


def _num_bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(_num_bytes, value.values()))
    return sum(map(_num_bytes, value)) if isinstance(value, list | tuple) else 0
