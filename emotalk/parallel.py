"""A function mapped over many items by worker processes: results in order, a bounded number of them in memory."""

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
_ALONE_S = 5.0
"""Workers take two seconds to start and import; what is done within this time is done without them."""
_CHUNK_ITEMS = 8
_CHUNKS_AHEAD = 2
# A forked copy of a process with threads can hang; these methods start from a clean process.
_START_METHOD = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    processes: int,
    cost: Callable[[T], float] = lambda item: 0.0,
) -> Iterator[R]:
    """Yield `function(item)` for each item, in order.

    Parameters
    ----------
    function
        Importable from its module, or a `functools.partial` of such a function.
    items
        Read as results are taken, some chunks ahead.
    processes
        Workers; 1 stands for this process. No more are started than there are cores, and none for work that this
        process does in five seconds.
    cost
        Share of a chunk that an item fills. A chunk has at most 8 items and ends when its costs reach 1, so that long
        recordings are not held in memory by the dozen.

    Raises
    ------
    EmoTalkError
        If a worker dies, of lack of memory for example.
    """
    processes = min(processes, usable_cores())
    items, until = iter(items), time.monotonic() + _ALONE_S
    for item in items:
        yield function(item)
        if processes > 1 and time.monotonic() >= until:
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
            for chunk in _chunks(items, cost):
                with _main_module_hidden():  # The pool starts workers as they are needed.
                    pending.append(pool.submit(_apply, function, chunk))
                if len(pending) > _CHUNKS_AHEAD * processes:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except KeyboardInterrupt:
            for worker in active_children():  # Items may take hours, and the pool waits for those at work.
                worker.kill()
            raise
        except BrokenProcessPool:
            raise EmoTalkError(
                "A worker process died, most often of lack of memory. Give the job more memory or fewer threads, and "
                "run the command again."
            ) from None
        finally:
            for future in pending:
                future.cancel()


def _chunks(items: Iterable[T], cost: Callable[[T], float]) -> Iterator[list[T]]:
    chunk: list[T] = []
    filled = 0.0
    for item in items:
        chunk.append(item)
        filled += cost(item)
        if len(chunk) == _CHUNK_ITEMS or filled >= 1:
            yield chunk
            chunk, filled = [], 0.0
    if chunk:
        yield chunk


def _apply(function: Callable[[T], R], chunk: list[T]) -> list[R]:
    return [function(item) for item in chunk]


def _initialize_worker() -> None:
    """Leave Ctrl-C to the parent, and exit when the parent is gone, however it died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Context in which workers start without importing the main module again.

    The scripts of a workflow, and many of users, would run anew there: they have no `if __name__ == "__main__"`.
    """
    main = vars(sys.modules["__main__"])
    path = main.pop("__file__", None)
    try:
        yield
    finally:
        if path is not None:
            main["__file__"] = path


def prepend_pythonpath() -> None:
    """Let processes that this one starts import this copy of the package before any that is installed."""
    here = str(Path(__file__).parents[1])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, dict.fromkeys([here, *before])))
