"""Walking through folders that others filled."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Every file below a folder, with those behind links; a folder that does not exist counts as empty.

    Hidden entries are left out (macOS leaves a `._name.wav` beside each file that it copies), and a folder is visited
    once, however many links lead to it.
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
        except OSError:  # What vanished or is closed to us holds no file that we could use.
            continue
        for entry in visible:
            if entry.is_dir():
                pending.append(entry.path)
            else:
                yield entry


def size_and_time(file: Path | os.DirEntry[str]) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; zeros for a link that leads nowhere."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
