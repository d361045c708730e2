"""Tables that name the recordings of a corpus: csv or parquet, a row a recording."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from emotalk.data.discovery import Source, number_duplicates, unique_id
from emotalk.data.inspection import RecordingFiles
from emotalk.data.names import RAVDESS_EMOTIONS, RecordingName, clean_id, emotion_of, intensity_of
from emotalk.errors import CorpusError, Issue
from emotalk.formats.spreadsheet import read_spreadsheet

_NEEDED = ("wav", "track")
COLUMNS = (*_NEEDED, "recording_id", "subject", "emotion", "intensity", "statement", "repetition")
"""`wav` and `track` must be there: paths, absolute or below the source's folders. The others need not."""
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
"""Other names of columns, understood where the column itself is absent."""
_NUMBER = re.compile(r"([0-9]{1,2})(?:\.0*)?")


class TableListing:
    """Recordings that a table names, in the order of ids.

    Raises
    ------
    CorpusError
        If the table cannot be read, or lacks a column.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        assert source.table is not None
        self._table = source.table
        rows = [tuple(map(_text, cells)) for cells in _read(source).itertuples(index=False)]
        self._rows = sorted(((clean_id(_key(_named(cells)))[0], cells) for cells in rows), key=itemgetter(0))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[RecordingFiles]:
        for cells, count in number_duplicates(self._rows):
            yield self._found(_named(cells), count)

    def _found(self, row: Mapping[str, str | None], count: int) -> RecordingFiles:
        """Recording of a row; `count` numbers recordings with the same id, from 1."""
        recording_id, issues = unique_id(_key(row), count)
        name, label_faults = _labels(recording_id, row)
        wav, track = (
            _path(folder, row[column], self._table)
            for folder, column in ((self._source.audio, "wav"), (self._source.tracks, "track"))
        )
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
    assert source.table is not None
    paths = [(folder, path) for folder, cell in named if (path := _path(folder, cell, source.table))]
    return [path for folder, path in paths if ".." in path.parts or not path.is_relative_to(folder)]


def _read(source: Source) -> pd.DataFrame:
    """The columns that count, as text."""
    path = source.table
    assert path is not None
    try:
        is_parquet = path.suffix.lower() == ".parquet"
        table = pd.read_parquet(path) if is_parquet else read_spreadsheet(path, as_text=True)
    except Exception as error:  # What pandas raises for damaged files is no closed set.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorpusError(f"{path} cannot be read as a table ({reason}). It must be csv or parquet.") from None
    given = [str(name) for name in table.columns]
    table.columns = _known_names(given)
    if missing := [name for name in _NEEDED if name not in table.columns]:
        raise CorpusError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(map(repr, given[:12]))}. Columns that are "
            f"used are {', '.join(COLUMNS)}."
        )
    return table.reindex(columns=list(COLUMNS)).astype(object)


def _known_names(names: Sequence[str]) -> list[str]:
    """Names of columns in small letters, with synonyms replaced."""
    known = [re.sub(r"[ -]", "_", name.strip().lower()) for name in names]
    for column, synonyms in _SYNONYMS.items():
        if column not in known:
            match = next((name for name in synonyms if name in known), None)
            known = [column if name == match else name for name in known]
    return known


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


def _path(folder: Path, written: str | None, table: Path) -> Path | None:
    """The file that a cell names, below a folder or relative to the table; None where it names none."""
    if written is None or "\0" in written:
        return None
    path = folder / Path(written).expanduser()
    beside = table.parent / written
    return beside if not path.exists() and beside.exists() else path


def _labels(recording_id: str, row: Mapping[str, str | None]) -> tuple[RecordingName, list[Issue]]:
    """Labels of a row, without those that mean nothing here. Without a subject a recording is its own."""
    emotion = emotion_of(row["emotion"] or "")
    intensity, repetition = intensity_of(row["intensity"] or ""), _whole(row["repetition"])
    rules = {
        "emotion": (emotion, f"not understood; words are {', '.join(RAVDESS_EMOTIONS)} and their usual forms"),
        "intensity": (intensity, "neither 1 (normal) nor 2 (strong)"),
        "repetition": (repetition, "not a number from 0 to 99"),
    }
    issues = [
        Issue("unknown_label", f"{column} {row[column]!r} is {rule}; it counts as unlabelled")
        for column, (label, rule) in rules.items()
        if row[column] is not None and label is None
    ]
    subject = unicodedata.normalize("NFC", row["subject"] or recording_id)
    return RecordingName(subject, emotion, intensity, row["statement"], repetition), issues


def _whole(written: str | None) -> int | None:
    """A small whole number, or None."""
    match = _NUMBER.fullmatch(written or "")
    return int(match[1]) if match else None
