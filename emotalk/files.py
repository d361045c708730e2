"""Checking and atomic writing of output files, and recursive listing of folders."""

import errno
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emotalk.errors import CorpusError, OutputError

PARTIAL = ".partial"


def check_outputs(outputs: Collection[str | Path], *, inputs: Iterable[str | Path] = (), overwrite: bool) -> None:
    """Check all output files of a command before it starts, and create their folders.

    Raises
    ------
    OutputError
        If two outputs have the same path, one is also an input, is a folder or exists already (unless `overwrite`), or
        its folder cannot be created.
    """
    paths = [Path(output) for output in outputs]
    if duplicates := [path for path, count in Counter(map(os.path.abspath, paths)).items() if count > 1]:
        raise OutputError(f"Two outputs have the path {duplicates[0]}; rename an input, or write to different folders.")
    inputs_by_path = {os.path.realpath(path) for path in inputs}
    for path in paths:
        if os.path.realpath(path) in inputs_by_path:
            raise OutputError(f"{path} is an input and would be overwritten; set another output.")
        if path.is_dir():
            raise OutputError(f"{path} is a folder; set the path of a file.")
    existing = [str(path) for path in paths if os.path.lexists(path)]
    if existing and not overwrite:
        names = ", ".join(existing[:5]) + (f" and {len(existing) - 5} more" if len(existing) > 5 else "")
        raise OutputError(f"These files exist: {names}. Set another output, or --overwrite to replace them.")
    for folder in {path.parent for path in paths}:
        create_folder(folder)


def create_folder(folder: Path) -> None:
    """Create a folder and its parents.

    Raises
    ------
    OutputError
        If one of them is a file, or cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{folder} cannot be created, because it or one of its parents is a file.") from None
    except OSError as error:
        raise OutputError(f"Folder {folder} cannot be created ({error.strerror}).") from None


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to `path` at the end or removed after an error.

    Readers of `path` therefore never see a partial file, and a reader of the previous file can finish reading it.

    Raises
    ------
    OutputError
        If the file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    partial = path.with_name(path.name + PARTIAL)
    try:
        partial.unlink(
            missing_ok=True
        )  # Left by a killed process; a link would be followed, and would block creating one.
        yield partial
        partial.replace(path)
    except OSError as error:
        if type(error) is not OSError or error.filename is not None:
            raise
        # A full disk: errors of write() have no path.
        raise OutputError(f"{path} cannot be written ({error.strerror or error}). Free disk space.") from error
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
