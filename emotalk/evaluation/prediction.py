"""Predictions for the test split, with each clip's own emotion and with the emotion of another clip."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emotalk.data.clips import Clip, ClipStore, from_int16
from emotalk.data.manifest import Example, Manifest
from emotalk.errors import EvaluationError
from emotalk.model.emotion_references import EmotionReferences
from emotalk.model.inputs import intensity_name
from emotalk.model.network import EmoTalk
from emotalk.model.sequences import normalize
from emotalk.progress import progress
from emotalk.subjects import mean_subject
from emotalk.timing import frames_to_predict

_LOG = logging.getLogger(__name__)


def predict_test_split(
    network: EmoTalk,
    references: EmotionReferences,
    store: ClipStore,
    manifest: Manifest,
    folder: Path,
    *,
    swapped: Path,
    by_name: Path,
    subject: str | int,
) -> pd.DataFrame:
    """Predict each test clip with its own emotion and write `<clip_id>.npy`, (T, 52) float32, to `folder`.

    If `has_swap`, also predict the clip's content with the emotion of another clip, as long as the captured motion of
    the clip that has both, and write `<clip_id>.npy` to `swapped`. If `references` has that emotion, also predict with
    the reference, and write `<clip_id>.npy` to `by_name`.

    Parameters
    ----------
    subject
        Subject that predictions are conditioned on: "mean" (all training subjects, equally weighted), "own" (the
        clip's subject, whose index is untrained if it is held out), or an index.

    Returns
    -------
    DataFrame
        A row per clip with `clip_id`, `emotion` (labelled class, an index of `emotalk.emotions.EMOTIONS`, -1 for
        none) and `predicted_emotion` (class with the highest logit).

    Raises
    ------
    EvaluationError
        If the test split is empty.
    """
    examples = select_test_examples(manifest)
    mean = mean_subject(manifest.training_subjects(), network.num_slots)
    clips = store.metadata().to_pandas().set_index("clip_id")
    for path in (folder, swapped, by_name):
        path.mkdir(parents=True, exist_ok=True)
    predicted_emotions = []
    for example in progress(examples, total=len(examples), what="Predicting", unit="clips"):
        clip_id = example["audio_c1e2"]
        content = _load_speech(store[clip_id])
        conditioning = {"intensity": example["intensity"], "subject": _resolve_subject(subject, example, mean)}
        num_frames = frames_to_predict(len(content))
        track, logits = network.infer(content, network.encode_emotion(content), num_frames=num_frames, **conditioning)
        np.save(folder / f"{clip_id}.npy", track, allow_pickle=False)
        predicted_emotions.append((clip_id, example["emotion_e2"], int(logits.argmax())))
        if has_swap(example):
            num_frames = len(store[example["track_c1e1"]].track)
            emotion = network.encode_emotion(_load_speech(store[example["audio_c2e1"]]))
            track, _ = network.infer(content, emotion, num_frames=num_frames, **conditioning)
            np.save(swapped / f"{clip_id}.npy", track, allow_pickle=False)
            reference = _find_reference(references, clips.loc[example["audio_c2e1"]])
            if reference is not None:
                track, _ = network.infer(content, reference, num_frames=num_frames, **conditioning)
                np.save(by_name / f"{clip_id}.npy", track, allow_pickle=False)
    _LOG.info("Predicted %d test clips, subject: %s", len(examples), subject)
    return pd.DataFrame(predicted_emotions, columns=["clip_id", "emotion", "predicted_emotion"])


def read_prediction(folder: str | Path, clip_id: str) -> np.ndarray:
    """Read the track, (T, 52), that `predict_test_split` wrote for a clip."""
    return np.load(Path(folder) / f"{clip_id}.npy", allow_pickle=False)


def _find_reference(references: EmotionReferences, clip: pd.Series) -> torch.Tensor | None:
    """Stored emotion features for the labelled emotion and intensity of a clip; None if there are none."""
    if pd.isna(clip["emotion"]):
        return None
    key = references.find(clip["emotion"], intensity_name(clip["intensity"]))
    return None if key is None else references.features[key]


def has_swap(example: Example) -> bool:
    """Whether the example has an emotion reference and a clip with the same content in that emotion."""
    return bool(example["kind"] == "cross")


def select_test_examples(manifest: Manifest) -> list[Example]:
    """Return the examples of the test split, one per clip.

    Raises
    ------
    EvaluationError
        If the test split is empty.
    """
    examples = {example["audio_c1e2"]: example for example in manifest.examples("test")}
    if not examples:
        raise EvaluationError("The test split has no clips. Hold out data with 'split'.")
    return [examples[clip_id] for clip_id in sorted(examples)]


def _load_speech(clip: Clip) -> torch.Tensor:
    return torch.from_numpy(normalize(from_int16(clip.waveform)))


def _resolve_subject(subject: str | int, example: Example, mean: list[float]) -> int | list[float]:
    if subject == "mean":
        return mean
    return example["subject"] if subject == "own" else int(subject)
