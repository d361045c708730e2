"""The training of one run, from its files to its files."""

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
from emotalk.device import choose_kernels, choose_precision
from emotalk.errors import TrainingError
from emotalk.logs import copy_log_to
from emotalk.model.freezing import freeze
from emotalk.model.initial import load_initial, weights_digest
from emotalk.model.network import EmoTalk
from emotalk.model.pretrained import build_network, encoder_digest
from emotalk.progress import Progress
from emotalk.stages import STAGE_VERSIONS
from emotalk.training.batches import BatchMaker, plan_steps, share_of
from emotalk.training.checkpoint_file import read_checkpoint
from emotalk.training.checkpoints import Checkpoints, Position
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from emotalk.training.features import cached_features
from emotalk.training.history import History
from emotalk.training.memory import check_memory_and_disk
from emotalk.training.settings import RunSettings
from emotalk.training.signals import StopRequest
from emotalk.training.trainer import Trainer, is_complete

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingFiles:
    """What training reads, and the folder that it writes to.

    Attributes
    ----------
    clips, manifest
        Clip stores and schedule.
    folder
        Gets `checkpoint.pth` and `metrics.parquet` at the end; runs lie in its subfolder `checkpoints`.
    """

    clips: Sequence[str | Path]
    manifest: str | Path
    folder: str | Path


class TrainingData(NamedTuple):
    """The files, opened."""

    store: ClipStore
    schedule: Manifest
    features: Path
    """Folder of cached features."""

    @classmethod
    def from_files(cls, files: TrainingFiles) -> "TrainingData":
        """Open the files; none is loaded whole."""
        features = Path(files.clips[0]).parent / "features"
        return cls(ClipStore(files.clips), Manifest(files.manifest), features)


def train(
    files: TrainingFiles,
    settings: RunSettings,
    *,
    device: torch.device,
    group: ProcessGroup = SINGLE_PROCESS,
    start_over: bool = False,
) -> None:
    """Train over the manifest's epochs, continuing from the newest checkpoint of the same run.

    A run that is finished already is delivered without training. Other data or settings are another run.

    Parameters
    ----------
    group
        Processes that train together, each of which calls this.
    start_over
        Whether to put the run aside that is there, and train from the beginning.

    Raises
    ------
    Interrupted
        After a signal, when everything is saved.
    TrainingError
        If the manifest is too short, memory or disk cannot be enough, checkpoints cannot be read or written, or a loss
        or gradient is not finite.
    """
    folder = Path(files.folder)
    data = TrainingData.from_files(files)
    _check_schedule(data.schedule, settings, files.manifest)
    identity = run_identity(data, settings)
    checkpoints = Checkpoints(folder / "checkpoints", identity, settings, group)
    with StopRequest() as stop, checkpoints.locked(stop):
        if group.is_main and start_over:
            checkpoints.put_aside()
        with _run_log(checkpoints.path, group):
            state = _newest_state(checkpoints, group)
            rows = state["history"] if state else []
            if state is not None and is_complete(state["epoch"], rows, settings):
                _LOG.info(
                    "This run is finished (%d epochs): it is delivered again, nothing is trained.", state["epoch"]
                )
                history = History(rows, None)
            else:
                history = History(rows, folder / "tensorboard" / checkpoints.path.name if group.is_main else None)
                trainer = _make_trainer(data, settings, history, checkpoints.path, device=device, group=group)
                _LOG.info("Run %s: %s", checkpoints.path.name, trainer.describe())
                if state is not None:
                    trainer.restore(state)
                    checkpoints.continued(Position(trainer.epoch, trainer.step))
                del state  # At full size it maps 7 GiB.
                _run(trainer, checkpoints, stop)
            if group.is_main:
                history.write(folder / "metrics.parquet")
                checkpoints.deliver(folder / "checkpoint.pth", history.rows)


def _run(trainer: Trainer, checkpoints: Checkpoints, stop: StopRequest) -> None:
    """Train to the end: the protocol of a run."""
    with Progress(trainer.num_steps_left, "Training", "steps") as progress:
        while not trainer.is_complete:
            for _ in trainer.train_epoch():
                progress.advance()
                checkpoints.save_if_due(trainer, stop)
            trainer.validate()
            checkpoints.save_if_due(trainer, stop)
    checkpoints.save(trainer)


def run_identity(data: TrainingData, settings: RunSettings) -> dict[str, Any]:
    """What makes a run this one: its data, its settings, the weights it starts from, and what computes it."""
    if settings.init_weights.source is not None:
        weights = {"init_weights": weights_digest(settings.init_weights.source)}
    else:
        encoders = {"content": settings.model.content_encoder, "emotion": settings.model.emotion_encoder}
        weights = {name: encoder_digest(encoder) for name, encoder in encoders.items()}
    return settings.identity() | {
        "clips": data.store.digest(),
        "schedule": data.schedule.digest(),
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
    """Trainer of a run from its beginning, after a check that memory and disk are enough."""
    precision = choose_precision(settings.precision, device)
    choose_kernels(device)
    network = prepare_network(settings, device)
    if group.rank:
        torch.manual_seed(settings.seed + group.rank)  # Equal parameters, different dropout.
    first_epoch = plan_steps(data.schedule.examples("train", 1), settings)
    batches = list(chain.from_iterable(share_of(step, 0, group.size) for step in first_epoch))
    check_memory_and_disk(network, settings, precision, batches, folder)
    features = None
    if settings.cache_features:
        with group.main_first():
            features = cached_features(network, data.store, data.features)
    make = BatchMaker(data.store, network.conv_frames, settings.velocity_on, features)
    return Trainer(network, data.schedule, make, settings, precision, history=history, group=group)


def prepare_network(settings: RunSettings, device: torch.device) -> EmoTalk:
    """Network on a device, built from the seed, partly frozen, and set to trade time for memory.

    Raises
    ------
    WeightsError
        If an encoder or the initial weights cannot be loaded, or fewer layers are there than are to be frozen.
    """
    torch.manual_seed(settings.seed)
    initial = settings.init_weights
    if initial.source is None:
        network = build_network(settings.model.content_encoder, settings.model.emotion_encoder)
    else:
        network = load_initial(initial)
    network.to(device)
    freeze(network.audio_encoder_cont, settings.freeze.content_encoder)
    freeze(network.audio_encoder_emo, settings.freeze.emotion_encoder)
    network.set_gradient_checkpointing(settings.gradient_checkpointing)
    if settings.compile:
        network.compile_layers()
    return network


def _check_schedule(schedule: Manifest, settings: RunSettings, manifest: str | Path) -> None:
    if schedule.num_epochs() < settings.epochs:
        raise TrainingError(
            f"{manifest} holds {schedule.num_epochs()} epochs, but train.epochs is {settings.epochs}. Make it again "
            "with --forcerun pair."
        )
    if settings.needs_validation and not schedule.examples("validation"):
        raise TrainingError(
            "train.early_stopping, train.checkpoint: best and train.keep_best decide by validation, and the manifest "
            "holds no validation example. Hold subjects out under 'split', or switch them off."
        )


def _newest_state(checkpoints: Checkpoints, group: ProcessGroup) -> dict[str, Any] | None:
    """Content of the checkpoint to continue from, the same in all processes; None to start."""
    found = None
    if group.is_main:
        checkpoints.log_other_runs()
        found = checkpoints.newest()
    path = group.all_gather(found[0] if found else None)[0]
    if path is None:
        return None
    _LOG.info("Newest checkpoint: %s", path.name)
    return found[1] if found else read_checkpoint(path)


@contextmanager
def _run_log(folder: Path, group: ProcessGroup) -> Iterator[None]:
    """Context whose log lines are added to the run's own log, which holds those of all attempts."""
    if group.is_main:
        with copy_log_to(folder / "train.log"):
            yield
    else:
        yield
