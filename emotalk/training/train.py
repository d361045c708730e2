"""Training of one run: reads clips and manifest, writes checkpoints and metrics."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch

from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.device import choose_precision, configure_kernels
from emotalk.errors import TrainingError
from emotalk.logs import copy_log_to
from emotalk.model.encoders import freeze
from emotalk.model.initial import load_initial, weights_digest
from emotalk.model.network import EmoTalk
from emotalk.model.pretrained import build_network, encoder_digest
from emotalk.progress import Progress
from emotalk.stages import STAGE_VERSIONS
from emotalk.training.batches import BatchMaker, plan_steps, select_share
from emotalk.training.checkpoint_file import read_checkpoint
from emotalk.training.checkpoints import Checkpoints, Position
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from emotalk.training.features import load_cached_features
from emotalk.training.history import History
from emotalk.training.memory import check_memory_and_disk
from emotalk.training.settings import RunSettings
from emotalk.training.signals import StopRequest
from emotalk.training.trainer import Trainer, is_complete

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingFiles:
    """Input files and output folder of training.

    Attributes
    ----------
    clips, manifest
        Clip stores and manifest.
    folder
        Folder for `checkpoint.pth` and `metrics.parquet`; runs are in its subfolder `checkpoints`.
    """

    clips: Sequence[str | Path]
    manifest: str | Path
    folder: str | Path


class TrainingData(NamedTuple):
    """Opened input files."""

    store: ClipStore
    manifest: Manifest
    features_folder: Path
    """Folder of cached features."""

    @classmethod
    def from_files(cls, files: TrainingFiles) -> "TrainingData":
        """Open the files without loading them completely."""
        features = Path(files.clips[0]).parent / "features"
        return cls(ClipStore(files.clips), Manifest(files.manifest), features)


def train(
    files: TrainingFiles,
    settings: RunSettings,
    *,
    device: torch.device,
    group: ProcessGroup = SINGLE_PROCESS,
    start_over_before: float = 0,
) -> None:
    """Train over the epochs of the manifest, continuing from the newest checkpoint of the same run.

    If the run is finished already, only the output files are written. Different data or settings make a different run.

    Parameters
    ----------
    group
        Data-parallel processes; each of them calls this function.
    start_over_before
        Time in Unix seconds: if the run has a checkpoint from before it, the run's folder is renamed, and training
        starts from the beginning.

    Raises
    ------
    Interrupted
        After a signal, when a checkpoint is saved.
    TrainingError
        If the manifest has too few epochs, memory or disk space is too small, checkpoints cannot be read or written, or
        a loss or gradient is not finite.
    """
    folder = Path(files.folder)
    data = TrainingData.from_files(files)
    _check_manifest(data.manifest, settings, files.manifest)
    identity = run_identity(data, settings)
    checkpoints = Checkpoints(folder / "checkpoints", identity, settings, group)
    with StopRequest() as stop, checkpoints.locked(stop):
        if group.is_main and checkpoints.is_older_than(start_over_before):
            checkpoints.archive_run()
        with _log_to_run_folder(checkpoints.path, group):
            state = _load_newest_state(checkpoints, group)
            rows = state["history"] if state else []
            if state is not None and is_complete(state["epoch"], rows, settings):
                _LOG.info("This run is finished (%d epochs): skipping training.", state["epoch"])
                history = History(rows, None)
            else:
                history = History(rows, folder / "tensorboard" / checkpoints.path.name if group.is_main else None)
                trainer = _make_trainer(data, settings, history, checkpoints.path, device=device, group=group)
                _LOG.info("Run %s: %s", checkpoints.path.name, trainer.describe())
                if state is not None:
                    trainer.restore(state)
                    checkpoints.mark_saved(Position(trainer.epoch, trainer.step))
                del state  # At full size it maps a file of 7 GiB.
                _run(trainer, checkpoints, stop)
            if group.is_main:
                history.write(folder / "metrics.parquet")
                checkpoints.publish(folder / "checkpoint.pth", history.rows)


def _run(trainer: Trainer, checkpoints: Checkpoints, stop: StopRequest) -> None:
    """Train and validate until the run is complete, saving checkpoints."""
    with Progress(trainer.num_remaining_steps, "Training", "steps") as progress:
        while not trainer.is_complete:
            for _ in trainer.train_epoch():
                progress.advance()
                checkpoints.save_if_due(trainer, stop)
            trainer.finish_epoch()
            checkpoints.save_if_due(trainer, stop)
    checkpoints.save(trainer)


def run_identity(data: TrainingData, settings: RunSettings) -> dict[str, Any]:
    """Identity of a run: its data, settings, initial weights, and the version of the stage."""
    if settings.init_weights.source is not None:
        weights = {"init_weights": weights_digest(settings.init_weights.source)}
    else:
        encoders = {"content": settings.model.content_encoder, "emotion": settings.model.emotion_encoder}
        weights = {name: encoder_digest(encoder) for name, encoder in encoders.items()}
    return settings.identity() | {
        "clips": data.store.digest(),
        "schedule": data.manifest.digest(),  # Key of earlier versions; another name would start all runs over.
        "weights": weights,
        "version": STAGE_VERSIONS["train"],
    }


def _make_trainer(
    data: TrainingData,
    settings: RunSettings,
    history: History,
    folder: Path,
    *,
    device: torch.device,
    group: ProcessGroup,
) -> Trainer:
    """Make the trainer in its initial state, after checking memory and disk space."""
    precision = choose_precision(settings.precision, device)
    configure_kernels(device)
    network = prepare_network(settings, device)
    if group.rank:
        torch.manual_seed(settings.seed + group.rank)  # Equal initial parameters, different dropout in each process.
    first_epoch = plan_steps(data.manifest.examples("train", 1), settings)
    batches = list(chain.from_iterable(select_share(step, 0, group.size) for step in first_epoch))
    check_memory_and_disk(network, settings, precision, batches, folder)
    features = None
    if settings.cache_features:
        with group.main_first():
            features = load_cached_features(network, data.store, data.features_folder)
    make_batch = BatchMaker(data.store, network.conv_frames, settings.velocity_on, features, network.num_slots)
    return Trainer(network, data.manifest, make_batch, settings, precision, history=history, group=group)


def prepare_network(settings: RunSettings, device: torch.device) -> EmoTalk:
    """Build the network on a device, initialised from the seed and configured by the settings.

    Raises
    ------
    WeightsError
        If an encoder or the initial weights cannot be loaded, or train.freeze exceeds the number of layers.
    """
    torch.manual_seed(settings.seed)
    initial = settings.init_weights
    if initial.source is None:
        model = settings.model
        network = build_network(model.content_encoder, model.emotion_encoder, model.num_subject_slots)
    else:
        network = load_initial(initial, settings.model.num_subject_slots)
    network.to(device)
    freeze(network.audio_encoder_cont, settings.freeze.content_encoder)
    freeze(network.audio_encoder_emo, settings.freeze.emotion_encoder)
    network.set_gradient_checkpointing(settings.gradient_checkpointing)
    if settings.compile:
        network.compile_layers()
    return network


def _check_manifest(manifest: Manifest, settings: RunSettings, path: str | Path) -> None:
    if manifest.num_epochs() < settings.epochs:
        raise TrainingError(
            f"{path} has {manifest.num_epochs()} epochs, but train.epochs is {settings.epochs}. Run the "
            "same command with --forcerun pair."
        )
    if settings.needs_validation and not manifest.examples("validation"):
        raise TrainingError(
            "train.early_stopping, train.checkpoint: best and train.keep_best need validation examples, but the "
            "manifest has none. Add validation subjects under 'split', or disable these settings."
        )


def _load_newest_state(checkpoints: Checkpoints, group: ProcessGroup) -> dict[str, Any] | None:
    """Load the newest checkpoint, the same in all processes; None if there is none."""
    newest = None
    if group.is_main:
        checkpoints.write_identity()
        checkpoints.log_other_runs()
        newest = checkpoints.load_newest()
    path = group.all_gather(newest[0] if newest else None)[0]
    if path is None:
        return None
    _LOG.info("Newest checkpoint: %s", path.name)
    return newest[1] if newest else read_checkpoint(path)


@contextmanager
def _log_to_run_folder(folder: Path, group: ProcessGroup) -> Iterator[None]:
    """Context that appends log lines to `train.log` in the run's folder, which has those of all attempts."""
    if group.is_main:
        with copy_log_to(folder / "train.log"):
            yield
    else:
        yield
