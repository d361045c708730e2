"""Small batches of rows joined into larger ones."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class Gathered:
    """Batches that are copied at once and given out as one; memory for long lists is used again and again.

    Parameters
    ----------
    schema
        Of the batches.
    lists
        Columns of long lists of numbers without nulls.
    """

    def __init__(self, schema: pa.Schema, lists: Sequence[str]) -> None:
        self._schema = schema
        self._others = [name for name in schema.names if name not in lists]
        self._values = {name: np.empty(0, schema.field(name).type.value_type.to_pandas_dtype()) for name in lists}
        self._clear()

    def _clear(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._lengths: dict[str, list[int]] = {name: [] for name in self._values}
        self.num_rows = 0

    def num_values(self, name: str) -> int:
        """How many numbers all lists of a column have together."""
        return sum(self._lengths[name])

    def add(self, batch: pa.RecordBatch) -> None:
        """Copy the rows of a batch; its memory may be used for something else afterwards."""
        self._batches.append(batch.select(self._others))
        self.num_rows += batch.num_rows
        for name, lengths in self._lengths.items():
            filled, values = self.num_values(name), batch[name].flatten().to_numpy()
            if filled + len(values) > len(self._values[name]):
                larger = np.empty(2 * (filled + len(values)), values.dtype)
                larger[:filled] = self._values[name][:filled]
                self._values[name] = larger
            self._values[name][filled : filled + len(values)] = values
            lengths.extend(pc.list_value_length(batch[name]).to_pylist())

    def take(self) -> pa.RecordBatch:
        """All rows since the last time, valid until the next are added."""
        columns = dict(zip(self._others, pa.concat_batches(self._batches).columns, strict=True))
        for name, lengths in self._lengths.items():
            bounds = np.cumsum([0, *lengths], dtype=np.int32)
            columns[name] = pa.ListArray.from_arrays(
                bounds, self._values[name][: bounds[-1]], type=self._schema.field(name).type
            )
        self._clear()
        return pa.RecordBatch.from_arrays([columns[name] for name in self._schema.names], schema=self._schema)
