"""The folder of a run's checkpoints: which is the newest good one, which are kept, when a run begins anew."""

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
from emotalk.training.acceptance import ACCEPTED, FINISHED
from emotalk.training.checkpoint_file import (
    CHECKSUM,
    PARTIAL,
    check_complete,
    checksum_of,
    read_checkpoint,
    write_checkpoint,
)
from emotalk.training.identity import differences

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"emotalk_model_epoch(\d+)(?:_step(\d+))?_(\d{8}T\d{6})\.pth")
_IDENTITY = "run.json"
_LOCK_WAIT_S = 30.0
"""A job that was just killed holds its lock for a moment."""


class Position(NamedTuple):
    """How far a run is: epochs that are complete, and steps of the one that follows."""

    epoch: int
    step: int = 0


class CheckpointFolder:
    """Checkpoints of one run.

    Their names are `emotalk_model_epoch<N>_<time>.pth`, and `emotalk_model_epoch<N>_step<S>_<time>.pth` within the
    epoch after the N-th.

    Parameters
    ----------
    folder
        Made if it is not there.

    Raises
    ------
    TrainingError
        If it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Context in which no other process trains this run; what a killed one left half written is removed.

        Raises
        ------
        TrainingError
            If another process does not let go.
        """
        lock = FileLock(self.path / "lock", timeout=_LOCK_WAIT_S)
        try:
            lock.acquire()
            for path in self.path.iterdir():
                is_orphan = path.suffix == CHECKSUM and not path.with_suffix("").exists()
                if path.suffix == PARTIAL or is_orphan:
                    path.unlink()
        except Timeout:
            raise TrainingError(
                f"Another process trains this run, in {self.path}: a job that outlived its workflow, perhaps. "
                "Wait for it, or stop it, and type the command again. If there is none (on a disk that knows no locks "
                f"a killed job may leave its own), remove {lock.lock_file}."
            ) from None
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            yield
        finally:
            lock.release()

    def _unwritable(self, error: OSError) -> TrainingError:
        return TrainingError(
            f"The folder {self.path} cannot be written ({error.strerror}). Make it writable, or set 'results' to "
            "another place."
        )

    def all(self) -> list[Path]:
        """All checkpoints, the newest first: the highest epoch and step, whatever a clock said."""
        found = [path for path in self.path.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=lambda path: (position_of(path), path.name), reverse=True)

    def begin_anew_if_asked(self, epochs: int, request: str) -> None:
        """Remove all checkpoints of a run that is to begin anew.

        That is one which has finished, was accepted by the workflow and is asked for again just so: it was forced. One
        whose `epochs` were raised continues, and one that is asked for in another manner needs no more training.

        Parameters
        ----------
        request
            From `TrainingSettings.request`.

        Raises
        ------
        TrainingError
            If fewer epochs are asked for than the run has had.
        """
        accepted, checkpoints = self.path / ACCEPTED, self.all()
        if checkpoints and accepted.is_file() and accepted.read_text(encoding="utf-8") == request:
            _LOG.info("This run was finished and is asked for again: it begins anew.")
            for path in checkpoints:
                _remove(path)
        elif checkpoints and position_of(checkpoints[0]) > (epochs, 0):
            raise TrainingError(
                f"{checkpoints[0]} is beyond the {epochs} epochs that are asked for. Ask for more, or remove the "
                "folder to begin anew."
            )
        for name in (ACCEPTED, FINISHED):
            (self.path / name).unlink(missing_ok=True)

    def tell_of_other_runs(self, identity: Mapping[str, Any]) -> None:
        """Log how the runs beside this one differ: who changes a setting by mistake should know why all begins anew."""
        mine = self.path / _IDENTITY
        for other in sorted(set(self.path.parent.glob(f"*/{_IDENTITY}")) - {mine}):
            if CheckpointFolder(other.parent).all():
                unlike = differences(json.loads(other.read_text(encoding="utf-8")), identity)
                _LOG.info("%s holds checkpoints of another run (%s).", other.parent, "; ".join(unlike))
        partial = mine.with_name(mine.name + PARTIAL)
        partial.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")
        partial.replace(mine)

    def newest(self, identity: Mapping[str, Any]) -> tuple[Path, dict[str, Any]] | None:
        """Newest complete checkpoint and its content, or None if there is none; damaged ones are put aside and named.

        Raises
        ------
        TrainingError
            If all are damaged, or it is of another run, or holds more than data.
        """
        damaged: dict[Path, TrainingError] = {}
        for path in self.all():
            try:
                check_complete(path)
            except TrainingError as error:
                damaged[path] = error
                continue
            for other, fault in damaged.items():
                other.replace(other.with_name(other.name + ".broken"))
                _LOG.warning("%s It is put aside as %s.broken, and the one before it is taken.", fault, other.name)
            content = read_checkpoint(path)
            unlike = differences(content["identity"], identity)
            if unlike:
                raise TrainingError(
                    f"{path} is of another run: {'; '.join(unlike)}. Continuing needs the settings and data that a run "
                    "began with. Put them back, or remove this file."
                )
            _LOG.info("Continuing %s: epoch %d, loss %.6f", path.name, content["epoch"], content["loss"])
            return path, content
        if damaged:
            faults = " ".join(map(str, damaged.values()))
            raise TrainingError(f"{faults} No other checkpoint is left. Remove these, and training begins anew.")
        return None

    def store(self, content: dict[str, Any], keep_last: int, best_epochs: Sequence[int]) -> None:
        """Write a checkpoint, and then remove those that are no longer wanted.

        Raises
        ------
        TrainingError
            If it cannot be written; the others stay.
        """
        step = f"_step{content['step']}" if content["step"] else ""
        path = self.path / f"emotalk_model_epoch{content['epoch']}{step}_{time.strftime('%Y%m%dT%H%M%S')}.pth"
        write_checkpoint(path, content)
        kept = {Position(epoch) for epoch in best_epochs}
        for old in self.all()[keep_last:]:
            if old != path and position_of(old) not in kept:
                _remove(old)

    def finish(self, out: Path, request: str, epochs: Sequence[int]) -> None:
        """Give a checkpoint out as the finished run, without a second copy where the disk allows.

        Parameters
        ----------
        request
            From `TrainingSettings.request`.
        epochs
            Whose checkpoint it may be, the preferred one first; the last one is there.
        """
        ends = {position_of(path).epoch: path for path in reversed(self.all()) if not position_of(path).step}
        epoch = next(epoch for epoch in epochs if epoch in ends)
        if epoch != epochs[0]:
            _LOG.warning("The checkpoint of epoch %d, which should be delivered, was not kept.", epochs[0])
        source = ends[epoch]
        check_complete(source)
        _LOG.info("%s becomes %s.", source.name, out)
        out.unlink(missing_ok=True)
        try:
            os.link(source, out)
        except OSError:
            shutil.copyfile(source, out)
        (self.path / FINISHED).write_text(request, encoding="utf-8")


def position_of(path: Path) -> Position:
    """Position that a checkpoint's name tells."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return Position(int(match[1]), int(match[2] or 0))


def _remove(path: Path) -> None:
    path.unlink()
    checksum_of(path).unlink(missing_ok=True)
