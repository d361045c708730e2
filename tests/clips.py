"""Clip stores for tests."""

from pathlib import Path
from typing import Any

import numpy as np

from emotalk.data.clips import clip_row, write_clips


class ClipWriter:
    """Context that collects clips and writes them to a clip store on exit."""

    def __init__(self, path: Path) -> None:
        self._path, self._rows = path, []

    def __enter__(self) -> "ClipWriter":
        return self

    def __exit__(self, *error: object) -> None:
        write_clips(self._path, self._rows)

    def write(self, labels: dict[str, Any], waveform: np.ndarray, track: np.ndarray) -> None:
        """Add a clip: its labels, (N,) int16 waveform and (T, 52) float32 track."""
        self._rows.append(clip_row(labels["clip_id"], waveform, track, labels))
