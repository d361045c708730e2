"""Names of the 52 ARKit blendshape coefficients in the channel order of EmoTalk tracks, and named face regions."""

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
"""Channel names in alphabetical order, the column order of 3D-ETF tracks."""

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
"""Channel names of each region. "mouth" includes jaw and tongue, "cheeks" includes the nose, and "upper" is the part of
the face that shows emotion besides the mouth: brows, eyes, cheek squint and nose."""


def channel_indices(names: Iterable[str]) -> list[int]:
    """Return the columns of the named channels in a track.

    Raises
    ------
    ValueError
        If a name is not one of the 52 channels.
    """
    return [CHANNELS.index(name) for name in names]
