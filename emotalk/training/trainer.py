"""The parts of a run that its steps share: network, optimizer and clips."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from typing import Any

import torch
from torch.nn import Parameter

from emotalk.errors import TrainingError
from emotalk.model.inputs import NUM_PERSONS, mean_person
from emotalk.model.network import EmoTalk
from emotalk.training.averaging import WeightAverage
from emotalk.training.batches import Batch, BatchMaker
from emotalk.training.batching import plan_steps, share_of
from emotalk.training.guard import FiniteGuard
from emotalk.training.loader import load_batches
from emotalk.training.means import Means
from emotalk.training.processes import ALONE, Processes
from emotalk.training.random_state import random_state, restore_random_state
from emotalk.training.schedule import Example
from emotalk.training.settings import TrainingSettings
from emotalk.training.step import batch_losses, training_step
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
    processes
        Those that share the steps.
    """

    def __init__(
        self,
        network: EmoTalk,
        make: BatchMaker,
        settings: TrainingSettings,
        subjects: Sequence[int],
        precision: str,
        *,
        processes: Processes = ALONE,
    ) -> None:
        self._network, self._make, self._settings, self._precision = network, make, settings, precision
        self._processes = processes
        self.device = network.bs_map_r.weight.device
        persons = torch.eye(NUM_PERSONS, device=self.device)
        unseen = [index for index in range(NUM_PERSONS) if index not in subjects]
        persons[unseen] = torch.tensor(mean_person(subjects), device=self.device)
        self._persons = persons
        self._updater = Updater(
            network.trainable_parameters(),
            settings.learning_rate,
            FiniteGuard(self.device, processes),
            moments=settings.optimizer_state,
            precision=precision,
            clip_norm=settings.clip_norm,
            processes=processes,
        )
        trainable = {name: each for name, each in network.named_parameters() if each.requires_grad}
        self._average = None if settings.ema_decay is None else WeightAverage(trainable, settings.ema_decay)

    def steps(self, epoch: int, examples: Sequence[Example], done: int, means: Means) -> Iterator[int]:
        """Take the steps of an epoch.

        Parameters
        ----------
        epoch
            Number of the epoch, from 1.
        done
            Steps of the epoch that were taken before.
        means
            Of the losses of the epoch so far; this process's share is added to them.

        Yields
        ------
        int
            After each step, how many of the epoch are done.

        Raises
        ------
        TrainingError
            If a loss or gradient is not finite; it changed nothing, and nothing after it did.
        """
        plan = plan_steps(examples, self._settings)
        shares = [share_of(group, self._processes.rank, self._processes.count) for group in plan[done:]]
        loaded = self._load(list(chain.from_iterable(shares)))
        for number, (group, share) in enumerate(zip(plan[done:], shares, strict=True), start=done + 1):
            self._network.train()
            self._updater.set_learning_rate(self._settings.learning_rate_at(epoch - 1 + (number - 0.5) / len(plan)))
            batches = list(islice(loaded, len(share)))
            losses = training_step(
                self._network,
                self._updater,
                batches,
                self._settings.loss_weights,
                precision=self._precision,
                num_examples=sum(map(len, group)),
            )
            means.add(losses, sum(batch.num_examples for batch in batches))
            if self._average is not None:
                self._average.update()
            if number % _STEPS_BETWEEN_CHECKS == 0 or number == len(plan):
                self.check()
            yield number

    def check(self) -> None:
        """Wait for the device and look whether all steps so far were finite.

        Raises
        ------
        TrainingError
            If one was not.
        """
        self._updater.check()

    def _load(self, plan: Sequence[Sequence[Example]]) -> Iterator[Batch]:
        return load_batches(plan, self._make, self.device)

    @torch.no_grad()
    def validate(self, examples: Sequence[Example]) -> dict[str, float]:
        """Means of the loss and of each term over held-out examples, in evaluation mode; draws nothing at random.

        Raises
        ------
        TrainingError
            If a loss is not finite.
        """
        self._network.eval()
        means, guard = Means(), FiniteGuard(self.device, self._processes)
        batches = list(chain.from_iterable(plan_steps(examples, self._settings)))
        with self._average.in_use() if self._average is not None else nullcontext():
            for batch in self._load(batches[self._processes.rank :: self._processes.count]):
                known = replace(batch, layout=replace(batch.layout, person=batch.layout.person @ self._persons))
                losses = batch_losses(self._network, known, self._settings.loss_weights, precision=self._precision)
                guard.watch_losses(losses, batch.examples)
                means.add(losses, batch.num_examples)
        guard.share()
        guard.check()
        return means.of_all(self._processes).read()

    def state(self, *, with_frozen: bool) -> dict[str, Any]:
        """What a checkpoint keeps of the trainer; all processes ask for it together.

        Parameters
        ----------
        with_frozen
            Whether to keep what never changes, instead of its digest.
        """
        model = self._network.state_dict()
        if not with_frozen:
            model = {name: value for name, value in model.items() if name not in self._frozen}
        return {
            "model": model,
            "frozen": None if with_frozen else self._frozen_digest,
            **self._updater.state(),
            "average": None if self._average is None else self._average.state(),
            "random_states": self._processes.gather(random_state(self.device)),
            "encoders": {name: config.to_diff_dict() for name, config in self._network.encoder_configs.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's state; a process that had no part in it keeps its own random state.

        Raises
        ------
        TrainingError
            If frozen parameters were kept by a digest, and the network's are others.
        """
        if state["frozen"] is not None and state["frozen"] != self._frozen_digest:
            raise TrainingError(
                "The checkpoint refers to frozen parameters (train.checkpoint_frozen: referenced), and those that the "
                "encoders' sources give now are others. Put the old encoders back."
            )
        self._network.load_state_dict(state["model"], strict=state["frozen"] is None)
        self._updater.restore(state)
        if self._average is not None:
            self._average.restore(state["average"])
        if self._processes.rank < len(state["random_states"]):
            restore_random_state(state["random_states"][self._processes.rank], self.device)

    @cached_property
    def _frozen(self) -> dict[str, Parameter]:
        return {name: each for name, each in self._network.named_parameters() if not each.requires_grad}

    @cached_property
    def _frozen_digest(self) -> str:
        digest = hashlib.sha256()
        for name, parameter in self._frozen.items():
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """Sizes, device and precision, for the log."""
        total = sum(parameter.numel() for parameter in self._network.parameters())
        trainable = sum(parameter.numel() for parameter in self._network.trainable_parameters())
        shared = f", shared by {self._processes.count} processes" if self._processes.count > 1 else ""
        return f"{total:,} parameters, {trainable:,} of them trainable, on {self.device} in {self._precision}{shared}"
