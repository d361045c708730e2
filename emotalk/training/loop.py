"""The training loop."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from emotalk.corpus.alignments import Alignments
from emotalk.corpus.clips import ClipStore
from emotalk.errors import TrainingError
from emotalk.progress import Progress
from emotalk.provenance import fingerprint
from emotalk.training.batches import BatchMaker
from emotalk.training.batching import form_batches
from emotalk.training.checkpoint import CheckpointFolder, read_checkpoint
from emotalk.training.features import cached_features
from emotalk.training.history import History
from emotalk.training.objectives import TERMS
from emotalk.training.precision import choose_precision
from emotalk.training.preflight import Workload, check_resources, footprint
from emotalk.training.preparation import prepare_network
from emotalk.training.schedule import Schedule
from emotalk.training.settings import TrainingSettings
from emotalk.training.trainer import Trainer

_LOG = logging.getLogger(__name__)


def train(
    clips: Sequence[str | Path],
    manifest: str | Path,
    alignments: str | Path,
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
        If the manifest is too short, memory or disk cannot be enough, a checkpoint is unreadable, or a loss is not
        finite.
    """
    folder = Path(folder)
    store, schedule = ClipStore(clips), Schedule(manifest)
    if schedule.num_epochs() < settings.epochs:
        raise TrainingError(f"{manifest} holds {schedule.num_epochs()} epochs, {settings.epochs} are asked for.")
    precision = choose_precision(settings.precision, device)
    aligned = Alignments(alignments)
    data = {"clips": store.digest(), "schedule": schedule.digest(), "alignments": aligned.digest(schedule.pairs())}
    identity = settings.identity() | data | {"precision": precision}
    run = fingerprint(identity)
    checkpoints = CheckpointFolder(folder / "checkpoints" / run)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, for what mixed precision leaves in fp32.
    network, resolved = prepare_network(settings, device)
    first = schedule.examples("train", 1)
    workload = Workload.of(form_batches(first, settings.batch_size, settings.max_frames_per_batch))
    check_resources(footprint(network, settings, precision, workload), workload, checkpoints.path, device)
    features = cached_features(network, store, Path(clips[0]).parent / "features") if settings.cache_features else None
    make = BatchMaker(store, aligned, network.conv_frames, settings.velocity_on, features)
    trainer = Trainer(network, make, settings, schedule.training_subjects(), precision)
    _LOG.info("Run %s: %s", run, trainer.describe())

    done, rows = 0, []
    newest = checkpoints.starting_point(settings.epochs, settings.manner())
    if newest is not None:
        checkpoint = read_checkpoint(newest)
        trainer.restore(checkpoint)
        done, rows = checkpoint["epoch"], checkpoint["history"]
        _LOG.info("Continuing %s: epoch %d, loss %.6f", newest.name, done, checkpoint["loss"])
        del checkpoint  # At full size it holds 7 GiB.
    history = History(rows, folder / "tensorboard" / run)

    saved = time.monotonic()
    held_out = schedule.examples("validation")
    with Progress(trainer.num_steps(first) * (settings.epochs - done), "Training", "steps") as shown:
        for epoch in range(done + 1, settings.epochs + 1):
            losses = trainer.train_epoch(epoch, schedule.examples("train", epoch), shown)
            history.add(epoch, "train", losses)
            if held_out:
                history.add(epoch, "validation", trainer.validate(held_out))
            _tell(epoch, settings.epochs, history.rows)
            if epoch == settings.epochs or time.monotonic() - saved >= 60 * settings.checkpoint_every_minutes:
                content = {"epoch": epoch, "loss": losses["loss"], "history": history.rows, "identity": identity}
                checkpoints.save(epoch, content | trainer.state() | {"resolved_encoders": resolved})
                saved = time.monotonic()
    history.write(folder / "metrics.parquet")
    checkpoints.finish(folder / "checkpoint.pth", settings.manner())


def _tell(epoch: int, epochs: int, rows: list[dict[str, Any]]) -> None:
    """Log the losses of an epoch."""
    for row in rows:
        if row["epoch"] == epoch:
            terms = ", ".join(f"{name} {row[name]:.5f}" for name in TERMS)
            _LOG.info("epoch %d of %d, %s: loss %.5f (%s)", epoch, epochs, row["split"], row["loss"], terms)
