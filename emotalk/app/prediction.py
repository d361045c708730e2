"""Prediction by the weights that the app shows: one, or two for comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotalk.config.prediction import PredictSettings
from emotalk.data.audio import read_samples
from emotalk.errors import PredictionError, WeightsError
from emotalk.inference.predict import build_predictor
from emotalk.inference.windows import AudioFile
from emotalk.model.card import find_weights, read_card, references_file
from emotalk.model.emotion_references import EmotionReferences
from emotalk.model.network import EmoTalk
from emotalk.model.weights import load_weights

MAX_DURATION_S = 600
"""Longest recording that the app accepts; `emotalk predict` has no limit."""


@dataclass(frozen=True)
class Model:
    """Loaded weights.

    Attributes
    ----------
    label
        Short name on the page, unique among the models.
    path
        Weights file.
    card
        Content of the card beside the weights; empty if there is none.
    emotions
        Emotions by name, from the emotion references beside the weights.
    """

    label: str
    path: Path
    network: EmoTalk
    card: Mapping[str, Any]
    emotions: Sequence[str]


def load_models(weights: Sequence[Path], device: torch.device) -> list[Model]:
    """Load one or two weights.

    Raises
    ------
    WeightsError
        If there are more than two, both are the same, or one cannot be loaded.
    """
    if not 1 <= len(weights) <= 2:
        raise WeightsError(f"{len(weights)} weights are given; the app shows one, or compares two.")
    paths = [find_weights(path).resolve() for path in weights]
    if len(set(paths)) < len(paths):
        raise WeightsError(f"{weights[0]} is given twice; a comparison needs two different weights.")
    return [
        Model(label, path, load_weights(path, device), read_card(path) or {}, _read_emotions(path))
        for label, path in zip(_labels(paths), paths, strict=True)
    ]


def _read_emotions(weights: Path) -> list[str]:
    if not references_file(weights).is_file():
        return []
    return list(dict.fromkeys(emotion for emotion, _ in EmotionReferences.from_weights(weights).features))


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return the file name of one path, or of two paths the folders in which they differ."""
    names = [path.with_suffix("").parts for path in paths]
    if len(names) == 1:
        return [names[0][-1]]
    first, second = names
    labels = ["/".join(part for part in own if part not in other) for own, other in ((first, second), (second, first))]
    return labels if all(labels) else ["first", "second"]


def read_speech(path: Path) -> AudioFile:
    """Read the speech of an audio file or a video.

    Raises
    ------
    PredictionError
        If it cannot be read, or lasts longer than `MAX_DURATION_S`.
    """
    speech = AudioFile.from_path(path)
    if speech.duration_s > MAX_DURATION_S:
        raise PredictionError(
            f"{path.name} lasts {speech.duration_s / 60:.1f} minutes; the app accepts at most "
            f"{MAX_DURATION_S / 60:.0f}. Cut it, or use the command 'emotalk predict', which has no limit."
        )
    return speech


def predict(
    models: Sequence[Model], audio: Path, settings: PredictSettings
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Predict the motion of a recording with each model.

    Returns
    -------
    waveform : (N,) int16
        16 kHz speech.
    tracks
        (T, 52) motion at 30 fps by the label of the model.

    Raises
    ------
    EmoTalkError
        If a recording cannot be used.
    """
    speech = read_speech(audio)
    tracks = {model.label: build_predictor(model.network, model.path, settings)(speech) for model in models}
    return read_samples(audio, speech.num_samples), tracks
