"""Definition of the demo corpus: phonemes, sentences, emotions, and effect of articulation on the face."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS

SOUND = ("F1", "F2", "F3", "voice", "hiss", "burst")
ARTICULATION = ("jaw", "round", "spread", "close", "bite", "tongue")


@dataclass(frozen=True)
class Emotion:
    """Effect of an emotion on voice and face; factors are relative to neutral.

    Attributes
    ----------
    pitch, loudness, rate, jaw
        Factors.
    range
        Span of the pitch contour in semitones.
    brightness
        Spectral tilt in dB per octave.
    face : (52,)
        Constant coefficients of the emotion.
    """

    pitch: float
    range: float
    loudness: float
    rate: float
    brightness: float
    jaw: float
    face: np.ndarray


@dataclass(frozen=True)
class DemoDefinition:
    """Content of `resources/demo.yaml`.

    Attributes
    ----------
    phonemes
        Duration in ms and targets of each phoneme, `SOUND` followed by `ARTICULATION`.
    statements
        Phonemes of each numbered sentence.
    onsets, nuclei
        Phonemes of random syllables.
    emotions
        By emotion label of RAVDESS.
    mouth : (6, 52)
        Coefficients of each parameter in `ARTICULATION`.
    talking_heads
        Durations in seconds of the recordings of each HDTF speaker.
    """

    phonemes: dict[str, tuple[float, np.ndarray]]
    statements: dict[int, list[str]]
    onsets: list[str]
    nuclei: list[str]
    emotions: dict[str, Emotion]
    mouth: np.ndarray
    talking_heads: dict[str, list[float]]


def read_definition(path: str | Path) -> DemoDefinition:
    """Read the definition file."""
    content: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return DemoDefinition(
        phonemes={name: (row[0], np.array(row[1:], float)) for name, row in content["phonemes"].items()},
        statements={number: text.split() for number, text in content["statements"].items()},
        onsets=content["syllables"]["onsets"],
        nuclei=content["syllables"]["nuclei"],
        emotions={
            word: Emotion(**{**values, "face": to_face(values["face"])}) for word, values in content["emotions"].items()
        },
        mouth=np.stack([to_face(content["mouth"][part]) for part in ARTICULATION]),
        talking_heads=content["talking_heads"],
    )


def to_face(values: dict[str, float]) -> np.ndarray:
    """Convert values by channel name, or by common name of a left-right pair, to coefficients (52,)."""
    face = np.zeros(NUM_CHANNELS)
    for name, value in values.items():
        for channel in resolve_channels(name):
            face[CHANNELS.index(channel)] = value
    return face


def resolve_channels(name: str) -> Iterable[str]:
    """Return the channel of a name, or both channels of a left-right pair."""
    return (name,) if name in CHANNELS else (f"{name}Left", f"{name}Right")
