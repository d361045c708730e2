"""Records of captured videos: a parquet of faces with the origin of its files for each video, and a table of all.

The parquet of faces contains the record of a video. The files of a video are committed in this order: all files are
written to temporary paths, files of an earlier capture are removed, the parquet is renamed, the other files are
renamed. After a killed process, the record is therefore missing, or lists files that are missing, and the video is
captured again. Only files that are listed in a record are replaced.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
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
"""Raise it when the files change for the same video, model and settings."""
CAPTURED, EXCLUDED = "captured", "excluded"
TABLE = "videos.parquet"
_MAX_LISTED = 5


@dataclass(frozen=True)
class Origin:
    """Inputs of a capture.

    Attributes
    ----------
    size, mtime_ns, sha256
        Size, modification time and digest of the video.
    model_sha256
        Digest of the model.
    on_cut
        Setting `on_cut`; relevant only for videos with a cut.
    """

    size: int
    mtime_ns: int
    sha256: str
    model_sha256: str
    on_cut: str
    version: int = _VERSION

    @classmethod
    def from_files(cls, video: Path, model_sha256: str, on_cut: str) -> "Origin":
        """Create the origin from the current state of a video."""
        size, mtime_ns = size_and_mtime(video)
        return cls(size, mtime_ns, file_digest(video), model_sha256, on_cut)


@dataclass(frozen=True)
class VideoRecord:
    """Record of one captured video.

    Attributes
    ----------
    name
        Folders and stem of all files of the video.
    video
        Path of the video at the time of the capture.
    status, reason
        `captured`, or `excluded` with the reason.
    files
        SHA-256 of every wav and npy, by path relative to the output folder.
    num_frames, fps, duration_s
        Number of decoded frames, frames per second (from the median interval), and duration.
    num_cuts, num_broken
        Number of detected cuts, and of frames that could not be decoded.
    without_face_s, most_faces, mean_confidence
        Time without a face, maximum number of faces in one frame, and mean score of the face detector.
    notes
        Remarks for the user.
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
        """Number of recordings: one, or one per scene."""
        return sum(file.endswith(".npy") for file in self.files)


def audio_path(name: str) -> str:
    """Return the path of a recording's audio, relative to the output folder."""
    return f"audio/{name}.wav"


def track_path(name: str) -> str:
    """Return the path of a recording's track, relative to the output folder."""
    return f"blendshape/{name}.npy"


def faces_path(name: str) -> str:
    """Return the path of a video's parquet of faces, relative to the output folder."""
    return f"faces/{name}.parquet"


def is_current(record: VideoRecord | None, out: Path, video: Path, model_sha256: str, on_cut: str) -> bool:
    """Whether the capture of a video is up to date: same video, model and settings, and all files exist.

    A video with another modification time is compared by its digest.
    """
    if record is None or not all((out / file).is_file() for file in record.files):
        return False
    origin = record.origin
    if (origin.version, origin.model_sha256) != (_VERSION, model_sha256) or (
        record.num_cuts and origin.on_cut != on_cut
    ):
        return False
    size, mtime_ns = size_and_mtime(video)
    return size == origin.size and (mtime_ns == origin.mtime_ns or file_digest(video) == origin.sha256)


def read_record(path: Path) -> VideoRecord | None:
    """Read the record in a parquet of faces; return None if the file does not exist.

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


_MOVE = "It is not replaced; move it, or set another folder with --out."


def check_replaceable(out: Path, files: Iterable[str], record: VideoRecord | None) -> None:
    """Check that files in `out` do not exist, or are unchanged since an earlier capture.

    Raises
    ------
    CaptureError
        If a file was written or changed by another program.
    """
    known = {} if record is None else record.files
    for file in dict.fromkeys((*files, *known)):
        path = out / file
        if path.exists() and (file not in known or file_digest(path) != known[file]):
            raise CaptureError(f"{path} was not written by a capture, or was changed afterwards. {_MOVE}")


@contextmanager
def staged_paths(out: Path, files: Iterable[str]) -> Iterator[dict[str, Path]]:
    """Yield temporary paths beside those of `files` in `out`; files that are left at the end are removed."""
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
    """Rename the files of a video to their final paths, and remove the files of an earlier capture."""
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
    """Create a table with a row for each frame of a video.

    Columns: `time_s`, `is_found`, `num_faces`, `confidence`, `POSE`, `BOX`, `is_cut`, and `part`, the number of the
    recording that the frame belongs to (0 for none).
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
    """Read the records of all videos that were captured to a folder, sorted by name."""
    records = map(read_record, sorted((out / "faces").rglob("*.parquet")))
    return [record for record in records if record is not None]


def write_videos_table(out: Path) -> Path:
    """Write `videos.parquet`: a row for each video that was captured to the folder, with the reason of an exclusion."""
    rows = []
    for record in read_records(out):
        row = asdict(record) | {"num_recordings": record.num_recordings, "notes": " ".join(record.notes)}
        row["made_with"] = ", ".join(f"{library} {version}" for library, version in record.made_with.items())
        row["model_sha256"] = record.origin.model_sha256
        rows.append({name: row[name] for name in _COLUMNS})
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(_COLUMNS.items())))
    with atomic_path(out / TABLE) as path:
        pq.write_table(table.replace_schema_metadata({_MARK: b"videos"}), path)
    return out / TABLE


@dataclass(frozen=True)
class CaptureSummary:
    """What captured the tracks of a corpus, and how reliably.

    Attributes
    ----------
    made_with
        Libraries with their versions.
    model_sha256
        Digest of the face-tracking model.
    num_videos, num_excluded
        All videos, and those without a recording.
    mean_confidence
        Mean score of the face detector over all frames with a face.
    least_confident
        Name, mean confidence and seconds without a face of the videos with the lowest confidence.
    """

    made_with: str
    model_sha256: str
    num_videos: int
    num_excluded: int
    mean_confidence: float
    least_confident: list[tuple[str, float, float]]


def summarize_captures(tables: Mapping[str, Path]) -> dict[str, CaptureSummary]:
    """Summarize the tables of videos of each corpus; tables of other programs are left out."""
    return {corpus: _summarize(path) for corpus, path in tables.items() if _MARK in _metadata(path)}


def _metadata(table: Path) -> Mapping[bytes, bytes]:
    try:
        return pq.read_schema(table).metadata or {}
    except (pa.ArrowException, OSError):
        return {}


def _summarize(table: Path) -> CaptureSummary:
    rows = pq.read_table(table).to_pylist()
    captured = sorted((row for row in rows if row["status"] == CAPTURED), key=lambda row: row["mean_confidence"])
    num_frames = sum(row["num_frames"] for row in captured)
    return CaptureSummary(
        made_with="; ".join(sorted({row.get("made_with") or "unknown" for row in captured})),
        model_sha256=", ".join(sorted({row.get("model_sha256") or "unknown" for row in captured})),
        num_videos=len(rows),
        num_excluded=len(rows) - len(captured),
        mean_confidence=sum(row["mean_confidence"] * row["num_frames"] for row in captured) / max(1, num_frames),
        least_confident=[
            (row["name"], row["mean_confidence"], row["without_face_s"]) for row in captured[:_MAX_LISTED]
        ],
    )


def check_videos_table(out: Path) -> None:
    """Check that the table of videos does not exist or was written by a capture.

    Raises
    ------
    CaptureError
        If it was written by another program.
    """
    path = out / TABLE
    try:
        if path.exists() and _MARK not in (pq.read_schema(path).metadata or {}):
            raise CaptureError(f"{path} was not written by a capture. {_MOVE}")
    except pa.ArrowException:
        raise CaptureError(f"{path} is not a parquet file. {_MOVE}") from None


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
    "made_with": pa.string(),
    "model_sha256": pa.string(),
}
