"""The parts of a run that its epochs share: network, optimizer and clips."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from emotalk.model.inputs import NUM_PERSONS, mean_person
from emotalk.model.network import EmoTalk
from emotalk.progress import Progress
from emotalk.training.batches import Batch, BatchMaker
from emotalk.training.batching import form_batches, in_groups
from emotalk.training.checkpoint import random_states, restore_random_states
from emotalk.training.guard import FiniteGuard
from emotalk.training.loader import load_batches
from emotalk.training.schedule import Example
from emotalk.training.settings import TrainingSettings
from emotalk.training.step import Means, batch_losses, training_step
from emotalk.training.updater import Updater

_STEPS_BETWEEN_CHECKS = 50
"""A GPU computes on while the next steps are prepared; looking at a loss makes both wait."""


class Trainer:
    """Trains and validates a network, and gives and takes the state that a run continues from.

    Parameters
    ----------
    network
        From `prepare_network`, on the device where it is computed.
    make
        Makes batches of examples.
    settings
        What decides the run.
    subjects
        Subject indices that training sees. The vectors of all others are never trained, so that validation gives a
        held-out subject the mean of these.
    precision
        What is computed in: "fp32", "bf16" or "fp16".
    """

    def __init__(
        self,
        network: EmoTalk,
        make: BatchMaker,
        settings: TrainingSettings,
        subjects: Sequence[int],
        precision: str,
    ) -> None:
        self._network, self._make, self._settings, self._precision = network, make, settings, precision
        self._device = network.bs_map_r.weight.device
        persons = torch.eye(NUM_PERSONS, device=self._device)
        unseen = [index for index in range(NUM_PERSONS) if index not in subjects]
        persons[unseen] = torch.tensor(mean_person(subjects), device=self._device)
        self._persons = persons
        self._trainable = network.trainable_parameters()
        self._updater = Updater(
            self._trainable,
            settings.learning_rate,
            FiniteGuard(self._device),
            moments=settings.optimizer_state,
            precision=precision,
        )
        # The CPU has nothing to wait for: reading there takes its time from computing.
        self._workers = settings.workers if self._device.type == "cuda" else 0

    def batches(self, examples: Sequence[Example]) -> list[list[Example]]:
        """Which examples are computed together."""
        return form_batches(examples, self._settings.batch_size, self._settings.max_frames_per_batch)

    def num_steps(self, examples: Sequence[Example]) -> int:
        """Optimizer steps of an epoch with these examples."""
        return len(in_groups(self.batches(examples), self._settings.accumulate))

    def train_epoch(self, epoch: int, examples: Sequence[Example], shown: Progress) -> dict[str, float]:
        """One pass over an epoch's examples; returns the means of the loss and of each term.

        Raises
        ------
        TrainingError
            If a loss is not finite; it changed nothing, and nothing after it did.
        """
        self._updater.set_learning_rate(self._settings.learning_rate_at(epoch))
        self._network.train()
        means = Means()
        plan = self.batches(examples)
        loaded = self._load(plan)
        for number, group in enumerate(in_groups(plan, self._settings.accumulate), start=1):
            batches = list(islice(loaded, len(group)))
            losses = training_step(
                self._network, self._updater, batches, self._settings.loss_weights, precision=self._precision
            )
            means.add(losses, sum(batch.num_examples for batch in batches))
            if number % _STEPS_BETWEEN_CHECKS == 0:
                self._updater.guard.check()
            shown.advance()
        self._updater.guard.check()
        return means.read()

    def _load(self, plan: Sequence[Sequence[Example]]) -> Iterator[Batch]:
        return load_batches(plan, self._make, self._device, self._workers)

    @torch.no_grad()
    def validate(self, examples: Sequence[Example]) -> dict[str, float]:
        """Means of the loss and of each term over held-out examples, in evaluation mode; draws nothing at random."""
        self._network.eval()
        means = Means()
        for batch in self._load(self.batches(examples)):
            known = replace(batch, layout=replace(batch.layout, person=batch.layout.person @ self._persons))
            losses = batch_losses(self._network, known, self._settings.loss_weights, precision=self._precision)
            means.add(losses, batch.num_examples)
        return means.read()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the trainer."""
        return {
            "model": self._network.state_dict(),
            **self._updater.state(),
            "random_states": random_states(),
            "encoders": {name: config.to_diff_dict() for name, config in self._network.encoder_configs.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self._network.load_state_dict(state["model"])
        self._updater.restore(state)
        restore_random_states(state["random_states"])

    def describe(self) -> str:
        """Sizes, device and precision, for the log."""
        total = sum(parameter.numel() for parameter in self._network.parameters())
        trainable = sum(parameter.numel() for parameter in self._trainable)
        return f"{total:,} parameters, {trainable:,} of them trainable, on {self._device} in {self._precision}"
