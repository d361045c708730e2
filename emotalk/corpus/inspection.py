"""Inspection of one recording: what its name and its files say, and whether it can be used."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotalk.config.corpus import IndexSettings
from emotalk.corpus.audio import AudioFacts, inspect_audio
from emotalk.corpus.faults import Fault, judge
from emotalk.corpus.lengths import Lengths, length_faults, other_rate
from emotalk.corpus.names import RecordingName
from emotalk.corpus.sources import TrackFormat
from emotalk.corpus.synchrony import mouth_opening, offset_of, synchrony_scores
from emotalk.corpus.tracks import inspect_track, is_capture, read_track
from emotalk.provenance import file_digest
from emotalk.timing import FPS, frames_in


@dataclass(frozen=True)
class Found:
    """Files of one recording, a wav and its track or one of them alone, and what is known before they are opened.

    Attributes
    ----------
    name
        Labels from the file name or from a table.
    form
        How the track is to be read.
    faults
        What is wrong with the name or with there being these files.
    """

    corpus: str
    recording_id: str
    wav: Path | None
    track: Path | None
    name: RecordingName | None
    form: TrackFormat
    faults: tuple[Fault, ...]


def inspect_recording(item: Found, settings: IndexSettings) -> dict[str, Any]:
    """Row of the table for one recording: what its name and files say, and whether it can be used."""
    row: dict[str, Any] = {
        "corpus": item.corpus,
        "recording_id": item.recording_id,
        "wav_path": item.wav and _printable(item.wav),
        "track_path": item.track and _printable(item.track),
        "channel_order": item.form.channels,
        "track_fps": float(item.form.fps),
        "status": "ok",
        "reasons": [],
        **(asdict(item.name) if item.name else {}),
    }
    faults = list(item.faults)
    audio = track = None
    try:
        audio = _read_audio(item, row, faults)
    except Fault as fault:
        faults.append(fault)
    try:
        track = _read_motion(item, row, faults)
    except Fault as fault:
        faults.append(fault)
    if audio is not None and track is not None:
        faults += _compare(item, row, settings, audio, track)
    judge(row, faults, settings)
    return row


def _printable(path: Path) -> str:
    """A path as text that tables can hold: bytes of its name that are no UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _read_audio(item: Found, row: dict[str, Any], faults: list[Fault]) -> AudioFacts:
    if item.wav is None:
        raise Fault("orphan_track", f"there is no audio for {item.track and item.track.name}", is_final=True)
    row["wav_sha256"] = _digest(item.wav, "unreadable_wav")
    audio, found = inspect_audio(item.wav)
    faults += found
    row |= {
        "sampling_rate": audio.sampling_rate,
        "num_audio_channels": audio.num_channels,
        "num_samples": audio.num_samples,
        "duration_s": audio.num_samples / audio.sampling_rate,
        "peak": audio.peak,
    }
    return audio


def _read_motion(item: Found, row: dict[str, Any], faults: list[Fault]) -> np.ndarray:
    if item.track is None:
        raise Fault("orphan_wav", f"there is no track for {item.wav and item.wav.name}", is_final=True)
    row["track_sha256"] = _digest(item.track, "unreadable_track")
    track, mended = read_track(item.track, item.form)
    faults += mended
    faults += inspect_track(item.track.name, track, item.form)
    row["num_track_frames"] = len(track)
    return track


def _digest(path: Path, code: str) -> str:
    try:
        if path.exists() and not path.is_file():  # Opening a pipe would wait for ever.
            raise Fault(code, f"{path.name} is no regular file", is_final=True)
        return file_digest(path)
    except OSError as error:
        raise Fault(code, f"{path.name} cannot be read ({error.strerror})", is_final=True) from None


def _compare(
    item: Found, row: dict[str, Any], settings: IndexSettings, audio: AudioFacts, track: np.ndarray
) -> Iterator[Fault]:
    """Fill in the common length and the offset; tell what does not fit."""
    num_audio_frames = frames_in(audio.num_samples, audio.sampling_rate)
    fps = other_rate(len(track), row["duration_s"], settings.max_frame_difference)
    if fps is not None and item.track is not None and item.form.fps == FPS and not is_capture(item.track):
        told = f"the track has {len(track)} frames for {row['duration_s']:.2f} s of audio, as if it had {fps} a second"
        advice = "set 'fps' of its source, or let 'track_rate_mismatch: repair' resample it"
        yield Fault("track_rate_mismatch", f"{told}; {advice}")
        if settings.policy("track_rate_mismatch") != "repair":
            return
        track, _ = read_track(item.track, TrackFormat(item.form.channels, fps))
        row |= {"track_fps": float(fps), "num_track_frames": len(track)}
    yield from _offset_fault(row, settings, audio.envelope, track)
    lengths = Lengths(num_audio_frames, len(track), shift=row.get("shift_frames", 0))
    row["num_frames"] = lengths.common
    yield from length_faults(lengths, settings)


def _offset_fault(
    row: dict[str, Any], settings: IndexSettings, envelope: np.ndarray, track: np.ndarray
) -> Iterator[Fault]:
    scores = synchrony_scores(envelope, mouth_opening(track))
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
    yield Fault("av_offset", f"{found}; {rule}")
