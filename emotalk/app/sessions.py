"""Files of visitors: in a folder of their own, removed when the visit or the app ends."""

import secrets
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _Visit:
    uploads: dict[str, Path] = field(default_factory=dict)
    results: Path | None = None


class Sessions:
    """What each visitor uploaded and got.

    Parameters
    ----------
    root
        Folder for everything, which the caller removes in the end.
    """

    def __init__(self, root: Path) -> None:
        self.uploads, self.results = root / "uploads", root / "results"
        self._visits: dict[str, _Visit] = {}
        self._lock = threading.Lock()
        for folder in (self.uploads, self.results):
            folder.mkdir()

    def keep_upload(self, session: str, role: str, path: Path | None) -> None:
        """Remember a visitor's upload for a role ("speech", "emotion"), and remove the one before."""
        with self._lock:
            visit = self._visits.setdefault(session, _Visit())
            before = visit.uploads.pop(role, None)
            if path is not None:
                visit.uploads[role] = path
            if before is not None and before != path:
                self._remove(before)

    def new_results(self, session: str) -> Path:
        """A new folder for results of a visitor, whose name cannot be guessed; those before are removed."""
        with self._lock:
            visit = self._visits.setdefault(session, _Visit())
            if visit.results is not None:
                shutil.rmtree(visit.results, ignore_errors=True)
            visit.results = self.results / secrets.token_urlsafe(16)
            visit.results.mkdir()
            return visit.results

    def close(self, session: str) -> None:
        """Remove everything of a visitor."""
        with self._lock:
            visit = self._visits.pop(session, _Visit())
            if visit.results is not None:
                shutil.rmtree(visit.results, ignore_errors=True)
            for path in visit.uploads.values():
                self._remove(path)

    def _remove(self, upload: Path) -> None:
        """Remove an upload, unless another visitor uploaded the same file: Gradio stores equal ones once."""
        if any(upload in visit.uploads.values() for visit in self._visits.values()):
            return
        if self.uploads in upload.parents:
            upload.unlink(missing_ok=True)
            if upload.parent != self.uploads and not any(upload.parent.iterdir()):
                upload.parent.rmdir()
