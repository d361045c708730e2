"""Which videos there are, and what the files that are made of them are called."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emotalk.errors import CaptureError
from emotalk.files import iter_files

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp", ".ogv"),
)
"""How the names of the videos in a folder end, in small letters."""


@dataclass(frozen=True)
class Job:
    """One video, and the name (folders and stem) of the files that are made of it."""

    video: Path
    name: str


def find_videos(videos: Iterable[Path]) -> list[Job]:
    """Videos in files and folders, in the order of their names.

    Raises
    ------
    CaptureError
        If there is none, a path does not exist, or two have the same name.
    """
    jobs: dict[str, Job] = {}
    for path in videos:
        for job in sorted(_jobs_in(Path(path)), key=lambda each: str(each.video)):
            other = jobs.setdefault(job.name, job)
            if not other.video.samefile(job.video):
                raise CaptureError(
                    f"{other.video} and {job.video} would both become {job.name}.npy. Rename one of them, or capture "
                    "it into another folder by --out."
                )
    if not jobs:
        raise CaptureError(f"There is no video. In folders, names must end in one of {', '.join(SUFFIXES)}.")
    return [jobs[name] for name in sorted(jobs)]


def _jobs_in(path: Path) -> Iterator[Job]:
    if path.is_file():
        yield Job(path, path.stem)
    elif not path.is_dir():
        raise CaptureError(f"There is no video or folder {path}.")
    for entry in iter_files(path):
        if entry.name.lower().endswith(SUFFIXES):
            if not Path(entry.path).is_file():
                raise CaptureError(f"{entry.path} leads to no file. Remove that link, or bring the file back.")
            yield Job(Path(entry.path), Path(entry.path).relative_to(path).with_suffix("").as_posix())
