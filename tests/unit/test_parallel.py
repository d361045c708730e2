"""Parallel map: ordered results, bounded memory, and no worker outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emotalk import parallel
from emotalk.errors import EmoTalkError
from emotalk.parallel import parallel_map


@pytest.fixture(autouse=True)
def start_workers_early(monkeypatch):
    """Two cores, and workers are started after the first item."""
    monkeypatch.setattr(parallel, "usable_cores", lambda: 2)
    monkeypatch.setattr(parallel, "_SERIAL_S", 0.0)


def _square(item: int) -> int:
    return item * item


def _process(item: int) -> int:
    return os.getpid()


def _die(item: int) -> int:
    if item == 70:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def _fail(item: int) -> int:
    if item:
        raise EmoTalkError(f"item {item} is invalid")
    return item


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_in_the_order_of_the_items(processes):
    results = parallel_map(_square, range(500), processes=processes)
    assert list(results) == [item * item for item in range(500)]


def test_long_work_runs_in_workers_and_short_work_does_not(monkeypatch):
    first, *rest = parallel_map(_process, range(100), processes=2)
    assert first == os.getpid()
    assert os.getpid() not in rest
    monkeypatch.setattr(parallel, "_SERIAL_S", 60.0)
    assert set(parallel_map(_process, range(100), processes=2)) == {os.getpid()}


def test_items_are_read_lazily():
    read = []
    items = (read.append(item) or item for item in range(10_000))
    results = parallel_map(_square, items, processes=2)
    assert next(results) == 0
    assert len(read) < 100
    results.close()


def test_chunks_with_costly_items_are_shorter():
    chunks = list(parallel._chunks([0.2] * 6 + [3, 0.5, 0.1], float))
    assert [len(chunk) for chunk in chunks] == [5, 2, 2]


def test_a_dead_worker_is_an_error_with_the_likely_reason():
    with pytest.raises(EmoTalkError, match="A worker process died, most likely because it ran out of memory"):
        list(parallel_map(_die, range(200), processes=2))


def test_an_error_in_a_worker_is_raised_in_the_caller():
    with pytest.raises(EmoTalkError, match="item 1 is invalid"):
        list(parallel_map(_fail, range(200), processes=2))


def _sleep(item: int, folder: Path) -> None:
    if item == 0:  # Computed by the parent.
        return
    (folder / str(os.getpid())).touch()
    time.sleep(600)


_PARENT = """
import sys
from functools import partial
from pathlib import Path
from emotalk import parallel
from tests.unit.test_parallel import _sleep
parallel.usable_cores, parallel._SERIAL_S = lambda: 2, 0.0
list(parallel.parallel_map(partial(_sleep, folder=Path(sys.argv[1])), range(200), processes=2))
"""


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_workers_exit_when_only_the_parent_is_killed(tmp_path, kind):
    """The parent is a script without a main guard, as Snakemake runs them; workers must not run it again."""
    script = tmp_path / "script.py"
    script.write_text(_PARENT)
    (tmp_path / "workers").mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    parent = subprocess.Popen([sys.executable, script, tmp_path / "workers"], env=environment)
    _wait_until(lambda: parent.poll() is not None or len(list((tmp_path / "workers").iterdir())) == 2)
    assert parent.poll() is None
    parent.send_signal(getattr(signal, kind))
    parent.wait(30)
    workers = [int(path.name) for path in (tmp_path / "workers").iterdir()]
    _wait_until(lambda: not any(map(_is_alive, workers)))


def _is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def _wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
