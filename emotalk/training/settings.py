"""Settings of a training run."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emotalk.model.pretrained import EncoderSource
from emotalk.provenance import canonical

_FREE_TO_CHANGE = ("gradient_checkpointing", "compile", "cache_features", "checkpoint_every_minutes", "workers")
"""Settings that leave what is learned as it is, but for rounding and for the random numbers of compiled dropout."""


@dataclass(frozen=True)
class LossWeights:
    """Factors of the four terms of the objective (paper, equation 6)."""

    cross: float
    self: float
    velocity: float
    classification: float


@dataclass(frozen=True)
class Freezing:
    """What stays as it was pretrained, by encoder; see `emotalk.model.freezing`."""

    content_encoder: str | int
    emotion_encoder: str | int


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a run besides its data; units and meanings stand in the configuration's schema."""

    epochs: int
    batch_size: int
    max_frames_per_batch: int | None
    accumulate: int
    learning_rate: float
    schedule: str
    loss_weights: LossWeights
    velocity_on: str
    freeze: Freezing
    precision: str
    optimizer_state: str
    gradient_checkpointing: bool
    compile: bool
    cache_features: bool
    checkpoint_every_minutes: float
    workers: int
    content_encoder: EncoderSource
    emotion_encoder: EncoderSource
    seed: int

    @classmethod
    def from_config(cls, train: Mapping[str, Any], model: Mapping[str, Any], seed: int) -> "TrainingSettings":
        """Read the sections `train` and `model` of a checked configuration."""
        parts = {"loss_weights": LossWeights(**train["loss_weights"]), "freeze": Freezing(**train["freeze"])}
        encoders = {name: EncoderSource(**source) for name, source in model.items()}
        return cls(**{**train, **encoders, **parts, "seed": seed})

    def learning_rate_at(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 1."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / self.epochs)) / 2

    def identity(self) -> dict[str, Any]:
        """What must not change when a run is continued.

        Not the number of epochs, unless the schedule falls towards the last one; nor what trades time for memory.
        """
        settings = asdict(self)
        for name in _FREE_TO_CHANGE:
            del settings[name]
        if self.schedule == "constant":
            del settings["epochs"]
        return settings

    def manner(self) -> str:
        """How a run is computed, and not what: the settings that may change on the way, as one line."""
        return canonical({name: getattr(self, name) for name in _FREE_TO_CHANGE})
