"""Recordings to predict, and the files that are written for each of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emotalk.data.discovery import AUDIO_SUFFIXES
from emotalk.errors import PredictionError
from emotalk.files import iter_files
from emotalk.formats.files import SUFFIXES


@dataclass(frozen=True)
class PredictInput:
    """An audio or video file to predict.

    Attributes
    ----------
    path
        The file.
    name
        Path of its outputs relative to the output folder, without suffix.
    """

    path: Path
    name: Path

    def outputs(self, out: Path, formats: Sequence[str]) -> dict[str, Path]:
        """Return the output file of each format."""
        return {
            format_name: out / self.name.with_name(self.name.name + SUFFIXES[format_name]) for format_name in formats
        }


def find_recordings(audio: Sequence[str | Path]) -> list[PredictInput]:
    """Find audio and video files; the subfolders of a folder are kept in the names of its files.

    Raises
    ------
    PredictionError
        If a path does not exist, or there are no recordings.
    """
    found = []
    for path in map(Path, audio):
        if path.is_dir():
            files = sorted(
                Path(entry.path) for entry in iter_files(path) if entry.name.lower().endswith(AUDIO_SUFFIXES)
            )
            if not files:
                suffixes = ", ".join(AUDIO_SUFFIXES)
                raise PredictionError(f"Folder {path} contains no audio or video files ({suffixes}).")
            found += [PredictInput(file, file.relative_to(path).with_suffix("")) for file in files]
        elif os.path.lexists(path):
            found.append(PredictInput(path, Path(path.stem)))
        else:
            raise PredictionError(f"File {path} does not exist.")
    if not found:
        raise PredictionError("There are no recordings to predict.")
    return found


def planned_outputs(recordings: Sequence[PredictInput], out: str | Path, formats: Sequence[str]) -> list[Path]:
    """Return the paths of all output files."""
    return [path for recording in recordings for path in recording.outputs(Path(out), formats).values()]
