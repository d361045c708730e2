"""Names and orders of the 52 channels in other programs' files."""

import re
from collections.abc import Sequence
from itertools import chain, product

import numpy as np

from emotalk.blendshapes import CHANNELS, channel_indices
from emotalk.errors import FormatError

ROTATIONS = tuple(f"{part}{axis}" for part in ("head", "leftEye", "rightEye") for axis in ("Yaw", "Pitch", "Roll"))
"""Rotations that captures have in addition to the 52 coefficients."""

_EYE = "eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp eyeSquint eyeWide"
_REST = """
jawForward jawRight jawLeft jawOpen mouthClose mouthFunnel mouthPucker mouthRight mouthLeft mouthSmile mouthFrown
mouthDimple mouthStretch mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthPress mouthLowerDown
mouthUpperUp browDown browInnerUp browOuterUp cheekPuff cheekSquint noseSneer tongueOut
"""
_SIDES = ("Left", "Right")


def _livelink_order() -> list[str]:
    eyes = [f"{name}{side}" for side, name in product(_SIDES, _EYE.split())]
    rest = [[name] if name in CHANNELS else [name + side for side in _SIDES] for name in _REST.split()]
    return eyes + list(chain.from_iterable(rest))


LIVELINK_ORDER = tuple(_livelink_order())
"""The channels in the order of Live Link Face: left eye, right eye, jaw, mouth (JawRight before JawLeft), brows, …"""
ORDERS: dict[str, tuple[str, ...]] = {
    "arkit": CHANNELS,
    "mediapipe": ("_neutral", *(name for name in CHANNELS if name != "tongueOut")),
    "livelink": LIVELINK_ORDER,
}
"""Column orders of npy tracks by the value of the setting `channels`."""
_JAW_OPEN, _JAW_RIGHT = channel_indices(["jawOpen", "jawRight"])
_MIN_SPREAD, _SYMMETRIC, _CLEARLY_BETTER = 0.02, 0.2, 0.1
"""In 3D-ETF, pairs correlate by 0.25 to 0.63 in the right order, and by at least 0.12 less in another."""


def _key(name: str) -> str:
    """A name without case and separators, with `_L` and `_R` written out."""
    name = re.sub(r"[ _.-]+l$", "Left", name.strip(), flags=re.IGNORECASE)
    name = re.sub(r"[ _.-]+r$", "Right", name, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]", "", name.lower())


_KEYS = {_key(name): name for name in CHANNELS}


def channel_of(name: str) -> str | None:
    """Our name of a channel in any spelling: other case, `_L` and `_R`, an exporter's prefix; None for another name."""
    key = _key(name)
    if key in _KEYS:
        return _KEYS[key]
    fitting = [channel for ending, channel in _KEYS.items() if key.endswith(ending)]
    return max(fitting, key=len) if fitting else None


def match_channels(names: Sequence[str]) -> tuple[list[int | None], list[str]]:
    """For each of the 52 channels the place of its column (None: absent), and the channels that are absent.

    Raises
    ------
    FormatError
        If two names mean the same channel.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        channel = channel_of(name)
        if channel is None:
            continue
        if channel in places:
            raise FormatError(f"columns {names[places[channel]]!r} and {name!r} are both {channel}")
        places[channel] = place
    return [places.get(name) for name in CHANNELS], [name for name in CHANNELS if name not in places]


def arrange(values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Columns (N, 52) in our order, from columns with these names, and the channels that are absent.

    Only tongueOut may be absent, and is 0: many trackers do not have it.

    Raises
    ------
    FormatError
        If another channel is absent.
    """
    places, missing = match_channels(names)
    if absent := [name for name in missing if name != "tongueOut"]:
        raise FormatError(f"there is no column {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}")
    arranged = np.zeros((len(values), len(CHANNELS)), np.float32)
    for channel, place in enumerate(places):
        if place is not None:
            arranged[:, channel] = values[:, place]
    return arranged, tuple(missing)


def columns_of(channels: str | Sequence[str], width: int) -> tuple[str, ...]:
    """Names of an npy's columns: of one of `ORDERS`, or as listed.

    Live Link's order may have its 9 rotations behind the 52 channels; each order may lack tongueOut.

    Raises
    ------
    FormatError
        If the file has another number of columns.
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
    shown = channels if isinstance(channels, str) else "the list in 'channels'"
    rule = " or ".join(str(len(choice)) for choice in dict.fromkeys(choices))
    raise FormatError(f"it has {width} channels, and {shown} has {rule}; see the setting 'channels'")


def likely_order(track: np.ndarray) -> str | None:
    """Order in which left and right channels are much more alike than in the order of the file; None if there is none.

    Parameters
    ----------
    track : (T, 52)
        Columns as in the file, taken as being in our order.
    """
    if _looks_like_mediapipe(track):
        return "mediapipe"
    scores = {name: _symmetry(track, order) for name, order in ORDERS.items() if len(order) == len(CHANNELS)}
    best = max(scores, key=lambda name: scores[name])
    is_better = scores[best] > _SYMMETRIC and scores[best] - scores["arkit"] > _CLEARLY_BETTER
    return best if best != "arkit" and is_better else None


def _looks_like_mediapipe(track: np.ndarray) -> bool:
    """Whether the columns are one place too far to the right, after a `_neutral` that hardly moves."""
    spread = np.ptp(track, axis=0)
    return bool(
        np.abs(track[:, 0]).max() < 1e-3
        and spread[-1] > 0
        and spread[_JAW_RIGHT] > 0.1
        and spread[_JAW_RIGHT] > 4 * spread[_JAW_OPEN]
    )


def _symmetry(track: np.ndarray, order: Sequence[str]) -> float:
    """Mean correlation of left and right channels that move, if the columns are in this order."""
    places = {name: place for place, name in enumerate(order)}
    spread = np.ptp(track, axis=0)
    found = []
    for name, place in places.items():
        other = places.get(name.replace("Left", "Right"))
        is_pair = name.endswith("Left") and name not in ("jawLeft", "mouthLeft") and other is not None
        if is_pair and min(spread[place], spread[other]) > _MIN_SPREAD:
            found.append(float(np.corrcoef(track[:, place], track[:, other])[0, 1]))
    return float(np.mean(found)) if found else 0.0


LIVELINK_COLUMNS = channel_indices(LIVELINK_ORDER)
"""Places of Live Link's columns in ours."""
