"""The four loss terms (paper, equations 2 to 6; docs/method.md, section "Losses").

A squared error is the mean over the valid frames and channels of one reconstruction, as in all reproductions of the
paper. A term is the sum over the reconstructions of an example, as in equation 2. The loss of a batch is the mean over
its examples, and therefore does not depend on how examples are batched.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from emotalk.config.training import LossWeights
from emotalk.device import autocast
from emotalk.emotions import UNLABELLED
from emotalk.model.network import EmoTalk
from emotalk.training.batches import Batch
from emotalk.training.distributed import ProcessGroup

TERMS = ("cross", "self", "velocity", "classification")


def squared_error(tracks: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference over valid frames and channels, (R,).

    Parameters
    ----------
    tracks, targets : (R, T, C)
    mask : (R, T) bool
    """
    errors = (tracks - targets).square().mean(dim=-1) * mask
    return errors.sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def squared_velocity_error(tracks: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Squared error of the differences between consecutive valid frames (equation 4), (R,); 0 for a single frame."""
    return squared_error(tracks.diff(dim=1), targets.diff(dim=1), mask[:, 1:] & mask[:, :-1])


def loss_terms(tracks: Tensor, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Compute the mean of each loss term over the examples of a batch.

    Parameters
    ----------
    tracks : (R, T, 52)
    logits : (R, 7)
    """
    error = squared_error(tracks, batch.targets, batch.mask)
    velocity = squared_velocity_error(tracks, batch.targets, batch.mask)
    emotion = cross_entropy(logits, batch.emotion_classes, ignore_index=UNLABELLED, reduction="none")
    sums = {
        "cross": torch.where(batch.is_cross, error, 0).sum(),
        "self": torch.where(batch.is_cross, 0, error).sum(),
        "velocity": torch.where(batch.has_velocity, velocity, 0).sum(),
        "classification": emotion.sum(),
    }
    return {name: value / batch.num_examples for name, value in sums.items()}


def motion_variance(tracks: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Variance over time of predictions and targets, averaged over reconstructions and channels."""
    mask = batch.mask[..., None]
    count = mask.sum(dim=1).clamp(min=1)

    def variance_over_time(values: Tensor) -> Tensor:
        deviation = (values - (values * mask).sum(dim=1, keepdim=True) / count[:, None]) * mask
        return (deviation.square().sum(dim=1) / count).mean()

    return {
        "predicted_variance": variance_over_time(tracks),
        "target_variance": variance_over_time(batch.targets),
    }


def total_loss(terms: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Weighted sum of the terms (equation 6)."""
    return sum((getattr(weights, name) * terms[name] for name in TERMS), start=torch.zeros_like(terms["cross"]))


def batch_losses(network: EmoTalk, batch: Batch, weights: LossWeights, *, precision: str) -> dict[str, Tensor]:
    """Compute the loss terms of a batch in fp32, and their weighted sum `loss`; the network computes in `precision`.

    The result also contains `predicted_variance` and `target_variance`, which is not part of the loss.
    """
    with autocast(batch.targets.device, precision):
        compute = network.reconstruct if batch.audio.are_features else network
        tracks, logits = compute(batch.audio.content, batch.audio.emotion, batch.layout)
    terms = loss_terms(tracks, logits, batch)
    return {"loss": total_loss(terms, weights), **terms, **motion_variance(tracks.detach(), batch)}


class Means:
    """Accumulates means over examples on the device; only `read` and `state` synchronize.

    All values are summed in one tensor, which needs fewer GPU kernels.
    """

    def __init__(self) -> None:
        self._names: Sequence[str] = ()
        self._sums: Tensor | None = None
        self._count = 0

    def add(self, values: Mapping[str, Tensor], count: int) -> None:
        """Add means over `count` examples; all calls must have the same names."""
        if not values:
            return
        self._names = self._names or list(values)
        sums = torch.stack([values[name].detach() for name in self._names]).double() * count
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += count

    def tensors(self) -> dict[str, Tensor]:
        """Means over all added examples, as tensors on the device."""
        if self._sums is None:
            return {}
        return dict(zip(self._names, (self._sums / self._count).unbind(), strict=True))

    def read(self) -> dict[str, float]:
        """Means over all added examples, as numbers."""
        if self._sums is None:
            return {}
        return dict(zip(self._names, (self._sums / self._count).tolist(), strict=True))

    def gather(self, group: ProcessGroup) -> "Means":
        """Means over the examples of all processes."""
        total = Means()
        for state in group.all_gather(self.state()):
            if state["names"]:
                total._names = state["names"]
                total._sums = state["sums"] if total._sums is None else total._sums + state["sums"]
                total._count += state["count"]
        return total

    def state(self) -> dict[str, Any]:
        """State for a checkpoint within an epoch."""
        sums = None if self._sums is None else self._sums.cpu()
        return {"names": list(self._names), "sums": sums, "count": self._count}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: torch.device) -> "Means":
        """Restore from the state of a checkpoint."""
        means = cls()
        means._names, means._count = state["names"], state["count"]
        means._sums = None if state["sums"] is None else state["sums"].to(device)
        return means
