"""Inspection of one recording: what its name and its files say, and whether it can be used."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emotalk.corpus.faults import Fault, inspect_wav, read_track
from emotalk.corpus.names import NAMING
from emotalk.provenance import file_digest
from emotalk.timing import frames_in


@dataclass(frozen=True)
class Found:
    """Files of one stem: a wav and its track, or one of them alone."""

    corpus: str
    recording_id: str
    wav: Path | None
    track: Path | None


def inspect_recording(item: Found, *, max_frame_difference: int, min_frames: int) -> dict[str, Any]:
    """Row of the table for one stem: what its name and files say, and whether it can be used."""
    row: dict[str, Any] = {
        "corpus": item.corpus,
        "recording_id": item.recording_id,
        "wav_path": item.wav and str(item.wav),
        "track_path": item.track and str(item.track),
        "status": "ok",
        "reasons": [],
    }
    faults = []
    for read in (_read_name, _read_audio, _read_motion):
        try:
            read(item, row)
        except Fault as fault:
            faults.append(fault)
    if not faults:
        try:
            _compare_lengths(row, max_frame_difference, min_frames)
        except Fault as fault:
            faults.append(fault)
    if faults:
        row |= {"status": "excluded", "reasons": [str(fault) for fault in faults]}
    return row


def _read_name(item: Found, row: dict[str, Any]) -> None:
    name = NAMING[item.corpus](item.recording_id)
    if name is None:
        raise Fault("unknown_name", f"{item.recording_id} does not follow the naming of {item.corpus}")
    row |= asdict(name)


def _read_audio(item: Found, row: dict[str, Any]) -> None:
    if item.wav is None:
        raise Fault("orphan_track", f"there is no {item.recording_id}.wav beside the track")
    row["wav_sha256"] = _digest(item.wav, "unreadable_wav")
    header = inspect_wav(item.wav)
    row |= {
        "sampling_rate": header.sampling_rate,
        "num_audio_channels": header.num_channels,
        "num_samples": header.num_samples,
        "duration_s": header.num_samples / header.sampling_rate,
    }


def _read_motion(item: Found, row: dict[str, Any]) -> None:
    if item.track is None:
        raise Fault("orphan_wav", f"there is no {item.recording_id}.npy beside the audio")
    row["track_sha256"] = _digest(item.track, "unreadable_track")
    row["num_track_frames"] = len(read_track(item.track))


def _digest(path: Path, code: str) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise Fault(code, f"{path.name} cannot be read ({error.strerror})") from None


def _compare_lengths(row: dict[str, Any], max_frame_difference: int, min_frames: int) -> None:
    """Fill in the common length; a track as long as its audio or one frame shorter is the normal case."""
    num_audio_frames = frames_in(row["num_samples"], row["sampling_rate"])
    num_track_frames = row["num_track_frames"]
    found = f"the track has {num_track_frames} frames, the audio {num_audio_frames}"
    if abs(num_track_frames - num_audio_frames) > max_frame_difference:
        raise Fault("frame_mismatch", f"{found}; at most {max_frame_difference} frames of difference are tolerated")
    num_frames = min(num_track_frames, num_audio_frames)
    if num_frames < min_frames:
        raise Fault("too_short", f"{num_frames} frames; the shortest usable recording has {min_frames}")
    row["num_frames"] = num_frames
    if not num_audio_frames - 1 <= num_track_frames <= num_audio_frames:
        row |= {"status": "repaired", "reasons": [f"frame_mismatch: {found}; both cut to {num_frames}"]}
