"""Discovery: where the files of a corpus are, and which wav belongs to which track."""

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
from emotalk.data.names import NAMING, RecordingName, clean_id, pairing_key, parse_pattern
from emotalk.errors import CorpusError, Issue
from emotalk.files import iter_files
from emotalk.formats.tracks import TrackFormat
from emotalk.provenance import file_digest

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif", ".au", *CONTAINER_SUFFIXES)
TRACK_SUFFIXES = (".npy", ".csv")
_KNOWN_EXTRAS = {"frame_log.csv", "take.json", "video_metadata.json", "thumbnail.jpg"}
"""Files of a Live Link Face take beside its capture and its video."""
T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_MODALITIES = {"audio", "wav", "wavs", "flac", "blendshape", "blendshapes", "track", "tracks", "npy", "csv"}
"""Names of folders that tell the kind of a file and nothing about the recording."""


@dataclass(frozen=True)
class Source:
    """Where a corpus lies, and how it is read.

    Attributes
    ----------
    corpus
        Its name.
    layout
        `ravdess`, `hdtf` (names of files tell the labels) or `generic`.
    audio, tracks
        Folders; all files below them count, in any subfolder.
    table
        File that names the recordings of a generic corpus instead.
    form
        How its npy tracks are read.
    subject
        Who speaks in a generic corpus: `one`, `folder`, or a pattern of stems.
    """

    corpus: str
    layout: str
    audio: Path
    tracks: Path
    table: Path | None
    form: TrackFormat
    subject: str = "folder"

    @classmethod
    def from_settings(cls, corpus: str, data: str | Path, settings: SourceSettings) -> Self:
        """Source of a corpus whose files are below the folder `data`, unless the settings name other folders."""
        layout: str = settings.layout
        if layout == "auto":
            layout = corpus.lower() if corpus.lower() in NAMING else "generic"
        home, is_generic = Path(data) / corpus, layout == "generic"
        return cls(
            corpus,
            layout,
            audio=Path(settings.audio or (home if is_generic else home / "audio")),
            tracks=Path(settings.tracks or (home if is_generic else home / "blendshape")),
            table=Path(settings.table) if settings.table else None,
            form=TrackFormat.from_settings(settings.channels, settings.fps, settings.scale),
            subject=settings.subject,
        )


def make_sources(
    corpora: Iterable[str], data: str | Path, settings: Mapping[str, SourceSettings | Mapping[str, Any]]
) -> list[Source]:
    """Sources of corpora, from the configuration's section `sources`."""
    return [Source.from_settings(name, data, SourceSettings.model_validate(settings[name])) for name in corpora]


@dataclass(frozen=True)
class RecordingFiles:
    """Files of one recording, a wav and its track or one of them alone, and what is known before they are opened.

    Attributes
    ----------
    name
        Labels from the file name or from a table.
    form
        How the track is to be read.
    issues
        Issues of the name, or of the files' existence.
    ignored
        Names of files of other kinds with the same stem.
    """

    corpus: str
    recording_id: str
    wav: Path | None
    track: Path | None
    name: RecordingName | None
    form: TrackFormat
    issues: tuple[Issue, ...]
    ignored: tuple[str, ...] = ()


class Listing:
    """Every recording of a corpus in the order of ids: nothing that lies in its folders is left out.

    Names are in memory, everything else is made as it is asked for.

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
                    f"There is no folder {folder}. {source.corpus} is looked for in {source.audio} and "
                    f"{source.tracks}; set 'data' to the folder above the corpora and 'corpora' to those that you "
                    f"have, or name the folders in 'sources.{source.corpus}'."
                )
        self._ignored: dict[str, tuple[str, ...]] = {}
        self._wavs = self._by_key(source.audio, AUDIO_SUFFIXES)
        self._tracks = self._by_key(source.tracks, TRACK_SUFFIXES)
        _log_ignored(source, self._ignored)
        lone_wavs, lone_tracks = self._wavs.keys() - self._tracks.keys(), self._tracks.keys() - self._wavs.keys()
        for wav, track in _match_unpaired(source, lone_wavs, lone_tracks).items():
            self._wavs.setdefault(track, self._wavs.pop(wav))
        self._keys = sorted((clean_id(key)[0], key) for key in self._wavs.keys() | self._tracks.keys())

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[RecordingFiles]:
        for key, count in number_duplicates(self._keys):
            yield self._found(key, count)

    def _by_key(self, folder: Path, suffixes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Files of one kind, by the key that they share with their partner of the other kind."""
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

    def _found(self, key: str, count: int) -> RecordingFiles:
        """Recording of a key; `count` numbers recordings with the same id, from 1."""
        recording_id, issues = unique_id(key, count)
        is_bad = any(issue.code == "unknown_name" for issue in issues)
        name = None if is_bad else labels(self._source, key)
        if name is None and not is_bad:
            said = f"{recording_id} does not follow {_naming_rule(self._source)}"
            issues.append(Issue("unknown_name", said, always_excludes=True))
        chosen: list[Path | None] = []
        for files in (self._wavs.get(key, ()), self._tracks.get(key, ())):
            if len(files) > 1:
                is_same = _are_same(files)
                rule = "they are equal, and the first is used" if is_same else "they differ; only one may be there"
                said = f"{len(files)} files claim {recording_id}: {', '.join(map(repr, files[:4]))}; {rule}"
                issues.append(Issue("duplicate_stem", said, always_excludes=not is_same))
            chosen.append(Path(files[0]) if files else None)
        wav, track = chosen
        ignored = self._ignored.get(key, ())
        form = self._source.form
        return RecordingFiles(self._source.corpus, recording_id, wav, track, name, form, tuple(issues), ignored)


def _naming_rule(source: Source) -> str:
    """Rule that names of a source must follow, with the way out."""
    out = f"set sources.{source.corpus}.layout: generic, or name the recordings in a table"
    if source.layout == "generic":
        return f"the pattern {source.subject!r} of sources.{source.corpus}.subject"
    scheme = {"ravdess": "RAVDESS (03-01-06-01-02-01-12)", "hdtf": "HDTF (WDA_Speaker0_000)"}[source.layout]
    return f"the naming of {scheme}; {out}"


def number_duplicates(keyed: Iterable[tuple[str, T]]) -> Iterator[tuple[T, int]]:
    """Yield the item of each (id, item) pair and its number among the items with the same id; ids must be sorted."""
    for _, same in groupby(keyed, key=itemgetter(0)):
        yield from ((item, count) for count, (_, item) in enumerate(same, start=1))


def unique_id(key: str, count: int) -> tuple[str, list[Issue]]:
    """Create the id of a recording, and its issues; `count` numbers recordings with the same id, from 1."""
    recording_id, bad_id = clean_id(key)
    issues = [Issue("unknown_name", bad_id, always_excludes=True)] if bad_id else []
    if count > 1:
        said = f"another recording is named {recording_id} too"
        issues.append(Issue("duplicate_stem", said, always_excludes=True))
        recording_id = f"{recording_id}~{count}"
    return recording_id, issues


def _log_ignored(source: Source, ignored: Mapping[str, tuple[str, ...]]) -> None:
    """Count files of other kinds in a corpus's folders."""
    kinds = Counter(PurePath(name).suffix.lower() or "no ending" for names in ignored.values() for name in names)
    if kinds:
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(8))
        _LOG.info("%s: files of other kinds are not read: %s.", source.corpus, shown)


def _key(source: Source, path: PurePath) -> str:
    """The stem where the naming scheme makes stems unique; else the folders too, but for those that tell the kind."""
    path = PurePath(unicodedata.normalize("NFC", str(path)))
    if source.layout != "generic":
        return path.stem
    folders = [part for part in path.parent.parts if part.lower() not in _MODALITIES]
    return "/".join([*folders, path.stem])


def _match_unpaired(source: Source, wavs: Iterable[str], tracks: Iterable[str]) -> dict[str, str]:
    """Partners among lone files: those that agree in what matters of their names, if only one of each kind does."""

    def by_rest(keys: Iterable[str]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for key in keys:
            groups.setdefault(pairing_key(source.layout, key), []).append(key)
        return groups

    lone_wavs, lone_tracks = by_rest(wavs), by_rest(tracks)
    return {
        keys[0]: lone_tracks[rest][0]
        for rest, keys in lone_wavs.items()
        if len(keys) == 1 and len(lone_tracks.get(rest, [])) == 1 and _can_pair(source, keys[0], lone_tracks[rest][0])
    }


def _can_pair(source: Source, wav: str, track: str) -> bool:
    """Whether one of two files of a generic corpus has no folder: in two folders they are of two subjects."""
    return source.layout != "generic" or "/" not in wav or "/" not in track


def labels(source: Source, key: str) -> RecordingName | None:
    """Labels in a name; in a generic corpus as `sources.<corpus>.subject` says."""
    if source.layout != "generic":
        return NAMING[source.layout](key)
    folder, _, stem = key.rpartition("/")
    if source.subject == "one":
        return RecordingName(subject=source.corpus)
    if source.subject == "folder":
        return RecordingName(subject=folder.partition("/")[0] or source.corpus)
    return parse_pattern(source.subject, stem)


def _are_same(files: Sequence[str]) -> bool:
    try:
        # Reading from a pipe or a device would never end.
        return all(Path(path).is_file() for path in files) and len({file_digest(path) for path in files}) == 1
    except OSError:
        return False
