"""From files of speech to files of motion."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from emotalk.corpus.sources import AUDIO_SUFFIXES
from emotalk.errors import EmoTalkError, EvaluationError
from emotalk.files import files_below
from emotalk.formats.files import SUFFIXES, write_motion
from emotalk.formats.motion import Motion
from emotalk.inference.finishing import smoothed, with_blinks
from emotalk.inference.windows import Speech, predict_speech
from emotalk.model.card import read_card
from emotalk.model.inputs import NUM_PERSONS, mean_person
from emotalk.model.network import EmoTalk
from emotalk.model.weights import load_weights, weights_in

_LOG = logging.getLogger(__name__)
INTENSITIES = ("normal", "strong")


@dataclass(frozen=True)
class Speaking:
    """How speech is to be spoken.

    Attributes
    ----------
    intensity
        One of `INTENSITIES`.
    subject
        Index of a training actor, or 24 weights of a mixture.
    emotion_from
        Recording whose emotion is worn; the speech's own by default.
    smooth
        Whether to smooth as the released demo does.
    blink_seed
        Seed of made-up blinks; None leaves the lids as they were predicted.
    formats
        What is written of each, of `emotalk.formats.files.SUFFIXES`.
    window_s
        See `emotalk.inference.windows.predict_speech`.
    """

    intensity: str = "normal"
    subject: int | Sequence[float] = 0
    emotion_from: str | Path | None = None
    smooth: bool = False
    blink_seed: int | None = None
    formats: Sequence[str] = ("npy",)
    window_s: float = 30.0


def predict_folder(
    audio: str | Path,
    out: str | Path,
    *,
    weights: str | Path,
    device: torch.device,
    subject: str | int,
    **speaking: Any,
) -> None:
    """Speak all recordings below a folder; see :func:`predict_files`, and :class:`Speaking` for the settings.

    Those that cannot be read are listed in `left_out.txt` beside the others' motion.
    """
    chosen = weights_in(Path(weights))
    found = sorted(entry.path for entry in files_below(audio) if entry.name.lower().endswith(AUDIO_SUFFIXES))
    if not found:
        raise EvaluationError(f"{audio} is no folder with {' or '.join(AUDIO_SUFFIXES)} files.")
    how = Speaking(subject=subject_of(str(subject), chosen), **speaking)
    left_out = predict_files(load_weights(chosen, device), found, out, how)
    if left_out:  # Failing would cost the others: a workflow engine deletes what a failed job wrote.
        (Path(out) / "left_out.txt").write_text("\n".join(left_out) + "\n", encoding="utf-8")


def subject_of(given: str, weights: str | Path) -> int | list[float]:
    """Subject by an index, or "mean": of those that the card beside the weights says were trained, else of all 24.

    Raises
    ------
    EvaluationError
        If it is neither.
    """
    if given == "mean":
        card = read_card(Path(weights)) or {}
        return mean_person(card.get("training_subjects") or range(NUM_PERSONS))
    if not given.isdigit() or int(given) >= NUM_PERSONS:
        raise EvaluationError(f"The subject is {given!r}; it must be 'mean' or an index from 0 to {NUM_PERSONS - 1}.")
    return int(given)


def predict_files(network: EmoTalk, audio: Sequence[str | Path], out: str | Path, speaking: Speaking) -> list[str]:
    """Write `<name>.<suffix>` into the folder `out` for each recording; one that cannot be read costs no other.

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
        raise EvaluationError("There is no recording to speak.")
    names = Counter(path.stem for path in paths)
    if twice := [name for name, count in names.items() if count > 1]:
        raise EvaluationError(f"Two recordings are called {twice[0]}; their motion would have one name.")
    donor = Speech.of(speaking.emotion_from) if speaking.emotion_from else None
    Path(out).mkdir(parents=True, exist_ok=True)
    failed = []
    for path in paths:
        try:
            _predict_file(network, path, Path(out), speaking, donor)
        except EmoTalkError as error:
            _LOG.warning("%s is left out: %s", path.name, error)
            failed.append(path.name)
    if len(failed) == len(paths):
        raise EvaluationError(f"None of {len(paths)} recordings could be spoken: {', '.join(failed)}.")
    return failed


def _predict_file(network: EmoTalk, path: Path, out: Path, speaking: Speaking, donor: Speech | None) -> None:
    start = time.perf_counter()
    speech = Speech.of(path)
    track = predict_speech(
        network,
        speech,
        intensity=INTENSITIES.index(speaking.intensity),
        subject=speaking.subject,
        emotion_from=donor,
        window_s=speaking.window_s,
    )
    if speaking.smooth:
        track = smoothed(track)
    if speaking.blink_seed is not None:
        track = with_blinks(track, seed=speaking.blink_seed)
    for kind in speaking.formats:
        write_motion(out / f"{path.stem}{SUFFIXES[kind]}", Motion.of_track(track), kind)
    taken = time.perf_counter() - start
    shown = (path.name, len(track), speech.duration_s, taken, speech.duration_s / taken)
    _LOG.info("%s: %d frames, %.1f s of speech in %.1f s, %.1f times real time", *shown)
