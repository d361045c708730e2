"""Parts of the corpus stages: with setting `parts`, each cluster job computes one part, and one job joins them."""

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.files import atomic_path

_PART_NAME = re.compile(r"(\d+)-of-(\d+)")


def part_range(part: str | None, total: int) -> range:
    """Return the range of item numbers of a part.

    Parameters
    ----------
    part
        Name as in Snakemake's `scattergather`, for example `2-of-5`; None for all items.
    total
        Total number of items.
    """
    match = _PART_NAME.fullmatch(part or "1-of-1")
    if match is None:
        raise ValueError(f"{part!r} is not a part; a part has a name such as '2-of-5'")
    number, count = int(match[1]), int(match[2])
    return range(total * (number - 1) // count, total * number // count)


def join_parquet(parts: Sequence[str | Path], out: str | Path) -> None:
    """Concatenate parquet files, one row group at a time."""
    files = [pq.ParquetFile(part) for part in parts]
    with atomic_path(out) as path, pq.ParquetWriter(path, files[0].schema_arrow, compression="NONE") as writer:
        for file in files:
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))


def join_arrow(parts: Sequence[str | Path], out: str | Path) -> None:
    """Concatenate Arrow files, one record batch at a time."""
    files = [pa.ipc.open_file(pa.memory_map(str(part))) for part in parts]
    with atomic_path(out) as path, pa.ipc.new_file(str(path), files[0].schema) as writer:
        for file in files:
            for number in range(file.num_record_batches):
                writer.write_batch(file.get_batch(number))


def group_by_corpus(parts: Sequence[str], num_corpora: int) -> list[list[str]]:
    """Group the files of all parts, which are sorted by corpus, into one list per corpus; empty lists without parts."""
    count = len(parts) // num_corpora
    return [list(parts[count * number : count * (number + 1)]) for number in range(num_corpora)]
