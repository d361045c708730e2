"""Player of a page: clips with tracks and audio, embedded as data, and the preview page."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from emotalk.blendshapes import CHANNELS
from emotalk.data.audio import read_waveform
from emotalk.data.clips import to_int16
from emotalk.errors import CorpusError
from emotalk.report.html import write_page
from emotalk.timing import FPS, SAMPLING_RATE

_SCALE = 10_000
_MAX_VALUE = 32_767 / _SCALE


@dataclass(frozen=True)
class PlayerClip:
    """A clip in the player of a page.

    Attributes
    ----------
    label
        Entry in the list of clips.
    note
        Text below the faces.
    tracks
        (T, 52) motion at 30 fps of each face, by caption.
    stretched
        Captions of tracks that are stretched to the duration of the first track.
    waveform : (N,) int16, optional
        16 kHz speech.
    kinds
        What each track is, which gives its colour (`page.css`).
    """

    label: str
    note: str
    tracks: Mapping[str, np.ndarray]
    waveform: np.ndarray | None = None
    stretched: Sequence[str] = ()
    kinds: Sequence[str] = ("captured", "model", "swapped")


def encode_clips(clips: Sequence[PlayerClip]) -> dict[str, Any]:
    """Encode clips for `player.html.j2`; track values are rounded to 1/10,000."""
    return {"fps": FPS, "channels": CHANNELS, "clips": [_encode_clip(clip) for clip in clips]}


def _encode_clip(clip: PlayerClip) -> dict[str, Any]:
    motion_s = len(next(iter(clip.tracks.values()))) / FPS
    speech_s = 0.0 if clip.waveform is None else len(clip.waveform) / SAMPLING_RATE
    return {
        "label": clip.label,
        "note": clip.note,
        "seconds": max(motion_s, speech_s),
        "audio": None if clip.waveform is None else f"data:audio/flac;base64,{_encode_flac(clip.waveform)}",
        "tracks": [
            {
                "name": name,
                "kind": kind,
                "seconds": motion_s if name in clip.stretched else len(track) / FPS,
                "scale": _SCALE,
                "data": _encode_track(track),
            }
            for (name, track), kind in zip(clip.tracks.items(), clip.kinds, strict=False)
        ],
    }


def _encode_track(track: np.ndarray) -> str:
    rounded = np.round(track.clip(-_MAX_VALUE, _MAX_VALUE) * _SCALE).astype("<i2")
    return base64.b64encode(rounded.tobytes()).decode()


def _encode_flac(waveform: np.ndarray) -> str:
    """Encode as FLAC, which halves the size and, unlike lossy codecs, adds no delay at the start."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    return base64.b64encode(buffer.getvalue()).decode()


def write_preview(page: str | Path, track: np.ndarray, *, title: str, audio: str | Path | None = None) -> None:
    """Write a page that plays a (T, 52) track at 30 fps, optionally with speech.

    Raises
    ------
    CorpusError
        If the speech cannot be read.
    """
    waveform = None if audio is None else _read_speech(Path(audio))
    note = f"{len(track)} frames, {len(track) / FPS:.2f} s"
    if waveform is not None:
        note += f"; {len(waveform) / SAMPLING_RATE:.2f} s of speech"
    clip = PlayerClip(title, note, {"motion": track}, waveform)
    write_page("preview.html.j2", page, {"title": title, "player": encode_clips([clip])})


def _read_speech(path: Path) -> np.ndarray:
    try:
        samples = to_int16(read_waveform(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise CorpusError(f"{path} is not an audio file that libsndfile or FFmpeg can read ({error}).") from None
    if not len(samples):
        raise CorpusError(f"{path} has no samples.")
    return samples
