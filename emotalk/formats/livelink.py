"""Captures of Live Link Face: CSV files with a timecode and named channels, which Unreal's importers read."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotalk.errors import FormatError
from emotalk.formats.channels import LIVELINK_COLUMNS, LIVELINK_ORDER, ROTATIONS, arrange
from emotalk.formats.motion import Motion
from emotalk.formats.spreadsheet import read_spreadsheet

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)
_FRAME_RATES = (24, 25, 30, 48, 50, 60)
_USUAL_FRAME_RATE = 60
_DAY_S = 86_400
_THOUSANDTHS = 1000
_MOST_DROPPED = 0.02
_MOST_RATE = 240


def read_capture(path: str | Path) -> Motion:
    """Read a capture; see :func:`motion_from_capture`."""
    return motion_from_capture(read_spreadsheet(path))


def motion_from_capture(table: "pd.DataFrame") -> Motion:
    """Motion of a capture; columns are found by name. Rows that repeat a time or go back in time are dropped.

    Raises
    ------
    FormatError
        If it is not such a capture: a channel is missing, a timecode cannot be read, or times are in disorder.

    Source
    ------
    docs/method.md, section "Data": 61 columns in PascalCase after `Timecode,BlendShapeCount`, 9 of them rotations.
    """
    names = [str(name).strip() for name in table.columns]
    table = table.set_axis(names, axis="columns")
    timecode = next((name for name in names if name.lower() == "timecode"), None)
    if timecode is None:
        raise FormatError("there is no column Timecode")
    if table.empty:
        raise FormatError("there is no row below the header")
    try:
        numbers = table.drop(columns=timecode).to_numpy(np.float32)
    except (ValueError, TypeError) as error:
        raise FormatError(f"a cell is not a number ({error})") from None
    others = [name for name in names if name != timecode]
    values, missing = arrange(numbers, others)
    places = {name.lower(): place for place, name in enumerate(others)}
    rotations = np.zeros((len(table), len(ROTATIONS)), np.float32)
    for column, name in enumerate(ROTATIONS):
        if (place := places.get(name.lower())) is not None:
            rotations[:, column] = np.nan_to_num(numbers[:, place])
    seconds, rate = _times(table[timecode].astype(str))
    kept = _increasing(seconds)
    seconds = seconds[kept]
    return Motion(
        seconds - seconds[0],
        values[kept],
        rate,
        rotations[kept],
        float(seconds[0]),
        missing,
        int(len(kept) - np.count_nonzero(kept)),
    )


def _times(timecodes: "pd.Series") -> tuple[np.ndarray, int]:
    """Seconds of timecodes `HH:MM:SS:FF.mmm`, and frames per second.

    FF counts frames. The app writes thousandths of a frame as mmm; some programs write milliseconds instead.
    The number of frames per second is not written: it is the smallest usual one that is larger than every FF, and 60
    in a capture within one second, where it is unknown. Rows may be less frequent than timecode frames.
    """
    fields = timecodes.str.extract(r"^\s*(\d+):(\d+):(\d+)[:;](\d+)(?:[.,](\d+))?\s*$")
    numbers = fields.fillna({4: "0"}).astype(float).to_numpy()
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers).all(axis=1))[0])
        raise FormatError(f"row {row + 1} has timecode {timecodes.iloc[row]!r}; it must be HH:MM:SS:FF.mmm")
    whole, frame = numbers[:, :3] @ [3600.0, 60.0, 1.0], numbers[:, 3]
    digits = fields[4].fillna("").str.len().to_numpy()
    part = numbers[:, 4] / 10.0**digits
    rate = next((rate for rate in _FRAME_RATES if rate > frame.max()), None)
    if rate is None:
        raise FormatError(
            f"a timecode has frame {frame.max():g}; at most {_FRAME_RATES[-1]} frames per second are known"
        )
    if np.ptp(whole) < 1:
        _LOG.warning("The rate of a capture within one second is unknown; %d is assumed.", _USUAL_FRAME_RATE)
        rate = _USUAL_FRAME_RATE
    is_milliseconds = part.max() > 0 and np.abs(part * rate - frame).max() < 1.5 and np.ptp(part) > 2 / rate
    seconds = whole + (part if is_milliseconds else (frame + part) / rate)
    seconds += _DAY_S * np.cumsum(np.diff(seconds, prepend=seconds[0]) < -_DAY_S / 2)
    steps = np.diff(seconds)
    steps = steps[steps > 0]
    usual = float(steps[steps < 3 * np.median(steps)].mean()) if len(steps) else 1 / rate
    return seconds, max(1, min(_MOST_RATE, round(1 / usual)))


def _increasing(seconds: np.ndarray) -> np.ndarray:
    """Rows to keep so that times increase, (N,) bool.

    Raises
    ------
    FormatError
        If that would drop more than 2 % of the rows, and more than one.
    """
    kept = seconds > np.maximum.accumulate(np.concatenate([[-np.inf], seconds[:-1]]))
    num_dropped = len(kept) - np.count_nonzero(kept)
    if num_dropped > max(1, _MOST_DROPPED * len(kept)):
        row = int(np.flatnonzero(~kept)[0])
        raise FormatError(f"the times of {num_dropped} rows do not increase, the first is row {row + 1}")
    return kept


def write_capture(path: str | Path, motion: Motion) -> None:
    """Write a capture with the app's columns; rows without a face have a timecode and no values, as in the app's.

    Timecodes count 60 frames per second, as importers expect, wherever the rate divides 60: at 30 frames per second a
    row has every second number.
    """
    count = _USUAL_FRAME_RATE if _USUAL_FRAME_RATE % motion.rate == 0 else motion.rate
    if count not in _FRAME_RATES:
        known = ", ".join(map(str, _FRAME_RATES))
        raise FormatError(f"a capture cannot have {motion.rate} frames per second; set one of {known} by --fps")
    header = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in (*LIVELINK_ORDER, *ROTATIONS))]
    cells = np.concatenate([motion.values[:, LIVELINK_COLUMNS], motion.rotations], axis=1)
    lines = [",".join(header)]
    for second, row, is_seen in zip(motion.seconds, cells, motion.is_seen, strict=True):
        time = _timecode(motion.start_s + second, count)
        lines.append(f"{time},{len(row)}," + ",".join(f"{cell:.10f}" for cell in row) if is_seen else f"{time},0")
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _timecode(second: float, rate: int) -> str:
    thousandths = round(second * rate * _THOUSANDTHS)
    whole, rest = divmod(thousandths, rate * _THOUSANDTHS)
    frame, part = divmod(rest, _THOUSANDTHS)
    minutes, seconds = divmod(whole % _DAY_S, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}:{frame:02}.{part:03}"
