"""The trainer: network, optimizer and batches, taken through epochs; its state is what a checkpoint keeps."""

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from emotalk.config.training import LossWeights
from emotalk.data.manifest import Manifest
from emotalk.errors import TrainingError
from emotalk.model.inputs import NUM_PERSONS, mean_person
from emotalk.model.network import EmoTalk
from emotalk.training.batches import Batch, BatchMaker, load_batches, plan_steps, share_of
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from emotalk.training.finite import FiniteGuard
from emotalk.training.history import History, best_epochs
from emotalk.training.losses import Means, batch_losses
from emotalk.training.optimizer import Optimizer, WeightAverage
from emotalk.training.settings import RunSettings

_LOG = logging.getLogger(__name__)
_STEPS_BETWEEN_CHECKS = 50
"""A GPU computes on while the next steps are prepared; looking at a loss makes both wait."""


class Trainer:
    """Trains and validates a network.

    Parameters
    ----------
    network
        On the device where it is computed.
    schedule
        The manifest: examples of each epoch, and of validation.
    make
        Makes batches of examples.
    settings
        What decides the run.
    precision
        What is computed in: "fp32", "bf16" or "fp16".
    history
        Losses of the epochs before.
    group
        Processes that share the steps.

    Attributes
    ----------
    epoch
        Epochs that are complete.
    step
        Steps that are done of the epoch that follows.
    """

    def __init__(
        self,
        network: EmoTalk,
        schedule: Manifest,
        make: BatchMaker,
        settings: RunSettings,
        precision: str,
        *,
        history: History,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._network, self._schedule, self._make = network, schedule, make
        self._settings, self._precision, self._group = settings, precision, group
        self.history, self.epoch, self.step = history, 0, 0
        self.device = network.bs_map_r.weight.device
        self.subjects = schedule.training_subjects()
        self._subject_weights = _with_mean_for_unseen(self.subjects).to(self.device)
        self._validation = schedule.examples("validation")
        self._means = Means()
        self._optimizer = Optimizer(
            network.trainable_parameters(),
            settings.learning_rate,
            FiniteGuard(self.device, group),
            moments=settings.optimizer_state,
            precision=precision,
            clip_norm=settings.clip_norm,
            group=group,
        )
        trainable = {name: each for name, each in network.named_parameters() if each.requires_grad}
        self._average = None if settings.ema_decay is None else WeightAverage(trainable, settings.ema_decay)

    @property
    def is_complete(self) -> bool:
        """Whether the last epoch is done, or validation has not improved for too long."""
        return is_complete(self.epoch, self.history.rows, self._settings)

    @property
    def num_steps_left(self) -> int:
        """Steps to the last epoch's end; epochs are counted as long as the first."""
        steps_per_epoch = len(plan_steps(self._schedule.examples("train", 1), self._settings))
        return steps_per_epoch * (self._settings.epochs - self.epoch) - self.step

    def train_epoch(self) -> Iterator[None]:
        """Take the steps that are left of the next epoch; yields after each.

        Raises
        ------
        TrainingError
            If a loss or gradient is not finite; neither it nor anything after it changed the network.
        """
        plan = plan_steps(self._schedule.examples("train", self.epoch + 1), self._settings)
        shares = [share_of(group, self._group.rank, self._group.size) for group in plan[self.step :]]
        batches = load_batches(list(chain.from_iterable(shares)), self._make, self.device)
        for group, share in zip(plan[self.step :], shares, strict=True):
            self._network.train()
            # A step stands in the middle of its share of the epoch.
            self._optimizer.set_learning_rate(
                self._settings.learning_rate_at(self.epoch + (self.step + 0.5) / len(plan))
            )
            step_batches = list(islice(batches, len(share)))
            losses = training_step(
                self._network,
                self._optimizer,
                step_batches,
                self._settings.loss_weights,
                precision=self._precision,
                num_examples=sum(map(len, group)),
            )
            self._means.add(losses, sum(batch.num_examples for batch in step_batches))
            if self._average is not None:
                self._average.update()
            self.step += 1
            if self.step % _STEPS_BETWEEN_CHECKS == 0 or self.step == len(plan):
                self.check_finite()
            yield

    def check_finite(self) -> None:
        """Wait for the device and check that all steps so far were finite.

        Raises
        ------
        NonFiniteError
            If one was not.
        """
        self._optimizer.check()

    def validate(self) -> None:
        """End the epoch: record its losses, and those of the held-out examples."""
        means = {"train": self._means.over_all(self._group).read()}
        if self._validation:
            means["validation"] = self.validation_means()
        self.epoch, self.step, self._means = self.epoch + 1, 0, Means()
        self.history.add_epoch(self.epoch, means, total=self._settings.epochs)

    @torch.no_grad()
    def validation_means(self) -> dict[str, float]:
        """Means of the loss and of each term over the held-out examples, in evaluation mode, without randomness.

        Raises
        ------
        NonFiniteError
            If a loss is not finite.
        """
        self._network.eval()
        means, guard = Means(), FiniteGuard(self.device, self._group)
        plan = list(chain.from_iterable(plan_steps(self._validation, self._settings)))
        with self._average.in_use() if self._average is not None else nullcontext():
            for batch in load_batches(plan[self._group.rank :: self._group.size], self._make, self.device):
                subjects = batch.layout.person @ self._subject_weights
                known = replace(batch, layout=replace(batch.layout, person=subjects))
                losses = batch_losses(self._network, known, self._settings.loss_weights, precision=self._precision)
                guard.watch_losses(losses, batch.examples)
                means.add(losses, batch.num_examples)
        guard.share()
        guard.check()
        return means.over_all(self._group).read()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; all processes ask for it together."""
        means = self._means.over_all(self._group)
        training = [row for row in self.history.rows if row["split"] == "train"]
        return {
            "epoch": self.epoch,
            "step": self.step,
            "loss": means.read()["loss"] if self.step else training[-1]["loss"],
            "means": means.state(),
            "history": list(self.history.rows),
            "model": self._network.state_dict(),
            **self._optimizer.state(),
            "average": None if self._average is None else self._average.state(),
            "random_states": self._group.all_gather(_random_state(self.device)),
            "encoders": {name: config.model_dump() for name, config in self._network.encoder_configs.items()},
            "subjects": self.subjects,
            "precision": self._precision,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's state; a process that had no part in it keeps its own random state.

        Raises
        ------
        TrainingError
            If the checkpoint's parameters are not those of this network.
        """
        expected = self._network.state_dict()
        for name in sorted(expected.keys() | state["model"].keys()):
            shapes = [tuple(each[name].shape) if name in each else None for each in (state["model"], expected)]
            if shapes[0] != shapes[1]:
                raise TrainingError(
                    f"The checkpoint has {name} in shape {shapes[0]}, the network in shape {shapes[1]}. Remove the "
                    "checkpoint to use the one before it."
                )
        if state["precision"] != self._precision:
            _LOG.warning("The run was computed in %s so far; it continues in %s.", state["precision"], self._precision)
        self._network.load_state_dict(state["model"])
        self._optimizer.restore(state)
        if self._average is not None:
            self._average.restore(state["average"])
        if self._group.rank < len(state["random_states"]):
            _restore_random_state(state["random_states"][self._group.rank], self.device)
        self.epoch, self.step = state["epoch"], state["step"]
        _LOG.info("Continuing: epoch %d, step %d, loss %.6f", self.epoch, self.step, state["loss"])
        if self._group.is_main:
            self._means = Means.restored(state["means"], self.device)

    def describe(self) -> str:
        """Sizes, device and precision, for the log."""
        total = sum(parameter.numel() for parameter in self._network.parameters())
        trainable = sum(parameter.numel() for parameter in self._network.trainable_parameters())
        shared = f", shared by {self._group.size} processes" if self._group.size > 1 else ""
        return f"{total:,} parameters, {trainable:,} of them trainable, on {self.device} in {self._precision}{shared}"


def is_complete(epoch: int, rows: Sequence[Mapping[str, Any]], settings: RunSettings) -> bool:
    """Whether a run with these complete epochs and this history has ended."""
    patience = settings.early_stopping
    if patience is not None and epoch and epoch - best_epochs(rows, 1)[0] >= patience:
        return True
    return epoch >= settings.epochs


def training_step(
    network: EmoTalk,
    optimizer: Optimizer,
    batches: Sequence[Batch],
    weights: LossWeights,
    *,
    precision: str,
    num_examples: int | None = None,
) -> dict[str, Tensor]:
    """Forward, losses and backward of each batch, then one update.

    Several batches have the gradients of one batch with all their examples, and so have the batches of several
    processes.

    Parameters
    ----------
    num_examples
        Examples of the step in all processes; by default those of `batches`.

    Returns
    -------
    dict
        Means of the loss and of each term over the examples of this process; empty if it has none.
    """
    num_examples = num_examples or sum(batch.num_examples for batch in batches)
    means = Means()
    optimizer.zero_grad()
    for batch in batches:
        losses = batch_losses(network, batch, weights, precision=precision)
        optimizer.guard.watch_losses(losses, batch.examples)
        optimizer.backward(losses["loss"] * (batch.num_examples / num_examples))
        means.add(losses, batch.num_examples)
    optimizer.update([example for batch in batches for example in batch.examples])
    return means.tensors()


def _with_mean_for_unseen(subjects: Sequence[int]) -> Tensor:
    """Weights (24, 24) of the subjects for each subject index: its own, or the mean of those that train.

    The vectors of all others are never trained, so that validation gives a held-out subject this mean.
    """
    weights = torch.eye(NUM_PERSONS)
    unseen = [index for index in range(NUM_PERSONS) if index not in subjects]
    weights[unseen] = torch.tensor(mean_person(subjects))
    return weights


def _random_state(device: torch.device) -> dict[str, Any]:
    """States of this process's random generators."""
    return {
        "python": random.getstate(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore this process's generators; a run moved to a GPU or away keeps what both have."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
