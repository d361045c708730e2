"""A page with one face for any motion."""

from pathlib import Path

import numpy as np
import soundfile

from emotalk.corpus.audio import read_waveform
from emotalk.corpus.samples import to_int16
from emotalk.errors import EvaluationError
from emotalk.evaluation.pages import write_page
from emotalk.evaluation.player import Spoken, player_data
from emotalk.timing import FPS, SAMPLING_RATE


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
    clip = Spoken(title, note, {"motion": track}, waveform)
    write_page("preview.html.j2", page, {"title": title, "player": player_data([clip])})


def _speech(path: Path) -> np.ndarray:
    try:
        samples = to_int16(read_waveform(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise EvaluationError(f"{path} is no audio that libsndfile reads ({error}).") from None
    if not len(samples):
        raise EvaluationError(f"{path} holds no sample.")
    return samples
