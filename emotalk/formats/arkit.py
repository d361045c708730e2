"""JSON and CSV files with the ARKit channel names, for Unity, VRM and other programs."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.errors import FormatError
from emotalk.formats.channels import reorder_columns
from emotalk.formats.motion import Motion, estimate_frame_rate

if TYPE_CHECKING:
    import pandas as pd

_TIME, _FORMAT_NAME = "time", "ARKit blendshapes"
_TIME_COLUMNS = ("time", "seconds", "timestamp", "time_s")


def write_table(path: str | Path, motion: Motion) -> None:
    """Write a CSV: `time` in seconds, then one column per channel."""
    import pandas as pd

    table = pd.DataFrame(motion.values, columns=CHANNELS)
    table.insert(0, _TIME, motion.seconds.round(6))
    table.to_csv(path, index=False, float_format="%.9g")


def motion_from_table(table: "pd.DataFrame") -> Motion:
    """Motion of a table with a time column and channels; columns are found by name.

    Raises
    ------
    FormatError
        If it has no times, or a cell is not a number.
    """
    names = [str(name) for name in table.columns]
    time = next((name for name in names if name.strip().lower() in _TIME_COLUMNS), None)
    if time is None:
        raise FormatError(f"there is no column 'time' or 'Timecode'; columns are {', '.join(names[:5])}, …")
    return _motion(table[time], table.drop(columns=time).to_numpy(), [name for name in names if name != time])


def write_json(path: str | Path, motion: Motion) -> None:
    """Write JSON with `fps`, `names` and `frames`, a list of `{time, weights}`; compatible with Unity's JsonUtility."""
    frames = [
        {"time": round(float(time), 6), "weights": [float(f"{value:.7g}") for value in row]}
        for time, row in zip(motion.seconds, motion.values, strict=True)
    ]
    content = {"format": _FORMAT_NAME, "fps": _as_number(motion.rate), "names": list(CHANNELS), "frames": frames}
    Path(path).write_text(json.dumps(content), encoding="utf-8")


def _as_number(rate: Fraction) -> int | float:
    return rate.numerator if rate.denominator == 1 else float(rate)


def read_json(path: str | Path) -> Motion:
    """Read the JSON of :func:`write_json`, with names in any order and spelling.

    Raises
    ------
    FormatError
        If the file has another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        weights = np.array([frame["weights"] for frame in content["frames"]], np.float32)
        names = [str(name) for name in content["names"]]
        times = [frame[_TIME] for frame in content["frames"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"it is not JSON with 'names' and 'frames' ({error})") from None
    if weights.ndim != 2 or weights.shape[1] != len(names):
        raise FormatError(f"it has {len(names)} names, but weights of shape {weights.shape}")
    return _motion(times, weights, names)


def _motion(times: Any, values: np.ndarray, names: Sequence[str]) -> Motion:
    try:
        seconds = np.asarray(times, float)
        numbers = np.asarray(values, np.float32)
    except (ValueError, TypeError) as error:
        raise FormatError(f"a cell is not a number ({error})") from None
    rate = estimate_frame_rate(seconds)
    track, missing = reorder_columns(numbers, names)
    return replace(Motion.from_track(track, rate, seconds=seconds), missing=missing)
