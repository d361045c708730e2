"""Names and orders of the 52 channels in files of other programs."""

import re
from collections.abc import Sequence
from itertools import chain, product

import numpy as np

from emotalk.blendshapes import CHANNELS, channel_indices
from emotalk.errors import FormatError

ROTATIONS = tuple(f"{part}{axis}" for part in ("head", "leftEye", "rightEye") for axis in ("Yaw", "Pitch", "Roll"))
"""Rotations in Live Link takes, in addition to the 52 coefficients."""

_EYE_NAMES = "eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp eyeSquint eyeWide"
_OTHER_NAMES = """
jawForward jawRight jawLeft jawOpen mouthClose mouthFunnel mouthPucker mouthRight mouthLeft mouthSmile mouthFrown
mouthDimple mouthStretch mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthPress mouthLowerDown
mouthUpperUp browDown browInnerUp browOuterUp cheekPuff cheekSquint noseSneer tongueOut
"""
_SIDES = ("Left", "Right")


def _livelink_order() -> list[str]:
    eyes = [f"{name}{side}" for side, name in product(_SIDES, _EYE_NAMES.split())]
    rest = [[name] if name in CHANNELS else [name + side for side in _SIDES] for name in _OTHER_NAMES.split()]
    return eyes + list(chain.from_iterable(rest))


LIVELINK_ORDER = tuple(_livelink_order())
"""Channels in the order of Live Link Face: left eye, right eye, jaw (JawRight before JawLeft), mouth, brows, …"""
ORDERS: dict[str, tuple[str, ...]] = {
    "arkit": CHANNELS,
    "mediapipe": ("_neutral", *(name for name in CHANNELS if name != "tongueOut")),
    "livelink": LIVELINK_ORDER,
}
"""Column orders of npy tracks, by value of the setting `channels`."""
_JAW_OPEN, _JAW_RIGHT = channel_indices(["jawOpen", "jawRight"])
_MIN_RANGE, _MIN_SYMMETRY, _MIN_ADVANTAGE = 0.02, 0.2, 0.1
"""In 3D-ETF, left and right channels correlate by 0.25 to 0.63 in the correct order, at least 0.12 less in others."""


def _normalize(name: str) -> str:
    """Normalize a name: lower case, no separators, `_L` and `_R` in full."""
    name = re.sub(r"[ _.-]+l$", "Left", name.strip(), flags=re.IGNORECASE)
    name = re.sub(r"[ _.-]+r$", "Right", name, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]", "", name.lower())


_CHANNELS_BY_KEY = {_normalize(name): name for name in CHANNELS}


def find_channel(name: str) -> str | None:
    """Find the channel of a name in any spelling (case, `_L` and `_R`, prefix of an exporter); None if unknown."""
    key = _normalize(name)
    if key in _CHANNELS_BY_KEY:
        return _CHANNELS_BY_KEY[key]
    matches = [channel for ending, channel in _CHANNELS_BY_KEY.items() if key.endswith(ending)]
    return max(matches, key=len) if matches else None


def find_columns(names: Sequence[str]) -> tuple[list[int | None], list[str]]:
    """Return the column index of each of the 52 channels (None if missing), and the missing channels.

    Raises
    ------
    FormatError
        If two names belong to the same channel.
    """
    columns: dict[str, int] = {}
    for column, name in enumerate(names):
        channel = find_channel(name)
        if channel is None:
            continue
        if channel in columns:
            raise FormatError(f"columns {names[columns[channel]]!r} and {name!r} are both {channel}")
        columns[channel] = column
    return [columns.get(name) for name in CHANNELS], [name for name in CHANNELS if name not in columns]


def reorder_columns(values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reorder named columns to (N, 52); missing channels are 0, and are also returned.

    Raises
    ------
    FormatError
        If two columns belong to the same channel.
    """
    columns, missing = find_columns(names)
    reordered = np.zeros((len(values), len(CHANNELS)), np.float32)
    for channel, column in enumerate(columns):
        if column is not None:
            reordered[:, channel] = values[:, column]
    return reordered, tuple(missing)


def check_missing(missing: Sequence[str], source: str, *, partial: bool) -> None:
    """Raise an error if channels other than tongueOut, which many trackers do not have, are missing.

    Parameters
    ----------
    source
        Beginning of the error message: what lacks the channels.
    partial
        Whether any channels may be missing, but not all.

    Raises
    ------
    FormatError
    """
    required = [name for name in missing if name != "tongueOut"]
    if len(missing) == len(CHANNELS):
        raise FormatError(f"{source} no channel with an ARKit name, such as {', '.join(CHANNELS[:3])}")
    if required and not partial:
        names = f"{', '.join(required[:5])}{' …' if len(required) > 5 else ''}"
        raise FormatError(f"{source} no {names} ({len(missing)} of {len(CHANNELS)} channels are missing)")


def column_names(channels: str | Sequence[str], width: int) -> tuple[str, ...]:
    """Return the column names of an npy file: one of `ORDERS`, or a list of names.

    The order `livelink` may have 9 rotations after the 52 channels. In each order, tongueOut may be missing.

    Raises
    ------
    FormatError
        If the number of columns does not match.
    """
    names = ORDERS[channels] if isinstance(channels, str) else tuple(channels)
    choices = [names]
    if channels == "livelink":
        choices.append((*names, *ROTATIONS))
    if isinstance(channels, str):
        choices.append(tuple(name for name in names if name != "tongueOut"))
    for choice in choices:
        if len(choice) == width:
            return choice
    order = channels if isinstance(channels, str) else "the list in 'channels'"
    widths = " or ".join(str(len(choice)) for choice in dict.fromkeys(choices))
    raise FormatError(f"it has {width} channels; {order} has {widths}. See the setting 'channels' (--channels)")


def guess_channel_order(track: np.ndarray) -> str | None:
    """Guess the channel order from the correlation of left and right channels; None if `arkit` is plausible.

    Parameters
    ----------
    track : (T, 52)
        Columns in the order of the file, read as `arkit`.
    """
    if _looks_like_mediapipe(track):
        return "mediapipe"
    scores = _symmetry(track)
    best = max(scores, key=lambda name: scores[name])
    is_better = scores[best] > _MIN_SYMMETRY and scores[best] - scores["arkit"] > _MIN_ADVANTAGE
    return best if best != "arkit" and is_better else None


def _looks_like_mediapipe(track: np.ndarray) -> bool:
    """Whether the columns are shifted by one, after a `_neutral` column that hardly moves."""
    ranges = np.ptp(track, axis=0)
    return bool(
        np.abs(track[:, 0]).max() < 1e-3
        and ranges[-1] > 0
        and ranges[_JAW_RIGHT] > 0.1
        and ranges[_JAW_RIGHT] > 4 * ranges[_JAW_OPEN]
    )


def _pairs(order: Sequence[str]) -> np.ndarray:
    """Columns of the left and right channels of an order, (2, P)."""
    columns = {name: column for column, name in enumerate(order)}
    left = [name for name in order if name.endswith("Left") and name not in ("jawLeft", "mouthLeft")]
    pairs = [(columns[name], columns[right]) for name in left if (right := name.replace("Left", "Right")) in columns]
    return np.array(pairs).T


_PAIRS = {name: _pairs(order) for name, order in ORDERS.items() if len(order) == len(CHANNELS)}


def _symmetry(track: np.ndarray) -> dict[str, float]:
    """Mean correlation of moving left and right channels, for each order that the columns may have."""
    moves = np.ptp(track, axis=0) > _MIN_RANGE
    centered = track - track.mean(axis=0, dtype=np.float64)
    normalized = centered / np.maximum(np.linalg.norm(centered, axis=0), np.finfo(np.float64).tiny)
    scores = {}
    for name, pairs in _PAIRS.items():
        left, right = pairs[:, moves[pairs].all(axis=0)]
        scores[name] = float((normalized[:, left] * normalized[:, right]).sum() / len(left)) if len(left) else 0.0
    return scores


LIVELINK_COLUMNS = channel_indices(LIVELINK_ORDER)
"""Indices of the channels of `LIVELINK_ORDER` in `CHANNELS`."""
