"""Capture of videos: a wav, an npy of coefficients and a parquet of faces for each; many at once, each only once."""

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
from emotalk.capture.landmarks import Detector, Landmarker, check_model, native_log_hidden
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
    staging,
    track_path,
    write_videos_table,
)
from emotalk.capture.tracks import SHORTEST_SCENE_S, Scene, frame_period, scenes_of, track_of
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
_MOST_NAMED = 3


def capture_videos(
    videos: Iterable[Path], out: Path, settings: CaptureSettings, *, processes: int
) -> list[VideoRecord]:
    """Capture videos that are not captured yet into `<out>/audio`, `<out>/blendshape` and `<out>/faces`.

    Each video is complete or absent at any time, so that a capture that was stopped goes on where it was. Everything
    that was captured into the folder is listed in `<out>/videos.parquet`, with the reason where a video is excluded.

    Parameters
    ----------
    videos
        Files, and folders of which all videos below are taken; folders below them are kept.
    processes
        Videos at once.

    Returns
    -------
    Records of the given videos, in the order of their names.

    Raises
    ------
    CaptureError
        If the extra or the model is missing, two videos would have the same name, a file is in the way that no capture
        wrote, or nothing at all was captured.
    """
    model_sha256 = check_model(Path(settings.model))
    jobs = find_videos(videos)
    check_videos_table(out)
    records, waiting = _current_and_waiting(jobs, out, model_sha256, settings.on_cut)
    if records:
        _LOG.info("%d of %d videos are captured already.", len(records), len(jobs))
    out.mkdir(parents=True, exist_ok=True)
    capture = partial(capture_video, out=out, settings=settings, model_sha256=model_sha256)
    made = parallel_map(capture, _in_order_of_work(waiting), processes=processes, cost=lambda job: 1.0)
    try:
        for record in progress(made, total=len(waiting), what="Capturing", unit="videos"):
            _log_record(record)
            records[record.name] = record
    finally:
        write_videos_table(out)
    _log_summary(list(records.values()), out)
    return [records[job.name] for job in jobs]


def _current_and_waiting(
    jobs: Sequence[Job], out: Path, model_sha256: str, on_cut: str
) -> tuple[dict[str, VideoRecord], list[Job]]:
    """Records of the videos that are captured already, and the others; nothing may stand in the way of those."""
    records: dict[str, VideoRecord] = {}
    waiting, refused = [], []
    for job in jobs:
        try:
            record = read_record(out / faces_path(job.name))
            if record is not None and is_current(record, out, job.video, model_sha256, on_cut):
                records[job.name] = record
                continue
            check_replaceable(out, (audio_path(job.name), track_path(job.name)), record)
            waiting.append(job)
        except CaptureError as error:
            refused.append(str(error))
    if refused:
        more = f" The same holds for {len(refused) - _MOST_NAMED} more." if len(refused) > _MOST_NAMED else ""
        raise CaptureError(" ".join(refused[:_MOST_NAMED]) + more)
    return records, waiting


def _in_order_of_work(jobs: list[Job]) -> list[Job]:
    """The smallest video first, which this process captures alone; then from the largest on: all end together."""
    by_size = sorted(jobs, key=lambda job: job.video.stat().st_size)
    return by_size[:1] + by_size[:0:-1]


def capture_video(job: Job, *, out: Path, settings: CaptureSettings, model_sha256: str) -> VideoRecord:
    """Capture one video; what cannot be used is recorded with its reason, and no error."""
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
            native_log_hidden(),
            Detector(Path(settings.model)) as detector,
            Landmarker(Path(settings.model)) as landmarker,
        ):
            faces = Faces.from_samples(follow_face(reader, detector, landmarker))
        record = _with_facts(record, faces, reader)
        return _write_recordings(record, _recordings_in(record, faces, settings.on_cut), faces, out, before)
    except CaptureError as error:
        record = replace(record, reason=str(error).rstrip("."))
        commit(out, record, before, faces_table(faces, ()), {})
        return record


def _with_facts(record: VideoRecord, faces: Faces, reader: VideoReader) -> VideoRecord:
    """The record with what was seen in the video.

    Raises
    ------
    CaptureError
        If no frame could be decoded.
    """
    if not len(faces.seconds):
        raise CaptureError(f"none of its frames can be decoded ({reader.num_broken} are broken)")
    period, found = frame_period(faces.seconds), faces.is_found
    record = replace(
        record,
        num_frames=len(faces.seconds),
        fps=1 / period,
        duration_s=float(faces.seconds[-1] - faces.seconds[0] + period),
        num_cuts=int(faces.is_cut.sum()),
        num_broken=reader.num_broken,
        without_face_s=float(np.count_nonzero(~found) * period),
        most_faces=int(faces.num_faces.max()),
        mean_confidence=float(faces.confidence[found].mean()) if found.any() else 0.0,
    )
    return replace(record, notes=tuple(_notes(record, reader)))


def _notes(record: VideoRecord, reader: VideoReader) -> Iterator[str]:
    if record.most_faces > 1:
        yield f"Up to {record.most_faces} faces in one frame; the largest at the beginning was followed."
    if record.without_face_s > 0:
        yield f"No face for {record.without_face_s:.1f} s ({record.without_face_s / record.duration_s:.0%})."
    if record.num_broken:
        yield f"{record.num_broken} frames cannot be decoded and were left out."
    if reader.is_deinterlaced:
        yield "Interlaced; it was deinterlaced."


@dataclass(frozen=True)
class Recording:
    """A scene that is used.

    Attributes
    ----------
    name
        Folders and stem of its files.
    scene
        Where it lies in the video.
    track : (T, 52) float32
    """

    name: str
    scene: Scene
    track: np.ndarray


def _recordings_in(record: VideoRecord, faces: Faces, on_cut: str) -> list[Recording]:
    """Scenes with a face, and their tracks.

    Raises
    ------
    CaptureError
        If there is none, or the video is cut and is to be excluded for that.
    """
    if record.num_cuts and on_cut == "exclude":
        where = ", ".join(f"{second:.2f}" for second in faces.seconds[faces.is_cut][:_MOST_NAMED])
        raise CaptureError(f"it is cut {record.num_cuts} times (at {where} s), and on_cut is exclude")
    recordings: list[Recording] = []
    for scene in scenes_of(faces.seconds, faces.is_found, faces.is_cut):
        part = slice(scene.begin, scene.end)
        track = track_of(faces.seconds[part], faces.values[part], scene.span.duration_s)
        if np.count_nonzero(~np.isnan(track).any(axis=1)) >= SHORTEST_SCENE_S * FPS:
            suffix = f"_part{len(recordings) + 1}" if record.num_cuts else ""
            recordings.append(Recording(record.name + suffix, scene, track))
    if not recordings:
        raise CaptureError(f"it shows no face for {SHORTEST_SCENE_S:g} s in one scene")
    return recordings


def _write_recordings(
    record: VideoRecord, recordings: Sequence[Recording], faces: Faces, out: Path, before: VideoRecord | None
) -> VideoRecord:
    tracks = {track_path(each.name): each.track for each in recordings}
    wavs = [audio_path(each.name) for each in recordings]
    with staging(out, [*tracks, *wavs]) as staged:
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
        left_out = f"; {short} with less than {SHORTEST_SCENE_S:g} s of a face are left out" if short else ""
        yield f"{record.num_cuts} cuts: {len(recordings)} parts{left_out}."


def _audio_notes(audio: AudioReport) -> Iterator[str]:
    if not audio.num_streams:
        yield "It has no audio: a track alone."
    elif not all(audio.num_samples):
        yield f"{audio.num_samples.count(0)} of its recordings have no audio."
    if audio.num_streams > 1:
        yield f"It has {audio.num_streams} audio streams; number {audio.chosen + 1} was taken."
    if audio.num_broken:
        yield f"{audio.num_broken} packets of its audio cannot be decoded; silence stands in their place."


def _log_record(record: VideoRecord) -> None:
    if record.status == EXCLUDED:
        _LOG.warning("%s is excluded: %s.", record.video, record.reason)
    if record.notes:
        _LOG.info("%s: %s", record.video, " ".join(record.notes))


def _log_summary(records: Sequence[VideoRecord], out: Path) -> None:
    """Say what there is now and what to do with it.

    Raises
    ------
    CaptureError
        If there is nothing.
    """
    num_excluded = sum(record.status == EXCLUDED for record in records)
    if num_excluded == len(records):
        raise CaptureError(f"Nothing was captured; {out / TABLE} has the reason for each of {num_excluded} videos.")
    minutes = sum(record.duration_s for record in records if record.status == CAPTURED) / 60
    num_recordings = sum(record.num_recordings for record in records)
    excluded = f" {num_excluded} videos are excluded; {out / TABLE} has the reasons." if num_excluded else ""
    _LOG.info("%s: %d recordings of %.1f minutes of video.%s", out, num_recordings, minutes, excluded)
    _LOG.info(
        "Next: name the folders in your settings, sources: {<corpus>: {audio: %s, tracks: %s}}, and look at the data "
        "with 'snakemake --cores 8 data_page --configfile <your settings>'.",
        *(out / "audio", out / "blendshape"),
    )


def capture_to_table(videos: Path, out: Path, table: Path, settings: CaptureSettings, *, processes: int) -> None:
    """Capture all videos below a folder into `out`, and copy their table to `table`; see :func:`capture_videos`."""
    capture_videos([videos], out, settings, processes=processes)
    with atomic_path(table) as partial_table:
        shutil.copyfile(out / TABLE, partial_table)
