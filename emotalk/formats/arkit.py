"""Plain tables under ARKit's names, for Unity, VRM and whatever else reads JSON or CSV."""

import json
from pathlib import Path

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.errors import FormatError
from emotalk.formats.motion import Motion, rate_of

_TIME, _MARK = "time", "ARKit blendshapes"


def write_table(path: str | Path, motion: Motion) -> None:
    """Write a CSV: `time` in seconds, then a column a channel."""
    import pandas as pd

    table = pd.DataFrame(motion.values, columns=CHANNELS)
    table.insert(0, _TIME, motion.seconds.round(6))
    table.to_csv(path, index=False, float_format="%.9g")


def read_table(path: str | Path) -> Motion:
    """Read a CSV of times and channels; columns are found by name.

    Raises
    ------
    FormatError
        If a column is missing.
    """
    import pandas as pd

    table = pd.read_csv(path)
    return _motion(table.get(_TIME), {name: table.get(name) for name in CHANNELS})


def write_json(path: str | Path, motion: Motion) -> None:
    """Write a JSON: `fps`, `names`, and `frames`, a list of `{time, weights}`, which Unity's JsonUtility reads too."""
    frames = [
        {"time": round(float(time), 6), "weights": [float(f"{value:.7g}") for value in row]}
        for time, row in zip(motion.seconds, motion.values, strict=True)
    ]
    content = {"format": _MARK, "fps": motion.rate, "names": list(CHANNELS), "frames": frames}
    Path(path).write_text(json.dumps(content), encoding="utf-8")


def read_json(path: str | Path) -> Motion:
    """Read what :func:`write_json` writes; names decide, not places.

    Raises
    ------
    FormatError
        If it is something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        weights = np.array([frame["weights"] for frame in content["frames"]], np.float32)
        columns = dict(zip(content["names"], weights.T, strict=True))
        return _motion([frame[_TIME] for frame in content["frames"]], columns)
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"it holds no ARKit blendshapes as this program writes them ({error})") from None


def _motion(times: object, columns: dict) -> Motion:
    missing = [name for name in CHANNELS if columns.get(name) is None]
    if times is None or missing:
        raise FormatError(f"there is no column {', '.join([*([_TIME] if times is None else []), *missing][:3])}")
    seconds = np.asarray(times, float)
    rate = rate_of(seconds)
    values = np.stack([np.asarray(columns[name], np.float32) for name in CHANNELS], axis=1)
    motion = Motion.of_track(values, rate)
    return Motion(seconds - seconds[0], values, rate, motion.rotations)
