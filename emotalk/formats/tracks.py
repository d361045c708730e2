"""Reading of captured motion as (T, 52) tracks at 30 fps, whatever file, channel order and frame rate it comes in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS, channel_indices
from emotalk.errors import Issue
from emotalk.timing import FPS, resample


@dataclass(frozen=True)
class TrackFormat:
    """How an npy of motion is to be read; a Live Link CSV says it all itself.

    Attributes
    ----------
    channels
        `arkit`: the 52 names in alphabetical order, as 3D-ETF has them; `mediapipe`: `_neutral`, then their first 51.
    fps
        Frames a second.
    """

    channels: str = "arkit"
    fps: float = FPS


LOWEST, HIGHEST = -0.5, 1.5
"""Coefficients are 0 to 1; captured ones go a little beyond, and small negative values are normal (DOMAIN.md)."""
_STILL = 1e-4
_LARGE = 1 << 26
_PICKLE = b"\x80"
_MOST_MISSING = 0.25
_CAPTURE_RATE_RANGE = (10, 240)
_JAW_OPEN, _JAW_RIGHT = channel_indices(["jawOpen", "jawRight"])


def is_capture(path: Path) -> bool:
    """Whether a file is a Live Link capture, which tells its channels and times itself."""
    return path.suffix.lower() == ".csv"


def read_track(path: Path, form: TrackFormat) -> tuple[np.ndarray, list[Issue]]:
    """Motion as (T, 52) float32 at 30 fps, and issues that were mended in reading it.

    The file is data, never code: pickled arrays are refused.

    Raises
    ------
    Issue
        `unreadable_track`, `pickled_track`, `wrong_dims`, `wrong_width`, `non_finite` or a `track_gap` too wide.
    """
    if is_capture(path):
        return _read_capture(path)
    values = _finite(path.name, _ordered(path.name, _load(path), form.channels))
    return (values if form.fps == FPS else resample(values, form.fps, FPS)), []


def inspect_track(name: str, track: np.ndarray, form: TrackFormat) -> Iterator[Issue]:
    """What is wrong with motion that could be read."""
    if not len(track):
        return
    lowest, highest = float(track.min()), float(track.max())
    if lowest < LOWEST or highest > HIGHEST:
        yield Issue("out_of_range", f"{name} has values from {lowest:.3g} to {highest:.3g}; the rule is 0 to 1")
    spread = np.ptp(track, axis=0)
    if spread.max() < _STILL:
        yield Issue("constant_track", f"{name} never moves: no channel varies by more than {spread.max():.1g}")
    elif form.channels == "arkit" and _looks_like_mediapipe(track, spread):
        hint = "its first column is still and its 26th moves as jawOpen does"
        yield Issue("channel_order", f"{name} may be in MediaPipe's order: {hint}; see 'channels'")


def _looks_like_mediapipe(track: np.ndarray, spread: np.ndarray) -> bool:
    """Whether the columns stand one place too far to the right, after a `_neutral` that hardly moves."""
    return bool(
        np.abs(track[:, 0]).max() < 1e-3
        and spread[-1] > 0
        and spread[_JAW_RIGHT] > 0.1
        and spread[_JAW_RIGHT] > 4 * spread[_JAW_OPEN]
    )


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
        if re.search("objects|Object arrays", str(error)) or _is_pickle(path):
            found = f"{path.name} holds pickled objects, which could be code and are never opened; save plain numbers"
            raise Issue("pickled_track", found, always_excludes=True) from None
        found = f"{path.name} is no npy array of numbers ({_first_line(error)})"
        raise Issue("unreadable_track", found, always_excludes=True) from None


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as pickles do."""
    try:
        with open(path, "rb") as file:
            return file.read(1) == _PICKLE
    except OSError:
        return False


def _ordered(name: str, array: np.ndarray, channels: str) -> np.ndarray:
    """Float32 values in our order of channels."""
    if array.ndim != 2:
        found = f"{name} has shape {array.shape}; a track is (frames, {NUM_CHANNELS})"
        raise Issue("wrong_dims", found, always_excludes=True)
    if array.shape[1] != NUM_CHANNELS:
        found = f"{name} has {array.shape[1]} channels; a track has {NUM_CHANNELS}"
        raise Issue("wrong_width", found, always_excludes=True)
    with np.errstate(over="ignore"):  # What overflows is reported as not finite.
        values = array.astype(np.float32)
    if channels == "mediapipe":
        no_tongue = np.zeros((len(values), 1), np.float32)
        values = np.concatenate([values[:, 1:], no_tongue], axis=1)
    return values


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(values)
    if bad.any():
        frame, channel = np.argwhere(bad)[0]
        first = f"the first at frame {frame}, {CHANNELS[channel]}"
        found = f"{name} holds {np.count_nonzero(bad)} values that are NaN or infinite, {first}"
        raise Issue("non_finite", found, always_excludes=True)
    return values


def _read_capture(path: Path) -> tuple[np.ndarray, list[Issue]]:
    """Track of a Live Link capture: rows without a face are bridged, times are made even."""
    from emotalk.formats.livelink import read_capture

    try:
        motion = read_capture(path)
    except Exception as error:  # Nor is what the CSV reader raises.
        found = f"{path.name} is no Live Link capture ({_first_line(error)})"
        raise Issue("unreadable_track", found, always_excludes=True) from None
    seconds, seen = motion.seconds, motion.is_seen
    if np.count_nonzero(seen) < 2:
        raise Issue("track_gap", f"{path.name} shows no face", always_excludes=True)
    rate = round(1 / np.median(np.diff(seconds)))
    if not _CAPTURE_RATE_RANGE[0] <= rate <= _CAPTURE_RATE_RANGE[1]:
        found = f"{path.name} has about {rate} rows a second; a capture has {_CAPTURE_RATE_RANGE}"
        raise Issue("unreadable_track", found, always_excludes=True)
    gap = np.diff(seconds[seen]) - 1.5 / rate
    lost = float(gap[gap > 0].sum() + seconds[seen][0] + seconds[-1] - seconds[seen][-1])
    issues = []
    if lost > 1 / rate:
        part = lost / seconds[-1]
        where = seconds[seen][gap.argmax()]
        rule = f"bridged where at most {_MOST_MISSING:.0%} is missing"
        found = f"{path.name} shows no face for {lost:.1f} s ({part:.0%}), the longest time from {where:.1f} s; {rule}"
        issues.append(Issue("track_gap", found, always_excludes=part > _MOST_MISSING))
        if part > _MOST_MISSING:
            raise issues[0]
    return _finite(path.name, replace(motion, rate=rate).at(FPS).values), issues


def _first_line(error: Exception) -> str:
    """What an error says, on one line and not at length: it may quote the file."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0][:200]
