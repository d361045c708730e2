"""What file names say about a recording, and what they may be."""

import re
import unicodedata
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
        Number of the take, from 1.
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
_HDTF = re.compile(r"(?P<group>RD|WDA|WRA)_(?P<speaker>\w+?)_\d{3}(?:_(?:part)?\d+)?")

_EMOTION_WORDS = {
    "neutral": "neutral normal none 中性 平静中性 中立",
    "calm": "calm relaxed 平静 冷静",
    "happy": "happy happiness joy joyful amused amusement 高兴 快乐 开心 喜悦",
    "sad": "sad sadness sorrow 悲伤 伤心 难过",
    "angry": "angry anger mad 生气 愤怒",
    "fearful": "fearful fear afraid scared 害怕 恐惧",
    "disgust": "disgust disgusted 厌恶 恶心",
    "surprised": "surprised surprise 惊讶 吃惊",
}
"""RAVDESS's word for an emotion, and the words that are understood as it."""
_EMOTIONS = {word: emotion for emotion, words in _EMOTION_WORDS.items() for word in words.split()}
_INTENSITIES = {
    1: "1 01 1.0 normal medium low weak mild 普通 正常 弱",
    2: "2 02 2.0 strong high intense 强 强烈",
}
_INTENSITY_OF = {word: intensity for intensity, words in _INTENSITIES.items() for word in words.split()}


def emotion_of(word: str) -> str | None:
    """RAVDESS's word for an emotion in a usual form, in English or Chinese; None if it is not understood."""
    return _EMOTIONS.get(unicodedata.normalize("NFC", word).strip().lower())


def intensity_of(word: str) -> int | None:
    """Intensity, 1 (normal) or 2 (strong), of a number or a word; None if it is not understood."""
    return _INTENSITY_OF.get(word.strip().lower())


def parse_pattern(pattern: str, stem: str) -> RecordingName | None:
    """Labels in a stem by a user's regular expression with named groups; None if it does not match."""
    match = re.fullmatch(pattern, stem)
    if match is None:
        return None
    groups = {name: value for name, value in match.groupdict().items() if value}
    repetition = groups.get("repetition", "")
    return RecordingName(
        groups.get("subject", "unknown"),
        emotion_of(groups.get("emotion", "")),
        intensity_of(groups.get("intensity", "")),
        groups.get("statement"),
        int(repetition) if repetition.isdigit() and len(repetition) < 3 else None,
    )


def parse_ravdess(stem: str) -> RecordingName | None:
    """Read `modality-channel-emotion-intensity-statement-repetition-actor`; None if it is not such a stem."""
    match = _RAVDESS.fullmatch(stem)
    if match is None:
        return None
    emotion, intensity, statement, repetition, actor = (int(field) for field in match.groups())
    return RecordingName(str(actor), RAVDESS_EMOTIONS[emotion - 1], intensity, str(statement), repetition)


def parse_hdtf(stem: str) -> RecordingName | None:
    """Read `{RD|WDA|WRA}_{Speaker[digit]}_{clip}[_{cut}]`; None if it is not such a stem.

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
