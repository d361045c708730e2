"""Signals that ask training to stop: it finishes its step and saves first."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")
"""What batch systems, Ctrl-C and Slurm's warning before a time limit send."""

_SAME_REQUEST_S = 2.0
"""Ctrl-C reaches a process twice, from the terminal and from its parent; later ones mean impatience."""


class Interruption:
    """Context in which signals are noted instead of obeyed; the second of a kind is obeyed at once.

    Outside of the main thread, where Python cannot take signals, nothing is noted.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        """Name of the signal that asks to stop, if one came."""
        self._since = 0.0
        self._before: dict[signal.Signals, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.Signals[name] for name in _SIGNALS if hasattr(signal, name)):
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
        elif time.monotonic() - self._since > _SAME_REQUEST_S:
            raise KeyboardInterrupt
