"""Settings of a training run."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emotalk.model.pretrained import EncoderSource

_FREE_TO_CHANGE = (
    "early_stopping",
    "deliver",
    "gradient_checkpointing",
    "compile",
    "cache_features",
    "checkpoint_every_minutes",
    "checkpoint_every_steps",
    "keep_last",
    "keep_best",
    "gpus",
    "nodes",
)
"""Settings that leave what is learned in an epoch as it is, but for rounding and for the random numbers of dropout."""


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
class InitialWeights:
    """Weights that training begins from; see `emotalk.model.initial`."""

    source: str | None
    parts: str
    strict: bool


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a run besides its data; units and meanings stand in the configuration's schema."""

    epochs: int
    batch_size: int
    max_frames_per_batch: int | None
    accumulate: int
    learning_rate: float
    schedule: str
    warmup_epochs: float
    clip_norm: float | None
    ema_decay: float | None
    early_stopping: int | None
    deliver: str
    init_weights: InitialWeights
    loss_weights: LossWeights
    velocity_on: str
    freeze: Freezing
    precision: str
    optimizer_state: str
    gradient_checkpointing: bool
    compile: bool
    cache_features: bool
    checkpoint_every_minutes: float
    checkpoint_every_steps: int | None
    keep_last: int
    keep_best: int
    gpus: int
    nodes: int
    content_encoder: EncoderSource
    emotion_encoder: EncoderSource
    seed: int

    @classmethod
    def from_config(cls, train: Mapping[str, Any], model: Mapping[str, Any], seed: int) -> "TrainingSettings":
        """Read the sections `train` and `model` of a checked configuration."""
        parts = {
            "loss_weights": LossWeights(**train["loss_weights"]),
            "freeze": Freezing(**train["freeze"]),
            "init_weights": InitialWeights(**train["init_weights"]),
        }
        encoders = {name: EncoderSource(**source) for name, source in model.items()}
        return cls(**{**train, **encoders, **parts, "seed": seed})

    def learning_rate_at(self, passed: float) -> float:
        """Learning rate when so many epochs have passed; a step stands in its middle."""
        if passed < self.warmup_epochs:
            return self.learning_rate * passed / self.warmup_epochs
        if self.schedule == "constant":
            return self.learning_rate
        share = (passed - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2

    @property
    def num_best(self) -> int:
        """Checkpoints of best epochs to keep."""
        return max(self.keep_best, self.deliver == "best")

    @property
    def needs_validation(self) -> bool:
        """Whether something is decided by validation."""
        return self.early_stopping is not None or self.num_best > 0

    def identity(self) -> dict[str, Any]:
        """What must not change when a run is continued.

        Not the number of epochs, unless the schedule falls towards the last one; nor what trades time for memory.
        """
        settings = asdict(self)
        for name in _FREE_TO_CHANGE:
            del settings[name]
        # Wherever weights lie: their digests are added to the identity of a run.
        for name in ("content_encoder", "emotion_encoder", "init_weights"):
            del settings[name]["source"]
        if self.schedule == "constant":
            del settings["epochs"]
        return settings
