"""Predictions for the test split."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotalk.corpus.clips import ClipStore
from emotalk.corpus.samples import from_int16
from emotalk.errors import EvaluationError
from emotalk.model.inputs import mean_person
from emotalk.model.network import EmoTalk
from emotalk.progress import progress
from emotalk.training.schedule import Example, Schedule

_LOG = logging.getLogger(__name__)


def predict_test_split(
    network: EmoTalk, store: ClipStore, schedule: Schedule, folder: Path, *, person: str | int
) -> None:
    """Write `<clip_id>.npy`, (T, 52) float32, for each test clip spoken with its own emotion.

    Parameters
    ----------
    person
        Subject that the network is told: "mean" (all training subjects in equal parts), "own" (the clip's own slot,
        which is untrained for a held-out subject), or an index.

    Raises
    ------
    EvaluationError
        If the test split is empty.
    """
    examples = test_examples(schedule)
    training = schedule.training_subjects()
    folder.mkdir(parents=True, exist_ok=True)
    for example in progress(examples, total=len(examples), what="Predicting", unit="clips"):
        clip = store[example["audio_c1e2"]]
        subject = _subject(person, example, training)
        predicted = network.predict(from_int16(clip.waveform), intensity=example["intensity"], subject=subject)
        np.save(folder / f"{clip.clip_id}.npy", predicted, allow_pickle=False)
    _LOG.info("%d test clips predicted, subject: %s", len(examples), person)


def test_examples(schedule: Schedule) -> list[Example]:
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


def _subject(person: str | int, example: Example, training: Sequence[int]) -> int | list[float]:
    if person == "mean":
        return mean_person(training)
    return example["subject"] if person == "own" else int(person)
