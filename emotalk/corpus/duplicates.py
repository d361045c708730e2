"""Recordings that hold the same audio or the same motion as another one."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emotalk.corpus.faults import Fault

_CONTENTS = {"wav_sha256": "audio", "track_sha256": "motion"}


def copied_contents(parts: Sequence[str | Path]) -> dict[tuple[str, str], list[Fault]]:
    """`duplicate_content` for each recording whose audio or motion an earlier one has, by corpus and id.

    Earlier in the order of corpus and id, among those that nothing else excludes. Only digests are in memory.
    """
    columns = ["corpus", "recording_id", "status", *_CONTENTS]
    table = pa.concat_tables([pq.read_table(part, columns=columns) for part in parts])
    usable = table.filter(pc.not_equal(table["status"], "excluded"))
    faults: dict[tuple[str, str], list[Fault]] = {}
    for column, kind in _CONTENTS.items():
        for corpus, recording_id, first in _copies(usable, column).itertuples(index=False):
            fault = Fault("duplicate_content", f"its {kind} is that of {first}, byte for byte")
            faults.setdefault((corpus, recording_id), []).append(fault)
    return faults


def _copies(table: pa.Table, column: str) -> pd.DataFrame:
    """Recordings whose digest an earlier one has, each with the earlier one's id."""
    counts = pc.value_counts(table[column])
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    rows = table.filter(pc.is_in(table[column], value_set=repeated)).to_pandas().sort_values(["corpus", "recording_id"])
    first = rows.groupby(column)["recording_id"].transform("first")
    return rows.assign(first=first)[rows.duplicated(column)][["corpus", "recording_id", "first"]]
