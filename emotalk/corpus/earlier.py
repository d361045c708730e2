"""What an earlier run made of the same recordings: taken over instead of made again.

A workflow engine deletes a stage's outputs before it runs the stage. So each stage keeps its output under a second name
in a folder of its own, by a hard link, which costs no space, and takes from there what was made from the same files, by
the same settings and the same code.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeGuard, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class Earlier(Generic[T]):
    """Results of an earlier run, asked for in the order in which they stand: memory does not grow with their number.

    Parameters
    ----------
    results
        Each with its recording's key, which increases, and the source that it was made from.
    """

    def __init__(self, results: Iterator[tuple[tuple[str, ...], str, T]]) -> None:
        self._results = results
        self._next = next(results, None)
        self.num_taken = 0

    def take(self, key: tuple[str, ...], source: str) -> T | None:
        """The result for a key, or None if there is none made from this source."""
        while self._next is not None and self._next[0] < key:
            self._next = next(self._results, None)
        if self._next is None or self._next[:2] != (key, source):
            return None
        self.num_taken += 1
        return self._next[2]


def has_table(path: str | Path | None, schema: pa.Schema) -> TypeGuard[str | Path]:
    """Whether an earlier run left a parquet file with these columns."""
    try:
        return path is not None and pq.read_schema(path).equals(schema)
    except (pa.ArrowException, OSError):
        return False


def source_digest(*parts: object) -> str:
    """Digest of all that a result is made from: digests of files, settings, digest of the code."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def fresh(output: str | Path) -> Path:
    """The path of an output about to be written, made free: what stood there may have a second name and be in use."""
    Path(output).unlink(missing_ok=True)
    return Path(output)


def keep(output: str | Path, kept: str | Path | None) -> None:
    """Give an output its second name, under which the next run finds it."""
    if kept is None:
        return
    beside = Path(f"{kept}.new")
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        os.link(output, beside)
        beside.replace(kept)
    except OSError as error:
        _LOG.info("The next run will make everything again: %s cannot be kept (%s).", output, error.strerror)
