"""Captures of Live Link Face: CSV files with a timecode and named channels, which Unreal's importers read."""

import logging
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotalk.blendshapes import CHANNELS, channel_indices
from emotalk.errors import FormatError
from emotalk.formats.motion import ROTATIONS, Motion

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)
_FRAME_RATES = (24, 25, 30, 48, 50, 60)
_USUAL_FRAME_RATE = 60
_DAY_S = 86_400
_THOUSANDTHS = 1000

_EYE = "eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp eyeSquint eyeWide"
_REST = """
jawForward jawRight jawLeft jawOpen mouthClose mouthFunnel mouthPucker mouthRight mouthLeft mouthSmile mouthFrown
mouthDimple mouthStretch mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthPress mouthLowerDown
mouthUpperUp browDown browInnerUp browOuterUp cheekPuff cheekSquint noseSneer tongueOut
"""
_SIDES = ("Left", "Right")


def _in_the_apps_order() -> list[str]:
    eyes = [f"{name}{side}" for side, name in product(_SIDES, _EYE.split())]
    rest = [[name] if name in CHANNELS else [name + side for side in _SIDES] for name in _REST.split()]
    return eyes + list(chain.from_iterable(rest))


ORDER = tuple(_in_the_apps_order())
"""Our channels in the order of the app's columns: eye by eye, then jaw and mouth (JawRight before JawLeft), brows, …"""


def read_capture(path: str | Path) -> Motion:
    """Read a capture, mapped by the names of its columns.

    Raises
    ------
    FormatError
        If it is no such capture: a channel is missing, a timecode cannot be read, time runs backwards.

    Source
    ------
    DOMAIN.md, section 6: 61 columns in PascalCase after `Timecode,BlendShapeCount`, rotations of head and eyes among
    them.
    """
    import pandas as pd

    table = pd.read_csv(path, dtype={"Timecode": str}, skipinitialspace=True)
    columns = {str(name).strip().lower(): name for name in table.columns}
    if missing := [name for name in ("timecode", *CHANNELS) if name.lower() not in columns]:
        raise FormatError(f"there is no column {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}")
    if table.empty:
        raise FormatError("there is no row below the header")
    values = table[[columns[name.lower()] for name in CHANNELS]].to_numpy(np.float32)
    turned = [columns.get(name.lower()) for name in ROTATIONS]
    rotations = np.stack([np.zeros(len(table)) if name is None else table[name] for name in turned], axis=1)
    times, rate = _times(table[columns["timecode"]])
    return Motion(times - times[0], values, rate, np.nan_to_num(rotations.astype(np.float32)), float(times[0]))


def _times(timecodes: "pd.Series") -> tuple[np.ndarray, int]:
    """Seconds of timecodes `HH:MM:SS:FF.mmm`, FF counts frames and mmm thousandths of one, and frames a second.

    The number of frames in a second is not written: it is the smallest usual one that the frames leave room for, and
    60 in a capture within one second, which cannot tell.
    """
    fields = timecodes.str.extract(r"^\s*(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)\s*$").astype(float).to_numpy()
    if not np.isfinite(fields).all():
        row = int(np.flatnonzero(~np.isfinite(fields).all(axis=1))[0])
        raise FormatError(f"row {row + 1} has timecode {timecodes.iloc[row]!r}; it must be HH:MM:SS:FF.mmm")
    whole, frame = fields[:, :3] @ [3600.0, 60.0, 1.0], fields[:, 3]
    rate = next((rate for rate in _FRAME_RATES if rate > frame.max()), None)
    if rate is None:
        known = _FRAME_RATES[-1]
        raise FormatError(f"a timecode counts {frame.max():g} frames in a second; at most {known} are known")
    if np.ptp(whole) < 1:
        _LOG.warning("A capture within one second does not tell its rate; taken as %d.", _USUAL_FRAME_RATE)
        rate = _USUAL_FRAME_RATE
    seconds = whole + frame / rate
    seconds += _DAY_S * np.cumsum(np.diff(seconds, prepend=seconds[0]) < -_DAY_S / 2)
    if (backwards := np.flatnonzero(np.diff(seconds) <= 0)).size:
        raise FormatError(f"time does not go on from row {backwards[0] + 1} to the next")
    return seconds, rate


def write_capture(path: str | Path, motion: Motion) -> None:
    """Write a capture with the app's columns; rows without a face have a timecode and no values, as in the app's."""
    if motion.rate not in _FRAME_RATES:
        known = ", ".join(map(str, _FRAME_RATES))
        raise FormatError(f"a capture cannot have {motion.rate} frames a second; take one of {known} by --fps")
    header = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in (*ORDER, *ROTATIONS))]
    cells = np.concatenate([motion.values[:, channel_indices(ORDER)], motion.rotations], axis=1)
    lines = [",".join(header)]
    for second, row, is_seen in zip(motion.seconds, cells, motion.is_seen, strict=True):
        time = _timecode(motion.start_s + second, motion.rate)
        lines.append(f"{time},{len(row)}," + ",".join(f"{cell:.10f}" for cell in row) if is_seen else f"{time},0")
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _timecode(second: float, rate: int) -> str:
    thousandths = round(second * rate * _THOUSANDTHS)
    whole, rest = divmod(thousandths, rate * _THOUSANDTHS)
    frame, part = divmod(rest, _THOUSANDTHS)
    minutes, seconds = divmod(whole % _DAY_S, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}:{frame:02}.{part:03}"
