"""What the file names of 3D-ETF say about a recording."""

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RecordingName:
    """Facts read from a stem; None where the naming scheme says nothing.

    Attributes
    ----------
    subject
        Actor number ("1" to "24") or speaker name.
    emotion
        RAVDESS emotion word, `happy` for example.
    intensity
        1 normal, 2 strong.
    statement, repetition
        Which sentence, and the how-manieth take of it.
    """

    subject: str
    emotion: str | None = None
    intensity: int | None = None
    statement: int | None = None
    repetition: int | None = None


RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""Emotion codes 01 to 08 of RAVDESS (Livingstone & Russo 2018)."""

_RAVDESS = re.compile(r"0[1-3]-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])")
_HDTF = re.compile(r"(?P<group>RD|WDA|WRA)_(?P<speaker>\w+)_\d{3}")


def parse_ravdess(stem: str) -> RecordingName | None:
    """Read `modality-channel-emotion-intensity-statement-repetition-actor`; None if it is not such a stem."""
    match = _RAVDESS.fullmatch(stem)
    if match is None:
        return None
    emotion, intensity, statement, repetition, actor = (int(field) for field in match.groups())
    return RecordingName(str(actor), RAVDESS_EMOTIONS[emotion - 1], intensity, statement, repetition)


def parse_hdtf(stem: str) -> RecordingName | None:
    """Read `{RD|WDA|WRA}_{Speaker[digit]}_{clip}`; None if it is not such a stem.

    The speaker is the name without its trailing digit (`EdMarkey0`, `EdMarkey1` are one person), except for the radio
    shows `RD_RadioNN`, which are a person each.
    """
    match = _HDTF.fullmatch(stem)
    if match is None:
        return None
    speaker = match["speaker"]
    is_radio_show = match["group"] == "RD" and re.fullmatch(r"Radio\d+", speaker)
    return RecordingName(speaker if is_radio_show else re.sub(r"\d$", "", speaker))


NAMING: dict[str, Callable[[str], RecordingName | None]] = {"RAVDESS": parse_ravdess, "HDTF": parse_hdtf}
"""How the stems of each corpus are read."""


def pairing_key(corpus: str, stem: str) -> str:
    """What a wav and its track have in common: the stem, for RAVDESS without the modality field.

    People bring the audio-only originals (`03-…`) to the tracks of the videos (`01-…`).
    """
    if corpus == "RAVDESS" and _RAVDESS.fullmatch(stem):
        return stem.partition("-")[2]
    return stem
