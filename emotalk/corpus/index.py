"""Index: what lies in the folders, pairs of wav and track, and the faults of each, as one table."""

import heapq
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from emotalk.corpus.duplicates import copied_contents
from emotalk.corpus.earlier import Earlier, has_table, keep, source_digest
from emotalk.corpus.faults import Rules, judge
from emotalk.corpus.inspection import Found, inspect_recording
from emotalk.corpus.layouts import Listing
from emotalk.corpus.recordings import RECORDINGS, TableWriter, read_rows
from emotalk.corpus.sources import Source
from emotalk.corpus.tables import TableListing
from emotalk.corpus.tally import Tally
from emotalk.parallel import in_processes
from emotalk.progress import progress
from emotalk.provenance import code_digest

_LOG = logging.getLogger(__name__)


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
    total = sum(map(len, listings))
    settings = (rules, code_digest("emotalk.corpus.inspection"))
    known: Earlier[dict[str, Any]] = Earlier(_earlier_rows(earlier))

    def with_earlier() -> Iterator[tuple[Found, str, dict[str, Any] | None]]:
        for item in chain.from_iterable(listings):
            source = source_digest(item, item.stamp(), *settings)
            yield item, source, known.take((item.corpus, item.recording_id), source)

    rows = in_processes(partial(_row, rules), with_earlier(), processes=threads)
    with TableWriter(out, RECORDINGS) as table:
        for made in progress(rows, total=total, what="Indexing", unit="recordings"):
            table.write(made)
    if known.num_taken:
        _LOG.info("%d of %d recordings are as they were and were not read again.", known.num_taken, total)
    keep(out, earlier)


def _row(rules: Rules, given: tuple[Found, str, dict[str, Any] | None]) -> dict[str, Any]:
    item, source, ready = given
    return ready or inspect_recording(item, rules) | {"source": source}


def _earlier_rows(path: str | Path | None) -> Iterator[tuple[tuple[str, ...], str, dict[str, Any]]]:
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
