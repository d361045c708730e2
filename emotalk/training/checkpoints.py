"""Checkpoints of a run: its folder, loading the newest valid one, when to save, which to keep, and publishing."""

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from emotalk.errors import TrainingError
from emotalk.files import PARTIAL, atomic_path
from emotalk.provenance import fingerprint
from emotalk.training.checkpoint_file import CHECKSUM, BackgroundWriter, checksum_path, read_verified, write_checkpoint
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from emotalk.training.history import best_epochs
from emotalk.training.settings import RunSettings
from emotalk.training.signals import StopRequest
from emotalk.training.trainer import Trainer

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"emotalk_model_epoch(\d+)(?:_step(\d+))?_(\d{8}T\d{6})\.pth")
_IDENTITY = "run.json"
_POLL_S, _LOG_EVERY_MINUTES = 1.0, 10
_NOT_DUE, _DUE, _STOP = range(3)


class Position(NamedTuple):
    """Progress of a run: completed epochs, and completed steps of the next epoch."""

    epoch: int
    step: int = 0


class Checkpoints:
    """Checkpoints of one run, in a folder named by the digest of the run's identity.

    File names are `emotalk_model_epoch<N>_<time>.pth` at the end of epoch N, and
    `emotalk_model_epoch<N>_step<S>_<time>.pth` after step S of epoch N + 1.

    Parameters
    ----------
    folder
        Folder of all runs.
    identity
        Values that must be equal to continue a run: digests of its data, its settings, the version of the stage.
    settings
        When to save and how many checkpoints to keep.
    group
        Processes of the run: all call `save` together, the main process writes.

    Raises
    ------
    TrainingError
        If the folder is not writable.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        settings: RunSettings,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._identity, self._settings, self._group = identity, settings, group
        self.path = folder / fingerprint(identity)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_writable_error(error) from None
        self._writer = BackgroundWriter(self._write)
        self._last_saved, self._last_saved_at = Position(0), time.monotonic()
        """Position of the last checkpoint, and the time when it was saved."""

    def mark_saved(self, position: Position) -> None:
        """Record that a checkpoint of this position exists, after the run continued from it."""
        self._last_saved, self._last_saved_at = position, time.monotonic()

    @contextmanager
    def locked(self, stop: StopRequest) -> Iterator[None]:
        """Context that holds the exclusive lock of this run; the system releases the lock if the process dies.

        Waits while another process holds the lock, then removes partial files of killed processes.

        Raises
        ------
        Interrupted
            After a signal while waiting.
        TrainingError
            If the folder is not writable.
        """
        if not self._group.is_main:
            yield
            return
        lock = FileLock(self.path.with_suffix(".lock"))
        try:
            self._acquire(lock, stop)
            self.path.mkdir(exist_ok=True)
            self._remove_partial_files()
        except OSError as error:
            raise self._not_writable_error(error) from None
        try:
            with self._writer:
                yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, stop: StopRequest) -> None:
        next_log_time = time.monotonic()
        while True:
            try:
                lock.acquire(timeout=_POLL_S)
                return
            except Timeout:
                stop.raise_if_requested("Training was waiting for another process that trains this run.")
                if time.monotonic() >= next_log_time:
                    next_log_time += 60 * _LOG_EVERY_MINUTES
                    _LOG.info("Another process trains this run (%s): waiting until it exits.", self.path)

    def _remove_partial_files(self) -> None:
        """Remove partial files and orphaned checksums of killed processes of this run."""
        for path in self.path.iterdir():
            checkpoint = path.with_suffix("") if path.suffix in (PARTIAL, CHECKSUM) else path
            is_ours = _NAME.fullmatch(checkpoint.name.removesuffix(CHECKSUM)) is not None
            is_orphan = path.suffix == CHECKSUM and not checkpoint.exists()
            if is_ours and (path.suffix == PARTIAL or is_orphan):
                path.unlink()

    def _not_writable_error(self, error: OSError) -> TrainingError:
        return TrainingError(
            f"The folder {self.path} is not writable ({error.strerror}). Make it writable, or set 'results' to "
            "another folder."
        )

    def is_older_than(self, seconds: float) -> bool:
        """Whether a checkpoint of the run was written before a time in Unix seconds."""
        return any(path.stat().st_mtime < seconds for path in self.list_newest_first())

    def archive_run(self) -> None:
        """Rename the folder of an existing run, so that training can start over."""
        archive = self.path.with_name(f"{self.path.name}.replaced-{time.strftime('%Y%m%dT%H%M%S')}")
        self.path.rename(archive)
        self.path.mkdir()
        _LOG.info("Training was forced and starts over. The previous run is kept in %s.", archive)

    def list_newest_first(self) -> list[Path]:
        """All checkpoints, sorted by epoch and step in descending order; clocks may be wrong, so time counts last."""
        paths = [path for path in self.path.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(paths, key=lambda path: (parse_position(path), path.name), reverse=True)

    def write_identity(self) -> None:
        """Write the identity of the run to its folder, for `log_other_runs` of later runs."""
        with atomic_path(self.path / _IDENTITY) as path:
            path.write_text(json.dumps(self._identity, indent=2) + "\n", encoding="utf-8")

    def log_other_runs(self) -> None:
        """Log how other runs in the same folder differ, to explain why training starts instead of continuing.

        Unreadable files of other runs are logged, too.
        """
        for other in sorted(set(self.path.parent.glob(f"*/{_IDENTITY}")) - {self.path / _IDENTITY}):
            try:
                changes = list_differences(json.loads(other.read_text(encoding="utf-8")), self._identity)
            except (OSError, ValueError, AttributeError, TypeError) as error:
                _LOG.info("Cannot read %s of the other folder %s (%s).", _IDENTITY, other.parent, error)
                continue
            _LOG.info("%s is another run (%s).", other.parent, "; ".join(changes) or "with equal data and settings")

    def load_newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Load the newest valid checkpoint; returns its path and content, or None if there is no checkpoint.

        Damaged newer checkpoints are renamed to `<name>.broken`.

        Raises
        ------
        TrainingError
            If all checkpoints are damaged, or the valid one is of another run or has more epochs than train.epochs.
        """
        damaged: dict[Path, TrainingError] = {}
        for path in self.list_newest_first():
            try:
                content = read_verified(path)
            except TrainingError as error:
                damaged[path] = error
                continue
            for other, issue in damaged.items():
                other.replace(other.with_name(other.name + ".broken"))
                _LOG.warning("%s Renamed it to %s.broken; using the previous checkpoint.", issue, other.name)
            changes = list_differences(content["identity"], self._identity)
            if changes:
                raise TrainingError(
                    f"{path} belongs to another run: {'; '.join(changes)}. A run can only continue with the settings "
                    "and data it started with. Restore them, or move this file elsewhere."
                )
            if parse_position(path) > (self._settings.epochs, 0):
                raise TrainingError(
                    f"{path} is beyond train.epochs = {self._settings.epochs}. Increase train.epochs, or force "
                    "training to start over (--forcerun train)."
                )
            return path, content
        if damaged:
            issues = " ".join(map(str, damaged.values()))
            raise TrainingError(
                f"{issues} No valid checkpoint is left. Run with --forcerun train to start over (the "
                "folder is kept under another name), or restore a checkpoint from a backup."
            )
        return None

    def save_if_due(self, trainer: Trainer, stop: StopRequest) -> None:
        """Save in the background if a checkpoint is due; after a signal, save, wait for the write, and raise.

        Raises
        ------
        Interrupted
            After a signal to any process of the run, when the checkpoint is saved.
        TrainingError
            If a loss or gradient is not finite, or a checkpoint cannot be written.
        """
        self._writer.check()
        action = _STOP if stop.requested else _DUE if self._is_due(trainer) else _NOT_DUE
        action = self._group.all_reduce_max(action)
        if action != _NOT_DUE:
            self.save(trainer)
        if action == _STOP:
            self._writer.wait()
            position = f"Saved after {trainer.epoch} epochs and {trainer.step} steps of the next one"
            stop.raise_interrupted(f"{position}: run the same command to continue.")

    def save(self, trainer: Trainer) -> None:
        """Save the current state in the background unless it is saved already; all processes must call it together."""
        position = Position(trainer.epoch, trainer.step)
        if position != self._last_saved:
            trainer.check_finite()
            content = {**trainer.state(), "identity": dict(self._identity)}
            if self._group.is_main:
                self._writer.submit(content)
            self._last_saved, self._last_saved_at = position, time.monotonic()

    def _is_due(self, trainer: Trainer) -> bool:
        """Whether a checkpoint is due; only the main process checks the time."""
        settings, step = self._settings, trainer.step
        if step and settings.checkpoint_every_steps and step % settings.checkpoint_every_steps == 0:
            return True
        if not step and trainer.epoch in best_epochs(trainer.history.rows, settings.num_best):
            return True
        is_time = time.monotonic() - self._last_saved_at >= 60 * settings.checkpoint_every_minutes
        return self._group.is_main and is_time and (not step or settings.checkpoint_every_minutes > 0)

    def _write(self, content: dict[str, Any]) -> None:
        """Write a checkpoint, then delete old checkpoints of this run that settings do not keep.

        Raises
        ------
        TrainingError
            If writing fails; no checkpoint is deleted.
        """
        step = f"_step{content['step']}" if content["step"] else ""
        path = self.path / f"emotalk_model_epoch{content['epoch']}{step}_{time.strftime('%Y%m%dT%H%M%S')}.pth"
        write_checkpoint(path, content)
        kept = {Position(epoch) for epoch in best_epochs(content["history"], self._settings.num_best)}
        for old in self.list_newest_first()[self._settings.keep_last :]:
            if old != path and parse_position(old) not in kept:
                old.unlink()
                checksum_path(old).unlink(missing_ok=True)

    def publish(self, out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the last or the best checkpoint to `out`, as a hard link if the file system supports it.

        Parameters
        ----------
        rows
            History of the run.
        """
        self._writer.wait()
        paths = self.list_newest_first()
        by_epoch = {parse_position(path).epoch: path for path in reversed(paths) if not parse_position(path).step}
        by_epoch = by_epoch or {parse_position(paths[0]).epoch: paths[0]}
        last = max(by_epoch)
        best = best_epochs(rows, len(rows)) if self._settings.checkpoint == "best" else []
        epoch = next(epoch for epoch in (*best, last) if epoch in by_epoch)
        if best and epoch != best[0]:
            _LOG.warning("The best checkpoint (epoch %d) was not kept; using that of epoch %d.", best[0], epoch)
        with atomic_path(out) as path:
            try:
                os.link(by_epoch[epoch], path)
            except OSError:
                shutil.copyfile(by_epoch[epoch], path)
        _LOG.info("Published checkpoint: %s (from %s).", out, by_epoch[epoch].name)


def parse_position(path: Path) -> Position:
    """Position of a checkpoint, from its file name."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return Position(int(match[1]), int(match[2] or 0))


def list_differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """List the different keys of two identities, for example `learning_rate: 0.0001 in that run, 0.001 in this run`."""
    there, here = dict(_flatten(theirs)), dict(_flatten(ours))
    titles = {"schedule": "manifest"}  # See `run_identity`.
    return [
        f"{titles.get(key, key)}: {there.get(key, 'not set')} in that run, {here.get(key, 'not set')} in this run"
        for key in sorted(there.keys() | here.keys())
        if there.get(key, "not set") != here.get(key, "not set")
    ]


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value)
