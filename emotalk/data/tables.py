"""Tables that list the recordings of a corpus: csv or parquet, one row per recording."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from emotalk.data.discovery import RecordingFiles, Source, number_duplicates, unique_id
from emotalk.data.names import Labels, clean_id, parse_intensity
from emotalk.emotions import RAVDESS_EMOTIONS, parse_emotion
from emotalk.errors import CorpusError, Issue
from emotalk.formats.spreadsheet import read_spreadsheet

_REQUIRED = ("wav", "track")
COLUMNS = (*_REQUIRED, "recording_id", "subject", "emotion", "intensity", "statement", "repetition")
"""`wav` and `track` are required: paths, absolute or relative to the folders of the source. The others are optional."""
_SYNONYMS = {
    "wav": ("audio", "sound", "file", "filename", "wav_path", "audio_path"),
    "track": ("motion", "blendshape", "blendshapes", "csv", "npy", "track_path"),
    "recording_id": ("id", "recording", "name"),
    "subject": ("speaker", "actor", "person", "speaker_id"),
    "emotion": ("label", "emotion_label"),
    "intensity": ("level", "strength"),
    "statement": ("text", "sentence", "transcript", "content"),
    "repetition": ("take", "rep"),
}
"""Alternative column names, used if the column itself is missing."""
_NUMBER = re.compile(r"([0-9]{1,2})(?:\.0*)?")


class TableListing:
    """Recordings listed in a table, sorted by id.

    Raises
    ------
    CorpusError
        If the table cannot be read, or a required column is missing.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        assert source.table is not None
        self._table = source.table
        rows = [tuple(map(_to_text, cells)) for cells in _read(source).itertuples(index=False)]
        self._rows = sorted(((clean_id(_key(_to_dict(cells)))[0], cells) for cells in rows), key=itemgetter(0))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[RecordingFiles]:
        for cells, count in number_duplicates(self._rows):
            yield self._recording(_to_dict(cells), count)

    def _recording(self, row: Mapping[str, str | None], count: int) -> RecordingFiles:
        """Recording of a row; `count` numbers recordings with the same id, from 1."""
        recording_id, issues = unique_id(_key(row), count)
        labels, label_issues = _parse_labels(recording_id, row)
        wav, track = (
            _path(folder, row[column], self._table)
            for folder, column in ((self._source.audio, "wav"), (self._source.tracks, "track"))
        )
        return RecordingFiles(
            self._source.corpus, recording_id, wav, track, labels, self._source.track_format, (*issues, *label_issues)
        )


def files_outside_folders(source: Source) -> list[Path]:
    """List the files in the table of a source that are outside its folders.

    An unreadable table gives an empty list; the index reports it.
    """
    try:
        table = _read(source)
    except CorpusError:
        return []
    cells = [(source.audio, _to_text(cell)) for cell in table["wav"]] + [
        (source.tracks, _to_text(cell)) for cell in table["track"]
    ]
    assert source.table is not None
    paths = [(folder, path) for folder, cell in cells if (path := _path(folder, cell, source.table))]
    return [path for folder, path in paths if ".." in path.parts or not path.is_relative_to(folder)]


def _read(source: Source) -> pd.DataFrame:
    """Read the used columns as text."""
    path = source.table
    assert path is not None
    try:
        is_parquet = path.suffix.lower() == ".parquet"
        table = pd.read_parquet(path) if is_parquet else read_spreadsheet(path, as_text=True)
    except Exception as error:  # pandas raises many types of errors for damaged files.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorpusError(f"{path} cannot be read as a table ({reason}). It must be csv or parquet.") from None
    column_names = [str(name) for name in table.columns]
    table.columns = _normalize_column_names(column_names)
    if missing := [name for name in _REQUIRED if name not in table.columns]:
        raise CorpusError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(map(repr, column_names[:12]))}. Used "
            f"columns: {', '.join(COLUMNS)}."
        )
    return table.reindex(columns=list(COLUMNS)).astype(object)


def _normalize_column_names(names: Sequence[str]) -> list[str]:
    """Convert column names to lower case and replace synonyms."""
    normalized = [re.sub(r"[ -]", "_", name.strip().lower()) for name in names]
    for column, synonyms in _SYNONYMS.items():
        if column not in normalized:
            match = next((name for name in synonyms if name in normalized), None)
            normalized = [column if name == match else name for name in normalized]
    return normalized


def _to_text(cell: Any) -> str | None:
    """Convert a cell to text; None if it is empty."""
    if cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell)) or not str(cell).strip():
        return None
    return str(cell).strip()


def _to_dict(cells: tuple[str | None, ...]) -> dict[str, str | None]:
    return dict(zip(COLUMNS, cells, strict=True))


def _key(row: Mapping[str, str | None]) -> str:
    """Return the recording id of a row, or else the stem of its files."""
    return row["recording_id"] or Path(row["wav"] or row["track"] or "unnamed").stem or "unnamed"


def _path(folder: Path, text: str | None, table: Path) -> Path | None:
    """Resolve the path in a cell, relative to a folder or else to the table; None if the cell has no path."""
    if text is None or "\0" in text:
        return None
    path = folder / Path(text).expanduser()
    path_from_table = table.parent / text
    return path_from_table if not path.exists() and path_from_table.exists() else path


def _parse_labels(recording_id: str, row: Mapping[str, str | None]) -> tuple[Labels, list[Issue]]:
    """Parse the labels of a row; invalid ones become None. Without a subject, the recording id is the subject."""
    emotion = parse_emotion(row["emotion"] or "")
    intensity, repetition = parse_intensity(row["intensity"] or ""), _parse_number(row["repetition"])
    rules = {
        "emotion": (emotion, f"unknown; use {', '.join(RAVDESS_EMOTIONS)} or a synonym"),
        "intensity": (intensity, "neither 1 (normal) nor 2 (strong)"),
        "repetition": (repetition, "not a number from 0 to 99"),
    }
    issues = [
        Issue("unknown_label", f"{column} {row[column]!r} is {rule}; treated as unlabelled")
        for column, (label, rule) in rules.items()
        if row[column] is not None and label is None
    ]
    subject = unicodedata.normalize("NFC", row["subject"] or recording_id)
    return Labels(subject, emotion, intensity, row["statement"], repetition), issues


def _parse_number(text: str | None) -> int | None:
    """Parse an integer of at most two digits; None for other text."""
    match = _NUMBER.fullmatch(text or "")
    return int(match[1]) if match else None
