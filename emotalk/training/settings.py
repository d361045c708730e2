"""Settings of a training run."""

from typing import Any

from emotalk.config.training import ModelSettings, TrainSettings
from emotalk.subjects import NUM_RELEASED_SLOTS

_NOT_IN_IDENTITY = (
    "early_stopping",
    "checkpoint",
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
"""Settings that do not affect the result of an epoch, except for rounding and the random numbers of dropout."""


class RunSettings(TrainSettings):
    """Settings of section `train`, and the settings of other sections that affect training."""

    model: ModelSettings
    seed: int

    def identity(self) -> dict[str, Any]:
        """Settings that must not change when a run continues.

        The number of epochs is included only if the learning rate depends on it. Settings that only affect speed,
        memory or checkpoints are not included.
        """
        settings = self.model_dump()
        for name in _NOT_IN_IDENTITY:
            del settings[name]
        # Paths of weights may change: the run's identity contains the digests of the files.
        model = settings["model"]
        for section in (model["content_encoder"], model["emotion_encoder"], settings["init_weights"]):
            del section["source"]
        if (
            model["num_subject_slots"] == NUM_RELEASED_SLOTS
        ):  # Runs of earlier versions, without this setting, stay valid.
            del model["num_subject_slots"]
        if self.lr_schedule == "constant":
            del settings["epochs"]
        return settings
