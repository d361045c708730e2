"""One optimizer step, and the means of what steps return."""

from collections.abc import Sequence

from torch import Tensor

from emotalk.model.network import EmoTalk
from emotalk.training.batches import Batch
from emotalk.training.objectives import loss_terms, total_loss
from emotalk.training.precision import autocast
from emotalk.training.settings import LossWeights
from emotalk.training.updater import Updater


def batch_losses(network: EmoTalk, batch: Batch, weights: LossWeights, *, precision: str) -> dict[str, Tensor]:
    """The terms of a batch, in fp32, and their weighted sum as `loss`; the network computes in `precision`."""
    with autocast(batch.targets.device, precision):
        compute = network.reconstruct if batch.heard.are_features else network
        tracks, logits = compute(batch.heard.content, batch.heard.emotion, batch.layout)
    terms = loss_terms(tracks, logits, batch)
    return {"loss": total_loss(terms, weights), **terms}


def training_step(
    network: EmoTalk, updater: Updater, batches: Sequence[Batch], weights: LossWeights, *, precision: str
) -> dict[str, Tensor]:
    """Forward, losses and backward of each batch, then one update.

    Several batches have the gradients of one batch with all their examples.

    Returns
    -------
    dict
        Means of the loss and of each term over all examples.
    """
    num_examples = sum(batch.num_examples for batch in batches)
    means = Means()
    updater.begin()
    for batch in batches:
        losses = batch_losses(network, batch, weights, precision=precision)
        updater.guard.watch(losses, batch.clip_ids)
        updater.backward(losses["loss"] * (batch.num_examples / num_examples))
        means.add(losses, batch.num_examples)
    updater.update()
    return means.tensors()


class Means:
    """Means over examples, summed where the losses are: reading them is the only wait for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: dict[str, Tensor], count: int) -> None:
        """Add means over `count` examples."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().double() * count
        self._count += count

    def tensors(self) -> dict[str, Tensor]:
        """Means over all examples added, where the values were."""
        return {name: value / self._count for name, value in self._sums.items()}

    def read(self) -> dict[str, float]:
        """Means over all examples added, as numbers."""
        return {name: value.item() for name, value in self.tensors().items()}
