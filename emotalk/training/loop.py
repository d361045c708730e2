"""The training loop."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emotalk.corpus.clips import ClipStore
from emotalk.errors import TrainingError
from emotalk.model.network import EmoTalk
from emotalk.model.pretrained import build_network
from emotalk.progress import Progress
from emotalk.provenance import fingerprint
from emotalk.training.batches import Batch, make_batch
from emotalk.training.checkpoint import CheckpointFolder, random_states, read_checkpoint, restore_random_states
from emotalk.training.history import History
from emotalk.training.objectives import TERMS, loss_terms, total_loss
from emotalk.training.schedule import Example, Schedule, in_batches
from emotalk.training.settings import LossWeights, TrainingSettings

_LOG = logging.getLogger(__name__)


def train(
    clips: Sequence[str | Path],
    manifest: str | Path,
    *,
    folder: str | Path,
    settings: TrainingSettings,
    device: torch.device,
) -> None:
    """Train the network over the manifest's epochs, continuing from the newest checkpoint of the same run.

    Writes `checkpoint.pth` and `metrics.parquet` into `folder` at the end, and keeps resumable checkpoints below
    `folder/checkpoints`, in a subfolder named by a fingerprint of data and settings: other settings never meet them.

    Raises
    ------
    TrainingError
        If the manifest is too short, a checkpoint is unreadable, or a loss is not finite.
    """
    folder = Path(folder)
    store, schedule = ClipStore(clips), Schedule(manifest)
    if schedule.num_epochs() < settings.epochs:
        raise TrainingError(f"{manifest} holds {schedule.num_epochs()} epochs, {settings.epochs} are asked for.")
    identity = settings.identity() | {"clips": store.digest(), "schedule": schedule.digest()}
    run = fingerprint(identity)
    checkpoints = CheckpointFolder(folder / "checkpoints" / run)

    torch.manual_seed(settings.seed)
    network, resolved = build_network(settings.content_encoder, settings.emotion_encoder)
    network.to(device)
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=settings.learning_rate)
    _LOG.info("%s on %s, run %s", _sizes(network, trainable), device, run)

    first_epoch, rows = 1, []
    newest = checkpoints.starting_point(settings.epochs)
    if newest is not None:
        checkpoint = read_checkpoint(newest)
        network.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        restore_random_states(checkpoint["random_states"])
        first_epoch, rows = checkpoint["epoch"] + 1, checkpoint["history"]
        _LOG.info("Continuing %s: epoch %d, loss %.6f", newest.name, checkpoint["epoch"], checkpoint["loss"])
    history = History(rows, folder / "tensorboard" / run)

    steps_an_epoch = len(in_batches(schedule.examples("train", 1), settings.batch_size))
    num_steps = steps_an_epoch * (settings.epochs - first_epoch + 1)
    with Progress(num_steps, "Training", "steps") as shown:
        for epoch in range(first_epoch, settings.epochs + 1):
            losses = train_epoch(network, optimizer, schedule.examples("train", epoch), store, settings, device, shown)
            history.add(epoch, "train", losses)
            if held_out := schedule.examples("validation"):
                history.add(epoch, "validation", validate(network, held_out, store, settings, device))
            _tell(epoch, settings.epochs, history.rows)
            checkpoints.save(
                epoch,
                {
                    "epoch": epoch,
                    "loss": losses["loss"],
                    "model": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "random_states": random_states(),
                    "history": history.rows,
                    "identity": identity,
                    "resolved_encoders": resolved,
                    "encoders": {name: config.to_diff_dict() for name, config in network.encoder_configs.items()},
                },
            )
    history.write(folder / "metrics.parquet")
    checkpoints.finish(settings.epochs, folder / "checkpoint.pth")


def train_epoch(
    network: EmoTalk,
    optimizer: torch.optim.Optimizer,
    examples: Sequence[Example],
    store: ClipStore,
    settings: TrainingSettings,
    device: torch.device,
    shown: Progress,
) -> dict[str, float]:
    """One pass over an epoch's examples; returns the mean of the loss and of each term."""
    network.train()
    means = Means()
    for group in in_batches(examples, settings.batch_size):
        batch = make_batch(group, store, device)
        terms = training_step(network, optimizer, batch, settings.loss_weights)
        means.add(terms, batch.num_examples)
        shown.advance()
    return means.read()


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
    terms = loss_terms(*network(batch.speech, batch.request), batch)
    loss = total_loss(terms, weights)
    if not torch.isfinite(loss):
        found = ", ".join(f"{name} {value.item():g}" for name, value in terms.items())
        raise TrainingError(
            f"The loss is not finite ({found}) on a batch with the clips {', '.join(batch.clip_ids)}. Nothing was "
            "updated. Look at these clips, or lower train.learning_rate."
        )
    loss.backward()
    optimizer.step()
    return {"loss": loss.detach(), **{name: value.detach() for name, value in terms.items()}}


@torch.no_grad()
def validate(
    network: EmoTalk, examples: Sequence[Example], store: ClipStore, settings: TrainingSettings, device: torch.device
) -> dict[str, float]:
    """Mean loss and terms over held-out examples, in evaluation mode."""
    network.eval()
    means = Means()
    for group in in_batches(examples, settings.batch_size):
        batch = make_batch(group, store, device)
        terms = loss_terms(*network(batch.speech, batch.request), batch)
        means.add({"loss": total_loss(terms, settings.loss_weights), **terms}, batch.num_examples)
    return means.read()


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


def _sizes(network: EmoTalk, trainable: list[Any]) -> str:
    total = sum(parameter.numel() for parameter in network.parameters())
    return f"{total:,} parameters, {sum(parameter.numel() for parameter in trainable):,} of them trainable,"


def _tell(epoch: int, epochs: int, rows: list[dict[str, Any]]) -> None:
    """Log the losses of an epoch."""
    for row in rows:
        if row["epoch"] == epoch:
            terms = ", ".join(f"{name} {row[name]:.5f}" for name in TERMS)
            _LOG.info("epoch %d of %d, %s: loss %.5f (%s)", epoch, epochs, row["split"], row["loss"], terms)
