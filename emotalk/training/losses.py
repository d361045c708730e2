"""The four loss terms (paper, equations 2 to 6).

Squared errors are means over a reconstruction's own frames and channels, as every reproduction of the paper has them,
and a term sums over the reconstructions of an example, as the two parts of equation 2 do. The loss of a batch is the
mean over its examples, so that it equals the mean of single steps.
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
    """Mean over valid frames and channels of the squared difference, (R,).

    Parameters
    ----------
    tracks, targets : (R, T, C)
    mask : (R, T) bool
    """
    errors = (tracks - targets).square().mean(dim=-1) * mask
    return errors.sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def velocity_error(tracks: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Squared error of the differences between neighbouring valid frames, (R,); 0 for a single frame (equation 4)."""
    return squared_error(tracks.diff(dim=1), targets.diff(dim=1), mask[:, 1:] & mask[:, :-1])


def loss_terms(tracks: Tensor, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Mean of each term over the examples of a batch.

    Parameters
    ----------
    tracks : (R, T, 52)
    logits : (R, 7)
    """
    error = squared_error(tracks, batch.targets, batch.mask)
    velocity = velocity_error(tracks, batch.targets, batch.mask)
    emotion = cross_entropy(logits, batch.labels, ignore_index=UNLABELLED, reduction="none")
    sums = {
        "cross": torch.where(batch.is_cross, error, 0).sum(),
        "self": torch.where(batch.is_cross, 0, error).sum(),
        "velocity": torch.where(batch.has_velocity, velocity, 0).sum(),
        "classification": emotion.sum(),
    }
    return {name: value / batch.num_examples for name, value in sums.items()}


def motion_variance(tracks: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Variance over time of predictions and of targets, each a mean over reconstructions and channels."""
    mask = batch.mask[..., None]
    count = mask.sum(dim=1).clamp(min=1)

    def over_time(values: Tensor) -> Tensor:
        deviation = (values - (values * mask).sum(dim=1, keepdim=True) / count[:, None]) * mask
        return (deviation.square().sum(dim=1) / count).mean()

    return {"predicted_variance": over_time(tracks), "target_variance": over_time(batch.targets)}


def total_loss(terms: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Weighted sum of the terms (equation 6)."""
    return sum((getattr(weights, name) * terms[name] for name in TERMS), start=torch.zeros_like(terms["cross"]))


def batch_losses(network: EmoTalk, batch: Batch, weights: LossWeights, *, precision: str) -> dict[str, Tensor]:
    """The terms of a batch, in fp32, and their weighted sum as `loss`; the network computes in `precision`.

    Beside them, and in no sum, how much the predictions and the targets move, which shows a still face.
    """
    with autocast(batch.targets.device, precision):
        compute = network.reconstruct if batch.heard.are_features else network
        tracks, logits = compute(batch.heard.content, batch.heard.emotion, batch.layout)
    terms = loss_terms(tracks, logits, batch)
    return {"loss": total_loss(terms, weights), **terms, **motion_variance(tracks.detach(), batch)}


class Means:
    """Means over examples, summed where the losses are: reading them is the only wait for the device.

    All values are summed in one tensor: a GPU is asked for few and large things.
    """

    def __init__(self) -> None:
        self._names: Sequence[str] = ()
        self._sums: Tensor | None = None
        self._count = 0

    def add(self, values: Mapping[str, Tensor], count: int) -> None:
        """Add means over `count` examples; the names are the same each time."""
        if not values:
            return
        self._names = self._names or list(values)
        sums = torch.stack([values[name].detach() for name in self._names]).double() * count
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += count

    def tensors(self) -> dict[str, Tensor]:
        """Means over all examples added, where the values were."""
        if self._sums is None:
            return {}
        return dict(zip(self._names, (self._sums / self._count).unbind(), strict=True))

    def read(self) -> dict[str, float]:
        """Means over all examples added, as numbers."""
        if self._sums is None:
            return {}
        return dict(zip(self._names, (self._sums / self._count).tolist(), strict=True))

    def over_all(self, group: ProcessGroup) -> "Means":
        """Means over the examples of all processes."""
        total = Means()
        for state in group.all_gather(self.state()):
            if state["names"]:
                total._names = state["names"]
                total._sums = state["sums"] if total._sums is None else total._sums + state["sums"]
                total._count += state["count"]
        return total

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of an epoch that has begun."""
        sums = None if self._sums is None else self._sums.cpu()
        return {"names": list(self._names), "sums": sums, "count": self._count}

    @classmethod
    def restored(cls, state: Mapping[str, Any], device: torch.device) -> "Means":
        """Continue from a checkpoint's state."""
        means = cls()
        means._names, means._count = state["names"], state["count"]
        means._sums = None if state["sums"] is None else state["sums"].to(device)
        return means
