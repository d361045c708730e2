"""Index: every recording found in the folders, with its facts and its faults, as one table."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from emotalk.config.corpus import IndexSettings
from emotalk.corpus.duplicates import copied_contents
from emotalk.corpus.faults import judge
from emotalk.corpus.inspection import inspect_recording
from emotalk.corpus.layouts import Listing
from emotalk.corpus.parts import part_range
from emotalk.corpus.recordings import read_rows, write_rows
from emotalk.corpus.sources import Source
from emotalk.corpus.tables import TableListing
from emotalk.corpus.tally import Tally
from emotalk.parallel import parallel_map
from emotalk.progress import progress


def index_corpora(
    sources: Sequence[Source], out: str | Path, *, settings: IndexSettings, strict: bool, threads: int = 1
) -> None:
    """Write the table of all recordings: :func:`inspect_corpora`, then :func:`collect_recordings`."""
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
    """Write what each recording is by itself, apart from all others.

    Parameters
    ----------
    part
        Which part of the recordings, `2-of-5` for example; by default all.

    Raises
    ------
    CorpusError
        If a folder is missing.
    """
    listings = [
        (TableListing if source.table else Listing)(source) for source in sorted(sources, key=lambda each: each.corpus)
    ]
    chosen = part_range(part, sum(map(len, listings)))
    items = islice(chain.from_iterable(listings), chosen.start, chosen.stop)
    rows = parallel_map(partial(inspect_recording, settings=settings), items, processes=threads)
    write_rows(out, progress(rows, total=len(chosen), what="Indexing", unit="recordings"))


def collect_recordings(
    parts: Sequence[str | Path], out: str | Path, *, corpora: Sequence[str], settings: IndexSettings, strict: bool
) -> None:
    """Write the table of all recordings from the parts that :func:`inspect_corpora` wrote, and log what was found.

    Raises
    ------
    CorpusError
        If a corpus has nothing usable, or, with `strict`, if anything is excluded.
    """
    copies = copied_contents(parts)
    tally = Tally(settings)

    def rows() -> Iterator[dict[str, Any]]:
        for row in chain.from_iterable(map(read_rows, parts)):
            judge(row, copies.get((row["corpus"], row["recording_id"]), []), settings)
            tally.add(row)
            yield row

    write_rows(out, rows())
    tally.log(corpora)
    tally.refuse(corpora, strict)
