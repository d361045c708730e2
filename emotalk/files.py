"""Atomic writing of files, and recursive listing of folders."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotalk.errors import CorpusError

PARTIAL = ".partial"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to `path` at the end or removed after an error.

    Readers of `path` therefore never see a partial file, and a reader of the previous file can finish reading it.
    """
    path = Path(path)
    partial = path.with_name(path.name + PARTIAL)
    try:
        partial.unlink(
            missing_ok=True
        )  # Left by a killed process; a link would be followed, and would block creating one.
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def iter_files(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Yield every file below a folder, following links; a missing folder counts as empty.

    Hidden entries are skipped (macOS writes a `._name.wav` beside each file that it copies). Each folder is visited
    once, even if several links point to it.

    Raises
    ------
    CorpusError
        If a folder cannot be read, because its files would otherwise be missing silently.
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
            raise _unreadable_error(current, error) from None
        for entry in visible:
            if _is_folder(entry):
                pending.append(entry.path)
            else:
                yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # A circular link is reported when it is read.
            return False
        raise _unreadable_error(entry.path, error) from None


def _unreadable_error(path: str, error: OSError) -> CorpusError:
    return CorpusError(f"{path} cannot be read ({error.strerror}). Change its permissions, or move it elsewhere.")


def size_and_mtime(file: Path | os.DirEntry[str]) -> tuple[int, int]:
    """Return size in bytes and modification time in nanoseconds; zeros for a broken link."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
