"""Parallel map over worker processes, with ordered results and bounded memory."""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, connection, get_all_start_methods, get_context, parent_process
from pathlib import Path
from typing import TypeVar

from emotalk.errors import EmoTalkError

T = TypeVar("T")
R = TypeVar("R")
_SERIAL_S = 5.0
"""Time before workers are started. Starting them takes two seconds, so that short work is faster without them."""
_CHUNK_ITEMS = 8
_CHUNKS_AHEAD = 2
# Forking a process that has threads can deadlock.
_START_METHOD = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    processes: int,
    chunk_share: Callable[[T], float] = lambda item: 0.0,
) -> Iterator[R]:
    """Yield `function(item)` for each item, in order.

    Parameters
    ----------
    function
        Importable function, or a `functools.partial` of one.
    items
        Read lazily, a few chunks ahead of the results.
    processes
        Number of workers, limited to the available cores; 1 means this process only. The first five seconds of work run
        in this process; workers are started only if items remain.
    chunk_share
        Share of a chunk that an item fills. A chunk ends at 8 items or when its shares sum to 1, which limits the
        number of long recordings in memory.

    Raises
    ------
    EmoTalkError
        If a worker dies, for example because it ran out of memory.
    """
    processes = min(processes, usable_cores())
    items, deadline = iter(items), time.monotonic() + _SERIAL_S
    for item in items:
        yield function(item)
        if processes > 1 and time.monotonic() >= deadline:
            break
    else:
        return
    context = get_context(_START_METHOD)
    if _START_METHOD == "forkserver":
        module = (function.func if isinstance(function, partial) else function).__module__
        context.set_forkserver_preload([module])
    pending: deque[Future[list[R]]] = deque()
    with ProcessPoolExecutor(processes, context, initializer=_initialize_worker) as pool:
        try:
            for chunk in _chunks(items, chunk_share):
                with _main_module_hidden():  # The pool starts workers on demand.
                    pending.append(pool.submit(_apply, function, chunk))
                if len(pending) > _CHUNKS_AHEAD * processes:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except KeyboardInterrupt:
            for worker in active_children():  # Items may take hours, and the pool would wait for running items.
                worker.kill()
            raise
        except BrokenProcessPool:
            raise EmoTalkError(
                "A worker process died, most likely because it ran out of memory. Give the job more memory or fewer "
                "threads, then run the command again."
            ) from None
        finally:
            for future in pending:
                future.cancel()


def _chunks(items: Iterable[T], chunk_share: Callable[[T], float]) -> Iterator[list[T]]:
    chunk: list[T] = []
    filled = 0.0
    for item in items:
        chunk.append(item)
        filled += chunk_share(item)
        if len(chunk) == _CHUNK_ITEMS or filled >= 1:
            yield chunk
            chunk, filled = [], 0.0
    if chunk:
        yield chunk


def _apply(function: Callable[[T], R], chunk: list[T]) -> list[R]:
    return [function(item) for item in chunk]


def _initialize_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit when the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Context in which new workers do not import the main module.

    Scripts without `if __name__ == "__main__"`, such as those of the workflow, would run again in each worker.
    """
    main = vars(sys.modules["__main__"])
    path = main.pop("__file__", None)
    try:
        yield
    finally:
        if path is not None:
            main["__file__"] = path


def prepend_pythonpath() -> None:
    """Make child processes import this copy of the package instead of an installed one."""
    root = str(Path(__file__).parents[1])
    previous = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, dict.fromkeys([root, *previous])))
