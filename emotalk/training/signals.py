"""Signals that ask training to stop: it finishes its step and saves first."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from emotalk.errors import Interrupted

_LOG = logging.getLogger(__name__)
SIGNALS = tuple(name for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
"""What batch systems, Ctrl-C, Slurm's warning before a time limit, and a terminal that closes send."""

_SAME_REQUEST_S = 2.0
"""Ctrl-C reaches a process twice, from the terminal and from its parent; a later one means that waiting is too long."""


class StopRequest:
    """Context in which signals are noted instead of obeyed; only Ctrl-C again, after a while, is obeyed at once.

    Outside of the main thread, where Python cannot take signals, nothing is noted.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        """Name of the signal that asks to stop, if one came."""
        self._since = 0.0
        self._before: dict[signal.Signals, Callable[..., Any] | int | None] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def raise_if_requested(self, detail: str) -> None:
        """Stop if a signal came.

        Raises
        ------
        Interrupted
        """
        if self.requested:
            self.raise_interrupted(detail)

    def raise_interrupted(self, detail: str) -> NoReturn:
        """Stop, for a signal to this process or to another one of the run.

        Raises
        ------
        Interrupted
        """
        raise Interrupted(f"Stopped by {self.signal or 'a signal to another process'}. {detail}")

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.Signals[name] for name in SIGNALS):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = signal.Signals(number).name, time.monotonic()
            _LOG.info("%s: training saves after this step, and stops.", self.signal)
        elif number == signal.SIGINT and time.monotonic() - self._since > _SAME_REQUEST_S:
            raise KeyboardInterrupt
