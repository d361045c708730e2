"""Reading of motion files and their issues; the only reader, used by the index and by all commands."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.errors import FormatError, Issue
from emotalk.formats import arkit, livelink
from emotalk.formats.channels import ORDERS, check_missing, column_names, guess_channel_order, reorder_columns
from emotalk.formats.motion import Motion
from emotalk.formats.spreadsheet import read_spreadsheet
from emotalk.timing import FPS, resample


@dataclass(frozen=True)
class TrackFormat:
    """Format of an npy track. CSV and JSON files contain channel names and times.

    Attributes
    ----------
    channels
        `arkit`, `mediapipe`, `livelink` or a list of column names; see `emotalk.formats.channels.ORDERS`.
    fps
        Frames per second.
    scale
        Value of a coefficient of 1; also used for CSV and JSON.
    partial
        Whether channels other than tongueOut may be missing; also used for CSV and JSON.
    """

    channels: str | tuple[str, ...] = "arkit"
    fps: float | Fraction = FPS
    scale: float = 1.0
    partial: bool = False

    @classmethod
    def from_settings(
        cls, channels: str | Sequence[str], fps: float | Fraction, scale: float, *, partial: bool = False
    ) -> Self:
        """Create the format from settings; a list of names may also be comma-separated text."""
        if isinstance(channels, str) and channels not in ORDERS:
            channels = channels.split(",")
        return cls(channels if isinstance(channels, str) else tuple(channels), fps, scale, partial)

    @property
    def channel_order(self) -> str:
        """Channels as text, for tables."""
        return self.channels if isinstance(self.channels, str) else ",".join(self.channels)


LOWEST, HIGHEST = -0.5, 1.5
"""Limits of coefficients. Captured ones slightly exceed [0, 1]; small negative values are normal."""
_MIN_RANGE = 1e-4
_MAX_BYTES_IN_MEMORY = 1 << 26
_PICKLE = b"\x80"
_TEXT_CONTENTS = {
    b"version https://git-lfs": "a Git LFS pointer: run 'git lfs pull'",
    b"<": "a web page, not the download itself",
}
_MAX_MISSING_SHARE = 0.25


def is_self_describing(path: Path) -> bool:
    """Whether the format of a file contains channel names and times."""
    return path.suffix.lower() in (".csv", ".json")


def read_track(path: Path, track_format: TrackFormat) -> tuple[np.ndarray, list[Issue]]:
    """Read motion as (T, 52) float32 at 30 fps, and its repaired issues; see :func:`read_with_issues`."""
    if not is_self_describing(path):
        values, issues = _read_npy(path, track_format)
        return (values if track_format.fps == FPS else resample(values, track_format.fps, FPS)), issues
    motion, issues = read_with_issues(path, track_format)
    return motion.resampled(FPS).values, issues


def read_with_issues(path: Path, track_format: TrackFormat) -> tuple[Motion, list[Issue]]:
    """Read motion with its timestamps, and its repaired issues. Pickled arrays are never loaded.

    Raises
    ------
    Issue
        `unreadable_track`, `pickled_track`, `wrong_dims`, `wrong_width`, `non_finite`, or a too large `track_gap`.
    """
    if not is_self_describing(path):
        values, issues = _read_npy(path, track_format)
        return Motion.from_track(values, track_format.fps), issues
    try:
        motion = _read_self_describing(path)
        check_missing(motion.missing, "it has", partial=track_format.partial)
    except (FormatError, OSError, UnicodeError) as error:
        message = f"{path.name} cannot be read as motion: {_first_line(error)}"
        raise Issue("unreadable_track", message, always_excludes=True) from None
    motion = motion.scaled(track_format.scale)
    issues = _missing_issues(path.name, motion.missing)
    if motion.num_dropped:
        message = f"{path.name}: {motion.num_dropped} rows are dropped because their times do not increase"
        issues.append(Issue("time_order", message))
    issues += _gap_issues(path.name, motion)
    _check_finite(path.name, motion.without_gaps().values)
    return motion, issues


def _read_self_describing(path: Path) -> Motion:
    """Read a file with channel names and times: JSON, a Live Link take, or a table."""
    if path.suffix.lower() == ".json":
        return arkit.read_json(path)
    table = read_spreadsheet(path)
    has_timecodes = "timecode" in [str(name).strip().lower() for name in table.columns]
    return livelink.motion_from_take(table) if has_timecodes else arkit.motion_from_table(table)


def _missing_issues(name: str, missing: Sequence[str]) -> list[Issue]:
    return [Issue("no_tongue", f"{name} has no {', '.join(missing)}; missing channels are 0")] if missing else []


def _gap_issues(name: str, motion: Motion) -> list[Issue]:
    """Report rows without a face and missing rows.

    Raises
    ------
    Issue
        If they are more than a quarter of the duration.
    """
    seconds, has_face = motion.seconds, motion.has_face
    if np.count_nonzero(has_face) < min(2, len(has_face)) or not has_face.any():
        raise Issue("track_gap", f"{name} has no row with a face", always_excludes=True)
    if len(seconds) < 2:
        return []
    interval_s = 1 / float(motion.rate)
    gaps = np.diff(seconds[has_face]) - 1.5 * interval_s
    missing_s = float(gaps[gaps > 0].sum() + seconds[has_face][0] - seconds[0] + seconds[-1] - seconds[has_face][-1])
    if missing_s <= interval_s:
        return []
    share = missing_s / max(seconds[-1] - seconds[0], interval_s)
    start = float(seconds[has_face][gaps.argmax()]) if len(gaps) else 0.0
    kind = "rows without a face" if not has_face.all() else "missing rows"
    rule = f"gaps are interpolated up to {_MAX_MISSING_SHARE:.0%}"
    message = f"{name} has {kind} for {missing_s:.1f} s ({share:.0%}), the longest gap starts at {start:.1f} s; {rule}"
    issue = Issue("track_gap", message, always_excludes=share > _MAX_MISSING_SHARE)
    if share > _MAX_MISSING_SHARE:
        raise issue
    return [issue]


def inspect_track(name: str, track: np.ndarray, track_format: TrackFormat) -> Iterator[Issue]:
    """Yield issues of the values of a track."""
    if not len(track):
        return
    lowest, highest = float(track.min()), float(track.max())
    if lowest < LOWEST or highest > HIGHEST:
        is_percentage = HIGHEST * 10 < highest <= 100 * HIGHEST
        hint = ". They look like percentages: set 'scale: 100' (--scale 100)" if is_percentage else ""
        yield Issue("out_of_range", f"{name} has values from {lowest:.3g} to {highest:.3g}; the range is 0 to 1{hint}")
    ranges = np.ptp(track, axis=0)
    if ranges.max() < _MIN_RANGE:
        yield Issue("constant_track", f"{name} does not move: the largest range of a channel is {ranges.max():.1g}")
    elif track_format.channels == "arkit" and (order := guess_channel_order(track)):
        message = f"{name} may have the channel order of {order}, in which left and right channels correlate"
        yield Issue("channel_order", f"{message}; see the setting 'channels' (--channels)")


def _load(path: Path) -> np.ndarray:
    """Load the array of an npy file; a large one is memory-mapped, because the header reveals most issues."""
    try:
        is_large = path.stat().st_size > _MAX_BYTES_IN_MEMORY
        array = np.load(path, mmap_mode="r" if is_large else None, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an npz archive, not an npy array")
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{array.dtype} is not a type of real numbers")
        return array
    except Exception as error:  # numpy raises many types of errors for damaged files.
        is_text = any(_starts_with(path, start) for start in _TEXT_CONTENTS)
        if not is_text and (re.search("objects|Object arrays", str(error)) or _starts_with(path, _PICKLE)):
            message = f"{path.name} has pickled objects, which can execute code and are not loaded; save numbers"
            raise Issue("pickled_track", message, always_excludes=True) from None
        description = next((text for start, text in _TEXT_CONTENTS.items() if _starts_with(path, start)), None)
        reason = f"it is text, {description}" if description else _first_line(error)
        message = f"{path.name} is not an npy array of numbers ({reason})"
        raise Issue("unreadable_track", message, always_excludes=True) from None


def _starts_with(path: Path, start: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def _read_npy(path: Path, track_format: TrackFormat) -> tuple[np.ndarray, list[Issue]]:
    """Read values (T, 52) float32 in the order of `CHANNELS`, and repaired issues.

    Rows with only NaN are interpolated; rule `capture` writes them where no face was detected.
    """
    name, array = path.name, _load(path)
    if array.ndim != 2:
        raise Issue(
            "wrong_dims", f"{name} has shape {array.shape}; a track is (frames, channels)", always_excludes=True
        )
    if not len(array):
        raise Issue("wrong_dims", f"{name} has no frames", always_excludes=True)
    with np.errstate(over="ignore"):  # An overflow is reported as `non_finite`.
        values = array.astype(np.float32)
    missing: tuple[str, ...] = ()
    if track_format.channels != "arkit" or array.shape[1] != len(CHANNELS):
        try:
            values, missing = reorder_columns(values, column_names(track_format.channels, array.shape[1]))
            check_missing(missing, "it has", partial=track_format.partial)
        except FormatError as error:
            raise Issue("wrong_width", f"{name}: {error}", always_excludes=True) from None
    issues = _missing_issues(name, missing)
    is_empty = np.asarray(np.isnan(values).all(axis=1))
    if is_empty.any() and not is_empty.all():
        rows, valid_rows = np.arange(len(values)), np.flatnonzero(~is_empty)
        issues += _gap_issues(name, Motion.from_track(np.where(is_empty[:, None], np.nan, 0), track_format.fps))
        for column in values.T:
            column[is_empty] = np.interp(rows[is_empty], valid_rows, column[valid_rows])
    _check_finite(name, values)
    return (values / np.float32(track_format.scale) if track_format.scale != 1 else values), issues


def _check_finite(name: str, values: np.ndarray) -> None:
    invalid = ~np.isfinite(values)
    if invalid.any():
        frame, channel = np.argwhere(invalid)[0]
        first = f"the first at frame {frame}, {CHANNELS[channel]}"
        message = f"{name} has {np.count_nonzero(invalid)} values that are NaN or infinite, {first}"
        raise Issue("non_finite", message, always_excludes=True)


def _first_line(error: Exception) -> str:
    """First line of an error message, shortened because it may quote the file."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0][:200]
