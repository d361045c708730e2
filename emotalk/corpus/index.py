"""Index: what lies in the folders, pairs of wav and track, and the faults of each, as one table."""

import heapq
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from emotalk.corpus.duplicates import copied_contents
from emotalk.corpus.earlier import Earlier, Input, Key, has_table, keep, source_digest, taken_or_made
from emotalk.corpus.faults import Rules, judge
from emotalk.corpus.inspection import Found, inspect_recording
from emotalk.corpus.layouts import Listing
from emotalk.corpus.recordings import RECORDINGS, TableWriter, read_rows
from emotalk.corpus.sources import Source
from emotalk.corpus.tables import TableListing
from emotalk.corpus.tally import Tally
from emotalk.provenance import code_digest
from emotalk.sharedring import Room


def inspect_corpora(
    sources: Sequence[Source],
    out: str | Path,
    *,
    rules: Rules,
    threads: int = 1,
    shard: int = 0,
    shards: int = 1,
    earlier: str | Path | None = None,
) -> None:
    """Write what each recording of a shard is by itself, apart from all others.

    Parameters
    ----------
    earlier
        What this function wrote the last time, if there is such a file: recordings whose files are the same are not
        read again. It becomes the present output.

    Raises
    ------
    CorpusError
        If a folder is missing.
    """
    listings = [
        (TableListing if source.table else Listing)(source, shard=shard, shards=shards)
        for source in sorted(sources, key=lambda source: source.corpus)
    ]
    settings = (rules, code_digest("emotalk.corpus.inspection"))

    def inputs() -> Iterator[Input[tuple[Found, str]]]:
        for item in chain.from_iterable(listings):
            source = source_digest(item, item.stamp(), *settings)
            yield Input((item.corpus, item.recording_id), source, (item, source))

    rows = taken_or_made(
        inputs(),
        partial(_inspected, rules),
        lambda given, row, room: row,
        Earlier(_earlier_rows(earlier)),
        what="Indexing",
        unit="recordings",
        total=sum(map(len, listings)),
        processes=threads,
    )
    with TableWriter(out, RECORDINGS) as table:
        for row in rows:
            table.write(row)
    keep(out, earlier)


def _inspected(rules: Rules, given: tuple[Found, str], room: Room) -> dict[str, Any]:
    item, source = given
    return inspect_recording(item, rules) | {"source": source}


def _earlier_rows(path: str | Path | None) -> Iterator[tuple[Key, str, dict[str, Any]]]:
    for row in read_rows(path) if has_table(path, RECORDINGS) else ():
        if row["status"] != "excluded":  # A disk that could not be read then is tried again.
            yield (row["corpus"], row["recording_id"]), row["source"], row


def collect_recordings(
    parts: Sequence[str | Path], out: str | Path, *, corpora: Sequence[str], rules: Rules, strict: bool
) -> None:
    """Write the table of all recordings from the parts that :func:`inspect_corpora` wrote, and log what was found.

    Raises
    ------
    CorpusError
        If a corpus has nothing usable, if a fault's policy is `fail`, or, with `strict`, if anything is excluded.
    """
    copies = copied_contents(parts)
    tally = Tally(rules)
    with TableWriter(out, RECORDINGS) as table:
        rows = heapq.merge(*(read_rows(part) for part in parts), key=lambda row: (row["corpus"], row["recording_id"]))
        for row in rows:
            judge(row, copies.get((row["corpus"], row["recording_id"]), []), rules)
            tally.add(row)
            table.write(row)
    tally.log(corpora)
    tally.refuse(corpora, strict)


def index_corpora(
    sources: Sequence[Source],
    out: str | Path,
    *,
    rules: Rules,
    strict: bool,
    threads: int = 1,
    earlier: str | Path | None = None,
) -> None:
    """Write the table of all recordings in one go: :func:`inspect_corpora`, then :func:`collect_recordings`."""
    part = Path(f"{out}.part")
    try:
        inspect_corpora(sources, part, rules=rules, threads=threads, earlier=earlier)
        collect_recordings([part], out, corpora=[source.corpus for source in sources], rules=rules, strict=strict)
    finally:
        part.unlink(missing_ok=True)
