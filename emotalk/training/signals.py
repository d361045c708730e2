"""Signals that stop training after the current step, when a checkpoint is saved."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from emotalk.errors import Interrupted

_LOG = logging.getLogger(__name__)
_SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
"""Signals of batch systems, of Ctrl-C, of Slurm before the time limit, and of a closed terminal, in this order."""

_SAME_REQUEST_S = 2.0
"""Ctrl-C sends SIGINT twice, from the terminal and from the parent process; a later one is a second Ctrl-C."""


def stop_signals() -> list[str]:
    """Return the names of the signals that stop training.

    SIGHUP after `nohup`, and SIGINT of a background job of a script, are ignored and stay so. SIGUSR1 is ignored only
    by the workflow.
    """
    ignored = [name for name in ("SIGHUP", "SIGINT") if _is_ignored(name)]
    return [name for name in _SIGNALS if hasattr(signal, name) and name not in ignored]


def _is_ignored(name: str) -> bool:
    return hasattr(signal, name) and signal.getsignal(signal.Signals[name]) == signal.SIG_IGN


class StopRequest:
    """Context that records signals instead of stopping at once; a second Ctrl-C raises `KeyboardInterrupt` at once.

    Has no effect outside the main thread, where Python cannot handle signals.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        """Name of the first received signal, or None."""
        self._received_at = 0.0
        self._handlers: dict[signal.Signals, Callable[..., Any] | int | None] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal was received."""
        return self.signal is not None

    def raise_if_requested(self, detail: str) -> None:
        """Raise if a signal was received.

        Raises
        ------
        Interrupted
        """
        if self.requested:
            self.raise_interrupted(detail)

    def raise_interrupted(self, detail: str) -> NoReturn:
        """Raise, because of a signal to this process or to another process of the run.

        Raises
        ------
        Interrupted
        """
        raise Interrupted(f"Stopped by {self.signal or 'a signal to another process'}. {detail}")

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.Signals[name] for name in stop_signals()):
                self._handlers[number] = signal.signal(number, self._record)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._received_at = signal.Signals(number).name, time.monotonic()
            _LOG.info("%s: training saves a checkpoint after this step, then stops.", self.signal)
        elif number == signal.SIGINT and time.monotonic() - self._received_at > _SAME_REQUEST_S:
            raise KeyboardInterrupt
