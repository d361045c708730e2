"""What an earlier run made of the same recordings: taken over instead of made again.

A workflow engine deletes a stage's outputs before it runs the stage. So each stage keeps its output under a second name
in a folder of its own, by a hard link, which costs no space, and takes from there what was made from the same files, by
the same settings and the same code.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeGuard, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.parallel import Job, in_processes
from emotalk.progress import progress
from emotalk.sharedring import Room

T = TypeVar("T")
R = TypeVar("R")
B = TypeVar("B")
Key: TypeAlias = tuple[str, ...]
FRAMES_AHEAD = 12_000
"""Frames a process that may be worked on before they are asked for: 6 2/3 minutes, more than most recordings last."""
_LOG = logging.getLogger(__name__)


class Earlier(Generic[B]):
    """Results of an earlier run, asked for in the order in which they stand: memory does not grow with their number.

    Parameters
    ----------
    results
        Each with its recording's key, which increases, and the source that it was made from.
    """

    def __init__(self, results: Iterator[tuple[Key, str, B]]) -> None:
        self._results = results
        self._next = next(results, None)
        self.num_taken = 0

    def take(self, key: Key, source: str) -> B | None:
        """The result for a key, or None if there is none made from this source."""
        while self._next is not None and self._next[0] < key:
            self._next = next(self._results, None)
        if self._next is None or self._next[:2] != (key, source):
            return None
        self.num_taken += 1
        return self._next[2]


@dataclass(frozen=True, slots=True)
class Input(Generic[T]):
    """What a result is made from.

    Attributes
    ----------
    key, source
        As :class:`Earlier` knows results.
    item, num_bytes, data
        As :class:`emotalk.parallel.Job` has them.
    """

    key: Key
    source: str
    item: T
    num_bytes: int = 0
    data: np.ndarray | None = None


def taken_or_made(
    inputs: Iterable[Input[T]],
    work: Callable[[T, Room], R],
    finish: Callable[[T, R, Room], B],
    earlier: Earlier[B],
    *,
    what: str,
    unit: str,
    total: int,
    processes: int,
    memory: int = 0,
) -> Iterator[B]:
    """Yield the result for each input, from an earlier run or made by :func:`emotalk.parallel.in_processes`.

    Parameters
    ----------
    what, unit, total
        What the progress shows: "Smoothing RAVDESS", "tracks", their number.
    """
    jobs = (Job(one.item, one.num_bytes, one.data, earlier.take(one.key, one.source)) for one in inputs)
    results = in_processes(work, finish, jobs, processes=processes, memory=memory)
    yield from progress(results, total=total, what=what, unit=unit)
    if earlier.num_taken:
        _LOG.info("%s: %d of %d %s were made before, from the same.", what, earlier.num_taken, total, unit)


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
    try:
        fresh(kept).parent.mkdir(parents=True, exist_ok=True)
        os.link(output, kept)  # Renaming over the former file would make some file systems write all to disk first.
    except OSError as error:
        _LOG.info("The next run will make everything again: %s cannot be kept (%s).", output, error.strerror)
