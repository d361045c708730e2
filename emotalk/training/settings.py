"""Settings of a training run."""

from typing import Any

from emotalk.config.training import ModelSettings, TrainSettings

_FREE_TO_CHANGE = (
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
"""Settings that do not change what an epoch learns, except for rounding and for the random numbers of dropout."""


class RunSettings(TrainSettings):
    """Section `train`, with the other settings that a run depends on."""

    model: ModelSettings
    seed: int

    def identity(self) -> dict[str, Any]:
        """Settings that must not change when a run is continued.

        Not the number of epochs, unless the learning rate falls towards the last one; nor settings that trade time for
        memory.
        """
        settings = self.model_dump()
        for name in _FREE_TO_CHANGE:
            del settings[name]
        # Not the places of weights: digests of the files are part of a run's identity.
        for section in (*settings["model"].values(), settings["init_weights"]):
            del section["source"]
        if self.lr_schedule == "constant":
            del settings["epochs"]
        return settings
