"""Inspection of one recording: its properties, its issues, and whether it can be used."""

import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from emotalk.config.corpus import IndexSettings
from emotalk.data.audio import AudioInfo, inspect_audio
from emotalk.data.av_sync import estimate_offset, mouth_opening, offset_correlations
from emotalk.data.discovery import AUDIO_SUFFIXES, TRACK_SUFFIXES, RecordingFiles
from emotalk.data.issues import apply_policy
from emotalk.data.lengths import Lengths, length_issues, matching_frame_rate
from emotalk.errors import Issue
from emotalk.formats.tracks import inspect_track, is_self_describing, read_track
from emotalk.provenance import file_digest
from emotalk.timing import FPS, frames_in

_END_OF_CAPTURE = FPS
"""Number of frames that a capture may be longer than its audio."""


def inspect_recording(item: RecordingFiles, settings: IndexSettings) -> dict[str, Any]:
    """Inspect the files of one recording; return its row of the table of recordings."""
    row: dict[str, Any] = {
        "corpus": item.corpus,
        "recording_id": item.recording_id,
        "wav_path": item.wav and _printable(item.wav),
        "track_path": item.track and _printable(item.track),
        "channel_order": item.track_format.channel_order,
        "track_fps": float(item.track_format.fps),
        "track_scale": float(item.track_format.scale),
        "status": "ok",
        "reasons": [],
        **(asdict(item.labels) if item.labels else {}),
    }
    issues = list(item.issues)
    audio = track = None
    try:
        audio = _read_audio(item, row, issues)
    except Issue as issue:
        issues.append(issue)
    try:
        track = _read_motion(item, row, issues)
    except Issue as issue:
        issues.append(issue)
    if audio is not None and track is not None:
        issues += _compare(item, row, settings, audio, track)
    apply_policy(row, issues, settings)
    return row


def _printable(path: Path) -> str:
    """Convert a path to text for a table: bytes that are not valid UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _read_audio(item: RecordingFiles, row: dict[str, Any], issues: list[Issue]) -> AudioInfo:
    if item.wav is None:
        message = f"there is no audio for {item.track and item.track.name}{_ignored(item, 'audio')}"
        raise Issue("orphan_track", message, always_excludes=True)
    row["wav_sha256"] = _digest(item.wav, "unreadable_wav")
    audio, audio_issues = inspect_audio(item.wav)
    issues += audio_issues
    row |= {
        "sampling_rate": audio.sampling_rate,
        "num_audio_channels": audio.num_channels,
        "num_samples": audio.num_samples,
        "duration_s": audio.num_samples / audio.sampling_rate,
        "peak": audio.peak,
    }
    return audio


def _read_motion(item: RecordingFiles, row: dict[str, Any], issues: list[Issue]) -> np.ndarray:
    if item.track is None:
        message = f"there is no track for {item.wav and item.wav.name}{_ignored(item, 'motion')}"
        raise Issue("orphan_wav", message, always_excludes=True)
    row["track_sha256"] = _digest(item.track, "unreadable_track")
    track, track_issues = read_track(item.track, item.track_format)
    issues += track_issues
    issues += inspect_track(item.track.name, track, item.track_format)
    row["num_track_frames"] = len(track)
    return track


def _ignored(item: RecordingFiles, kind: str) -> str:
    """Message about files with the same stem that have an unsupported type."""
    if not item.ignored:
        return ""
    supported = {"audio": AUDIO_SUFFIXES, "motion": TRACK_SUFFIXES}[kind]
    return f"; {', '.join(item.ignored)} is ignored (supported types of {kind}: {' '.join(supported)})"


def _digest(path: Path, code: str) -> str:
    try:
        if path.exists() and not path.is_file():  # Opening a pipe would block.
            raise Issue(code, f"{path.name} is not a regular file", always_excludes=True)
        return file_digest(path)
    except OSError as error:
        raise Issue(code, f"{path.name} cannot be read ({error.strerror})", always_excludes=True) from None


def _compare(
    item: RecordingFiles, row: dict[str, Any], settings: IndexSettings, audio: AudioInfo, track: np.ndarray
) -> Iterator[Issue]:
    """Compare audio and track: fill in their common length and offset, and yield issues."""
    num_audio_frames = frames_in(audio.num_samples, audio.sampling_rate)
    fps = matching_frame_rate(len(track), row["duration_s"], settings.max_frame_difference)
    if (
        fps is not None
        and item.track is not None
        and item.track_format.fps == FPS
        and not is_self_describing(item.track)
    ):
        message = f"the track has {len(track)} frames for {row['duration_s']:.2f} s of audio, which matches {fps} fps"
        remedy = "set 'fps' of the source, or 'track_rate_mismatch: repair' to resample the track"
        yield Issue("track_rate_mismatch", f"{message}; {remedy}")
        if settings.policy("track_rate_mismatch") != "repair":
            return
        track, _ = read_track(item.track, replace(item.track_format, fps=fps))
        row |= {"track_fps": float(fps), "num_track_frames": len(track)}
    yield from _offset_issue(row, settings, audio.envelope, track)
    lengths = Lengths(num_audio_frames, len(track), shift=row.get("shift_frames", 0))
    row["num_frames"] = lengths.common
    # Capture apps stop recording motion later than audio.
    extra_frames = _END_OF_CAPTURE if item.track is not None and is_self_describing(item.track) else 0
    yield from length_issues(lengths, settings, extra_frames=extra_frames)


def _offset_issue(
    row: dict[str, Any], settings: IndexSettings, envelope: np.ndarray, track: np.ndarray
) -> Iterator[Issue]:
    scores = offset_correlations(envelope, mouth_opening(track))
    if scores is None:
        return
    offset, confidence = estimate_offset(scores)
    row |= {"offset_scores": scores, "offset_frames": offset, "offset_confidence": confidence}
    if abs(offset) <= settings.max_offset or confidence < settings.min_confidence:
        return
    direction = "late" if offset > 0 else "early"
    message = f"motion is {abs(offset):.1f} frames {direction} (confidence {confidence:.2f})"
    rule = f"the limit is {settings.max_offset:g} frames"
    if settings.policy("av_offset") == "repair":
        row["shift_frames"] = round(offset)
        rule = f"shifted by {abs(round(offset))} frames"
    yield Issue("av_offset", f"{message}; {rule}")
