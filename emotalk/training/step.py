"""One optimizer step, and the means of what steps return."""

import torch
from torch import Tensor

from emotalk.errors import TrainingError
from emotalk.model.network import EmoTalk
from emotalk.training.batches import Batch
from emotalk.training.objectives import loss_terms, total_loss
from emotalk.training.settings import LossWeights


def batch_losses(network: EmoTalk, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
    """The terms of a batch, and their weighted sum as `loss`."""
    tracks, logits = network(batch.speech, batch.request)
    terms = loss_terms(tracks, logits, batch)
    return {"loss": total_loss(terms, weights), **terms}


def training_step(
    network: EmoTalk, optimizer: torch.optim.Optimizer, batch: Batch, weights: LossWeights
) -> dict[str, Tensor]:
    """Forward, losses, backward, update; returns the loss and its terms.

    Raises
    ------
    TrainingError
        If the loss is not finite; the network is left as it was.
    """
    optimizer.zero_grad(set_to_none=True)
    losses = batch_losses(network, batch, weights)
    if not torch.isfinite(losses["loss"]):
        found = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
        raise TrainingError(
            f"The loss is not finite ({found}) on a batch with the clips {', '.join(batch.clip_ids)}. Nothing was "
            "updated. Look at these clips, or lower train.learning_rate."
        )
    losses["loss"].backward()
    optimizer.step()
    return {name: value.detach() for name, value in losses.items()}


class Means:
    """Means over examples, summed where the losses are: reading them is the only wait for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: dict[str, Tensor], count: int) -> None:
        """Add means over `count` examples."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.double() * count
        self._count += count

    def read(self) -> dict[str, float]:
        """Means over all examples added."""
        return {name: (value / self._count).item() for name, value in self._sums.items()}
