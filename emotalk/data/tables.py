"""Tables that name the recordings of a corpus: csv or parquet, a row a recording."""

import re
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from emotalk.data.discovery import Source, number_duplicates, unique_id
from emotalk.data.inspection import RecordingFiles
from emotalk.data.names import RAVDESS_EMOTIONS, RecordingName, clean_id
from emotalk.emotions import EMOTIONS
from emotalk.errors import CorpusError, Issue

_NEEDED = ("wav", "track")
COLUMNS = (*_NEEDED, "recording_id", "subject", "emotion", "intensity", "statement", "repetition")
"""`wav` and `track` must be there: paths, absolute or below the source's folders. The others need not."""
_INTENSITIES = (1, 2)
_NUMBER = re.compile(r"([0-9]{1,2})(?:\.0*)?")
_EMOTION_WORDS = {*RAVDESS_EMOTIONS, *EMOTIONS}


class TableListing:
    """Recordings that a table names, in the order of ids.

    Raises
    ------
    CorpusError
        If the table cannot be read, or lacks a column.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        rows = [tuple(map(_text, cells)) for cells in _read(source).itertuples(index=False)]
        self._rows = sorted(((clean_id(_key(_named(cells)))[0], cells) for cells in rows), key=itemgetter(0))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[RecordingFiles]:
        for cells, count in number_duplicates(self._rows):
            yield self._found(_named(cells), count)

    def _found(self, row: Mapping[str, str | None], count: int) -> RecordingFiles:
        """Recording of one row, the how-manieth of its id."""
        recording_id, issues = unique_id(_key(row), count)
        name, label_faults = _labels(recording_id, row)
        wav, track = _path(self._source.audio, row["wav"]), _path(self._source.tracks, row["track"])
        return RecordingFiles(
            self._source.corpus, recording_id, wav, track, name, self._source.form, (*issues, *label_faults)
        )


def files_elsewhere(source: Source) -> list[Path]:
    """Files that the table of a source names outside its folders; none if it cannot be read, which the index tells."""
    try:
        table = _read(source)
    except CorpusError:
        return []
    named = [(source.audio, _text(cell)) for cell in table["wav"]] + [
        (source.tracks, _text(cell)) for cell in table["track"]
    ]
    paths = [(folder, path) for folder, cell in named if (path := _path(folder, cell))]
    return [path for folder, path in paths if ".." in path.parts or not path.is_relative_to(folder)]


def _read(source: Source) -> pd.DataFrame:
    """The columns that count, as text."""
    path = source.table
    assert path is not None
    try:
        table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path, dtype=str)
    except Exception as error:  # What pandas raises for damaged files is no closed set.
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorpusError(f"{path} cannot be read as a table ({said}). It must be csv or parquet.") from None
    if missing := [name for name in _NEEDED if name not in table.columns]:
        raise CorpusError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(map(repr, table.columns[:12]))}. "
            f"Columns that count are {', '.join(COLUMNS)}."
        )
    return table.reindex(columns=list(COLUMNS)).astype(object)


def _text(cell: Any) -> str | None:
    """A cell as text; None where it is empty."""
    if cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell)) or not str(cell).strip():
        return None
    return str(cell).strip()


def _named(cells: tuple[str | None, ...]) -> dict[str, str | None]:
    return dict(zip(COLUMNS, cells, strict=True))


def _key(row: Mapping[str, str | None]) -> str:
    """What a row calls its recording, else the stem of its files."""
    return row["recording_id"] or Path(row["wav"] or row["track"] or "unnamed").stem or "unnamed"


def _path(folder: Path, written: str | None) -> Path | None:
    """The file that a cell names, or None where it names none."""
    return None if written is None or "\0" in written else folder / written


def _labels(recording_id: str, row: Mapping[str, str | None]) -> tuple[RecordingName, list[Issue]]:
    """Labels of a row, without those that mean nothing here. Without a subject a recording is its own."""
    emotion, intensity, repetition = (row["emotion"] or "").lower(), _whole(row["intensity"]), _whole(row["repetition"])
    rules = {
        "emotion": (emotion in _EMOTION_WORDS, f"none of {', '.join(sorted(_EMOTION_WORDS))}"),
        "intensity": (intensity in _INTENSITIES, "neither 1 (normal) nor 2 (strong)"),
        "repetition": (repetition is not None, "no number from 0 to 99"),
    }
    issues = [
        Issue("unknown_label", f"{column} {row[column]!r} is {rule}; it counts as unlabelled")
        for column, (is_known, rule) in rules.items()
        if row[column] is not None and not is_known
    ]
    name = RecordingName(
        row["subject"] or recording_id,
        emotion if emotion in _EMOTION_WORDS else None,
        intensity if intensity in _INTENSITIES else None,
        row["statement"],
        repetition,
    )
    return name, issues


def _whole(written: str | None) -> int | None:
    """A small whole number, or None."""
    match = _NUMBER.fullmatch(written or "")
    return int(match[1]) if match else None
