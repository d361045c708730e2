"""Files: written whole or not at all, and folders that others filled."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotalk.errors import CorpusError

PARTIAL = ".partial"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Path to write to, beside `path`; renamed to `path` at the end, removed if an error ends the context.

    So whoever reads `path` finds all of a file or none, and a reader of the one before keeps what it opened.
    """
    path = Path(path)
    partial = path.with_name(path.name + PARTIAL)
    try:
        partial.unlink(missing_ok=True)  # What a killed process left may be a link, or in the way of one.
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def files_below(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Every file below a folder, with those behind links; a folder that does not exist counts as empty.

    Hidden entries are left out (macOS leaves a `._name.wav` beside each file that it copies), and a folder is visited
    once, however many links lead to it.

    Raises
    ------
    CorpusError
        If a folder is closed to us: what lies in it would be missing without a word.
    """
    pending, visited = [str(folder)], set()
    while pending:
        try:
            status = Path(current := pending.pop()).stat()
            if (identity := (status.st_dev, status.st_ino)) in visited:
                continue
            visited.add(identity)
            with os.scandir(current) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _closed(current, error) from None
        for entry in visible:
            if _is_folder(entry):
                pending.append(entry.path)
            else:
                yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # A link that leads to itself is named by who tries to read it.
            return False
        raise _closed(entry.path, error) from None


def _closed(path: str, error: OSError) -> CorpusError:
    return CorpusError(f"{path} cannot be looked into ({error.strerror}). Let it be read, or move it elsewhere.")


def size_and_time(file: Path | os.DirEntry[str]) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; zeros for a link that leads nowhere."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
