"""The training of one run, from its files to its files."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from emotalk.corpus.alignments import Alignments
from emotalk.corpus.clips import ClipStore
from emotalk.errors import TrainingError
from emotalk.model.network import EmoTalk
from emotalk.provenance import fingerprint
from emotalk.training.batches import BatchMaker
from emotalk.training.batching import plan_steps, share_of
from emotalk.training.checkpoint import CheckpointFolder
from emotalk.training.checkpoint_file import read_checkpoint
from emotalk.training.device import choose_kernels
from emotalk.training.diagnosis import write_diagnosis
from emotalk.training.features import cached_features
from emotalk.training.guard import NonFiniteError
from emotalk.training.history import History
from emotalk.training.precision import choose_precision
from emotalk.training.preflight import Workload, check_resources, footprint
from emotalk.training.preparation import prepare_network
from emotalk.training.processes import ALONE, Processes
from emotalk.training.run import Run
from emotalk.training.schedule import Schedule
from emotalk.training.settings import TrainingSettings
from emotalk.training.signals import Interruption
from emotalk.training.trainer import Trainer

_LOG = logging.getLogger(__name__)


def train(
    clips: Sequence[str | Path],
    manifest: str | Path,
    alignments: str | Path,
    *,
    folder: str | Path,
    diagnosis: str | Path,
    settings: TrainingSettings,
    device: torch.device,
    processes: Processes = ALONE,
) -> None:
    """Train the network over the manifest's epochs, continuing from the newest checkpoint of the same run.

    Writes `checkpoint.pth` and `metrics.parquet` into `folder` at the end, and keeps resumable checkpoints below
    `folder/checkpoints`, in a subfolder named by a fingerprint of data and settings: other settings never meet them.

    Parameters
    ----------
    diagnosis
        JSON file that is written if a loss or gradient is not finite.
    processes
        Those that train together, each of which calls this.

    Raises
    ------
    Interrupted
        After SIGTERM, SIGINT or SIGUSR1, when everything is saved.
    TrainingError
        If the manifest is too short, memory or disk cannot be enough, checkpoints cannot be read or written, or a loss
        or gradient is not finite.
    """
    folder, diagnosis = Path(folder), Path(diagnosis)
    store, schedule, aligned = ClipStore(clips), Schedule(manifest), Alignments(alignments)
    _check_schedule(schedule, settings, manifest)
    precision = choose_precision(settings.precision, device)
    choose_kernels(device)
    with Interruption() as interruption:
        network, resolved = prepare_network(settings, device)
        if processes.rank:
            torch.manual_seed(settings.seed + processes.rank)  # Equal parameters, unlike dropout.
        identity = settings.identity() | {
            "clips": store.digest(),
            "schedule": schedule.digest(),
            "alignments": aligned.digest(schedule.pairs()),
            "weights": resolved,
        }
        for source in ("content_encoder", "emotion_encoder", "init_weights"):
            del identity[source]["source"]  # Wherever they lie: the weights themselves count.
        run_name = fingerprint(identity)
        checkpoints = CheckpointFolder(folder / "checkpoints" / run_name)
        _check_resources(network, schedule, settings, precision, folder=checkpoints.path, processes=processes)
        with processes.main_first():
            cache = Path(clips[0]).parent / "features"
            features = cached_features(network, store, cache) if settings.cache_features else None
        make = BatchMaker(store, aligned, network.conv_frames, settings.velocity_on, features)
        subjects = schedule.training_subjects()
        trainer = Trainer(network, make, settings, subjects, precision, processes=processes)
        _LOG.info("Run %s: %s", run_name, trainer.describe())
        with checkpoints.locked() if processes.is_main else nullcontext():
            checkpoint = _checkpoint(checkpoints, identity, settings, processes)
            tensorboard = folder / "tensorboard" / run_name if processes.is_main else None
            history = History(checkpoint["history"] if checkpoint else [], tensorboard)
            facts = {"identity": identity, "resolved_encoders": resolved, "subjects": subjects, "precision": precision}
            run = Run(trainer, schedule, checkpoints, settings, facts, history=history, processes=processes)
            if checkpoint:
                if checkpoint["precision"] != precision:
                    _LOG.warning(
                        "It was computed in %s so far; this device goes on in %s.", checkpoint["precision"], precision
                    )
                run.continue_from(checkpoint)
            del checkpoint  # At full size it holds 7 GiB.
            diagnosis.unlink(missing_ok=True)
            try:
                run.train(interruption)
            except NonFiniteError as error:
                where = {**run.whereabouts(), "precision": precision, "losses_before": history.rows[-2:]}
                weights = settings.loss_weights
                if processes.is_main:
                    write_diagnosis(diagnosis, error, where, network=network, make=make, weights=weights)
                raise NonFiniteError(f"{error} {diagnosis} tells more.", error.examples, error.found) from None
            if processes.is_main:
                history.write(folder / "metrics.parquet")
                checkpoints.finish(folder / "checkpoint.pth", settings.request(), run.epochs_to_deliver())


def _check_schedule(schedule: Schedule, settings: TrainingSettings, manifest: str | Path) -> None:
    if schedule.num_epochs() < settings.epochs:
        raise TrainingError(f"{manifest} holds {schedule.num_epochs()} epochs, {settings.epochs} are asked for.")
    if settings.needs_validation and not schedule.examples("validation"):
        raise TrainingError(
            "train.early_stopping, train.deliver: best and train.keep_best decide by validation, and the manifest "
            "holds no validation example. Hold subjects out under 'split', or switch them off."
        )


def _check_resources(
    network: EmoTalk,
    schedule: Schedule,
    settings: TrainingSettings,
    precision: str,
    *,
    folder: Path,
    processes: Processes,
) -> None:
    """Check memory for this process's share of the first epoch's steps, and the disk for all checkpoints."""
    steps = plan_steps(schedule.examples("train", 1), settings)
    workload = Workload.of([part for step in steps for part in share_of(step, 0, processes.count)])
    need = footprint(network, settings, precision, workload)
    device, kept = network.bs_map_r.weight.device, settings.keep_last + settings.num_best
    check_resources(need, workload, folder, device, num_checkpoints=kept)


def _checkpoint(
    checkpoints: CheckpointFolder, identity: Mapping[str, Any], settings: TrainingSettings, processes: Processes
) -> dict[str, Any] | None:
    """Checkpoint to continue from, the same in all processes, or None to begin."""
    found = None
    if processes.is_main:
        checkpoints.tell_of_other_runs(identity)
        checkpoints.begin_anew_if_asked(settings.epochs, settings.request())
        found = checkpoints.newest(identity)
    path = processes.gather(found[0] if found else None)[0]
    return found[1] if found else read_checkpoint(path) if path else None
