"""Progress of long work: a bar on a terminal, log lines with rate and time left elsewhere."""

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
    """Shows how much of some work is done, how fast it goes, and the time left.

    Parameters
    ----------
    total
        How many items there are.
    what
        The work, "Slicing" for example.
    unit
        The items in the plural, "recordings" for example.
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
        """Count one item as done."""
        self._done += 1
        self._bar.update()
        now = time.monotonic()
        if _is_logged() and now - self._last_line > _LINE_EVERY_S:
            self._last_line = now
            rate = self._done / (now - self._start)
            left = tqdm.format_interval((self._total - self._done) / rate)
            _LOG.info(
                "%s: %d of %d %s, %.1f a second, %s left", self._what, self._done, self._total, self._unit, rate, left
            )


def progress(items: Iterable[T], *, total: int, what: str, unit: str) -> Iterator[T]:
    """Pass `items` on while showing the progress of working through them."""
    with Progress(total, what, unit) as shown:
        for item in items:
            yield item
            shown.advance()


def _is_logged() -> bool:
    return not sys.stderr.isatty()
