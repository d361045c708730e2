"""What the faces of a page speak: tracks and audio as data within the page."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from emotalk.blendshapes import CHANNELS
from emotalk.timing import FPS, SAMPLING_RATE

_SCALE = 10_000
_LARGEST = 32_767 / _SCALE


@dataclass(frozen=True)
class Spoken:
    """One clip to look at.

    Attributes
    ----------
    label
        Line in the list of clips.
    note
        What there is to know about it.
    tracks
        (T, 52) motion of each face by its caption; the first one's length is the clip's.
    waveform : (N,) int16, optional
        16 kHz speech.
    """

    label: str
    note: str
    tracks: Mapping[str, np.ndarray]
    waveform: np.ndarray | None = None


def player_data(clips: Sequence[Spoken]) -> dict[str, Any]:
    """Content for `player.html.j2`; lossless but for values, which are rounded to 1/10,000."""
    return {"fps": FPS, "channels": CHANNELS, "clips": [_clip(clip) for clip in clips]}


def _clip(clip: Spoken) -> dict[str, Any]:
    num_frames = len(next(iter(clip.tracks.values())))
    seconds = num_frames / FPS if clip.waveform is None else len(clip.waveform) / SAMPLING_RATE
    return {
        "label": clip.label,
        "note": clip.note,
        "seconds": seconds,
        "audio": None if clip.waveform is None else f"data:audio/flac;base64,{_flac(clip.waveform)}",
        "tracks": [{"name": name, "scale": _SCALE, "data": _packed(track)} for name, track in clip.tracks.items()],
    }


def _packed(track: np.ndarray) -> str:
    rounded = np.round(track.clip(-_LARGEST, _LARGEST) * _SCALE).astype("<i2")
    return base64.b64encode(rounded.tobytes()).decode()


def _flac(waveform: np.ndarray) -> str:
    """Lossless, half the size, and without the delay that other codecs put before the sound."""
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    return base64.b64encode(file.getvalue()).decode()
