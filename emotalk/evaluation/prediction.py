"""Predictions for the test split: each clip with its own emotion, and with the emotion of another clip."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emotalk.data.clips import Clip, ClipStore
from emotalk.data.manifest import Example, Manifest
from emotalk.data.samples import from_int16
from emotalk.emotions import EMOTIONS
from emotalk.errors import EvaluationError
from emotalk.model.inputs import mean_person
from emotalk.model.network import EmoTalk
from emotalk.model.sequences import normalise
from emotalk.progress import progress
from emotalk.timing import frames_to_predict

_LOG = logging.getLogger(__name__)


def predict_test_split(
    network: EmoTalk, store: ClipStore, schedule: Manifest, folder: Path, *, swapped: Path, subject: str | int
) -> pd.DataFrame:
    """Write `<clip_id>.npy`, (T, 52) float32, for each test clip spoken with its own emotion.

    Where the manifest names a clip of another emotion and the true motion of both in one, also `<clip_id>.npy` in
    the folder `swapped`, the words with the other's emotion, as long as that motion.

    Parameters
    ----------
    subject
        Subject that the network is told: "mean" (all training subjects in equal parts), "own" (the clip's own slot,
        which is untrained for a held-out subject), or an index.

    Returns
    -------
    DataFrame
        For each clip its `clip_id`, its class of `EMOTIONS` (-1: none) and the one that the network hears.

    Raises
    ------
    EvaluationError
        If the test split is empty.
    """
    examples = test_examples(schedule)
    training = schedule.training_subjects()
    for made in (folder, swapped):
        made.mkdir(parents=True, exist_ok=True)
    heard = []
    for example in progress(examples, total=len(examples), what="Predicting", unit="clips"):
        clip_id = example["audio_c1e2"]
        words = _speech(store[clip_id])
        told = {"intensity": example["intensity"], "subject": _subject(subject, example, training)}
        num_frames = frames_to_predict(len(words))
        track, logits = network.speak(words, words, num_frames=num_frames, **told)
        np.save(folder / f"{clip_id}.npy", track, allow_pickle=False)
        heard.append((clip_id, example["emotion_e2"], int(logits.argmax())))
        if has_swap(example):
            num_frames = len(store[example["track_c1e1"]].track)
            track, _ = network.speak(words, _speech(store[example["audio_c2e1"]]), num_frames=num_frames, **told)
            np.save(swapped / f"{clip_id}.npy", track, allow_pickle=False)
    _LOG.info("%d test clips predicted, subject: %s", len(examples), subject)
    return pd.DataFrame(heard, columns=["clip_id", "emotion", "heard"])


def read_prediction(folder: str | Path, clip_id: str) -> np.ndarray:
    """What `predict_test_split` wrote for a clip, (T, 52)."""
    return np.load(Path(folder) / f"{clip_id}.npy", allow_pickle=False)


def has_swap(example: Example) -> bool:
    """Whether there is a clip with the same words in another emotion, and one to take that emotion from."""
    return bool(example["kind"] == "cross" and example["track_c1e1"])


def emotion_name(index: int) -> str:
    """Word for a class of the network's head; "unknown" for none."""
    return EMOTIONS[index] if index >= 0 else "unknown"


def test_examples(schedule: Manifest) -> list[Example]:
    """Rows of the test split, one a clip.

    Raises
    ------
    EvaluationError
        If there is none.
    """
    examples = {example["audio_c1e2"]: example for example in schedule.examples("test")}
    if not examples:
        raise EvaluationError(
            "The test split holds no clip, so nothing can be evaluated. Name subjects that the data has under "
            "'split: <corpus>: test:' in the configuration."
        )
    return [examples[clip_id] for clip_id in sorted(examples)]


def _speech(clip: Clip) -> torch.Tensor:
    return torch.from_numpy(normalise(from_int16(clip.waveform)))


def _subject(subject: str | int, example: Example, training: Sequence[int]) -> int | list[float]:
    if subject == "mean":
        return mean_person(training)
    return example["subject"] if subject == "own" else int(subject)
