"""Parts: contiguous shares of a corpus that several cluster jobs prepare, and the joining of what they wrote."""

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.files import atomic_path

_NAME = re.compile(r"(\d+)-of-(\d+)")


def part_range(part: str | None, total: int) -> range:
    """Numbers of the items that belong to a part.

    Parameters
    ----------
    part
        `2-of-5` for example, as Snakemake's `scattergather` names parts; None for everything.
    total
        Number of all items.
    """
    match = _NAME.fullmatch(part or "1-of-1")
    if match is None:
        raise ValueError(f"{part!r} is no part; parts are named like '2-of-5'")
    number, count = int(match[1]), int(match[2])
    return range(total * (number - 1) // count, total * number // count)


def join_parquet(parts: Sequence[str | Path], out: str | Path) -> None:
    """Write the rows of all parts to one parquet file, a row group at a time."""
    files = [pq.ParquetFile(part) for part in parts]
    with atomic_path(out) as path, pq.ParquetWriter(path, files[0].schema_arrow, compression="NONE") as writer:
        for file in files:
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))


def join_arrow(parts: Sequence[str | Path], out: str | Path) -> None:
    """Write the record batches of all parts to one Arrow file, one at a time."""
    files = [pa.ipc.open_file(pa.memory_map(str(part))) for part in parts]
    with atomic_path(out) as path, pa.ipc.new_file(str(path), files[0].schema) as writer:
        for file in files:
            for number in range(file.num_record_batches):
                writer.write_batch(file.get_batch(number))


def by_corpus(parts: Sequence[str], num_corpora: int) -> list[list[str]]:
    """Files of the parts of each corpus, which stand corpus after corpus; empty lists if there are no parts."""
    count = len(parts) // num_corpora
    return [list(parts[count * number : count * (number + 1)]) for number in range(num_corpora)]
