"""The 52 ARKit blendshape coefficients, in the order of every EmoTalk track, and regions of the face by name."""

from collections.abc import Iterable

_ALPHABETICAL = """

browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight
eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft
eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward
jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel
mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight
mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft
mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight tongueOut
"""

CHANNELS: tuple[str, ...] = tuple(_ALPHABETICAL.split())
"""Names in alphabetical order, which is the column order of 3D-ETF tracks."""

NUM_CHANNELS = len(CHANNELS)

_REGION_PREFIXES: dict[str, tuple[str, ...]] = {
    "all": ("",),
    "mouth": ("jaw", "mouth", "tongue"),
    "jaw": ("jaw",),
    "brows": ("brow",),
    "eyes": ("eye",),
    "cheeks": ("cheek", "nose"),
    "upper": ("brow", "eye", "cheekSquint", "nose"),
}

REGIONS: dict[str, tuple[str, ...]] = {
    region: tuple(name for name in CHANNELS if name.startswith(prefixes))
    for region, prefixes in _REGION_PREFIXES.items()
}
"""Regions as lists of channel names; the mouth includes the jaw, mouthClose and the tongue, the cheeks the nose. The
upper face is what shows emotion beside the mouth: brows, eyes, the cheeks below them, the nose."""


def channel_indices(names: Iterable[str]) -> list[int]:
    """Columns of the named channels in a track.

    Raises
    ------
    ValueError
        If a name is none of the 52.
    """
    return [CHANNELS.index(name) for name in names]
