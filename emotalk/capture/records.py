"""What a capture leaves behind: a parquet of faces for each video, which says what was made from what, and their table.

The file of faces is the record of a video. It is renamed into its place after everything else of the video is complete
beside its place and everything of an earlier capture is removed, and before the rest is renamed. So a killed capture
leaves either no valid record, or one whose files are missing, and only files that a record lists are ever replaced.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.capture.faces import BOX, POSE, Faces
from emotalk.capture.tracks import Scene
from emotalk.errors import CaptureError
from emotalk.files import PARTIAL, atomic_path, size_and_mtime
from emotalk.provenance import file_digest

_MARK = b"emotalk.capture"
_VERSION = 1
"""Goes up when the same video, model and settings would give other files."""
CAPTURED, EXCLUDED = "captured", "excluded"
TABLE = "videos.parquet"


@dataclass(frozen=True)
class Origin:
    """What a capture was made from.

    Attributes
    ----------
    size, mtime_ns, sha256
        Of the video's file.
    model_sha256
        Of the model.
    on_cut
        What was done at cuts; counts only for videos that have one.
    """

    size: int
    mtime_ns: int
    sha256: str
    model_sha256: str
    on_cut: str
    version: int = _VERSION

    @classmethod
    def from_files(cls, video: Path, model_sha256: str, on_cut: str) -> "Origin":
        """Origin of a capture that begins now."""
        size, mtime_ns = size_and_mtime(video)
        return cls(size, mtime_ns, file_digest(video), model_sha256, on_cut)


@dataclass(frozen=True)
class VideoRecord:
    """What was made of one video.

    Attributes
    ----------
    name
        Folders and stem, which all of its files share.
    video
        Path of the video when it was captured.
    status, reason
        `captured`, or `excluded` and why.
    files
        SHA-256 of every wav and npy, by their paths below the folder of the capture.
    num_frames, fps, duration_s
        Frames that were decoded, how many per second (by the median of their distances), and the length.
    num_cuts, num_broken
        Cuts that were found, and frames that could not be decoded.
    without_face_s, most_faces, mean_confidence
        Time without a face, most faces in one frame, and mean score of the face detector where there is a face.
    notes
        What is worth knowing.
    made_with
        Versions of the libraries.
    """

    name: str
    video: str
    origin: Origin
    status: str
    reason: str = ""
    files: dict[str, str] = field(default_factory=dict)
    num_frames: int = 0
    fps: float = 0.0
    duration_s: float = 0.0
    num_cuts: int = 0
    num_broken: int = 0
    without_face_s: float = 0.0
    most_faces: int = 0
    mean_confidence: float = 0.0
    notes: tuple[str, ...] = ()
    made_with: dict[str, str] = field(default_factory=dict)

    @property
    def num_recordings(self) -> int:
        """Recordings that were made: one, or one for each scene."""
        return sum(file.endswith(".npy") for file in self.files)


def audio_path(name: str) -> str:
    """Path of a recording's audio below the folder of the capture."""
    return f"audio/{name}.wav"


def track_path(name: str) -> str:
    """Path of a recording's track below the folder of the capture."""
    return f"blendshape/{name}.npy"


def faces_path(name: str) -> str:
    """Path of a video's faces below the folder of the capture."""
    return f"faces/{name}.parquet"


def is_current(record: VideoRecord | None, out: Path, video: Path, model_sha256: str, on_cut: str) -> bool:
    """Whether a video is captured already: from this file, with this model and settings, and every file is there.

    A file that was copied or touched is the same if its bytes are.
    """
    if record is None or not all((out / file).is_file() for file in record.files):
        return False
    made = record.origin
    if (made.version, made.model_sha256) != (_VERSION, model_sha256) or (record.num_cuts and made.on_cut != on_cut):
        return False
    size, mtime_ns = size_and_mtime(video)
    return size == made.size and (mtime_ns == made.mtime_ns or file_digest(video) == made.sha256)


def read_record(path: Path) -> VideoRecord | None:
    """Record in a parquet of faces; None if there is no file.

    Raises
    ------
    CaptureError
        If the file was not written by a capture.
    """
    if not path.exists():
        return None
    try:
        content = json.loads((pq.read_schema(path).metadata or {})[_MARK])
        return VideoRecord(**content | {"origin": Origin(**content["origin"]), "notes": tuple(content["notes"])})
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        raise CaptureError(f"{path} was not written by a capture of this version. {_MOVE}") from None


_MOVE = "It is not replaced; move it away, or give another folder by --out."


def check_replaceable(out: Path, files: Iterable[str], record: VideoRecord | None) -> None:
    """Check that files below `out` are absent, or as an earlier capture wrote them.

    Raises
    ------
    CaptureError
        If one is not.
    """
    known = {} if record is None else record.files
    for file in dict.fromkeys((*files, *known)):
        path = out / file
        if path.exists() and (file not in known or file_digest(path) != known[file]):
            raise CaptureError(f"{path} was not written by a capture, or was changed since. {_MOVE}")


@contextmanager
def staging(out: Path, files: Iterable[str]) -> Iterator[dict[str, Path]]:
    """Paths beside those of `files` below `out`, to write to; what is left there at the end is removed."""
    paths = {file: out / f"{file}{PARTIAL}" for file in files}
    try:
        for path in paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        yield paths
    finally:
        for path in paths.values():
            path.unlink(missing_ok=True)


def commit(
    out: Path, record: VideoRecord, before: VideoRecord | None, faces: pa.Table, staged: dict[str, Path]
) -> None:
    """Put the files of a video into their places, instead of those of an earlier capture."""
    check_replaceable(out, record.files, before)
    for file in {} if before is None else before.files:
        (out / file).unlink(missing_ok=True)
    path = out / faces_path(record.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        pq.write_table(faces.replace_schema_metadata({_MARK: json.dumps(asdict(record))}), partial)
    for file in record.files:
        staged[file].replace(out / file)


def faces_table(faces: Faces, scenes: Iterable[Scene]) -> pa.Table:
    """Table with a row for each frame of a video.

    Columns: `time_s`, `is_found`, `num_faces`, `confidence`, those of `POSE` and `BOX`, `is_cut`, and `part`, the
    number of the recording that the frame belongs to (0 for none).
    """
    part = np.zeros(len(faces.seconds), np.int32)
    for number, scene in enumerate(scenes, start=1):
        part[scene.begin : scene.end] = number
    columns = {
        "time_s": faces.seconds,
        "is_found": faces.is_found,
        "num_faces": faces.num_faces,
        "confidence": faces.confidence,
        **dict(zip(POSE, faces.pose.T, strict=True)),
        **dict(zip(BOX, faces.box.T, strict=True)),
        "is_cut": faces.is_cut,
        "part": part,
    }
    return pa.table({name: np.ascontiguousarray(column) for name, column in columns.items()})


def read_records(out: Path) -> list[VideoRecord]:
    """Records of all videos that were captured into a folder, in the order of their names."""
    records = map(read_record, sorted((out / "faces").rglob("*.parquet")))
    return [record for record in records if record is not None]


def write_videos_table(out: Path) -> Path:
    """Write `videos.parquet`: a row for each video that was captured into the folder, excluded ones with the reason."""
    rows = []
    for record in read_records(out):
        row = asdict(record) | {"num_recordings": record.num_recordings, "notes": " ".join(record.notes)}
        rows.append({name: row[name] for name in _COLUMNS})
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(_COLUMNS.items())))
    with atomic_path(out / TABLE) as path:
        pq.write_table(table.replace_schema_metadata({_MARK: b"videos"}), path)
    return out / TABLE


def check_videos_table(out: Path) -> None:
    """Check that a table of videos is absent or was written by a capture.

    Raises
    ------
    CaptureError
        If not.
    """
    path = out / TABLE
    try:
        if path.exists() and _MARK not in (pq.read_schema(path).metadata or {}):
            raise CaptureError(f"{path} was not written by a capture. {_MOVE}")
    except pa.ArrowException:
        raise CaptureError(f"{path} is no parquet file. {_MOVE}") from None


_COLUMNS = {
    "name": pa.string(),
    "video": pa.string(),
    "status": pa.string(),
    "reason": pa.string(),
    "num_recordings": pa.int32(),
    "num_frames": pa.int64(),
    "fps": pa.float64(),
    "duration_s": pa.float64(),
    "num_cuts": pa.int32(),
    "num_broken": pa.int32(),
    "without_face_s": pa.float64(),
    "most_faces": pa.int32(),
    "mean_confidence": pa.float64(),
    "notes": pa.string(),
}
