"""Capture of videos in parallel: a wav, an npy of coefficients and a parquet of faces for each video."""

import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from emotalk.capture.audio import AudioReport, write_audio
from emotalk.capture.discovery import Job, find_videos
from emotalk.capture.faces import Faces, follow_face
from emotalk.capture.landmarks import Detector, Landmarker, check_model, hide_native_log
from emotalk.capture.records import (
    CAPTURED,
    EXCLUDED,
    TABLE,
    Origin,
    VideoRecord,
    audio_path,
    check_replaceable,
    check_videos_table,
    commit,
    faces_path,
    faces_table,
    is_current,
    read_record,
    staged_paths,
    track_path,
    write_videos_table,
)
from emotalk.capture.tracks import MIN_SCENE_S, Scene, frame_period, resample_track, split_scenes
from emotalk.capture.video import VideoReader
from emotalk.config.corpus import CaptureSettings
from emotalk.errors import CaptureError
from emotalk.files import atomic_path
from emotalk.parallel import parallel_map
from emotalk.progress import progress
from emotalk.provenance import file_digest
from emotalk.timing import FPS

_LOG = logging.getLogger(__name__)
_LIBRARIES = ("emotalk", "mediapipe", "av")
_MAX_LISTED = 3


def capture_videos(
    videos: Iterable[Path], out: Path, settings: CaptureSettings, *, processes: int
) -> list[VideoRecord]:
    """Capture videos to `<out>/audio`, `<out>/blendshape` and `<out>/faces`, skipping those that are captured already.

    The files of a video are written atomically, so that a stopped capture can be resumed. `<out>/videos.parquet` lists
    all videos that were captured to the folder, with the reason if a video is excluded.

    Parameters
    ----------
    videos
        Files, and folders that are searched recursively; the folder structure is preserved.
    processes
        Number of videos that are captured in parallel.

    Returns
    -------
    Records of the given videos, sorted by name.

    Raises
    ------
    CaptureError
        If the extra or the model is missing, two videos have the same name, an output file exists that was not written
        by a capture, or no video could be captured.
    """
    model_sha256 = check_model(Path(settings.model))
    jobs = find_videos(videos)
    check_videos_table(out)
    records, pending = _split_by_status(jobs, out, model_sha256, settings.on_cut)
    if records:
        _LOG.info("%d of %d videos are captured already.", len(records), len(jobs))
    out.mkdir(parents=True, exist_ok=True)
    capture = partial(capture_video, out=out, settings=settings, model_sha256=model_sha256)
    captured = parallel_map(capture, _order_by_size(pending), processes=processes, chunk_share=lambda job: 1.0)
    try:
        for record in progress(captured, total=len(pending), what="Capturing", unit="videos"):
            _log_record(record)
            records[record.name] = record
    finally:
        write_videos_table(out)
    _log_summary(list(records.values()), out)
    return [records[job.name] for job in jobs]


def _split_by_status(
    jobs: Sequence[Job], out: Path, model_sha256: str, on_cut: str
) -> tuple[dict[str, VideoRecord], list[Job]]:
    """Return the records of videos that are captured already, and the other jobs, after checking their outputs."""
    records: dict[str, VideoRecord] = {}
    pending, errors = [], []
    for job in jobs:
        try:
            record = read_record(out / faces_path(job.name))
            if record is not None and is_current(record, out, job.video, model_sha256, on_cut):
                records[job.name] = record
                continue
            check_replaceable(out, (audio_path(job.name), track_path(job.name)), record)
            pending.append(job)
        except CaptureError as error:
            errors.append(str(error))
    if errors:
        more = f" {len(errors) - _MAX_LISTED} more files have the same problem." if len(errors) > _MAX_LISTED else ""
        raise CaptureError(" ".join(errors[:_MAX_LISTED]) + more)
    return records, pending


def _order_by_size(jobs: list[Job]) -> list[Job]:
    """Order videos: first the smallest, which is captured before workers start, then by decreasing size.

    With the largest videos first, all workers finish at about the same time.
    """
    by_size = sorted(jobs, key=lambda job: job.video.stat().st_size)
    return by_size[:1] + by_size[:0:-1]


def capture_video(job: Job, *, out: Path, settings: CaptureSettings, model_sha256: str) -> VideoRecord:
    """Capture one video; if it cannot be used, return a record with the reason instead of raising an error."""
    before = read_record(out / faces_path(job.name))
    record = VideoRecord(
        job.name,
        str(job.video),
        Origin.from_files(job.video, model_sha256, settings.on_cut),
        EXCLUDED,
        made_with={library: version(library) for library in _LIBRARIES},
    )
    faces = Faces.from_samples(())
    try:
        reader = VideoReader(job.video)
        with (
            hide_native_log(),
            Detector(Path(settings.model)) as detector,
            Landmarker(Path(settings.model)) as landmarker,
        ):
            faces = Faces.from_samples(follow_face(reader, detector, landmarker))
        record = _add_statistics(record, faces, reader)
        return _write_recordings(record, _find_recordings(record, faces, settings.on_cut), faces, out, before)
    except CaptureError as error:
        record = replace(record, reason=str(error).rstrip("."))
        commit(out, record, before, faces_table(faces, ()), {})
        return record


def _add_statistics(record: VideoRecord, faces: Faces, reader: VideoReader) -> VideoRecord:
    """Add statistics of the faces in a video to its record.

    Raises
    ------
    CaptureError
        If no frame could be decoded.
    """
    if not len(faces.seconds):
        raise CaptureError(f"no frame can be decoded ({reader.num_broken} are broken)")
    period, is_found = frame_period(faces.seconds), faces.is_found
    record = replace(
        record,
        num_frames=len(faces.seconds),
        fps=1 / period,
        duration_s=float(faces.seconds[-1] - faces.seconds[0] + period),
        num_cuts=int(faces.is_cut.sum()),
        num_broken=reader.num_broken,
        without_face_s=float(np.count_nonzero(~is_found) * period),
        most_faces=int(faces.num_faces.max()),
        mean_confidence=float(faces.confidence[is_found].mean()) if is_found.any() else 0.0,
    )
    return replace(record, notes=tuple(_notes(record, reader)))


def _notes(record: VideoRecord, reader: VideoReader) -> Iterator[str]:
    if record.most_faces > 1:
        yield f"Up to {record.most_faces} faces in one frame; the largest face of the first frame was tracked."
    if record.without_face_s > 0:
        yield f"No face for {record.without_face_s:.1f} s ({record.without_face_s / record.duration_s:.0%})."
    if record.num_broken:
        yield f"{record.num_broken} frames cannot be decoded and were skipped."
    if reader.is_deinterlaced:
        yield "Interlaced video was deinterlaced."


@dataclass(frozen=True)
class Recording:
    """A recording: a scene of a video with its track.

    Attributes
    ----------
    name
        Folders and stem of its files.
    scene
        Frames of the video.
    track : (T, 52) float32
    """

    name: str
    scene: Scene
    track: np.ndarray


def _find_recordings(record: VideoRecord, faces: Faces, on_cut: str) -> list[Recording]:
    """Find scenes with a face, and compute their tracks.

    Raises
    ------
    CaptureError
        If no scene has a face, or the video has a cut and `on_cut` is "exclude".
    """
    if record.num_cuts and on_cut == "exclude":
        times = ", ".join(f"{second:.2f}" for second in faces.seconds[faces.is_cut][:_MAX_LISTED])
        raise CaptureError(f"it has {record.num_cuts} cuts (at {times} s), and on_cut is exclude")
    recordings: list[Recording] = []
    for scene in split_scenes(faces.seconds, faces.is_found, faces.is_cut):
        part = slice(scene.begin, scene.end)
        track = resample_track(faces.seconds[part], faces.values[part], scene.span.duration_s)
        if np.count_nonzero(~np.isnan(track).any(axis=1)) >= MIN_SCENE_S * FPS:
            suffix = f"_part{len(recordings) + 1}" if record.num_cuts else ""
            recordings.append(Recording(record.name + suffix, scene, track))
    if not recordings:
        raise CaptureError(f"no scene has a face for at least {MIN_SCENE_S:g} s")
    return recordings


def _write_recordings(
    record: VideoRecord, recordings: Sequence[Recording], faces: Faces, out: Path, before: VideoRecord | None
) -> VideoRecord:
    tracks = {track_path(each.name): each.track for each in recordings}
    wavs = [audio_path(each.name) for each in recordings]
    with staged_paths(out, [*tracks, *wavs]) as staged:
        for file, track in tracks.items():
            with open(staged[file], "wb") as opened:
                np.save(opened, track, allow_pickle=False)
        scenes = [each.scene for each in recordings]
        audio = write_audio(Path(record.video), [scene.span for scene in scenes], [staged[wav] for wav in wavs])
        record = replace(
            record,
            status=CAPTURED,
            files={file: file_digest(path) for file, path in staged.items() if path.exists()},
            notes=(*record.notes, *_scene_notes(record, recordings), *_audio_notes(audio)),
        )
        commit(out, record, before, faces_table(faces, scenes), staged)
    return record


def _scene_notes(record: VideoRecord, recordings: Sequence[Recording]) -> Iterator[str]:
    if record.num_cuts:
        short = record.num_cuts + 1 - len(recordings)
        excluded = f"; {short} parts with less than {MIN_SCENE_S:g} s of a face are excluded" if short else ""
        yield f"{record.num_cuts} cuts: {len(recordings)} parts{excluded}."


def _audio_notes(audio: AudioReport) -> Iterator[str]:
    if not audio.num_streams:
        yield "The video has no audio; only a track was written."
    elif not all(audio.num_samples):
        yield f"{audio.num_samples.count(0)} recordings have no audio."
    if audio.num_streams > 1:
        yield f"The video has {audio.num_streams} audio streams; stream {audio.chosen + 1} was used."
    if audio.num_broken:
        yield f"{audio.num_broken} audio packets cannot be decoded; they are replaced by silence."


def _log_record(record: VideoRecord) -> None:
    if record.status == EXCLUDED:
        _LOG.warning("%s is excluded: %s.", record.video, record.reason)
    if record.notes:
        _LOG.info("%s: %s", record.video, " ".join(record.notes))


def _log_summary(records: Sequence[VideoRecord], out: Path) -> None:
    """Log the number of recordings, and how to use them.

    Raises
    ------
    CaptureError
        If no video was captured.
    """
    num_excluded = sum(record.status == EXCLUDED for record in records)
    if num_excluded == len(records):
        raise CaptureError(f"No video was captured; {out / TABLE} has the reasons for all {num_excluded} videos.")
    minutes = sum(record.duration_s for record in records if record.status == CAPTURED) / 60
    num_recordings = sum(record.num_recordings for record in records)
    excluded = f" {num_excluded} videos are excluded; {out / TABLE} has the reasons." if num_excluded else ""
    _LOG.info("%s: %d recordings from %.1f minutes of video.%s", out, num_recordings, minutes, excluded)
    _LOG.info(
        "Next: set the folders in your settings, sources: {<corpus>: {audio: %s, tracks: %s}}, and check the data with "
        "'snakemake --cores 8 data_page --configfile <your settings>'.",
        *(out / "audio", out / "blendshape"),
    )


def capture_to_table(videos: Path, out: Path, table: Path, settings: CaptureSettings, *, processes: int) -> None:
    """Capture all videos in a folder to `out`, and copy their table to `table`; see :func:`capture_videos`."""
    capture_videos([videos], out, settings, processes=processes)
    with atomic_path(table) as partial_table:
        shutil.copyfile(out / TABLE, partial_table)
