"""The parts of a run that its epochs share: network, optimizer and clips."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import torch

from emotalk.corpus.alignments import Alignments
from emotalk.corpus.clips import ClipStore
from emotalk.model.freezing import freeze
from emotalk.model.inputs import NUM_PERSONS, mean_person
from emotalk.model.pretrained import build_network
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
    store, alignments
        The clips, and how those of a pair lie in time.
    settings
        What decides the run; the network starts from its seed.
    subjects
        Subject indices that training sees. The vectors of all others are never trained, so that validation gives a
        held-out subject the mean of these.
    device
        Where it is computed.
    precision
        What it is computed in: "fp32", "bf16" or "fp16".
    """

    def __init__(
        self,
        store: ClipStore,
        alignments: Alignments,
        settings: TrainingSettings,
        subjects: Sequence[int],
        *,
        device: torch.device,
        precision: str,
    ) -> None:
        self._settings, self._device, self._precision = settings, device, precision
        persons = torch.eye(NUM_PERSONS, device=device)
        unseen = [index for index in range(NUM_PERSONS) if index not in subjects]
        persons[unseen] = torch.tensor(mean_person(subjects), device=device)
        self._persons = persons
        torch.manual_seed(settings.seed)
        self.network, self._resolved = build_network(settings.content_encoder, settings.emotion_encoder)
        self.network.to(device)
        self._prepare_encoders()
        self._trainable = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self._guard = FiniteGuard(device)
        self._updater = Updater(
            self._trainable,
            settings.learning_rate,
            self._guard,
            state=settings.optimizer_state,
            precision=precision,
        )
        self._make = BatchMaker(store, alignments, self.network.conv_frames, settings.velocity_on)
        # The CPU has nothing to wait for: reading there takes its time from computing.
        self._workers = settings.workers if device.type == "cuda" else 0

    def _prepare_encoders(self) -> None:
        """Freeze what is to be frozen, and trade time for memory as the settings say."""
        content, emotion = self.network.audio_encoder_cont, self.network.audio_encoder_emo
        freeze(content, self._settings.freeze.content_encoder)
        freeze(emotion, self._settings.freeze.emotion_encoder)
        if self._settings.gradient_checkpointing:
            content.activation_checkpointing_enable({"use_reentrant": False})
            emotion.activation_checkpointing_enable({"use_reentrant": False})
        if self._settings.compile:
            for layer in chain(*self.network.layers):
                layer.compile(dynamic=True)

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
        self.network.train()
        means = Means()
        plan = self.batches(examples)
        loaded = self._load(plan)
        for number, group in enumerate(in_groups(plan, self._settings.accumulate), start=1):
            batches = list(islice(loaded, len(group)))
            losses = training_step(
                self.network, self._updater, batches, self._settings.loss_weights, precision=self._precision
            )
            means.add(losses, sum(batch.num_examples for batch in batches))
            if number % _STEPS_BETWEEN_CHECKS == 0:
                self._guard.check()
            shown.advance()
        self._guard.check()
        return means.read()

    def _load(self, plan: Sequence[Sequence[Example]]) -> Iterator[Batch]:
        return load_batches(plan, self._make, self._device, self._workers)

    @torch.no_grad()
    def validate(self, examples: Sequence[Example]) -> dict[str, float]:
        """Means of the loss and of each term over held-out examples, in evaluation mode; draws nothing at random."""
        self.network.eval()
        means = Means()
        for batch in self._load(self.batches(examples)):
            known = replace(batch, layout=replace(batch.layout, person=batch.layout.person @ self._persons))
            losses = batch_losses(self.network, known, self._settings.loss_weights, precision=self._precision)
            means.add(losses, batch.num_examples)
        return means.read()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the trainer."""
        return {
            "model": self.network.state_dict(),
            **self._updater.state(),
            "random_states": random_states(),
            "encoders": {name: config.to_diff_dict() for name, config in self.network.encoder_configs.items()},
            "resolved_encoders": self._resolved,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.network.load_state_dict(state["model"])
        self._updater.restore(state)
        restore_random_states(state["random_states"])

    def describe(self) -> str:
        """Sizes, device and precision, for the log."""
        total = sum(parameter.numel() for parameter in self.network.parameters())
        trainable = sum(parameter.numel() for parameter in self._trainable)
        return f"{total:,} parameters, {trainable:,} of them trainable, on {self._device} in {self._precision}"
