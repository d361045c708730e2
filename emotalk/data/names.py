"""What file names say about a recording, and what they may be."""

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
    statement
        Which sentence: its number, or its words.
    repetition
        The how-manieth take of it.
    """

    subject: str
    emotion: str | None = None
    intensity: int | None = None
    statement: str | None = None
    repetition: int | None = None


RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""Emotion codes 01 to 08 of RAVDESS (Livingstone & Russo 2018)."""

NUM_ACTORS = 24
"""Actors of RAVDESS, numbered from 1; the released network knows each of them."""

_RAVDESS = re.compile(r"0[1-3]-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])")
_HDTF = re.compile(r"(?P<group>RD|WDA|WRA)_(?P<speaker>\w+)_\d{3}(?:_part\d+)?")


def parse_ravdess(stem: str) -> RecordingName | None:
    """Read `modality-channel-emotion-intensity-statement-repetition-actor`; None if it is not such a stem."""
    match = _RAVDESS.fullmatch(stem)
    if match is None:
        return None
    emotion, intensity, statement, repetition, actor = (int(field) for field in match.groups())
    return RecordingName(str(actor), RAVDESS_EMOTIONS[emotion - 1], intensity, str(statement), repetition)


def parse_hdtf(stem: str) -> RecordingName | None:
    """Read `{RD|WDA|WRA}_{Speaker[digit]}_{clip}[_part{scene}]`; None if it is not such a stem.

    The speaker is the name without its trailing digit (`EdMarkey0`, `EdMarkey1` are one person), except for the radio
    shows `RD_RadioNN`, which are a person each.
    """
    match = _HDTF.fullmatch(stem)
    if match is None:
        return None
    speaker = match["speaker"]
    is_radio_show = match["group"] == "RD" and re.fullmatch(r"Radio\d+", speaker)
    return RecordingName(speaker if is_radio_show else re.sub(r"\d$", "", speaker))


NAMING: dict[str, Callable[[str], RecordingName | None]] = {"ravdess": parse_ravdess, "hdtf": parse_hdtf}
"""How the stems of each layout are read."""


def pairing_key(layout: str, key: str) -> str:
    """What a wav and its track have in common at least: for RAVDESS the stem without the modality field.

    People bring the audio-only originals (`03-…`) to the tracks of the videos (`01-…`), and flat folders of one kind to
    nested folders of the other.
    """
    if layout == "ravdess" and _RAVDESS.fullmatch(key):
        return key.partition("-")[2]
    return key.rpartition("/")[2]


_LONGEST_ID = 150


def clean_id(key: str) -> tuple[str, str | None]:
    """An id that every table and file name can hold, and what is wrong with the key if it cannot be one.

    Folders are joined by `.`; what cannot be printed is escaped.
    """
    printable = key.encode("utf-8", "backslashreplace").decode()
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in printable)
    joined = escaped.replace("/", ".").replace("\\", "_")
    if escaped != key or "\\" in key:
        return joined[:_LONGEST_ID], f"{joined} holds characters that cannot be printed, or backslashes; rename it"
    if len(joined.encode()) > _LONGEST_ID or joined.startswith((".", "-")):
        rule = f"at most {_LONGEST_ID} bytes, and not beginning with . or -"
        return joined[:_LONGEST_ID], f"{joined} is no usable name ({rule}); rename it"
    return joined, None
