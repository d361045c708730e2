"""File names of recordings: parsing of labels, and valid ids."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from emotalk.emotions import RAVDESS_EMOTIONS, parse_emotion


@dataclass(frozen=True)
class Labels:
    """Labels of a recording; None where unknown.

    Attributes
    ----------
    subject
        Actor number ("1" to "24") or speaker name.
    emotion
        Emotion label of RAVDESS, for example `happy`.
    intensity
        1 normal, 2 strong.
    statement
        Sentence, as a number or as text.
    repetition
        Number of the take, from 1.
    """

    subject: str
    emotion: str | None = None
    intensity: int | None = None
    statement: str | None = None
    repetition: int | None = None


NUM_ACTORS = 24
"""Actors of RAVDESS, numbered from 1; the released network has a subject slot for each."""

_RAVDESS = re.compile(r"0[1-3]-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])")
_HDTF = re.compile(r"(?P<group>RD|WDA|WRA)_(?P<speaker>\w+?)_\d{3}(?:_(?:part)?\d+)?")

_INTENSITIES = {
    1: "1 01 1.0 normal medium low weak mild 普通 正常 弱",
    2: "2 02 2.0 strong high intense 强 强烈",
}
_INTENSITY_BY_WORD = {word: intensity for intensity, words in _INTENSITIES.items() for word in words.split()}


def parse_intensity(word: str) -> int | None:
    """Convert a number or word to an intensity, 1 (normal) or 2 (strong); None if unknown."""
    return _INTENSITY_BY_WORD.get(word.strip().lower())


def parse_pattern(pattern: str, stem: str) -> Labels | None:
    """Parse the labels of a stem with a regular expression with named groups; None if it does not match."""
    match = re.fullmatch(pattern, stem)
    if match is None:
        return None
    groups = {name: value for name, value in match.groupdict().items() if value}
    repetition = groups.get("repetition", "")
    return Labels(
        groups.get("subject", "unknown"),
        parse_emotion(groups.get("emotion", "")),
        parse_intensity(groups.get("intensity", "")),
        groups.get("statement"),
        int(repetition) if repetition.isdigit() and len(repetition) < 3 else None,
    )


def parse_ravdess(stem: str) -> Labels | None:
    """Parse `modality-channel-emotion-intensity-statement-repetition-actor`; None if the stem does not match."""
    match = _RAVDESS.fullmatch(stem)
    if match is None:
        return None
    emotion, intensity, statement, repetition, actor = (int(field) for field in match.groups())
    return Labels(str(actor), RAVDESS_EMOTIONS[emotion - 1], intensity, str(statement), repetition)


def parse_hdtf(stem: str) -> Labels | None:
    """Parse `{RD|WDA|WRA}_{Speaker[digit]}_{clip}[_{cut}]`; None if the stem does not match.

    The subject is the name without its trailing digit (`EdMarkey0` and `EdMarkey1` are one subject), except for the
    radio shows `RD_RadioNN`, each of which is a subject.
    """
    match = _HDTF.fullmatch(stem)
    if match is None:
        return None
    speaker = match["speaker"]
    is_radio_show = match["group"] == "RD" and re.fullmatch(r"Radio\d+", speaker)
    return Labels(speaker if is_radio_show else re.sub(r"\d$", "", speaker))


NAMING: dict[str, Callable[[str], Labels | None]] = {"ravdess": parse_ravdess, "hdtf": parse_hdtf}
"""Parser of the stems of each layout."""


def pairing_key(layout: str, key: str) -> str:
    """Return the part of a key that audio and track must share: for RAVDESS, the stem without the modality field.

    Audio may come from the audio-only originals (`03-…`) and tracks from the videos (`01-…`); and one may be in a flat
    folder, the other in nested folders.
    """
    if layout == "ravdess" and _RAVDESS.fullmatch(key):
        return key.partition("-")[2]
    return key.rpartition("/")[2]


_MAX_ID_LENGTH = 150


def clean_id(key: str) -> tuple[str, str | None]:
    """Convert a key to an id that is valid in tables and file names; also return the problem of the key, or None.

    Folders are joined by `.`; non-printable characters are escaped.
    """
    printable = key.encode("utf-8", "backslashreplace").decode()
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in printable)
    joined = escaped.replace("/", ".").replace("\\", "_")
    if escaped != key or "\\" in key:
        return joined[:_MAX_ID_LENGTH], f"{joined} contains non-printable characters or backslashes; rename it"
    if len(joined.encode()) > _MAX_ID_LENGTH or joined.startswith((".", "-")):
        rule = f"at most {_MAX_ID_LENGTH} bytes, not starting with . or -"
        return joined[:_MAX_ID_LENGTH], f"{joined} is not a valid name ({rule}); rename it"
    return joined, None
