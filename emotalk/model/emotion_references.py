"""Emotion references stored with weights: emotion features of a typical training clip of each emotion."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from emotalk.errors import WeightsError
from emotalk.files import atomic_path
from emotalk.model.batch_layout import stretch_frames
from emotalk.model.card import references_file
from emotalk.model.inputs import INTENSITIES
from emotalk.model.weights import as_weight

_LOG = logging.getLogger(__name__)
ReferenceKey = tuple[str, str]
"""Emotion label of RAVDESS and name of the intensity."""


@dataclass(frozen=True)
class EmotionReferences:
    """Emotion features by emotion and intensity.

    Attributes
    ----------
    features
        (F, D) float32 at 30 fps, as `EmoTalk.encode_emotion` computes them.
    clips
        Ids of the training clips that they were computed from.
    """

    features: Mapping[ReferenceKey, Tensor]
    clips: Mapping[ReferenceKey, str]

    def save(self, path: Path) -> None:
        """Write the features as `<emotion>/<intensity>`, and the clip ids as metadata."""
        tensors = {"/".join(key): value.contiguous() for key, value in self.features.items()}
        clips = {"/".join(key): clip for key, clip in self.clips.items()}
        with atomic_path(path) as unfinished:
            unfinished.touch()
            mode = unfinished.stat().st_mode
            save_file(tensors, unfinished, {"clips": json.dumps(clips)})
            unfinished.chmod(mode)  # safetensors makes its files readable by the owner only.

    @classmethod
    def from_weights(cls, weights: Path) -> Self:
        """Read the references beside weights.

        Raises
        ------
        WeightsError
            If the file is missing or damaged.
        """
        path = references_file(weights)
        if not path.is_file():
            raise WeightsError(
                f"{weights} has no emotion references: file {path} does not exist. Rule 'extract' writes it for a "
                "finished training. Alternatively, use the emotion of a recording (--emotion-from)."
            )
        try:
            with safe_open(path, "pt") as file:
                names = [name for name in file.keys() if name.count("/") == 1]  # noqa: SIM118 (not a dict)
                tensors = {name: as_weight(name, file.get_tensor(name), path) for name in names}
                clips = json.loads((file.metadata() or {}).get("clips", "{}"))
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            raise WeightsError(f"{path} is not a valid file of emotion references: {error}") from None
        keys = {name: (name.partition("/")[0], name.partition("/")[2]) for name in names}
        return cls(
            {keys[name]: value for name, value in tensors.items()},
            {keys[name]: str(clips.get(name, "")) for name in names},
        )

    def find(self, emotion: str, intensity: str) -> ReferenceKey | None:
        """Find the reference of an emotion, with the other intensity if it is missing; None if both are."""
        other = INTENSITIES[1 - INTENSITIES.index(intensity)]
        return next((key for key in ((emotion, intensity), (emotion, other)) if key in self.features), None)

    def names(self) -> str:
        """List the emotions with their intensities, for messages."""
        emotions = dict.fromkeys(emotion for emotion, _ in self.features)
        return ", ".join(
            f"{emotion} ({', '.join(name for name in INTENSITIES if (emotion, name) in self.features)})"
            for emotion in emotions
        )


def read_reference(weights: Path, emotion: str, intensity: str, hidden_size: int) -> Tensor:
    """Read the features of one emotion, (F, `hidden_size`) float32.

    If training had the emotion only with the other intensity, its features are used, and the log says so.

    Parameters
    ----------
    weights
        File or card beside the references.
    emotion
        Emotion label of RAVDESS.
    intensity
        Of `INTENSITIES`.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or training had no clip of this emotion.
    """
    path = references_file(weights)
    references = EmotionReferences.from_weights(weights)
    key = references.find(emotion, intensity)
    if key is None:
        known = f"it has {references.names()}" if references.features else "its training data had no emotion labels"
        raise WeightsError(
            f"{path} has no emotion {emotion}; {known}. Alternatively, use the emotion of a recording (--emotion-from)."
        )
    if key[1] != intensity:
        _LOG.warning("Training had no clip of %s with %s intensity; %s is used.", emotion, intensity, " ".join(key))
    features = references.features[key]
    if features.ndim != 2 or not len(features) or features.shape[1] != hidden_size:
        raise WeightsError(
            f"{'/'.join(key)} in {path} has shape {tuple(features.shape)}; the network needs (frames, {hidden_size})."
        )
    return features


def mix_emotions(own: Tensor, reference: Tensor, strength: float) -> Tensor:
    """Mix features (F, D) of a clip with those of a reference, which is stretched to the same number of frames.

    Parameters
    ----------
    strength
        0: own emotion; 1: emotion of the reference.
    """
    stretched = stretch_frames(reference[None].to(own.device), len(own))[0]
    return torch.lerp(own, stretched, strength)
