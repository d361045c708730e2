"""Reading of the manifest: the examples of an epoch, in the order of training."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.errors import TrainingError

Example = dict[str, Any]
"""A row of the manifest; `emotalk.corpus.manifest` describes its columns."""


class Schedule:
    """The manifest's epochs, read one at a time."""

    def __init__(self, manifest: str | Path) -> None:
        self._path = manifest

    def _table(self, split: str, epoch: int) -> pa.Table:
        return pq.read_table(self._path, filters=[("split", "=", split), ("epoch", "=", epoch)])

    def examples(self, split: str, epoch: int = 0) -> list[Example]:
        """Examples of a training epoch (counted from 1), or of validation or test (epoch 0); may be empty."""
        return self._table(split, epoch).to_pylist()

    def training_clips(self) -> list[str]:
        """Ids of all clips that the first training epoch hears, sorted."""
        columns = self._table("train", 1).select(["audio_c1e2", "audio_c2e1"])
        return sorted({clip for column in columns.itercolumns() for clip in column.to_pylist() if clip})

    def training_subjects(self) -> list[int]:
        """Subject indices that training sees, sorted."""
        return sorted(set(self._table("train", 1).column("subject").to_pylist()))

    def num_epochs(self) -> int:
        """Training epochs that the manifest holds.

        Raises
        ------
        TrainingError
            If there is none.
        """
        epochs = pq.read_table(self._path, columns=["epoch"], filters=[("split", "=", "train")]).column("epoch")
        if not len(epochs):
            raise TrainingError(f"{self._path} holds no training example. Make it again with --forcerun pair.")
        return max(epochs.to_pylist())

    def digest(self) -> str:
        """Digest of the first training epoch and of validation, which more epochs leave as they are."""
        rows = [self.examples("train", 1), self.examples("validation")]
        return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
