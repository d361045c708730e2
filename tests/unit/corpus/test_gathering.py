"""Batches joined into larger ones."""

import pyarrow as pa

from emotalk.corpus.gathering import Gathered

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("samples", pa.list_(pa.int16()), nullable=False),
    ]
)


def batch(*rows: tuple[str, list[int]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"name": name, "samples": samples} for name, samples in rows], schema=SCHEMA)


def test_rows_come_out_as_they_went_in_parts_of_batches_too():
    gathered = Gathered(SCHEMA, ["samples"])
    gathered.add(batch(("a", [1, 2, 3]), ("b", [])))
    gathered.add(batch(("no", [9] * 9), ("c", [4]), ("no", [9])).slice(1, 1))
    assert (gathered.num_rows, gathered.num_values("samples")) == (3, 4)
    assert gathered.take().to_pylist() == batch(("a", [1, 2, 3]), ("b", []), ("c", [4])).to_pylist()
    gathered.add(batch(("d", [5] * 100)))
    assert gathered.take().to_pylist() == batch(("d", [5] * 100)).to_pylist()
    assert gathered.num_rows == 0
