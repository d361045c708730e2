"""Index: what lies in the folders, pairs of wav and npy, and the faults of each, as one table."""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.corpus.inspection import Found, inspect_recording
from emotalk.corpus.names import pairing_key
from emotalk.corpus.recordings import RECORDINGS
from emotalk.errors import CorpusError
from emotalk.progress import progress

_LOG = logging.getLogger(__name__)
_FOLDERS = {"audio": ".wav", "blendshape": ".npy"}


def index_corpora(
    data: str | Path,
    out: str | Path,
    *,
    corpora: Sequence[str],
    max_frame_difference: int,
    min_frames: int,
    strict: bool,
    threads: int = 1,
) -> None:
    """Write the table of all recordings below `data`, in the layout `<corpus>/{audio,blendshape}/<stem>.{wav,npy}`.

    Raises
    ------
    CorpusError
        If a folder is missing, if nothing is usable, or, with `strict`, if anything is excluded.
    """
    found = [item for corpus in corpora for item in find_recordings(Path(data), corpus)]

    def row(item: Found) -> dict[str, Any]:
        return inspect_recording(item, max_frame_difference=max_frame_difference, min_frames=min_frames)

    with ThreadPoolExecutor(threads) as pool:
        rows = list(progress(pool.map(row, found), total=len(found), what="Indexing", unit="recordings"))
    _tell(rows, corpora)
    _refuse(rows, Path(data), strict)
    pq.write_table(pa.Table.from_pylist(rows, schema=RECORDINGS), out)


def find_recordings(data: Path, corpus: str) -> list[Found]:
    """Every stem found in the corpus's two folders, sorted, each wav beside the track of the same stem.

    Raises
    ------
    CorpusError
        If one of the two folders does not exist.
    """
    wavs, tracks = (_files(data / corpus / folder, suffix) for folder, suffix in _FOLDERS.items())
    pairs = {stem: (wavs[stem], tracks[stem]) for stem in wavs.keys() & tracks.keys()}
    lone_tracks = {pairing_key(corpus, stem): stem for stem in sorted(tracks.keys() - pairs.keys())}
    for stem in sorted(wavs.keys() - pairs.keys()):
        partner = lone_tracks.pop(pairing_key(corpus, stem), None)
        if partner is not None:
            pairs[partner] = (wavs.pop(stem), tracks[partner])
    lone = {stem: (wavs.get(stem), tracks.get(stem)) for stem in wavs.keys() | tracks.keys() if stem not in pairs}
    return [Found(corpus, stem, *files) for stem, files in sorted((pairs | lone).items())]


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise CorpusError(
            f"There is no folder {folder}. A corpus holds audio/<stem>.wav and blendshape/<stem>.npy; "
            "set 'data' to the folder above the corpora, and 'corpora' to those that you have."
        )
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() == suffix}


def _tell(rows: list[dict[str, Any]], corpora: Sequence[str]) -> None:
    """Log counts by corpus and status, and the first names of each kind of fault."""
    for corpus in corpora:
        status = Counter(row["status"] for row in rows if row["corpus"] == corpus)
        _LOG.info("%s: %s", corpus, ", ".join(f"{count} {name}" for name, count in sorted(status.items())) or "empty")
    names: dict[str, list[str]] = {}
    for row in rows:
        for reason in row["reasons"]:
            names.setdefault(reason.partition(":")[0], []).append(row["recording_id"])
    for code, ids in sorted(names.items()):
        _LOG.info("  %-16s %5d  %s%s", code, len(ids), ", ".join(ids[:3]), ", …" if len(ids) > 3 else "")


def _refuse(rows: list[dict[str, Any]], data: Path, strict: bool) -> None:
    """Stop where nothing is usable, or where `strict` forbids that anything is left out."""
    excluded = [row for row in rows if row["status"] == "excluded"]
    first = "; ".join(f"{row['recording_id']}: {', '.join(row['reasons'])}" for row in excluded[:5])
    if len(excluded) == len(rows):
        said = (
            f"all {len(rows)} are excluded, the first for these reasons: {first}" if rows else "no wav and no npy file"
        )
        raise CorpusError(f"Nothing below {data} can be used: {said}.")
    if strict and excluded:
        raise CorpusError(f"{len(excluded)} of {len(rows)} recordings are excluded and 'strict' is set: {first}.")
