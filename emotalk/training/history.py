"""Losses per epoch: stored in the checkpoint, written to a table and to TensorBoard."""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.files import atomic_path
from emotalk.training.losses import TERMS

_PROGRESS = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (Run|Training:|epoch) ")
_LOG = logging.getLogger(__name__)
METRICS_SCHEMA = pa.schema(
    [("epoch", pa.int32()), ("split", pa.string()), *((name, pa.float64()) for name in ("loss", *TERMS, "motion"))]
)
"""One row per epoch and split. `loss` is the weighted sum of the terms, which are means over examples. `motion` is the
variance over time of the predictions divided by that of the targets, null if the targets do not move."""
_MIN_MOTION = 0.05
"""A network that predicts only the mean face is near 0; the demo reaches 0.5 after its first epoch."""


def is_still(rows: Sequence[Mapping[Any, Any]]) -> bool:
    """Whether the predictions of the last row hardly move: collapse to the mean face, a common failure of such models.

    The last row is a validation row if there is validation, which is better, as dropout adds motion in training.
    """
    motion = rows[-1]["motion"]
    return motion is not None and motion < _MIN_MOTION


def best_epochs(rows: Sequence[Mapping[Any, Any]], count: int) -> list[int]:
    """Epochs with the lowest validation losses, best first; at most `count`."""
    validated = [row for row in rows if row["split"] == "validation"]
    return [row["epoch"] for row in sorted(validated, key=lambda row: (row["loss"], row["epoch"]))][:count]


def read_training_time(log: str | Path) -> float | None:
    """Return the seconds that all attempts of a run took, from its log `train.log`; None if there is none.

    Parameters
    ----------
    log
        Log of the run's folder. An attempt begins with the line `Run <fingerprint>: …`; pauses between attempts do not
        count.
    """
    if not Path(log).is_file():
        return None
    total, previous = 0.0, None
    for line in Path(log).read_text(encoding="utf-8").splitlines():
        if match := _PROGRESS.match(line):
            time = datetime.fromisoformat(match[1])
            total += 0.0 if previous is None or match[2] == "Run" else (time - previous).total_seconds()
            previous = time
    return total


class History:
    """Losses of all completed epochs.

    Parameters
    ----------
    rows
        Rows of earlier epochs, if a run continues.
    tensorboard
        Folder for TensorBoard events, or None. Ignored if TensorBoard is not installed.
    """

    def __init__(self, rows: Sequence[dict[str, Any]], tensorboard: Path | None) -> None:
        self.rows, self._writer = list(rows), None
        if tensorboard is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            _LOG.info("TensorBoard is not installed; losses are written to the metrics table and the log only.")
        else:
            self._writer = SummaryWriter(
                str(tensorboard), purge_step=1 + max((row["epoch"] for row in rows), default=0)
            )

    def add_epoch(self, epoch: int, means: Mapping[str, Mapping[str, float]], *, total: int) -> None:
        """Record and log the mean losses of an epoch for each split, with the names of `batch_losses`.

        Parameters
        ----------
        total
            Number of epochs of the run, for the log.
        """
        for split, losses in means.items():
            row: dict[str, Any] = {name: losses[name] for name in ("loss", *TERMS)}
            variance = losses["target_variance"]
            row["motion"] = losses["predicted_variance"] / variance if variance else None
            self.rows.append({"epoch": epoch, "split": split, **row})
            terms = ", ".join(f"{name} {row[name]:.5f}" for name in TERMS)
            motion = "undefined" if row["motion"] is None else f"{row['motion']:.3f}"
            # `read_training_time` reads this line, and those of `Run` and of the progress.
            _LOG.info("epoch %d of %d, %s: loss %.5f (%s), motion %s", epoch, total, split, row["loss"], terms, motion)
            if self._writer is not None:
                for name, value in row.items():
                    if value is not None:
                        self._writer.add_scalar(f"{name}/{split}", value, epoch)
                self._writer.flush()
        if is_still(self.rows):
            _LOG.warning(
                "The predicted face hardly moves: after epoch %d its motion has %.1f %% of the targets' variance. "
                "Train longer; if this does not help, check the losses, increase train.learning_rate, and check that "
                "tracks and audio match.",
                self.rows[-1]["epoch"],
                100 * self.rows[-1]["motion"],
            )

    def write(self, path: str | Path) -> None:
        """Write all rows as parquet."""
        with atomic_path(path) as partial:
            pq.write_table(pa.Table.from_pylist(self.rows, schema=METRICS_SCHEMA), partial)
        if self._writer is not None:
            self._writer.close()
