"""Files of motion by their kind."""

import logging
from pathlib import Path

import numpy as np

from emotalk.errors import FormatError, Issue
from emotalk.formats import arkit, gltf, livelink
from emotalk.formats.motion import Motion
from emotalk.formats.tracks import TrackFormat, inspect_track, read_with_issues
from emotalk.timing import FPS

_LOG = logging.getLogger(__name__)
SUFFIXES = {"npy": ".npy", "livelink": ".csv", "arkit-csv": ".arkit.csv", "json": ".json"}
"""What can be read and written, and how the names of such files end."""
_WRITTEN = SUFFIXES | {"glb": ".glb"}
"""A GLB is written only, onto a head."""


def kind_of(path: str | Path) -> str:
    """Kind of motion that a file is named for.

    Raises
    ------
    FormatError
        If it is none.
    """
    name = Path(path).name.lower()
    fitting = [kind for kind, suffix in _WRITTEN.items() if name.endswith(suffix)]
    if not fitting:
        known = ", ".join(_WRITTEN.values())
        raise FormatError(f"{path} has an unknown kind of motion; names must end in one of {known}.")
    return max(fitting, key=lambda kind: len(_WRITTEN[kind]))


def read_motion(path: str | Path, form: TrackFormat = TrackFormat()) -> Motion:  # noqa: B008  (immutable)
    """Read motion of any kind, as the index does; its issues are logged.

    Parameters
    ----------
    form
        Order of the columns, frames per second and scale of an npy file.

    Raises
    ------
    FormatError
        If it cannot be read, or its values are out of range.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(f"There is no file {path}.")
    if kind_of(path) == "glb":
        raise FormatError(f"{path}: GLB is written only; give the .npy, .csv or .json that it was made from.")
    try:
        motion, issues = read_with_issues(path, form)
        issues = [*issues, *inspect_track(path.name, motion.bridged().values, form)]
    except Issue as unusable:
        raise FormatError(f"{path}: {unusable.description}.") from None
    for issue in issues:
        if issue.code == "out_of_range":
            raise FormatError(f"{path}: {issue.description}.")
        _LOG.warning("%s", issue.description)
    return motion


def write_motion(path: str | Path, motion: Motion, kind: str, *, head: str | Path | None = None) -> None:
    """Write motion of a kind.

    Engines get coefficients clamped to 0 and 1 and without gaps (but for Live Link captures, which have rows without a
    face); an npy track is at 30 fps and as it is.

    Parameters
    ----------
    head
        A GLB file to animate, which a GLB needs; see `emotalk.formats.gltf.write_glb`.

    Raises
    ------
    FormatError
        If the format cannot hold this motion.
    """
    if kind == "npy":
        np.save(path, motion.at(FPS).values, allow_pickle=False)
    elif kind == "livelink":
        livelink.write_capture(path, motion.clamped())
    elif kind == "glb":
        gltf.write_glb(path, motion.bridged().clamped(), head)
    else:
        write = arkit.write_json if kind == "json" else arkit.write_table
        write(path, motion.bridged().clamped())
