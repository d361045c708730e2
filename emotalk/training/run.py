"""A run: epochs of steps, validation, and checkpoints when they are due."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from emotalk.errors import Interrupted
from emotalk.progress import Progress
from emotalk.training.batching import plan_steps
from emotalk.training.checkpoint import CheckpointFolder, Position
from emotalk.training.history import History, best_epochs
from emotalk.training.means import Means
from emotalk.training.objectives import TERMS
from emotalk.training.processes import Processes
from emotalk.training.schedule import Schedule
from emotalk.training.settings import TrainingSettings
from emotalk.training.signals import Interruption
from emotalk.training.trainer import Trainer
from emotalk.training.writer import BackgroundWriter

_LOG = logging.getLogger(__name__)
_NOT_DUE, _DUE, _STOP = range(3)


class Run:
    """Trains over the epochs of a schedule, from where a checkpoint left it.

    Parameters
    ----------
    trainer
        Takes steps.
    schedule
        The examples of each epoch.
    checkpoints
        Where checkpoints go.
    settings
        What decides the run.
    facts
        What every checkpoint tells besides: the run's identity, for example.
    history
        Losses of the epochs before.
    processes
        Those that share the run; the main one writes.
    """

    def __init__(
        self,
        trainer: Trainer,
        schedule: Schedule,
        checkpoints: CheckpointFolder,
        settings: TrainingSettings,
        facts: Mapping[str, Any],
        *,
        history: History,
        processes: Processes,
    ) -> None:
        self._trainer, self._schedule, self._settings = trainer, schedule, settings
        self._checkpoints, self._facts, self._processes = checkpoints, facts, processes
        self._history, self._position, self._means = history, Position(0), Means()
        self._saved, self._saved_at = self._position, time.monotonic()

    def continue_from(self, checkpoint: Mapping[str, Any]) -> None:
        """Take up what a checkpoint holds."""
        self._trainer.restore(checkpoint)
        self._position = Position(checkpoint["epoch"], checkpoint["step"])
        self._saved = self._position
        if self._processes.is_main:
            self._means = Means.restored(checkpoint["means"], self._trainer.device)

    def train(self, interruption: Interruption) -> None:
        """Go on to the end.

        Raises
        ------
        Interrupted
            After a signal; everything is saved.
        TrainingError
            If something is not finite, or a checkpoint cannot be written.
        """
        held_out = self._schedule.examples("validation")
        steps_an_epoch = len(plan_steps(self._schedule.examples("train", 1), self._settings))
        num_steps = steps_an_epoch * (self._settings.epochs - self._position.epoch) - self._position.step
        self._saved_at = time.monotonic()
        with BackgroundWriter(self._store) as writer, Progress(num_steps, "Training", "steps") as shown:
            while not self._is_complete():
                epoch = self._position.epoch + 1
                examples = self._schedule.examples("train", epoch)
                for step in self._trainer.steps(epoch, examples, self._position.step, self._means):
                    self._position = Position(epoch - 1, step)
                    shown.advance()
                    self._save_if_due(writer, interruption)
                self._end_epoch(epoch, self._trainer.validate(held_out) if held_out else None)
                self._save_if_due(writer, interruption)
        self._stop_if_asked(interruption)

    def whereabouts(self) -> dict[str, int]:
        """Epoch that is being trained, and how many of its steps were done before the last one."""
        return {"epoch": self._position.epoch + 1, "noticed_after_step": self._position.step}

    def epochs_to_deliver(self) -> list[int]:
        """Epochs whose checkpoint may become the finished run, the preferred one first."""
        rows = self._history.rows
        best = best_epochs(rows, len(rows)) if self._settings.deliver == "best" else []
        return [*best, self._position.epoch]

    def _is_complete(self) -> bool:
        """Whether the last epoch is done, or validation has not become better for too long."""
        epoch, patience = self._position.epoch, self._settings.early_stopping
        if patience is not None and epoch and epoch - best_epochs(self._history.rows, 1)[0] >= patience:
            return True
        return epoch >= self._settings.epochs

    def _end_epoch(self, epoch: int, validation: dict[str, float] | None) -> None:
        self._history.add(epoch, "train", self._means.of_all(self._processes).read())
        if validation is not None:
            self._history.add(epoch, "validation", validation)
        for row in self._history.rows[-2:]:
            if row["epoch"] == epoch:
                terms = ", ".join(f"{name} {row[name]:.5f}" for name in TERMS)
                told = epoch, self._settings.epochs, row["split"], row["loss"], terms
                _LOG.info("epoch %d of %d, %s: loss %.5f (%s)", *told)
        self._history.warn_of_a_still_face()
        self._position, self._means = Position(epoch), Means()

    def _save_if_due(self, writer: BackgroundWriter, interruption: Interruption) -> None:
        writer.check()
        wanted = _STOP if interruption.signal else _DUE if self._is_due() else _NOT_DUE
        due = self._processes.highest(wanted)
        if due != _NOT_DUE and self._position != self._saved:
            self._save(writer)
        if due == _STOP:
            writer.wait()
            self._stop_if_asked(interruption, asked=True)

    def _stop_if_asked(self, interruption: Interruption, *, asked: bool = False) -> None:
        """Also at the very end: the workflow may no longer take a finished run over."""
        if asked or self._processes.highest(interruption.signal is not None):
            raise Interrupted(
                f"Stopped by {interruption.signal or 'a signal to another process'}. Epoch {self._position.epoch}, "
                f"step {self._position.step} is saved: the same command continues from there."
            )

    def _save(self, writer: BackgroundWriter) -> None:
        self._trainer.check()
        content = self._content()
        if self._processes.is_main:
            writer.submit(content)
        self._saved, self._saved_at = self._position, time.monotonic()

    def _is_due(self) -> bool:
        """Whether a checkpoint is due; only the main process looks at a clock."""
        settings, step = self._settings, self._position.step
        if step and settings.checkpoint_every_steps and step % settings.checkpoint_every_steps == 0:
            return True
        if not step and (
            self._is_complete() or self._position.epoch in best_epochs(self._history.rows, settings.num_best)
        ):
            return True
        is_time = time.monotonic() - self._saved_at >= 60 * settings.checkpoint_every_minutes
        return self._processes.is_main and is_time and (not step or settings.checkpoint_every_minutes > 0)

    def _content(self) -> dict[str, Any]:
        """What a checkpoint of this moment holds; all processes make it together."""
        # One at the end of an epoch may become the finished run, which holds everything.
        with_frozen = self._settings.checkpoint_frozen == "stored" or not self._position.step
        means = self._means.of_all(self._processes)
        rows = [row for row in self._history.rows if row["split"] == "train"]
        return {
            "epoch": self._position.epoch,
            "step": self._position.step,
            "loss": means.read()["loss"] if self._position.step else rows[-1]["loss"],
            "means": means.state(),
            "history": list(self._history.rows),
            **self._trainer.state(with_frozen=with_frozen),
            **self._facts,
        }

    def _store(self, content: dict[str, Any]) -> None:
        best = best_epochs(content["history"], self._settings.num_best)
        self._checkpoints.store(content, self._settings.keep_last, best)
