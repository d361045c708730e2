"""Discovery: finds the files of a corpus and assigns each audio file to its track."""

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePath
from typing import Any, Self, TypeVar

from emotalk.config.corpus import SourceSettings
from emotalk.data.containers import SUFFIXES as CONTAINER_SUFFIXES
from emotalk.data.names import NAMING, Labels, clean_id, pairing_key, parse_pattern
from emotalk.errors import CorpusError, Issue
from emotalk.files import iter_files
from emotalk.formats.tracks import TrackFormat
from emotalk.provenance import file_digest

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif", ".au", *CONTAINER_SUFFIXES)
TRACK_SUFFIXES = (".npy", ".csv")
_CALIBRATION = ("_cal", "_raw", "_neutral")
_KNOWN_EXTRAS = {"frame_log.csv", "take.json", "video_metadata.json", "thumbnail.jpg"}
"""Additional files of a Live Link Face take, which are not needed."""
T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_MODALITIES = {"audio", "wav", "wavs", "flac", "blendshape", "blendshapes", "track", "tracks", "npy", "csv"}
"""Names of folders that describe the type of a file, not the recording."""


@dataclass(frozen=True)
class Source:
    """Location and format of a corpus.

    Attributes
    ----------
    corpus
        Name of the corpus.
    layout
        `ravdess`, `hdtf` (file names contain the labels) or `generic`.
    audio, tracks
        Folders, searched with all subfolders.
    table
        Table of the recordings of a generic corpus; replaces the search.
    track_format
        Format of the npy tracks.
    subject
        How the subject of a generic corpus is determined: `one`, `folder`, or a regular expression for stems.
    """

    corpus: str
    layout: str
    audio: Path
    tracks: Path
    table: Path | None
    track_format: TrackFormat
    subject: str = "folder"

    @classmethod
    def from_settings(cls, corpus: str, data: str | Path, settings: SourceSettings) -> Self:
        """Create the source of a corpus below the folder `data`, unless the settings specify other folders."""
        layout: str = settings.layout
        if layout == "auto":
            layout = corpus.lower() if corpus.lower() in NAMING else "generic"
        root, is_generic = Path(data) / corpus, layout == "generic"
        return cls(
            corpus,
            layout,
            audio=Path(settings.audio or (root if is_generic else root / "audio")),
            tracks=Path(settings.tracks or (root if is_generic else root / "blendshape")),
            table=Path(settings.table) if settings.table else None,
            track_format=TrackFormat.from_settings(settings.channels, settings.fps, settings.scale),
            subject=settings.subject,
        )


def make_sources(
    corpora: Iterable[str], data: str | Path, settings: Mapping[str, SourceSettings | Mapping[str, Any]]
) -> list[Source]:
    """Sources of corpora, from the configuration's section `sources`."""
    return [Source.from_settings(name, data, SourceSettings.model_validate(settings[name])) for name in corpora]


@dataclass(frozen=True)
class RecordingFiles:
    """Files of one recording (audio, track or both), and its labels and issues before the files are opened.

    Attributes
    ----------
    labels
        Labels from the file name or from a table; None if the name cannot be parsed.
    track_format
        Format of the track.
    issues
        Issues of the name and of duplicate files.
    ignored
        Names of files with the same stem that have an unsupported type.
    """

    corpus: str
    recording_id: str
    wav: Path | None
    track: Path | None
    labels: Labels | None
    track_format: TrackFormat
    issues: tuple[Issue, ...]
    ignored: tuple[str, ...] = ()


class Listing:
    """All recordings in the folders of a corpus, sorted by id.

    Only the file names are in memory; the items are created during iteration.

    Raises
    ------
    CorpusError
        If a folder does not exist.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        for folder in (source.audio, source.tracks):
            if not folder.is_dir():
                raise CorpusError(
                    f"Folder {folder} does not exist. {source.corpus} is expected in {source.audio} and "
                    f"{source.tracks}. Set 'data' to the folder that contains the corpora and 'corpora' to those that "
                    f"exist, or set the folders in 'sources.{source.corpus}'."
                )
        self._ignored: dict[str, tuple[str, ...]] = {}
        self._wavs = self._by_key(source.audio, AUDIO_SUFFIXES)
        self._tracks = _without_calibration(self._by_key(source.tracks, TRACK_SUFFIXES))
        _log_ignored(source, self._ignored)
        lone_wavs, lone_tracks = self._wavs.keys() - self._tracks.keys(), self._tracks.keys() - self._wavs.keys()
        for wav, track in _match_unpaired(source, lone_wavs, lone_tracks).items():
            self._wavs.setdefault(track, self._wavs.pop(wav))
        self._keys = sorted((clean_id(key)[0], key) for key in self._wavs.keys() | self._tracks.keys())

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[RecordingFiles]:
        for key, count in number_duplicates(self._keys):
            yield self._recording(key, count)

    def _by_key(self, folder: Path, suffixes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Files of one type, by the key that audio and track of a recording share."""
        files: dict[str, tuple[str, ...]] = {}
        for entry in iter_files(folder):
            if entry.name.lower() in _KNOWN_EXTRAS:
                continue
            key = _key(self._source, PurePath(os.path.relpath(entry.path, folder)))
            if entry.name.lower().endswith(suffixes):
                files[key] = tuple(sorted((*files.get(key, ()), entry.path)))
            elif not entry.name.lower().endswith(AUDIO_SUFFIXES + TRACK_SUFFIXES):
                self._ignored[key] = tuple(sorted({*self._ignored.get(key, ()), entry.name}))
        return files

    def _recording(self, key: str, count: int) -> RecordingFiles:
        """Recording of a key; `count` numbers recordings with the same id, from 1."""
        recording_id, issues = unique_id(key, count)
        is_invalid = any(issue.code == "unknown_name" for issue in issues)
        labels = None if is_invalid else parse_labels(self._source, key)
        if labels is None and not is_invalid:
            message = f"{recording_id} does not match {_naming_rule(self._source)}"
            issues.append(Issue("unknown_name", message, always_excludes=True))
        selected: list[Path | None] = []
        for files in (self._wavs.get(key, ()), self._tracks.get(key, ())):
            if len(files) > 1:
                is_equal = _are_equal(files)
                rule = "they are equal, so the first is used" if is_equal else "they differ; keep only one"
                message = f"{len(files)} files belong to {recording_id}: {', '.join(map(repr, files[:4]))}; {rule}"
                issues.append(Issue("duplicate_stem", message, always_excludes=not is_equal))
            selected.append(Path(files[0]) if files else None)
        wav, track = selected
        ignored = self._ignored.get(key, ())
        track_format = self._source.track_format
        return RecordingFiles(
            self._source.corpus, recording_id, wav, track, labels, track_format, tuple(issues), ignored
        )


def _without_calibration(tracks: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Remove the additional tracks that Live Link Face writes beside a take after a calibration."""
    takes = {key: key[: -len(part)] for key in tracks for part in _CALIBRATION if key.endswith(part)}
    return {key: files for key, files in tracks.items() if takes.get(key) not in tracks}


def _naming_rule(source: Source) -> str:
    """Describe the naming rule of a source, and the alternative."""
    alternative = f"set sources.{source.corpus}.layout: generic, or list the recordings in a table"
    if source.layout == "generic":
        return f"the pattern {source.subject!r} of sources.{source.corpus}.subject"
    scheme = {"ravdess": "RAVDESS (03-01-06-01-02-01-12)", "hdtf": "HDTF (WDA_Speaker0_000)"}[source.layout]
    return f"the naming of {scheme}; {alternative}"


def number_duplicates(keyed: Iterable[tuple[str, T]]) -> Iterator[tuple[T, int]]:
    """Yield the item of each (id, item) pair and its number among the items with the same id; ids must be sorted."""
    for _, group in groupby(keyed, key=itemgetter(0)):
        yield from ((item, count) for count, (_, item) in enumerate(group, start=1))


def unique_id(key: str, count: int) -> tuple[str, list[Issue]]:
    """Create the id of a recording, and its issues; `count` numbers recordings with the same id, from 1."""
    recording_id, problem = clean_id(key)
    issues = [Issue("unknown_name", problem, always_excludes=True)] if problem else []
    if count > 1:
        message = f"another recording has the same id {recording_id}"
        issues.append(Issue("duplicate_stem", message, always_excludes=True))
        recording_id = f"{recording_id}~{count}"
    return recording_id, issues


def _log_ignored(source: Source, ignored: Mapping[str, tuple[str, ...]]) -> None:
    """Log the number of files that have an unsupported type, by suffix."""
    suffixes = Counter(PurePath(name).suffix.lower() or "no suffix" for names in ignored.values() for name in names)
    if suffixes:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(8))
        _LOG.info("%s: files with unsupported types are ignored: %s.", source.corpus, counts)


def _key(source: Source, path: PurePath) -> str:
    """Key of a file: its stem; in a generic corpus with its folders, except those in `_MODALITIES`."""
    path = PurePath(unicodedata.normalize("NFC", str(path)))
    if source.layout != "generic":
        return path.stem
    folders = [part for part in path.parent.parts if part.lower() not in _MODALITIES]
    return "/".join([*folders, path.stem])


def _match_unpaired(source: Source, wavs: Iterable[str], tracks: Iterable[str]) -> dict[str, str]:
    """Match audio and tracks with different keys but the same pairing key, if that is unique for both."""

    def by_pairing_key(keys: Iterable[str]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for key in keys:
            groups.setdefault(pairing_key(source.layout, key), []).append(key)
        return groups

    lone_wavs, lone_tracks = by_pairing_key(wavs), by_pairing_key(tracks)
    return {
        wav_keys[0]: track_keys[0]
        for shared, wav_keys in lone_wavs.items()
        if len(wav_keys) == len(track_keys := lone_tracks.get(shared, [])) == 1
        and _can_pair(source, wav_keys[0], track_keys[0])
    }


def _can_pair(source: Source, wav: str, track: str) -> bool:
    """Whether two files may belong together: in a generic corpus, different folders mean different subjects."""
    return source.layout != "generic" or "/" not in wav or "/" not in track


def parse_labels(source: Source, key: str) -> Labels | None:
    """Parse the labels of a file name; a generic corpus uses the setting `sources.<corpus>.subject`."""
    if source.layout != "generic":
        return NAMING[source.layout](key)
    folder, _, stem = key.rpartition("/")
    if source.subject == "one":
        return Labels(subject=source.corpus)
    if source.subject == "folder":
        return Labels(subject=folder.partition("/")[0] or source.corpus)
    return parse_pattern(source.subject, stem)


def _are_equal(files: Sequence[str]) -> bool:
    try:
        # Reading from a pipe or a device would block.
        return all(Path(path).is_file() for path in files) and len({file_digest(path) for path in files}) == 1
    except OSError:
        return False
