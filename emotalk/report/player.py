"""What the faces of a page speak: tracks and audio as data within the page."""

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
from emotalk.data.samples import to_int16
from emotalk.errors import EvaluationError
from emotalk.report.html import write_page
from emotalk.timing import FPS, SAMPLING_RATE

_SCALE = 10_000
_LARGEST = 32_767 / _SCALE


@dataclass(frozen=True)
class PlayerClip:
    """One clip to look at.

    Attributes
    ----------
    label
        Line in the list of clips.
    note
        What there is to know about it.
    tracks
        (T, 52) motion at 30 fps of each face by its caption.
    stretched
        Captions of tracks that last as long as the first one, whatever their number of frames.
    waveform : (N,) int16, optional
        16 kHz speech.
    """

    label: str
    note: str
    tracks: Mapping[str, np.ndarray]
    waveform: np.ndarray | None = None
    stretched: Sequence[str] = ()


def player_data(clips: Sequence[PlayerClip]) -> dict[str, Any]:
    """Content for `player.html.j2`; lossless but for values, which are rounded to 1/10,000."""
    return {"fps": FPS, "channels": CHANNELS, "clips": [_clip(clip) for clip in clips]}


def _clip(clip: PlayerClip) -> dict[str, Any]:
    motion_s = len(next(iter(clip.tracks.values()))) / FPS
    speech_s = 0.0 if clip.waveform is None else len(clip.waveform) / SAMPLING_RATE
    return {
        "label": clip.label,
        "note": clip.note,
        "seconds": max(motion_s, speech_s),
        "audio": None if clip.waveform is None else f"data:audio/flac;base64,{_flac(clip.waveform)}",
        "tracks": [
            {
                "name": name,
                "seconds": motion_s if name in clip.stretched else len(track) / FPS,
                "scale": _SCALE,
                "data": _packed(track),
            }
            for name, track in clip.tracks.items()
        ],
    }


def _packed(track: np.ndarray) -> str:
    rounded = np.round(track.clip(-_LARGEST, _LARGEST) * _SCALE).astype("<i2")
    return base64.b64encode(rounded.tobytes()).decode()


def _flac(waveform: np.ndarray) -> str:
    """Lossless, half the size, and without the delay that other codecs put before the sound."""
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    return base64.b64encode(file.getvalue()).decode()


def write_preview(page: str | Path, track: np.ndarray, *, title: str, audio: str | Path | None = None) -> None:
    """Write a page that shows a (T, 52) track at 30 fps, with its speech if that is given.

    Raises
    ------
    EvaluationError
        If the speech cannot be read.
    """
    Path(page).parent.mkdir(parents=True, exist_ok=True)
    waveform = None if audio is None else _speech(Path(audio))
    note = f"{len(track)} frames, {len(track) / FPS:.2f} s"
    if waveform is not None:
        note += f"; {len(waveform) / SAMPLING_RATE:.2f} s of speech"
    clip = PlayerClip(title, note, {"motion": track}, waveform)
    write_page("preview.html.j2", page, {"title": title, "player": player_data([clip])})


def _speech(path: Path) -> np.ndarray:
    try:
        samples = to_int16(read_waveform(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise EvaluationError(f"{path} is no audio that libsndfile reads ({error}).") from None
    if not len(samples):
        raise EvaluationError(f"{path} holds no sample.")
    return samples
