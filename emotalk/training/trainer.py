"""The parts of a run that its epochs share: network, optimizer and clips."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from emotalk.corpus.clips import ClipStore
from emotalk.model.inputs import NUM_PERSONS, mean_person
from emotalk.model.pretrained import build_network
from emotalk.progress import Progress
from emotalk.training.batches import make_batch
from emotalk.training.checkpoint import random_states, restore_random_states
from emotalk.training.schedule import Example, in_batches
from emotalk.training.settings import TrainingSettings
from emotalk.training.step import Means, batch_losses, training_step


class Trainer:
    """Trains and validates a network, and gives and takes the state that a run continues from.

    Parameters
    ----------
    store
        The clips.
    settings
        What decides the run; the network starts from its seed.
    subjects
        Subject indices that training sees. The vectors of all others are never trained, so that validation gives a
        held-out subject the mean of these.
    device
        Where it is computed.
    """

    def __init__(
        self, store: ClipStore, settings: TrainingSettings, subjects: Sequence[int], device: torch.device
    ) -> None:
        self._store, self._settings, self._device = store, settings, device
        persons = torch.eye(NUM_PERSONS, device=device)
        unseen = [index for index in range(NUM_PERSONS) if index not in subjects]
        persons[unseen] = torch.tensor(mean_person(subjects), device=device)
        self._persons = persons
        torch.manual_seed(settings.seed)
        self.network, self._resolved = build_network(settings.content_encoder, settings.emotion_encoder)
        self.network.to(device)
        self._trainable = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.Adam(self._trainable, lr=settings.learning_rate, fused=True)

    def train_epoch(self, epoch: int, examples: Sequence[Example], shown: Progress) -> dict[str, float]:
        """One pass over an epoch's examples; returns the means of the loss and of each term."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate_at(epoch)
        self.network.train()
        means = Means()
        for part in in_batches(examples, self._settings.batch_size):
            batch = make_batch(part, self._store, self._device)
            losses = training_step(self.network, self._optimizer, batch, self._settings.loss_weights)
            means.add(losses, batch.num_examples)
            shown.advance()
        return means.read()

    @torch.no_grad()
    def validate(self, examples: Sequence[Example]) -> dict[str, float]:
        """Means of the loss and of each term over held-out examples, in evaluation mode; draws nothing at random."""
        self.network.eval()
        means = Means()
        for part in in_batches(examples, self._settings.batch_size):
            batch = make_batch(part, self._store, self._device)
            request = replace(batch.request, person=self._persons[batch.request.person])
            losses = batch_losses(self.network, replace(batch, request=request), self._settings.loss_weights)
            means.add(losses, batch.num_examples)
        return means.read()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the trainer."""
        return {
            "model": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random_states": random_states(),
            "encoders": {name: config.to_diff_dict() for name, config in self.network.encoder_configs.items()},
            "resolved_encoders": self._resolved,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.network.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        restore_random_states(state["random_states"])

    def describe(self) -> str:
        """Sizes and device, for the log."""
        total = sum(parameter.numel() for parameter in self.network.parameters())
        trainable = sum(parameter.numel() for parameter in self._trainable)
        return f"{total:,} parameters, {trainable:,} of them trainable, on {self._device}"
