"""Inspection of one recording: what its name and its files say, and whether it can be used."""

import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from emotalk.config.corpus import IndexSettings
from emotalk.data.audio import AudioFacts, inspect_audio
from emotalk.data.av_sync import mouth_opening, offset_correlations, offset_of
from emotalk.data.discovery import AUDIO_SUFFIXES, TRACK_SUFFIXES, RecordingFiles
from emotalk.data.issues import Lengths, apply_policy, length_issues, other_rate
from emotalk.errors import Issue
from emotalk.formats.tracks import inspect_track, is_capture, read_track
from emotalk.provenance import file_digest
from emotalk.timing import FPS, frames_in

_END_OF_CAPTURE = FPS
"""Frames by which a capture may be longer than its audio."""


def inspect_recording(item: RecordingFiles, settings: IndexSettings) -> dict[str, Any]:
    """Row of the table for one recording: what its name and files say, and whether it can be used."""
    row: dict[str, Any] = {
        "corpus": item.corpus,
        "recording_id": item.recording_id,
        "wav_path": item.wav and _printable(item.wav),
        "track_path": item.track and _printable(item.track),
        "channel_order": item.form.channel_order,
        "track_fps": float(item.form.fps),
        "track_scale": float(item.form.scale),
        "status": "ok",
        "reasons": [],
        **(asdict(item.name) if item.name else {}),
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
    """A path as text that tables can hold: bytes of its name that are no UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _read_audio(item: RecordingFiles, row: dict[str, Any], issues: list[Issue]) -> AudioFacts:
    if item.wav is None:
        found = f"there is no audio for {item.track and item.track.name}{_ignored(item, 'audio')}"
        raise Issue("orphan_track", found, always_excludes=True)
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
        found = f"there is no track for {item.wav and item.wav.name}{_ignored(item, 'motion')}"
        raise Issue("orphan_wav", found, always_excludes=True)
    row["track_sha256"] = _digest(item.track, "unreadable_track")
    track, mended = read_track(item.track, item.form)
    issues += mended
    issues += inspect_track(item.track.name, track, item.form)
    row["num_track_frames"] = len(track)
    return track


def _ignored(item: RecordingFiles, kind: str) -> str:
    """Files of the same stem that are not read, for an error."""
    read = {"audio": AUDIO_SUFFIXES, "motion": TRACK_SUFFIXES}[kind]
    return f"; {', '.join(item.ignored)} is not read ({kind} is: {' '.join(read)})" if item.ignored else ""


def _digest(path: Path, code: str) -> str:
    try:
        if path.exists() and not path.is_file():  # Opening a pipe would wait for ever.
            raise Issue(code, f"{path.name} is no regular file", always_excludes=True)
        return file_digest(path)
    except OSError as error:
        raise Issue(code, f"{path.name} cannot be read ({error.strerror})", always_excludes=True) from None


def _compare(
    item: RecordingFiles, row: dict[str, Any], settings: IndexSettings, audio: AudioFacts, track: np.ndarray
) -> Iterator[Issue]:
    """Fill in the common length and the offset; tell what does not fit."""
    num_audio_frames = frames_in(audio.num_samples, audio.sampling_rate)
    fps = other_rate(len(track), row["duration_s"], settings.max_frame_difference)
    if fps is not None and item.track is not None and item.form.fps == FPS and not is_capture(item.track):
        told = f"the track has {len(track)} frames for {row['duration_s']:.2f} s of audio, as if it had {fps} a second"
        advice = "set 'fps' of its source, or let 'track_rate_mismatch: repair' resample it"
        yield Issue("track_rate_mismatch", f"{told}; {advice}")
        if settings.policy("track_rate_mismatch") != "repair":
            return
        track, _ = read_track(item.track, replace(item.form, fps=fps))
        row |= {"track_fps": float(fps), "num_track_frames": len(track)}
    yield from _offset_issue(row, settings, audio.envelope, track)
    lengths = Lengths(num_audio_frames, len(track), shift=row.get("shift_frames", 0))
    row["num_frames"] = lengths.common
    # Apps stop the capture of motion later than that of audio.
    trimmed = _END_OF_CAPTURE if item.track is not None and is_capture(item.track) else 0
    yield from length_issues(lengths, settings, longer=trimmed)


def _offset_issue(
    row: dict[str, Any], settings: IndexSettings, envelope: np.ndarray, track: np.ndarray
) -> Iterator[Issue]:
    scores = offset_correlations(envelope, mouth_opening(track))
    if scores is None:
        return
    offset, confidence = offset_of(scores)
    row |= {"offset_scores": scores, "offset_frames": offset, "offset_confidence": confidence}
    if abs(offset) <= settings.max_offset or confidence < settings.min_confidence:
        return
    later = "late" if offset > 0 else "early"
    found = f"motion comes {abs(offset):.1f} frames {later} (confidence {confidence:.2f})"
    rule = f"at most {settings.max_offset:g} frames are usual"
    if settings.policy("av_offset") == "repair":
        row["shift_frames"] = round(offset)
        rule = f"shifted by {abs(round(offset))}"
    yield Issue("av_offset", f"{found}; {rule}")
