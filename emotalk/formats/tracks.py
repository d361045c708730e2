"""Reading of motion from any file, with the issues of the file: the only reader, for the index and for all commands."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.errors import FormatError, Issue
from emotalk.formats import arkit, livelink
from emotalk.formats.channels import ORDERS, arrange, columns_of, likely_order
from emotalk.formats.motion import Motion
from emotalk.formats.spreadsheet import read_spreadsheet
from emotalk.timing import FPS, resample


@dataclass(frozen=True)
class TrackFormat:
    """How an npy of motion is read; files with a header name their channels and have their own times.

    Attributes
    ----------
    channels
        `arkit`, `mediapipe`, `livelink` or names of columns; see `emotalk.formats.channels.ORDERS`.
    fps
        Frames per second.
    scale
        Value that means a coefficient of 1; also of files with a header.
    """

    channels: str | tuple[str, ...] = "arkit"
    fps: float = FPS
    scale: float = 1.0

    @classmethod
    def from_settings(cls, channels: str | Sequence[str], fps: float, scale: float) -> Self:
        """Format as a source of the configuration sets it; a list of names may also be text with commas."""
        if isinstance(channels, str) and channels not in ORDERS:
            channels = channels.split(",")
        return cls(channels if isinstance(channels, str) else tuple(channels), fps, scale)

    @property
    def channel_order(self) -> str:
        """The channels as text, for tables."""
        return self.channels if isinstance(self.channels, str) else ",".join(self.channels)


LOWEST, HIGHEST = -0.5, 1.5
"""Coefficients are 0 to 1; captured ones exceed this a little, and small negative values are normal."""
_STILL = 1e-4
_LARGE = 1 << 26
_PICKLE = b"\x80"
_TEXTS = {
    b"version https://git-lfs": "a Git LFS pointer: run 'git lfs pull'",
    b"<": "a web page, not the download itself",
}
_MOST_MISSING = 0.25


def is_capture(path: Path) -> bool:
    """Whether a file has its own channel names and times."""
    return path.suffix.lower() in (".csv", ".json")


def read_track(path: Path, form: TrackFormat) -> tuple[np.ndarray, list[Issue]]:
    """Motion as (T, 52) float32 at 30 fps, and issues that were repaired; see :func:`read_with_issues`."""
    if not is_capture(path):
        values, issues = _read_npy(path, form)
        return (values if form.fps == FPS else resample(values, form.fps, FPS)), issues
    motion, issues = read_with_issues(path, form)
    return motion.at(FPS).values, issues


def read_with_issues(path: Path, form: TrackFormat) -> tuple[Motion, list[Issue]]:
    """Motion with its own times, and issues that were repaired in reading it.

    The file is data, never code: pickled arrays are refused.

    Raises
    ------
    Issue
        `unreadable_track`, `pickled_track`, `wrong_dims`, `wrong_width`, `non_finite`, or a `track_gap` too large.
    """
    if not is_capture(path):
        values, issues = _read_npy(path, form)
        return Motion.from_track(values, round(form.fps)), issues
    try:
        motion = _read_named(path)
    except (FormatError, OSError, UnicodeError) as error:
        found = f"{path.name} cannot be read as motion: {_first_line(error)}"
        raise Issue("unreadable_track", found, always_excludes=True) from None
    motion = motion.scaled(form.scale)
    issues = _missing_issues(path.name, motion.missing)
    if motion.num_dropped:
        found = f"{path.name}: {motion.num_dropped} rows repeat a time or go back in time; they are dropped"
        issues.append(Issue("time_order", found))
    issues += _gap_issues(path.name, motion)
    _check_finite(path.name, motion.bridged().values)
    return motion, issues


def _read_named(path: Path) -> Motion:
    """Motion of a file with channel names: JSON, a Live Link capture, or a table with times."""
    if path.suffix.lower() == ".json":
        return arkit.read_json(path)
    table = read_spreadsheet(path)
    has_timecodes = "timecode" in [str(name).strip().lower() for name in table.columns]
    return livelink.motion_from_capture(table) if has_timecodes else arkit.motion_from_table(table)


def _missing_issues(name: str, missing: Sequence[str]) -> list[Issue]:
    return [Issue("no_tongue", f"{name} has no tongueOut; it is 0")] if missing else []


def _gap_issues(name: str, motion: Motion) -> list[Issue]:
    """Rows without a face, and missing rows.

    Raises
    ------
    Issue
        If more than a quarter of the time has no face.
    """
    seconds, seen = motion.seconds, motion.is_seen
    if np.count_nonzero(seen) < min(2, len(seen)) or not seen.any():
        raise Issue("track_gap", f"{name} has no row with a face", always_excludes=True)
    if len(seconds) < 2:
        return []
    gap = np.diff(seconds[seen]) - 1.5 / motion.rate
    lost = float(gap[gap > 0].sum() + seconds[seen][0] - seconds[0] + seconds[-1] - seconds[seen][-1])
    if lost <= 1 / motion.rate:
        return []
    part = lost / max(seconds[-1] - seconds[0], 1 / motion.rate)
    start = float(seconds[seen][gap.argmax()]) if len(gap) else 0.0
    kind = "has rows without a face" if not seen.all() else "lacks rows"
    rule = f"interpolated where at most {_MOST_MISSING:.0%} is missing"
    found = f"{name} {kind} for {lost:.1f} s ({part:.0%}), the longest gap begins at {start:.1f} s; {rule}"
    issue = Issue("track_gap", found, always_excludes=part > _MOST_MISSING)
    if part > _MOST_MISSING:
        raise issue
    return [issue]


def inspect_track(name: str, track: np.ndarray, form: TrackFormat) -> Iterator[Issue]:
    """What is wrong with motion that could be read."""
    if not len(track):
        return
    lowest, highest = float(track.min()), float(track.max())
    if lowest < LOWEST or highest > HIGHEST:
        hint = ". They look like percentages: set 'scale: 100'" if HIGHEST * 10 < highest <= 100 * HIGHEST else ""
        yield Issue("out_of_range", f"{name} has values from {lowest:.3g} to {highest:.3g}; the rule is 0 to 1{hint}")
    spread = np.ptp(track, axis=0)
    if spread.max() < _STILL:
        yield Issue("constant_track", f"{name} never moves: no channel varies by more than {spread.max():.1g}")
    elif form.channels == "arkit" and (order := likely_order(track)):
        found = f"{name} may have its columns in the order of {order}: left and right channels then move together"
        yield Issue("channel_order", f"{found}; see the setting 'channels'")


def _load(path: Path) -> np.ndarray:
    """Array in an npy file; a large one is not read, as its header alone tells most of what can be wrong."""
    try:
        large = path.stat().st_size > _LARGE
        array = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an npz archive, not an npy array")
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{array.dtype} is no type of real numbers")
        return array
    except Exception as error:  # What numpy raises for damaged files is no closed set.
        is_text = any(_starts_with(path, start) for start in _TEXTS)
        if not is_text and (re.search("objects|Object arrays", str(error)) or _starts_with(path, _PICKLE)):
            found = f"{path.name} holds pickled objects, which could be code and are never opened; save plain numbers"
            raise Issue("pickled_track", found, always_excludes=True) from None
        text = next((what for start, what in _TEXTS.items() if _starts_with(path, start)), None)
        reason = f"it is text, {text}" if text else _first_line(error)
        found = f"{path.name} is not an npy array of numbers ({reason})"
        raise Issue("unreadable_track", found, always_excludes=True) from None


def _starts_with(path: Path, start: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def _read_npy(path: Path, form: TrackFormat) -> tuple[np.ndarray, list[Issue]]:
    """Values (T, 52) float32 in our order, and repaired issues.

    Rows of NaN only, as rule `capture` writes where no face was detected, are interpolated.
    """
    name, array = path.name, _load(path)
    if array.ndim != 2:
        raise Issue(
            "wrong_dims", f"{name} has shape {array.shape}; a track is (frames, channels)", always_excludes=True
        )
    with np.errstate(over="ignore"):  # An overflow is reported as not finite.
        values = array.astype(np.float32)
    missing: tuple[str, ...] = ()
    if form.channels != "arkit" or array.shape[1] != len(CHANNELS):
        try:
            values, missing = arrange(values, columns_of(form.channels, array.shape[1]))
        except FormatError as error:
            raise Issue("wrong_width", f"{name}: {error}", always_excludes=True) from None
    issues = _missing_issues(name, missing)
    is_empty = np.asarray(np.isnan(values).all(axis=1))
    if is_empty.any() and not is_empty.all():
        places, known = np.arange(len(values)), np.flatnonzero(~is_empty)
        issues += _gap_issues(name, Motion.from_track(np.where(is_empty[:, None], np.nan, 0), round(form.fps)))
        for column in values.T:
            column[is_empty] = np.interp(places[is_empty], known, column[known])
    _check_finite(name, values)
    return (values / np.float32(form.scale) if form.scale != 1 else values), issues


def _check_finite(name: str, values: np.ndarray) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        frame, channel = np.argwhere(bad)[0]
        first = f"the first at frame {frame}, {CHANNELS[channel]}"
        found = f"{name} has {np.count_nonzero(bad)} values that are NaN or infinite, {first}"
        raise Issue("non_finite", found, always_excludes=True)


def _first_line(error: Exception) -> str:
    """What an error says, on one line and not at length: it may quote the file."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0][:200]
