"""Files of motion by their kind."""

from pathlib import Path

import numpy as np

from emotalk.errors import FormatError
from emotalk.formats import arkit, gltf, livelink
from emotalk.formats.motion import Motion
from emotalk.timing import FPS

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


def read_motion(path: str | Path, *, channels: str = "arkit", rate: int = FPS) -> Motion:
    """Read motion of any kind.

    Parameters
    ----------
    channels, rate
        Order of the columns ("arkit" or "mediapipe") and frames a second of an npy file, which does not tell them.

    Raises
    ------
    FormatError
        If it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(f"There is no file {path}.")
    try:
        motion = _read(path, kind_of(path), channels, rate)
    except (FormatError, ValueError, OSError) as error:
        raise FormatError(f"{path} cannot be read: {str(error).rstrip('.')}.") from None
    if not motion.is_seen.any():
        raise FormatError(f"{path} shows no face.")
    return motion


def _read(path: Path, kind: str, channels: str, rate: int) -> Motion:
    if kind == "npy":
        return Motion.of_track(_read_track(path, channels), rate)
    if kind == "json":
        return arkit.read_json(path)
    if kind == "glb":
        raise FormatError("a GLB is written only; give the .npy, .csv or .json that it was made from")
    return livelink.read_capture(path) if _begins_with_timecode(path) else arkit.read_table(path)


def _read_track(path: Path, channels: str) -> np.ndarray:
    from emotalk.errors import Issue
    from emotalk.formats.tracks import (
        TrackFormat,
        read_track,  # Imports scipy and pandas, which take seconds.
    )

    try:
        return read_track(path, TrackFormat(channels, FPS))[0]
    except Issue as issue:
        raise FormatError(str(issue)) from None


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


def _begins_with_timecode(path: Path) -> bool:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return file.readline(200).strip().lower().startswith("timecode")
