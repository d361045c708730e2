"""Losses by epoch: kept with the checkpoint, written as a table and to TensorBoard."""

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.training.objectives import TERMS

_LOG = logging.getLogger(__name__)
METRICS = pa.schema(
    [("epoch", pa.int32()), ("split", pa.string()), *((name, pa.float64()) for name in ("loss", *TERMS))]
)
"""One row an epoch and split; `loss` is the weighted sum of the terms, each a mean over examples."""


class History:
    """Losses of all epochs so far.

    Parameters
    ----------
    rows
        Rows of the epochs before, of a continued run.
    tensorboard
        Folder of TensorBoard's events; nothing is written there where TensorBoard is not installed.
    """

    def __init__(self, rows: list[dict[str, Any]], tensorboard: Path) -> None:
        self.rows = rows
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            _LOG.info("TensorBoard is not installed; losses go to the metrics table and the log only.")
            self._writer = None
        else:
            self._writer = SummaryWriter(
                str(tensorboard), purge_step=1 + max((row["epoch"] for row in rows), default=0)
            )

    def add(self, epoch: int, split: str, losses: dict[str, float]) -> None:
        """Record the losses of an epoch's split."""
        self.rows.append({"epoch": epoch, "split": split, **losses})
        if self._writer is not None:
            for name, value in losses.items():
                self._writer.add_scalar(f"{name}/{split}", value, epoch)
            self._writer.flush()

    def write(self, path: str | Path) -> None:
        """Write all rows as parquet."""
        pq.write_table(pa.Table.from_pylist(self.rows, schema=METRICS), path)
        if self._writer is not None:
            self._writer.close()
