"""Progress of long work: a bar on a terminal, otherwise log lines with rate and remaining time."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_LINE_EVERY_S = 15.0
_LOG = logging.getLogger(__name__)


class Progress:
    """Progress display with the number of finished items, the rate and the remaining time.

    Parameters
    ----------
    total
        Number of items.
    what
        Name of the work, for example "Slicing".
    unit
        Plural name of the items, for example "recordings".
    """

    def __init__(self, total: int, what: str, unit: str) -> None:
        self._total, self._what, self._unit = total, what, unit
        self._done = 0
        self._start = self._last_line = time.monotonic()
        self._bar = tqdm(total=total, desc=what, unit=f" {unit}", leave=False, dynamic_ncols=True, disable=_is_logged())

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def advance(self) -> None:
        """Count one item as finished."""
        self._done += 1
        self._bar.update()
        now = time.monotonic()
        if _is_logged() and now - self._last_line > _LINE_EVERY_S:
            self._last_line = now
            seconds = (now - self._start) / self._done
            remaining = tqdm.format_interval((self._total - self._done) * seconds)
            log_values = (self._what, self._done, self._total, self._unit, format_rate(seconds), remaining)
            _LOG.info("%s: %d of %d %s, %s, %s remaining", *log_values)


def format_rate(seconds: float) -> str:
    """Format the duration of an item as items per second, or as seconds if it is longer than one second."""
    return f"{1 / seconds:.1f} per second" if seconds < 1 else f"{seconds:.1f} s each"


def progress(items: Iterable[T], *, total: int, what: str, unit: str) -> Iterator[T]:
    """Yield `items` and show the progress of the iteration."""
    with Progress(total, what, unit) as display:
        for item in items:
            yield item
            display.advance()


def _is_logged() -> bool:
    return not sys.stderr.isatty()
