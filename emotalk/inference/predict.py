"""From files of speech to files of motion."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from emotalk.config.use import PredictSettings
from emotalk.data.discovery import AUDIO_SUFFIXES
from emotalk.errors import EmoTalkError, EvaluationError
from emotalk.files import files_below
from emotalk.formats.files import SUFFIXES, write_motion
from emotalk.formats.motion import Motion
from emotalk.inference.postprocessing import smoothed, with_blinks
from emotalk.inference.windows import AudioFile, predict_speech
from emotalk.model.card import read_card
from emotalk.model.inputs import NUM_PERSONS, mean_person
from emotalk.model.weights import load_weights, weights_in

_LOG = logging.getLogger(__name__)
INTENSITIES = ("normal", "strong")


def predict_folder(out: str | Path, settings: PredictSettings, *, weights: str | Path, device: torch.device) -> None:
    """Predict all recordings below the folder `settings.audio`; see :func:`predict_files`.

    Those that cannot be read are listed in `left_out.txt` beside the others' motion.
    """
    found = sorted(
        entry.path for entry in files_below(str(settings.audio)) if entry.name.lower().endswith(AUDIO_SUFFIXES)
    )
    if not found:
        raise EvaluationError(f"{settings.audio} contains no {' or '.join(AUDIO_SUFFIXES)} files.")
    left_out = predict_files(found, out, settings, weights=weights, device=device)
    if left_out:  # Failing would cost the others: a workflow engine deletes what a failed job wrote.
        (Path(out) / "left_out.txt").write_text("\n".join(left_out) + "\n", encoding="utf-8")


def subject_of(setting: str | int, weights: str | Path) -> int | list[float]:
    """Subject by an index, or "mean": of the training subjects on the card beside the weights, else of all 24."""
    if setting != "mean":
        return int(setting)
    card = read_card(Path(weights)) or {}
    return mean_person(card.get("training_subjects") or range(NUM_PERSONS))


def predict_files(
    audio: Sequence[str | Path],
    out: str | Path,
    settings: PredictSettings,
    *,
    weights: str | Path,
    device: torch.device,
) -> list[str]:
    """Write `<name>.<suffix>` into the folder `out` for each recording; one that cannot be read costs no other.

    Parameters
    ----------
    settings
        How to predict; its `audio` and `weights` are not used.
    weights
        File, card or folder.

    Returns
    -------
    list of str
        Names of recordings that could not be read.

    Raises
    ------
    EvaluationError
        If there is none, two have one name, or none could be read.
    """
    paths = [Path(path) for path in audio]
    if not paths:
        raise EvaluationError("There is no recording to predict.")
    names = Counter(path.stem for path in paths)
    if twice := [name for name, count in names.items() if count > 1]:
        raise EvaluationError(f"Two recordings are called {twice[0]}; their motion would have one name.")
    chosen = weights_in(Path(weights))
    network, subject = load_weights(chosen, device), subject_of(settings.subject, chosen)
    donor = AudioFile.of(settings.emotion_from) if settings.emotion_from else None
    predict = partial(
        predict_speech,
        network,
        intensity=INTENSITIES.index(settings.intensity),
        subject=subject,
        emotion_from=donor,
        window_s=settings.window_s,
    )
    Path(out).mkdir(parents=True, exist_ok=True)
    failed = []
    for path in paths:
        try:
            _predict_file(predict, path, Path(out), settings)
        except EmoTalkError as error:
            _LOG.warning("%s is left out: %s", path.name, error)
            failed.append(path.name)
    if len(failed) == len(paths):
        raise EvaluationError(f"None of {len(paths)} recordings could be predicted: {', '.join(failed)}.")
    return failed


def _predict_file(predict: Callable[[AudioFile], np.ndarray], path: Path, out: Path, settings: PredictSettings) -> None:
    start = time.perf_counter()
    speech = AudioFile.of(path)
    track = predict(speech)
    if settings.smooth:
        track = smoothed(track)
    if settings.blink_seed is not None:
        track = with_blinks(track, seed=settings.blink_seed)
    for kind in settings.formats:
        write_motion(out / f"{path.stem}{SUFFIXES[kind]}", Motion.from_track(track), kind)
    taken = time.perf_counter() - start
    shown = (path.name, len(track), speech.duration_s, taken, speech.duration_s / taken)
    _LOG.info("%s: %d frames, %.1f s of speech in %.1f s, %.1f times real time", *shown)
