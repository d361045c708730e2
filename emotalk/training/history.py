"""Losses by epoch: kept with the checkpoint, written as a table and to TensorBoard."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.files import atomic_path
from emotalk.training.losses import TERMS

_LOG = logging.getLogger(__name__)
METRICS = pa.schema(
    [("epoch", pa.int32()), ("split", pa.string()), *((name, pa.float64()) for name in ("loss", *TERMS, "motion"))]
)
"""One row an epoch and split; `loss` is the weighted sum of the terms, each a mean over examples. `motion` is the
variance of the predictions over time as a share of the targets', null where those do not move."""
_STILL = 0.05
"""A network that has learned only the mean face has next to none of the targets' variance; the demo has half of it
after its first epoch."""


def is_still(rows: Sequence[Mapping[Any, Any]]) -> bool:
    """Whether the last row tells of predictions that hardly move: the collapse that this family of models is known for.

    The last row is of validation where there is one: dropout moves the predictions of training.
    """
    motion = rows[-1]["motion"]
    return motion is not None and motion < _STILL


def best_epochs(rows: Sequence[Mapping[str, Any]], count: int) -> list[int]:
    """Epochs with the lowest validation losses, the best first; at most `count`."""
    validated = [row for row in rows if row["split"] == "validation"]
    return [row["epoch"] for row in sorted(validated, key=lambda row: (row["loss"], row["epoch"]))][:count]


class History:
    """Losses of all epochs so far.

    Parameters
    ----------
    rows
        Rows of the epochs before, of a continued run.
    tensorboard
        Folder of TensorBoard's events; nothing is written there where TensorBoard is not installed. None for none.
    """

    def __init__(self, rows: Sequence[dict[str, Any]], tensorboard: Path | None) -> None:
        self.rows, self._writer = list(rows), None
        if tensorboard is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            _LOG.info("TensorBoard is not installed; losses go to the metrics table and the log only.")
        else:
            self._writer = SummaryWriter(
                str(tensorboard), purge_step=1 + max((row["epoch"] for row in rows), default=0)
            )

    def add_epoch(self, epoch: int, means: Mapping[str, Mapping[str, float]], *, total: int) -> None:
        """Record and log the losses of an epoch's splits, from `batch_losses`.

        Parameters
        ----------
        total
            Epochs of the run, for the log.
        """
        for split, losses in means.items():
            row: dict[str, Any] = {name: losses[name] for name in ("loss", *TERMS)}
            moving = losses["target_variance"]
            row["motion"] = losses["predicted_variance"] / moving if moving else None
            self.rows.append({"epoch": epoch, "split": split, **row})
            terms = ", ".join(f"{name} {row[name]:.5f}" for name in TERMS)
            _LOG.info("epoch %d of %d, %s: loss %.5f (%s)", epoch, total, split, row["loss"], terms)
            if self._writer is not None:
                for name, value in row.items():
                    if value is not None:
                        self._writer.add_scalar(f"{name}/{split}", value, epoch)
                self._writer.flush()
        self._warn_of_still_face()

    def _warn_of_still_face(self) -> None:
        """Log a warning if the last epoch's predictions hardly move; of training where there is no validation."""
        if is_still(self.rows):
            _LOG.warning(
                "The face stands still: after epoch %d its motion has %.1f %% of the targets' variance. Train longer; "
                "if it stays so, look at the losses, raise train.learning_rate, and check that tracks and audio belong "
                "together.",
                self.rows[-1]["epoch"],
                100 * self.rows[-1]["motion"],
            )

    def write(self, path: str | Path) -> None:
        """Write all rows as parquet."""
        with atomic_path(path) as partial:
            pq.write_table(pa.Table.from_pylist(self.rows, schema=METRICS), partial)
        if self._writer is not None:
            self._writer.close()
