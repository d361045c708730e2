"""The demo recipe: phonemes, sentences, emotions, and how articulation moves the face."""

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
    """How an emotion sounds and looks; factors are relative to neutral.

    Attributes
    ----------
    pitch, loudness, rate, jaw
        Factors.
    range
        Span of the pitch contour in semitones.
    brightness
        Spectral tilt in dB an octave.
    face : (52,)
        Coefficients held with the emotion.
    """

    pitch: float
    range: float
    loudness: float
    rate: float
    brightness: float
    jaw: float
    face: np.ndarray


@dataclass(frozen=True)
class Recipe:
    """Everything that `resources/demo.yaml` says.

    Attributes
    ----------
    phonemes
        For each phoneme its duration in ms and its targets, `SOUND` then `ARTICULATION`.
    statements
        Phonemes of each numbered sentence.
    onsets, nuclei
        Phonemes that random syllables are made of.
    emotions
        By RAVDESS word.
    mouth : (6, 52)
        Coefficients that each part of the `ARTICULATION` moves.
    talking_heads
        Seconds of each recording of each HDTF-like speaker.
    """

    phonemes: dict[str, tuple[float, np.ndarray]]
    statements: dict[int, list[str]]
    onsets: list[str]
    nuclei: list[str]
    emotions: dict[str, Emotion]
    mouth: np.ndarray
    talking_heads: dict[str, list[float]]


def read_recipe(path: str | Path) -> Recipe:
    """Read the recipe file."""
    content: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return Recipe(
        phonemes={name: (row[0], np.array(row[1:], float)) for name, row in content["phonemes"].items()},
        statements={number: text.split() for number, text in content["statements"].items()},
        onsets=content["syllables"]["onsets"],
        nuclei=content["syllables"]["nuclei"],
        emotions={
            word: Emotion(**{**values, "face": pose(values["face"])}) for word, values in content["emotions"].items()
        },
        mouth=np.stack([pose(content["mouth"][part]) for part in ARTICULATION]),
        talking_heads=content["talking_heads"],
    )


def pose(values: dict[str, float]) -> np.ndarray:
    """Coefficients (52,) of a face described by channel names, or by the common names of left-right pairs."""
    face = np.zeros(NUM_CHANNELS)
    for name, value in values.items():
        for channel in sides(name):
            face[CHANNELS.index(channel)] = value
    return face


def sides(name: str) -> Iterable[str]:
    """The channel of a name, or both channels of a left-right pair."""
    return (name,) if name in CHANNELS else (f"{name}Left", f"{name}Right")
