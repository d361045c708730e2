"""Sources: where each corpus lies and how it is read. Light, as the workflow looks into it for every job."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from emotalk.config.corpus import SourceSettings
from emotalk.corpus.names import NAMING
from emotalk.timing import FPS

AUDIO_SUFFIXES, TRACK_SUFFIXES = (".wav", ".flac"), (".npy", ".csv")


@dataclass(frozen=True)
class TrackFormat:
    """How an npy of motion is to be read; a Live Link CSV says it all itself.

    Attributes
    ----------
    channels
        `arkit`: the 52 names in alphabetical order, as 3D-ETF has them; `mediapipe`: `_neutral`, then their first 51.
    fps
        Frames a second.
    """

    channels: str = "arkit"
    fps: float = FPS


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
    """

    corpus: str
    layout: str
    audio: Path
    tracks: Path
    table: Path | None
    form: TrackFormat

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
            form=TrackFormat(settings.channels, settings.fps),
        )
