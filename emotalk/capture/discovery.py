"""Search for videos, and names of their output files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emotalk.errors import CaptureError
from emotalk.files import iter_files

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp", ".ogv"),
)
"""Suffixes of video files in folders, in lower case."""


@dataclass(frozen=True)
class Job:
    """A video, and the name (folders and stem) of its output files."""

    video: Path
    name: str


def find_videos(videos: Iterable[Path]) -> list[Job]:
    """Find videos in files and folders, sorted by name.

    Raises
    ------
    CaptureError
        If there is no video, a path does not exist, or two videos have the same name.
    """
    jobs: dict[str, Job] = {}
    for path in videos:
        for job in sorted(_jobs_in(Path(path)), key=lambda each: str(each.video)):
            other = jobs.setdefault(job.name, job)
            if not other.video.samefile(job.video):
                raise CaptureError(
                    f"{other.video} and {job.video} have the same output {job.name}.npy. Rename one of them, or "
                    "capture it to another folder with --out."
                )
    if not jobs:
        raise CaptureError(f"No video was found. In folders, names must end in one of {', '.join(SUFFIXES)}.")
    return [jobs[name] for name in sorted(jobs)]


def _jobs_in(path: Path) -> Iterator[Job]:
    if path.is_file():
        yield Job(path, path.stem)
    elif not path.is_dir():
        raise CaptureError(f"Video or folder {path} does not exist.")
    for entry in iter_files(path):
        if entry.name.lower().endswith(SUFFIXES):
            if not Path(entry.path).is_file():
                raise CaptureError(f"{entry.path} is a broken link. Remove it, or restore its target.")
            yield Job(Path(entry.path), Path(entry.path).relative_to(path).with_suffix("").as_posix())
