"""Settings of a training run."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emotalk.model.pretrained import EncoderSource


@dataclass(frozen=True)
class LossWeights:
    """Factors of the four terms of the objective (paper, equation 6)."""

    cross: float
    self: float
    velocity: float
    classification: float


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a run besides its data; units and meanings stand in the configuration's schema."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    loss_weights: LossWeights
    content_encoder: EncoderSource
    emotion_encoder: EncoderSource
    seed: int

    @classmethod
    def from_config(cls, train: Mapping[str, Any], model: Mapping[str, Any], seed: int) -> "TrainingSettings":
        """Read the sections `train` and `model` of a checked configuration."""
        weights = LossWeights(**train["loss_weights"])
        encoders = {name: EncoderSource(**source) for name, source in model.items()}
        return cls(**{**train, **encoders, "loss_weights": weights, "seed": seed})

    def learning_rate_at(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 1."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / self.epochs)) / 2

    def identity(self) -> dict[str, Any]:
        """What must not change when a run is continued: everything but the number of epochs.

        A schedule that falls towards the last epoch depends on that number too.
        """
        settings = asdict(self)
        if self.schedule == "constant":
            del settings["epochs"]
        return settings
