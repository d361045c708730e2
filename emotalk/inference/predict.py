"""Prediction of motion files from audio files."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from emotalk.config.prediction import PredictSettings
from emotalk.data.audio import SILENT_PEAK
from emotalk.errors import EmoTalkError, PredictionError
from emotalk.files import check_outputs
from emotalk.formats.files import write_motion
from emotalk.formats.motion import Motion
from emotalk.inference.postprocessing import add_blinks, smooth
from emotalk.inference.recordings import PredictInput, find_recordings, planned_outputs
from emotalk.inference.windows import AudioFile, encode_reference, predict_speech
from emotalk.model.card import find_weights, read_card, read_network_config
from emotalk.model.emotion_references import read_reference
from emotalk.model.inputs import INTENSITIES
from emotalk.model.network import EmoTalk
from emotalk.model.weights import load_weights
from emotalk.subjects import check_index, mean_subject

_LOG = logging.getLogger(__name__)


def predict_folder(out: str | Path, settings: PredictSettings, *, weights: str | Path, device: torch.device) -> None:
    """Predict all recordings below the folder `settings.audio`; see :func:`predict_files`.

    Names of recordings that could not be predicted are written to `failed.txt` in the folder `out`.
    """
    recordings = find_recordings([str(settings.audio)])
    check_outputs(planned_outputs(recordings, out, settings.formats), overwrite=False)
    failed = predict_files(recordings, out, settings, weights=weights, device=device)
    if failed:  # No error, because Snakemake deletes the outputs of a failed job.
        (Path(out) / "failed.txt").write_text("\n".join(failed) + "\n", encoding="utf-8")


def resolve_subject(setting: str | int, weights: str | Path) -> int | list[float]:
    """Return the subject index of a speaker, or the mixture of subjects for "mean".

    Parameters
    ----------
    setting
        An index; the name of a training speaker, `<subject>` or `<corpus>/<subject>`; or "mean" of the training
        subjects of the card (without a card, of all subjects).

    Raises
    ------
    EmoTalkError
        If the network has no such index, or the card no such speaker, or several.
    """
    card = read_card(Path(weights)) or {}
    num_slots = read_network_config(Path(weights)).num_slots
    if isinstance(setting, int):
        if setting not in card.get("training_subjects", [setting]):
            _LOG.warning("Subject %d has no training data; use --subject mean.", setting)
        return check_index(setting, num_slots, "subject")
    if setting == "mean":
        return mean_subject(card.get("training_subjects") or range(num_slots), num_slots)
    slots: dict[str, int] = card.get("subject_slots") or {}
    found = [name for name in slots if setting in (name, name.partition("/")[2])]
    if len(found) != 1:
        known = f"it has {', '.join(slots)}" if slots else "it has no names of speakers; set an index, or mean"
        problem = f"several speakers {setting}" if found else f"no speaker {setting}"
        raise PredictionError(f"The card of {weights} has {problem}: {known}.")
    return slots[found[0]]


def build_predictor(network: EmoTalk, weights: Path, settings: PredictSettings) -> Callable[[AudioFile], np.ndarray]:
    """Return the function that predicts the (T, 52) motion of a recording at 30 fps with all settings.

    Parameters
    ----------
    weights
        File of the network's weights, with the card and the emotion references beside it.

    Raises
    ------
    EmoTalkError
        If the emotion is unknown, or its reference cannot be used.
    """
    predict_motion = partial(
        predict_speech,
        network,
        intensity=INTENSITIES.index(settings.intensity),
        subject=resolve_subject(settings.subject, weights),
        emotion_features=_load_emotion_features(network, weights, settings),
        strength=settings.strength,
        window_s=settings.window_s,
    )

    def predict(speech: AudioFile) -> np.ndarray:
        track = predict_motion(speech)
        if settings.smooth:
            track = smooth(track)
        if settings.blink_seed is not None:
            track = add_blinks(track, seed=settings.blink_seed)
        return track

    return predict


def predict_files(
    recordings: Sequence[PredictInput],
    out: str | Path,
    settings: PredictSettings,
    *,
    weights: str | Path,
    device: torch.device,
) -> list[str]:
    """Predict recordings and write motion files to the folder `out`; recordings with errors are skipped.

    Parameters
    ----------
    recordings
        From `find_recordings`. Existing files are replaced; `check_outputs` finds them before.
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
    PredictionError
        If no recording could be predicted, or the emotion is unknown.
    """
    weights_path = find_weights(Path(weights))
    predict = build_predictor(load_weights(weights_path, device), weights_path, settings)
    failed = []
    for recording in recordings:
        try:
            _predict_file(predict, recording, Path(out), settings)
        except EmoTalkError as error:
            _LOG.warning("%s is skipped: %s", recording.path, error)
            failed.append(recording.path.name)
    if len(failed) == len(recordings):
        raise PredictionError(f"None of the {len(recordings)} recordings could be predicted: {', '.join(failed)}.")
    return failed


def _load_emotion_features(network: EmoTalk, weights: Path, settings: PredictSettings) -> torch.Tensor | None:
    """Emotion features of the emotion reference; None if each recording provides its own emotion."""
    if settings.emotion_from:
        return encode_reference(network, AudioFile.from_path(settings.emotion_from), window_s=settings.window_s)
    if settings.emotion is None:
        return None
    hidden_size = network.encoder_configs["emotion"].hidden_size
    return read_reference(weights, settings.emotion, settings.intensity, hidden_size)


def _predict_file(
    predict: Callable[[AudioFile], np.ndarray], recording: PredictInput, out: Path, settings: PredictSettings
) -> None:
    start = time.perf_counter()
    speech = AudioFile.from_path(recording.path)
    if speech.peak < SILENT_PEAK:
        _LOG.warning("%s is silent (its peak is %.1g of full scale).", recording.path, speech.peak)
    track = predict(speech)
    motion = Motion.from_track(track)
    outputs = recording.outputs(out, settings.formats)
    for kind, path in outputs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_motion(path, motion if settings.fps is None or kind == "npy" else motion.resampled(settings.fps), kind)
    elapsed_s = time.perf_counter() - start
    _LOG.info(
        "%s: %d frames, %.1f s of speech in %.1f s, %.1f times real time: %s",
        recording.path,
        len(track),
        speech.duration_s,
        elapsed_s,
        speech.duration_s / elapsed_s,
        ", ".join(map(str, outputs.values())),
    )
