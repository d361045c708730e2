"""Captures of Live Link Face: CSV files with timecodes and named channels, supported by importers of Unreal."""

import logging
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotalk.errors import FormatError
from emotalk.formats.channels import LIVELINK_COLUMNS, LIVELINK_ORDER, ROTATIONS, reorder_columns
from emotalk.formats.motion import Motion
from emotalk.timing import MAX_FRAME_RATE, nearest_frame_rate

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)
_FRAME_RATES = (24, 25, 30, 48, 50, 60)
_TIMECODE_RATE = 60
_DAY_S = 86_400
_THOUSANDTHS = 1000
_MAX_DROPPED_SHARE = 0.02


def motion_from_take(table: "pd.DataFrame") -> Motion:
    """Convert the table of a Live Link take. Columns are found by name.

    Rows that repeat a time or go back in time are dropped.

    Raises
    ------
    FormatError
        If there is no row, a timecode is invalid, or too many times do not increase.

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
    column_names = [name for name in names if name != timecode]
    values, missing = reorder_columns(numbers, column_names)
    columns = {name.lower(): column for column, name in enumerate(column_names)}
    rotations = np.zeros((len(table), len(ROTATIONS)), np.float32)
    for number, name in enumerate(ROTATIONS):
        if (column := columns.get(name.lower())) is not None:
            rotations[:, number] = np.nan_to_num(numbers[:, column])
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


def _times(timecodes: "pd.Series") -> tuple[np.ndarray, Fraction]:
    """Convert timecodes `HH:MM:SS:FF.mmm` to seconds; also return the frame rate of the rows.

    FF counts frames; mmm is thousandths of a frame in the app, and milliseconds in some other programs. The frame rate
    of the timecodes is not stored: it is the smallest usual rate above every FF, or 60 if the take is within one
    second. The rows may have a lower rate than the timecodes.
    """
    fields = timecodes.str.extract(r"^\s*(\d+):(\d+):(\d+)[:;](\d+)(?:[.,](\d+))?\s*$")
    numbers = fields.fillna({4: "0"}).astype(float).to_numpy()
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers).all(axis=1))[0])
        raise FormatError(f"row {row + 1} has timecode {timecodes.iloc[row]!r}; it must be HH:MM:SS:FF.mmm")
    whole_seconds, frame = numbers[:, :3] @ [3600.0, 60.0, 1.0], numbers[:, 3]
    digits = fields[4].fillna("").str.len().to_numpy()
    fraction = numbers[:, 4] / 10.0**digits
    rate = next((rate for rate in _FRAME_RATES if rate > frame.max()), None)
    if rate is None:
        raise FormatError(
            f"a timecode has frame {frame.max():g}; at most {_FRAME_RATES[-1]} frames per second are supported"
        )
    if np.ptp(whole_seconds) < 1:
        _LOG.warning("The frame rate of a take within one second is unknown; %d is assumed.", _TIMECODE_RATE)
        rate = _TIMECODE_RATE
    is_milliseconds = fraction.max() > 0 and np.abs(fraction * rate - frame).max() < 1.5 and np.ptp(fraction) > 2 / rate
    seconds = whole_seconds + (fraction if is_milliseconds else (frame + fraction) / rate)
    seconds += _DAY_S * np.cumsum(np.diff(seconds, prepend=seconds[0]) < -_DAY_S / 2)
    steps = np.diff(seconds)
    steps = steps[steps > 0]
    interval = float(steps[steps < 3 * np.median(steps)].mean()) if len(steps) else 1 / rate
    return seconds, nearest_frame_rate(max(1.0, min(MAX_FRAME_RATE, 1 / interval)))


def _increasing(seconds: np.ndarray) -> np.ndarray:
    """Select rows with increasing times, (N,) bool.

    Raises
    ------
    FormatError
        If more than one row and more than 2 % of the rows would be dropped.
    """
    kept = seconds > np.maximum.accumulate(np.concatenate([[-np.inf], seconds[:-1]]))
    num_dropped = len(kept) - np.count_nonzero(kept)
    if num_dropped > max(1, _MAX_DROPPED_SHARE * len(kept)):
        row = int(np.flatnonzero(~kept)[0])
        raise FormatError(f"the times of {num_dropped} rows do not increase, the first is row {row + 1}")
    return kept


def write_take(path: str | Path, motion: Motion) -> None:
    """Write a take with the columns of the app; as in the app, rows without a face have only a timecode.

    Importers expect timecodes at 60 frames per second, whatever the frame rate of the rows: at 30 frames per second, FF
    increases by 2, and at 25 by 2.4, of which .400 are thousandths of a frame.
    """
    header = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in (*LIVELINK_ORDER, *ROTATIONS))]
    cells = np.concatenate([motion.values[:, LIVELINK_COLUMNS], motion.rotations], axis=1)
    lines = [",".join(header)]
    for second, row, has_face in zip(motion.seconds, cells, motion.has_face, strict=True):
        time = _timecode(motion.start_s + second)
        lines.append(f"{time},{len(row)}," + ",".join(f"{cell:.10f}" for cell in row) if has_face else f"{time},0")
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _timecode(second: float) -> str:
    thousandths = round(second * _TIMECODE_RATE * _THOUSANDTHS)
    whole, rest = divmod(thousandths, _TIMECODE_RATE * _THOUSANDTHS)
    frame, part = divmod(rest, _THOUSANDTHS)
    minutes, seconds = divmod(whole % _DAY_S, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}:{frame:02}.{part:03}"
