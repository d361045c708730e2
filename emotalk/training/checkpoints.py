"""The checkpoints of a run: its folder, the newest good one, when to save, which to keep, and what is delivered."""

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
from emotalk.training.checkpoint_file import CHECKSUM, BackgroundWriter, checksum_of, read_verified, write_checkpoint
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from emotalk.training.history import best_epochs
from emotalk.training.settings import RunSettings
from emotalk.training.signals import StopRequest
from emotalk.training.trainer import Trainer

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"emotalk_model_epoch(\d+)(?:_step(\d+))?_(\d{8}T\d{6})\.pth")
_IDENTITY = "run.json"
_POLL_S, _MINUTES_BETWEEN_LINES = 1.0, 10
_NOT_DUE, _DUE, _STOP = range(3)


class Position(NamedTuple):
    """How far a run is: epochs that are complete, and steps of the one that follows."""

    epoch: int
    step: int = 0


class Checkpoints:
    """Checkpoints of one run, in a folder that is named by the run's identity: other data or settings never meet them.

    They are named `emotalk_model_epoch<N>_<time>.pth`, and `emotalk_model_epoch<N>_step<S>_<time>.pth` within the epoch
    after the N-th.

    Parameters
    ----------
    folder
        Folder of all runs.
    identity
        What must not change when a run is continued: digests of its data, its settings, the version of the stage.
    settings
        When to save and how many checkpoints to keep.
    group
        Processes of the run: all of them save together, the main one writes.

    Raises
    ------
    TrainingError
        If the folder cannot be written.
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
            raise self._unwritable(error) from None
        self._writer = BackgroundWriter(self._store)
        self._saved, self._saved_at = Position(0), time.monotonic()
        """Position of the last checkpoint, and when it was made."""

    def continued(self, position: Position) -> None:
        """Know that the run continues from a checkpoint at this position."""
        self._saved, self._saved_at = position, time.monotonic()

    @contextmanager
    def locked(self, stop: StopRequest) -> Iterator[None]:
        """Context in which no other process trains this run. A lock ends with the process that holds it.

        Waits for the other process, whose finished run is then delivered. What a killed one left half written is
        removed.

        Raises
        ------
        Interrupted
            If a signal comes while waiting.
        TrainingError
            If the folder cannot be written.
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
            raise self._unwritable(error) from None
        try:
            with self._writer:
                yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, stop: StopRequest) -> None:
        next_line = time.monotonic()
        while True:
            try:
                lock.acquire(timeout=_POLL_S)
                return
            except Timeout:
                stop.raise_if_requested("It was waiting for another process that trains this run.")
                if time.monotonic() >= next_line:
                    next_line += 60 * _MINUTES_BETWEEN_LINES
                    _LOG.info("Another process trains this run (%s): waiting until it ends.", self.path)

    def _remove_partial_files(self) -> None:
        """Remove what a killed process of this run left half written."""
        for path in self.path.iterdir():
            checkpoint = path.with_suffix("") if path.suffix in (PARTIAL, CHECKSUM) else path
            is_ours = _NAME.fullmatch(checkpoint.name.removesuffix(CHECKSUM)) is not None
            is_orphan = path.suffix == CHECKSUM and not checkpoint.exists()
            if is_ours and (path.suffix == PARTIAL or is_orphan):
                path.unlink()

    def _unwritable(self, error: OSError) -> TrainingError:
        return TrainingError(
            f"The folder {self.path} cannot be written ({error.strerror}). Make it writable, or set 'results' to "
            "another place."
        )

    def put_aside(self) -> None:
        """Keep the run that is there under another name, for one that starts over."""
        if self.all():
            aside = self.path.with_name(f"{self.path.name}.replaced-{time.strftime('%Y%m%dT%H%M%S')}")
            self.path.rename(aside)
            self.path.mkdir()
            _LOG.info(
                "Training was forced: it starts over. The run before is kept in %s; remove it if unneeded.", aside
            )

    def all(self) -> list[Path]:
        """All checkpoints, the newest first: the highest epoch and step, whatever a clock said."""
        found = [path for path in self.path.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=lambda path: (position_of(path), path.name), reverse=True)

    def log_other_runs(self) -> None:
        """Log how the runs beside this one differ: whoever changes a setting by mistake should see why training starts.

        What cannot be read in their folders is logged too, and stops nothing.
        """
        with atomic_path(self.path / _IDENTITY) as path:
            path.write_text(json.dumps(self._identity, indent=2) + "\n", encoding="utf-8")
        for other in sorted(set(self.path.parent.glob(f"*/{_IDENTITY}")) - {self.path / _IDENTITY}):
            try:
                unlike = differences(json.loads(other.read_text(encoding="utf-8")), self._identity)
            except (OSError, ValueError, AttributeError, TypeError) as error:
                _LOG.info("%s is another folder, whose %s cannot be read (%s).", other.parent, _IDENTITY, error)
                continue
            _LOG.info("%s is another run (%s).", other.parent, "; ".join(unlike) or "with equal data and settings")

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest good checkpoint and its content, or None if there is none.

        A damaged one is put aside as `<name>.broken`, and the one before it is taken.

        Raises
        ------
        TrainingError
            If all are damaged, it is of another run, or beyond the epochs that are asked for.
        """
        damaged: dict[Path, TrainingError] = {}
        for path in self.all():
            try:
                content = read_verified(path)
            except TrainingError as error:
                damaged[path] = error
                continue
            for other, issue in damaged.items():
                other.replace(other.with_name(other.name + ".broken"))
                _LOG.warning("%s It is put aside as %s.broken, and the one before it is taken.", issue, other.name)
            unlike = differences(content["identity"], self._identity)
            if unlike:
                raise TrainingError(
                    f"{path} is of another run: {'; '.join(unlike)}. Continuing needs the settings and data that a run "
                    "started with. Restore them, or remove this file."
                )
            if position_of(path) > (self._settings.epochs, 0):
                raise TrainingError(
                    f"{path} is beyond the {self._settings.epochs} epochs of train.epochs. Set more, or force training "
                    "to start over (--forcerun train)."
                )
            return path, content
        if damaged:
            issues = " ".join(map(str, damaged.values()))
            raise TrainingError(f"{issues} No other checkpoint is left. Remove these, and training starts over.")
        return None

    def save_if_due(self, trainer: Trainer, stop: StopRequest) -> None:
        """Save in the background if a checkpoint is due; after a signal save, wait for the disk, and stop.

        Raises
        ------
        Interrupted
            After a signal to any process of the run; everything is saved.
        TrainingError
            If a value of the run is not finite, or a checkpoint cannot be written.
        """
        self._writer.check()
        wanted = _STOP if stop.requested else _DUE if self._is_due(trainer) else _NOT_DUE
        due = self._group.all_reduce_max(wanted)
        if due != _NOT_DUE:
            self.save(trainer)
        if due == _STOP:
            self._writer.wait()
            position = f"Epoch {trainer.epoch}, step {trainer.step} is saved"
            stop.raise_interrupted(f"{position}: the same command continues from there.")

    def save(self, trainer: Trainer) -> None:
        """Save this moment in the background, if it is not saved; all processes do so together."""
        position = Position(trainer.epoch, trainer.step)
        if position != self._saved:
            trainer.check_finite()
            content = {**trainer.state(), "identity": dict(self._identity)}
            if self._group.is_main:
                self._writer.submit(content)
            self._saved, self._saved_at = position, time.monotonic()

    def _is_due(self, trainer: Trainer) -> bool:
        """Whether a checkpoint is due; only the main process looks at the clock."""
        settings, step = self._settings, trainer.step
        if step and settings.checkpoint_every_steps and step % settings.checkpoint_every_steps == 0:
            return True
        if not step and trainer.epoch in best_epochs(trainer.history.rows, settings.num_best):
            return True
        is_time = time.monotonic() - self._saved_at >= 60 * settings.checkpoint_every_minutes
        return self._group.is_main and is_time and (not step or settings.checkpoint_every_minutes > 0)

    def _store(self, content: dict[str, Any]) -> None:
        """Write a checkpoint, and then remove those of this run that are no longer wanted.

        Raises
        ------
        TrainingError
            If it cannot be written; the others stay.
        """
        step = f"_step{content['step']}" if content["step"] else ""
        path = self.path / f"emotalk_model_epoch{content['epoch']}{step}_{time.strftime('%Y%m%dT%H%M%S')}.pth"
        write_checkpoint(path, content)
        kept = {Position(epoch) for epoch in best_epochs(content["history"], self._settings.num_best)}
        for old in self.all()[self._settings.keep_last :]:
            if old != path and position_of(old) not in kept:
                old.unlink()
                checksum_of(old).unlink(missing_ok=True)

    def deliver(self, out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        """Publish the last checkpoint, or the best one, as the finished run: by a link where the disk allows it.

        Parameters
        ----------
        rows
            History of the run.
        """
        self._writer.wait()
        ends = {position_of(path).epoch: path for path in reversed(self.all()) if not position_of(path).step}
        ends = ends or {position_of(self.all()[0]).epoch: self.all()[0]}
        last = max(ends)
        best = best_epochs(rows, len(rows)) if self._settings.checkpoint == "best" else []
        epoch = next(epoch for epoch in (*best, last) if epoch in ends)
        if best and epoch != best[0]:
            _LOG.warning("The best checkpoint (epoch %d) was not kept; that of epoch %d is delivered.", best[0], epoch)
        with atomic_path(out) as path:
            try:
                os.link(ends[epoch], path)
            except OSError:
                shutil.copyfile(ends[epoch], path)
        _LOG.info("%s is delivered as %s.", ends[epoch].name, out)


def position_of(path: Path) -> Position:
    """Position that a checkpoint's name tells."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return Position(int(match[1]), int(match[2] or 0))


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Keys in which two identities differ, dotted, each with both values: `learning_rate: 0.0001 there, 0.001 here`."""
    there, here = dict(_flat(theirs)), dict(_flat(ours))
    return [
        f"{key}: {there.get(key, 'not set')} there, {here.get(key, 'not set')} here"
        for key in sorted(there.keys() | here.keys())
        if there.get(key, "not set") != here.get(key, "not set")
    ]


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value)
