"""Files of visitors: in a temporary folder, removed when the visit ends, and after an hour in any case."""

import os
import re
import secrets
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MAX_AGE_S = 3600
"""Uploads and results are removed after this time, also of tabs that stay open."""


@dataclass
class _Visit:
    uploads: dict[str, Path] = field(default_factory=dict)
    results: Path | None = None


class Sessions:
    """Uploads and results of each visitor.

    Parameters
    ----------
    root
        Folder for all files, which the caller removes at the end.
    """

    def __init__(self, root: Path) -> None:
        self.uploads, self.results = root / "uploads", root / "results"
        self._visits: dict[str, _Visit] = {}
        self._lock = threading.Lock()
        for folder in (self.uploads, self.results):
            folder.mkdir()

    def keep_upload(self, session: str, role: str, path: Path | None) -> None:
        """Remember the upload of a visitor for a control of the page, and remove the previous one."""
        with self._lock:
            visit = self._visits.setdefault(session, _Visit())
            previous = visit.uploads.pop(role, None)
            if path is not None:
                visit.uploads[role] = path
            if previous is not None and previous != path:
                self._remove(previous)

    def new_results(self, session: str) -> Path:
        """Create a folder for results of a visitor, with a name that cannot be guessed, and remove the previous one."""
        with self._lock:
            visit = self._visits.setdefault(session, _Visit())
            if visit.results is not None:
                shutil.rmtree(visit.results, ignore_errors=True)
            visit.results = self.results / secrets.token_urlsafe(16)
            visit.results.mkdir()
            return visit.results

    def close(self, session: str) -> None:
        """Remove all files of a visitor."""
        with self._lock:
            visit = self._visits.pop(session, _Visit())
            if visit.results is not None:
                shutil.rmtree(visit.results, ignore_errors=True)
            for path in visit.uploads.values():
                self._remove(path)

    def remove_expired(self, stop: threading.Event, *, interval_s: float = 60) -> None:
        """Remove files older than `MAX_AGE_S` every `interval_s` seconds, until `stop` is set."""
        while not stop.wait(interval_s):
            oldest = time.time() - MAX_AGE_S
            for path in (*self.uploads.iterdir(), *self.results.iterdir()):
                with self._lock, suppress(FileNotFoundError):  # Gradio moves finished uploads.
                    if path.stat().st_mtime >= oldest:
                        continue
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink()

    def hide_folders(self, message: str) -> str:
        """Shorten paths of uploads and results in a message to the names of the files."""
        separator = re.escape(os.sep)
        folders = "|".join(re.escape(str(folder)) for folder in (self.uploads, self.results))
        return re.sub(f"(?:{folders}){separator}[^{separator}]+{separator}", "", message)

    def _remove(self, upload: Path) -> None:
        """Remove an upload, unless another visitor has uploaded the same file: Gradio stores equal files once."""
        is_shared = any(upload in visit.uploads.values() for visit in self._visits.values())
        if not is_shared and upload.parent.parent == self.uploads:
            upload.unlink(missing_ok=True)
            with suppress(OSError):  # It has another file, or is removed already.
                upload.parent.rmdir()
