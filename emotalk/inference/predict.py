"""Prediction of motion files from audio files."""

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
from emotalk.files import iter_files
from emotalk.formats.files import SUFFIXES, write_motion
from emotalk.formats.motion import Motion
from emotalk.inference.postprocessing import add_blinks, smooth
from emotalk.inference.windows import AudioFile, predict_speech
from emotalk.model.card import read_card
from emotalk.model.inputs import NUM_SUBJECTS, mean_subject
from emotalk.model.weights import load_weights, weights_in

_LOG = logging.getLogger(__name__)
INTENSITIES = ("normal", "strong")


def predict_folder(out: str | Path, settings: PredictSettings, *, weights: str | Path, device: torch.device) -> None:
    """Predict all recordings below the folder `settings.audio`; see :func:`predict_files`.

    Names of recordings that could not be predicted are written to `left_out.txt` in the folder `out`.
    """
    paths = sorted(
        entry.path for entry in iter_files(str(settings.audio)) if entry.name.lower().endswith(AUDIO_SUFFIXES)
    )
    if not paths:
        raise EvaluationError(f"{settings.audio} contains no {' or '.join(AUDIO_SUFFIXES)} files.")
    failed = predict_files(paths, out, settings, weights=weights, device=device)
    if failed:  # No error, because Snakemake deletes the outputs of a failed job.
        (Path(out) / "left_out.txt").write_text("\n".join(failed) + "\n", encoding="utf-8")


def resolve_subject(setting: str | int, weights: str | Path) -> int | list[float]:
    """Return a subject index, or for "mean" the mixture of the card's training subjects (without a card, of all 24)."""
    if setting != "mean":
        return int(setting)
    card = read_card(Path(weights)) or {}
    return mean_subject(card.get("training_subjects") or range(NUM_SUBJECTS))


def predict_files(
    audio: Sequence[str | Path],
    out: str | Path,
    settings: PredictSettings,
    *,
    weights: str | Path,
    device: torch.device,
) -> list[str]:
    """Predict recordings and write `<name>.<suffix>` to the folder `out`; recordings with errors are skipped.

    Parameters
    ----------
    settings
        Prediction settings; `audio` and `weights` are ignored.
    weights
        File, card or folder.

    Returns
    -------
    list of str
        Names of the recordings that could not be predicted.

    Raises
    ------
    EvaluationError
        If `audio` is empty, two recordings have the same name, or none could be predicted.
    """
    paths = [Path(path) for path in audio]
    if not paths:
        raise EvaluationError("There are no recordings to predict.")
    names = Counter(path.stem for path in paths)
    if duplicates := [name for name, count in names.items() if count > 1]:
        raise EvaluationError(f"Two recordings are named {duplicates[0]}; their output files would have the same name.")
    weights_path = weights_in(Path(weights))
    network, subject = load_weights(weights_path, device), resolve_subject(settings.subject, weights_path)
    emotion_reference = AudioFile.from_path(settings.emotion_from) if settings.emotion_from else None
    predict = partial(
        predict_speech,
        network,
        intensity=INTENSITIES.index(settings.intensity),
        subject=subject,
        emotion_from=emotion_reference,
        window_s=settings.window_s,
    )
    Path(out).mkdir(parents=True, exist_ok=True)
    failed = []
    for path in paths:
        try:
            _predict_file(predict, path, Path(out), settings)
        except EmoTalkError as error:
            _LOG.warning("%s is skipped: %s", path.name, error)
            failed.append(path.name)
    if len(failed) == len(paths):
        raise EvaluationError(f"None of the {len(paths)} recordings could be predicted: {', '.join(failed)}.")
    return failed


def _predict_file(predict: Callable[[AudioFile], np.ndarray], path: Path, out: Path, settings: PredictSettings) -> None:
    start = time.perf_counter()
    speech = AudioFile.from_path(path)
    track = predict(speech)
    if settings.smooth:
        track = smooth(track)
    if settings.blink_seed is not None:
        track = add_blinks(track, seed=settings.blink_seed)
    for kind in settings.formats:
        write_motion(out / f"{path.stem}{SUFFIXES[kind]}", Motion.from_track(track), kind)
    elapsed_s = time.perf_counter() - start
    log_values = (path.name, len(track), speech.duration_s, elapsed_s, speech.duration_s / elapsed_s)
    _LOG.info("%s: %d frames, %.1f s of speech in %.1f s, %.1f times real time", *log_values)
