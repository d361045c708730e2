"""Scores of each test clip: the metrics of the model and its baselines, by region."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emotalk.blendshapes import REGIONS, channel_indices
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.evaluation.baselines import make_baselines, stretch_track
from emotalk.evaluation.metrics import METRICS, correlation, mean_absolute_error
from emotalk.evaluation.prediction import has_swap, read_prediction, select_test_examples
from emotalk.evaluation.vertices import VERTEX_METRICS, Basis

_COLUMNS = {region: channel_indices(names) for region, names in REGIONS.items()}
_UNIT = "blendshape units"


class Score(NamedTuple):
    """One value of one clip; `weight` is its weight in the mean over clips."""

    clip_id: str
    metric: str
    region: str
    predictor: str
    value: float
    unit: str
    weight: float = 1.0


def score_clips(
    predictions: Path,
    swapped: Path,
    by_name: Path,
    store: ClipStore,
    manifest: Manifest,
    *,
    predicted_emotions: pd.DataFrame,
    basis: Basis | None,
) -> pd.DataFrame:
    """Score the predictions of the test split.

    Returns
    -------
    DataFrame
        Columns of :class:`Score`; values that are undefined for a clip (NaN) are left out.
    """
    baselines = make_baselines(store, manifest)
    rows: list[Score] = []
    for example in select_test_examples(manifest):
        clip_id = example["audio_c1e2"]
        true = store[clip_id].track
        own = read_prediction(predictions, clip_id)
        rows += _score_reconstruction(clip_id, own[: len(true)], true, baselines, basis)
        if has_swap(example):
            cross = read_prediction(swapped, clip_id)
            target = store[example["track_c1e1"]].track
            # Baselines predict the clip that has both the content and the emotion.
            tracks = {"model": cross, "own_emotion": stretch_track(own, len(target))}
            tracks |= {name: baseline(example["track_c1e1"], len(target)) for name, baseline in baselines.items()}
            rows += _score_swap(clip_id, "model", Swap(own, cross, true, target))
            if (by_name / f"{clip_id}.npy").exists():
                tracks["by_name"] = read_prediction(by_name, clip_id)
                rows += _score_swap(clip_id, "by_name", Swap(own, tracks["by_name"], true, target))
            rows += _score_cross_reconstruction(clip_id, tracks, target)
    rows += _score_classification(predicted_emotions)
    table = pd.DataFrame(rows, columns=Score._fields)
    return table[np.isfinite(table["value"])]


def _score_reconstruction(
    clip_id: str,
    predicted: np.ndarray,
    true: np.ndarray,
    baselines: Mapping[str, Callable[[str, int], np.ndarray]],
    basis: Basis | None,
) -> Iterator[Score]:
    """Score self-reconstruction."""
    tracks = {"model": predicted} | {name: baseline(clip_id, len(true)) for name, baseline in baselines.items()}
    for metric in METRICS:
        for region in metric.regions:
            columns = slice(None) if metric.uses_all_channels else _COLUMNS[region]
            for predictor, track in tracks.items():
                value = metric.function(track[:, columns], true[:, columns])
                yield Score(clip_id, metric.name, region, predictor, value, metric.unit)
    if basis is not None:
        for predictor, track in tracks.items():
            distances = {region: basis.distances(track, true, region) for region in basis.indices}
            for name, (region, function, unit) in VERTEX_METRICS.items():
                yield Score(clip_id, name, region, predictor, function(distances[region]), unit)


def _score_cross_reconstruction(clip_id: str, tracks: Mapping[str, np.ndarray], target: np.ndarray) -> Iterator[Score]:
    """Score content of one clip with the emotion of another, compared with the clip that has both.

    Predictors are the model, the model with the emotion by name (`by_name`), the model without the swap
    (`own_emotion`), and the baselines.
    """
    for region, columns in _COLUMNS.items():
        for predictor, track in tracks.items():
            value = mean_absolute_error(track[:, columns], target[:, columns])
            yield Score(clip_id, "cross_mae", region, predictor, value, _UNIT)


class Swap(NamedTuple):
    """Predicted and true tracks of the same content, with the clip's own emotion and with another emotion.

    Attributes
    ----------
    own, swapped : (T, 52) float32
        Predictions with the own and the other emotion.
    true, target : (T, 52) float32
        Captured motion with the own and the other emotion.
    """

    own: np.ndarray
    swapped: np.ndarray
    true: np.ndarray
    target: np.ndarray


def _score_swap(clip_id: str, predictor: str, swap: Swap) -> Iterator[Score]:
    """Score the effect of the emotion swap.

    `emotion_shift` is the change of the mean face as a fraction of the captured change: the sum over clips of Δ·d
    divided by the sum of d·d, with Δ = mean_t(swapped) - mean_t(own) and d = mean_t(target) - mean_t(true). 1 is the
    full change, 0 no change. `motion_kept` is the correlation over time of the motion with and without the swap: the
    mouth should follow the content under every emotion.
    """
    unswapped = stretch_track(swap.own, len(swap.swapped))
    for region in ("upper", "mouth"):
        columns = _COLUMNS[region]
        predicted_change = (swap.swapped.mean(axis=0) - swap.own.mean(axis=0))[columns]
        true_change = (swap.target.mean(axis=0) - swap.true.mean(axis=0))[columns]
        weight = float(true_change @ true_change)
        if weight > 0:
            shift = float(predicted_change @ true_change) / weight
            yield Score(clip_id, "emotion_shift", region, predictor, shift, "ratio", weight)
        kept = correlation(swap.swapped[:, columns], unswapped[:, columns])
        yield Score(clip_id, "motion_kept", region, predictor, kept, "Pearson's r")


def _score_classification(predicted_emotions: pd.DataFrame) -> Iterator[Score]:
    """Score the emotion classifier; the accuracy is not clean if its pretrained weights were trained on the corpus."""
    labelled = predicted_emotions[predicted_emotions["emotion"] >= 0]
    if labelled.empty:
        return
    frequent = labelled["emotion"].mode()[0]
    for row in labelled.to_dict("records"):
        for predictor, predicted in (("model", row["predicted_emotion"]), ("most_frequent", frequent)):
            is_correct = float(predicted == row["emotion"])
            yield Score(row["clip_id"], "emotion_accuracy", "all", predictor, is_correct, "fraction of clips")
