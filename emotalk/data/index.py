"""Index: a table of all recordings in the folders, with their properties and issues."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from emotalk.config.corpus import IndexSettings
from emotalk.data.discovery import Listing, Source
from emotalk.data.inspection import inspect_recording
from emotalk.data.issues import IssueSummary, apply_policy
from emotalk.data.parts import part_range
from emotalk.data.recordings import read_rows, write_rows
from emotalk.data.tables import TableListing
from emotalk.errors import Issue
from emotalk.parallel import parallel_map
from emotalk.progress import progress


def index_corpora(
    sources: Sequence[Source], out: str | Path, *, settings: IndexSettings, strict: bool, threads: int = 1
) -> None:
    """Write the table of all recordings; calls :func:`inspect_corpora` and :func:`collect_recordings`."""
    inspected = Path(f"{out}.inspected")
    try:
        inspect_corpora(sources, inspected, settings=settings, threads=threads)
        collect_recordings(
            [inspected], out, corpora=[source.corpus for source in sources], settings=settings, strict=strict
        )
    finally:
        inspected.unlink(missing_ok=True)


def inspect_corpora(
    sources: Sequence[Source], out: str | Path, *, settings: IndexSettings, threads: int = 1, part: str | None = None
) -> None:
    """Inspect each recording separately and write the rows.

    Parameters
    ----------
    part
        Part of the recordings, for example `2-of-5`; None for all.

    Raises
    ------
    CorpusError
        If a folder does not exist.
    """
    listings = [
        (TableListing if source.table else Listing)(source)
        for source in sorted(sources, key=lambda source: source.corpus)
    ]
    selected = part_range(part, sum(map(len, listings)))
    items = islice(chain.from_iterable(listings), selected.start, selected.stop)
    rows = parallel_map(partial(inspect_recording, settings=settings), items, processes=threads)
    write_rows(out, progress(rows, total=len(selected), what="Indexing", unit="recordings"))


def collect_recordings(
    parts: Sequence[str | Path], out: str | Path, *, corpora: Sequence[str], settings: IndexSettings, strict: bool
) -> None:
    """Merge the parts written by :func:`inspect_corpora` into the table of all recordings, and log a summary.

    Raises
    ------
    CorpusError
        If a corpus has no usable recording, or, if `strict`, any recording is excluded.
    """
    duplicates = find_duplicate_content(parts)
    summary = IssueSummary(settings)

    def rows() -> Iterator[dict[str, Any]]:
        for row in chain.from_iterable(map(read_rows, parts)):
            apply_policy(row, duplicates.get((row["corpus"], row["recording_id"]), []), settings)
            summary.add(row)
            yield row

    write_rows(out, rows())
    summary.log(corpora)
    summary.raise_if_unusable(corpora, strict)


_CONTENTS = {"wav_sha256": "audio", "track_sha256": "motion"}


def find_duplicate_content(parts: Sequence[str | Path]) -> dict[tuple[str, str], list[Issue]]:
    """Find recordings whose audio or motion equals that of an earlier one; return their issues by corpus and id.

    "Earlier" is the order of corpus and id, among recordings that are not excluded otherwise. Only digests are in
    memory.
    """
    columns = ["corpus", "recording_id", "status", *_CONTENTS]
    table = pa.concat_tables([pq.read_table(part, columns=columns) for part in parts])
    usable = table.filter(pc.not_equal(table["status"], "excluded"))
    issues: dict[tuple[str, str], list[Issue]] = {}
    for column, kind in _CONTENTS.items():
        for corpus, recording_id, first in _duplicates(usable, column).itertuples(index=False):
            issue = Issue("duplicate_content", f"its {kind} is identical to that of {first}")
            issues.setdefault((corpus, recording_id), []).append(issue)
    return issues


def _duplicates(table: pa.Table, column: str) -> pd.DataFrame:
    """Recordings with the same digest as an earlier one, each with the id of the earlier one."""
    counts = pc.value_counts(table[column])
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    rows = table.filter(pc.is_in(table[column], value_set=repeated)).to_pandas().sort_values(["corpus", "recording_id"])
    first = rows.groupby(column)["recording_id"].transform("first")
    return rows.assign(first=first)[rows.duplicated(column)][["corpus", "recording_id", "first"]]
