"""Reading and writing motion files of all formats."""

import logging
from pathlib import Path

import numpy as np

from emotalk.errors import FormatError, Issue
from emotalk.files import atomic_path
from emotalk.formats import arkit, gltf, livelink
from emotalk.formats.motion import Motion
from emotalk.formats.tracks import TrackFormat, inspect_track, read_with_issues
from emotalk.timing import FPS

_LOG = logging.getLogger(__name__)
SUFFIXES = {"npy": ".npy", "livelink": ".csv", "arkit-csv": ".arkit.csv", "json": ".json"}
"""Suffixes of the formats that can be read and written."""
_WRITABLE_SUFFIXES = SUFFIXES | {"glb": ".glb"}
"""GLB can only be written, as an animation of a head."""


def format_from_name(path: str | Path) -> str:
    """Return the format of a motion file from its suffix.

    Raises
    ------
    FormatError
        If the suffix is unknown.
    """
    name = Path(path).name.lower()
    matches = [format_name for format_name, suffix in _WRITABLE_SUFFIXES.items() if name.endswith(suffix)]
    if not matches:
        suffixes = ", ".join(_WRITABLE_SUFFIXES.values())
        raise FormatError(f"{path} has an unknown suffix; supported are {suffixes}.")
    return max(matches, key=lambda format_name: len(_WRITABLE_SUFFIXES[format_name]))


def read_motion(path: str | Path, track_format: TrackFormat = TrackFormat()) -> Motion:  # noqa: B008  (immutable)
    """Read a motion file of any format, with the same reader as the index; log its issues.

    Parameters
    ----------
    track_format
        Order of the columns, frames per second and scale of an npy file.

    Raises
    ------
    FormatError
        If the file cannot be read, or its values are out of range.
    """
    path = Path(path)
    if path.is_dir():
        raise FormatError(f"{path} is a folder; set a motion file.")
    if not path.is_file():
        raise FormatError(f"File {path} does not exist.")
    if format_from_name(path) == "glb":
        raise FormatError(f"{path}: GLB cannot be read; use the .npy, .csv or .json file that it was created from.")
    try:
        motion, issues = read_with_issues(path, track_format)
        issues = [*issues, *inspect_track(path.name, motion.without_gaps().values, track_format)]
    except Issue as error:
        raise FormatError(_with_path(error, path)) from None
    for issue in issues:
        if issue.code == "out_of_range":
            raise FormatError(_with_path(issue, path))
        _LOG.warning("%s", issue.description)
    return motion


def _with_path(issue: Issue, path: Path) -> str:
    """Description of an issue with the path of the file instead of its name."""
    return f"{issue.description.replace(path.name, str(path), 1)}."


def write_motion(
    path: str | Path, motion: Motion, format_name: str, *, head: str | Path | None = None, partial: bool = False
) -> None:
    """Write a motion file in format `format_name`, atomically.

    An npy track is resampled to 30 fps and not clamped. In other formats, coefficients are clamped to [0, 1] and gaps
    are interpolated, except that Live Link takes may have rows without a face.

    Parameters
    ----------
    head
        GLB file to animate, required for format `glb`; see `emotalk.formats.gltf.write_glb`.
    partial
        Whether the head may lack channels other than tongueOut.

    Raises
    ------
    FormatError
        If the format cannot hold this motion.
    """
    with atomic_path(path) as unfinished:
        if format_name == "npy":
            with open(unfinished, "wb") as file:  # np.save would append a suffix to a path.
                np.save(file, motion.resampled(FPS).values, allow_pickle=False)
        elif format_name == "livelink":
            livelink.write_take(unfinished, motion.clamped())
        elif format_name == "glb":
            gltf.write_glb(unfinished, motion.without_gaps().clamped(), Path(head) if head else None, partial=partial)
        else:
            write = arkit.write_json if format_name == "json" else arkit.write_table
            write(unfinished, motion.without_gaps().clamped())
