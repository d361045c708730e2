"""One optimizer step."""

from collections.abc import Sequence

from torch import Tensor

from emotalk.model.network import EmoTalk
from emotalk.training.batches import Batch
from emotalk.training.means import Means
from emotalk.training.objectives import loss_terms, motion_variance, total_loss
from emotalk.training.precision import autocast
from emotalk.training.settings import LossWeights
from emotalk.training.updater import Updater


def batch_losses(network: EmoTalk, batch: Batch, weights: LossWeights, *, precision: str) -> dict[str, Tensor]:
    """The terms of a batch, in fp32, and their weighted sum as `loss`; the network computes in `precision`.

    Beside them, and in no sum, how much the predictions and the targets move, which tells a still face.
    """
    with autocast(batch.targets.device, precision):
        compute = network.reconstruct if batch.heard.are_features else network
        tracks, logits = compute(batch.heard.content, batch.heard.emotion, batch.layout)
    terms = loss_terms(tracks, logits, batch)
    return {"loss": total_loss(terms, weights), **terms, **motion_variance(tracks.detach(), batch)}


def training_step(
    network: EmoTalk,
    updater: Updater,
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
    updater.begin()
    for batch in batches:
        losses = batch_losses(network, batch, weights, precision=precision)
        updater.guard.watch_losses(losses, batch.examples)
        updater.backward(losses["loss"] * (batch.num_examples / num_examples))
        means.add(losses, batch.num_examples)
    updater.update([example for batch in batches for example in batch.examples])
    return means.tensors()
