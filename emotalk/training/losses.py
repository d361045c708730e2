"""The four loss terms (paper, equations 2 to 6).

Squared errors are means over a reconstruction's own frames and channels, as every reproduction of the paper has them,
and a term sums over the reconstructions of an example, as the two parts of equation 2 do. The loss of a batch is the
mean over its examples, so that it equals the mean of single steps.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from emotalk.config.training import LossWeights
from emotalk.device import autocast
from emotalk.emotions import UNLABELLED
from emotalk.model.network import EmoTalk
from emotalk.training.batches import Batch

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
