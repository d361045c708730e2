"""The trainer: runs epochs of training and validation; its state is stored in checkpoints."""

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
from emotalk.model.network import EmoTalk
from emotalk.subjects import mean_subject
from emotalk.training.batches import Batch, BatchMaker, load_batches, plan_steps, select_share
from emotalk.training.checkpoint_file import USE_PREVIOUS
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from emotalk.training.finite import FiniteGuard
from emotalk.training.history import History, best_epochs
from emotalk.training.losses import Means, batch_losses
from emotalk.training.optimizer import Optimizer, WeightAverage
from emotalk.training.settings import RunSettings

_LOG = logging.getLogger(__name__)
_STEPS_BETWEEN_CHECKS = 50
"""Reading a loss synchronizes with the GPU, so that the CPU cannot prepare the next steps meanwhile."""


class Trainer:
    """Trains and validates a network.

    Parameters
    ----------
    network
        Network on its device.
    manifest
        Examples of each epoch and of validation.
    make_batch
        Collates examples to batches.
    settings
        Settings of the run.
    precision
        Precision of the forward pass: "fp32", "bf16" or "fp16".
    history
        Losses of earlier epochs.
    group
        Data-parallel processes.

    Attributes
    ----------
    epoch
        Number of completed epochs.
    step
        Number of completed steps in the next epoch.
    """

    def __init__(
        self,
        network: EmoTalk,
        manifest: Manifest,
        make_batch: BatchMaker,
        settings: RunSettings,
        precision: str,
        *,
        history: History,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._network, self._manifest, self._make_batch = network, manifest, make_batch
        self._settings, self._precision, self._group = settings, precision, group
        self.history, self.epoch, self.step = history, 0, 0
        self.device = network.bs_map_r.weight.device
        self.subjects = manifest.training_subjects()
        self._subject_weights = _make_subject_weights(self.subjects, network.num_slots).to(self.device)
        self._validation = manifest.examples("validation")
        self._means = Means()
        trainable = network.trainable_parameters()
        self._optimizer = Optimizer(
            trainable,
            settings.learning_rate,
            FiniteGuard(self.device, group),
            moments=settings.optimizer_state,
            precision=precision,
            clip_norm=settings.clip_norm,
            group=group,
        )
        self._average = None if settings.ema_decay is None else WeightAverage(trainable, settings.ema_decay)

    @property
    def is_complete(self) -> bool:
        """Whether all epochs are complete, or early stopping applies."""
        return is_complete(self.epoch, self.history.rows, self._settings)

    @property
    def num_remaining_steps(self) -> int:
        """Estimated number of steps until the end of the run, with the epoch length of the first epoch."""
        steps_per_epoch = len(plan_steps(self._manifest.examples("train", 1), self._settings))
        return steps_per_epoch * (self._settings.epochs - self.epoch) - self.step

    def train_epoch(self) -> Iterator[None]:
        """Run the remaining steps of the next epoch; yields after each step.

        Raises
        ------
        TrainingError
            If a loss or gradient is not finite; the network is unchanged since then.
        """
        steps = plan_steps(self._manifest.examples("train", self.epoch + 1), self._settings)
        shares = [select_share(step, self._group.rank, self._group.size) for step in steps[self.step :]]
        batches = load_batches(list(chain.from_iterable(shares)), self._make_batch, self.device)
        for step, share in zip(steps[self.step :], shares, strict=True):
            self._network.train()
            middle_of_step = self.epoch + (self.step + 0.5) / len(steps)
            self._optimizer.set_learning_rate(self._settings.learning_rate_at(middle_of_step))
            step_batches = list(islice(batches, len(share)))
            losses = training_step(
                self._network,
                self._optimizer,
                step_batches,
                self._settings.loss_weights,
                precision=self._precision,
                num_examples=sum(map(len, step)),
            )
            self._means.add(losses, sum(batch.num_examples for batch in step_batches))
            if self._average is not None:
                self._average.update()
            self.step += 1
            if self.step % _STEPS_BETWEEN_CHECKS == 0 or self.step == len(steps):
                self.check_finite()
            yield

    def check_finite(self) -> None:
        """Synchronize with the device and check that all losses and gradients are finite.

        Raises
        ------
        NonFiniteError
            If a value is not finite.
        """
        self._optimizer.check()

    def finish_epoch(self) -> None:
        """Finish the epoch: compute the validation losses, and record them with those of training."""
        means = {"train": self._means.gather(self._group).read()}
        if self._validation:
            means["validation"] = self.compute_validation_means()
        self.epoch, self.step, self._means = self.epoch + 1, 0, Means()
        self.history.add_epoch(self.epoch, means, total=self._settings.epochs)

    @torch.no_grad()
    def compute_validation_means(self) -> dict[str, float]:
        """Compute the mean validation losses, in evaluation mode and deterministically.

        Raises
        ------
        NonFiniteError
            If a loss is not finite.
        """
        self._network.eval()
        means, guard = Means(), FiniteGuard(self.device, self._group)
        plan = list(chain.from_iterable(plan_steps(self._validation, self._settings)))
        with self._average.applied() if self._average is not None else nullcontext():
            for batch in load_batches(plan[self._group.rank :: self._group.size], self._make_batch, self.device):
                subjects = batch.layout.subject @ self._subject_weights
                known = replace(batch, layout=replace(batch.layout, subject=subjects))
                losses = batch_losses(self._network, known, self._settings.loss_weights, precision=self._precision)
                guard.record_losses(losses, batch.examples)
                means.add(losses, batch.num_examples)
        guard.synchronize()
        guard.check()
        return means.gather(self._group).read()

    def state(self) -> dict[str, Any]:
        """State for a checkpoint; all processes must call it together."""
        means = self._means.gather(self._group)
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
            "num_subject_slots": self._network.num_slots,
            "subjects": self.subjects,
            "precision": self._precision,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore from the state of a checkpoint; additional processes keep their own random state.

        Raises
        ------
        TrainingError
            If a tensor of the checkpoint does not match the network; its name is in the message.
        """
        expected = self._network.state_dict()
        for name in sorted(expected.keys() | state["model"].keys()):
            theirs, ours = (tuple(x[name].shape) if name in x else None for x in (state["model"], expected))
            if theirs != ours:
                raise TrainingError(
                    f"{name} has shape {theirs} in the checkpoint and {ours} in the network. {USE_PREVIOUS}"
                )
        if state["precision"] != self._precision:
            _LOG.warning("The run used precision %s; it continues with %s.", state["precision"], self._precision)
        self._network.load_state_dict(state["model"])
        self._optimizer.restore(state)
        if self._average is not None:
            self._average.restore(state["average"])
        if self._group.rank < len(state["random_states"]):
            _restore_random_state(state["random_states"][self._group.rank], self.device)
        self.epoch, self.step = state["epoch"], state["step"]
        _LOG.info(
            "Continuing after %d epochs and %d steps of the next one, loss %.6f", self.epoch, self.step, state["loss"]
        )
        if self._group.is_main:
            self._means = Means.from_state(state["means"], self.device)

    def describe(self) -> str:
        """Number of parameters, device and precision, for the log."""
        total = sum(parameter.numel() for parameter in self._network.parameters())
        trainable = sum(parameter.numel() for parameter in self._network.trainable_parameters().values())
        shared = f", shared by {self._group.size} processes" if self._group.size > 1 else ""
        return f"{total:,} parameters, {trainable:,} trainable, on {self.device} in {self._precision}{shared}"


def is_complete(epoch: int, rows: Sequence[Mapping[str, Any]], settings: RunSettings) -> bool:
    """Whether a run is complete after `epoch` epochs with this history."""
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
    """Run forward pass, losses and backward pass for each batch, then one update.

    The gradient is the mean over all examples of the step, independent of their distribution to batches and processes.

    Parameters
    ----------
    num_examples
        Number of examples of the step in all processes; by default that of `batches`.

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
        optimizer.guard.record_losses(losses, batch.examples)
        optimizer.backward(losses["loss"] * (batch.num_examples / num_examples))
        means.add(losses, batch.num_examples)
    optimizer.update([example for batch in batches for example in batch.examples])
    return means.tensors()


def _make_subject_weights(subjects: Sequence[int], num_slots: int) -> Tensor:
    """Conditioning weights of each subject index, (S, S): one-hot for training subjects, else their mean.

    The embeddings of other subjects are not trained, so that validation uses the mean for them.
    """
    weights = torch.eye(num_slots)
    unseen = [index for index in range(num_slots) if index not in subjects]
    weights[unseen] = torch.tensor(mean_subject(subjects, num_slots))
    return weights


def _random_state(device: torch.device) -> dict[str, Any]:
    """States of the random number generators of this process."""
    return {
        "python": random.getstate(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore the random number generators; that of the GPU only if both processes use one."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
