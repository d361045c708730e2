"""Captures of Live Link Face: CSV files with a timecode and named channels."""

from pathlib import Path

import numpy as np
import pandas as pd

from emotalk.blendshapes import CHANNELS

_FRAME_RATES = (24, 25, 30, 48, 50, 60)
_USUAL_FRAME_RATE = 60
_DAY_S = 86_400.0


def read_capture(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a capture's times and its 52 coefficients, mapped by name.

    Returns
    -------
    seconds : (N,) float64
        Since the first row, increasing.
    values : (N, 52) float32
        In the order of EmoTalk's tracks; NaN in rows without a face.

    Raises
    ------
    ValueError
        If it is no such capture: a channel is missing, a timecode cannot be read, time runs backwards.

    Source
    ------
    DOMAIN.md, section 6: 61 columns in PascalCase after `Timecode,BlendShapeCount`, rotations of head and eyes among
    them.
    """
    table = pd.read_csv(path, dtype={"Timecode": str}, skipinitialspace=True)
    columns = {str(name).strip().lower(): name for name in table.columns}
    if missing := [name for name in ("timecode", *CHANNELS) if name.lower() not in columns]:
        raise ValueError(f"there is no column {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}")
    if table.empty:
        raise ValueError("there is no row below the header")
    values = table[[columns[name.lower()] for name in CHANNELS]].to_numpy(np.float32)
    return _seconds(table[columns["timecode"]]), values


def _seconds(timecodes: pd.Series) -> np.ndarray:
    """Seconds since the first of timecodes `HH:MM:SS:FF.mmm`; FF counts frames, mmm thousandths of one.

    The number of frames in a second is not written: it is the smallest usual one that the frames leave room for, and
    60 in a capture too short to tell.
    """
    fields = timecodes.str.extract(r"^\s*(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)\s*$").astype(float).to_numpy()
    if np.isnan(fields).any():
        row = int(np.flatnonzero(np.isnan(fields).any(axis=1))[0])
        raise ValueError(f"row {row + 1} has timecode {timecodes.iloc[row]!r}; it must be HH:MM:SS:FF.mmm")
    whole, frame = fields[:, :3] @ [3600.0, 60.0, 1.0], fields[:, 3]
    rate = next((rate for rate in _FRAME_RATES if rate > frame.max()), None)
    if rate is None:
        raise ValueError(f"a timecode counts {frame.max():g} frames in a second; at most {_FRAME_RATES[-1]} are known")
    if np.ptp(whole) < 2:
        rate = _USUAL_FRAME_RATE
    seconds = whole + frame / rate
    seconds += _DAY_S * np.cumsum(np.diff(seconds, prepend=seconds[0]) < -_DAY_S / 2)
    if (backwards := np.flatnonzero(np.diff(seconds) <= 0)).size:
        raise ValueError(f"time does not go on from row {backwards[0] + 1} to the next")
    return seconds - seconds[0]
