"""Errors of every test clip: the model beside its baselines, by metric and region."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emotalk.blendshapes import REGIONS, channel_indices
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.evaluation.baselines import baseline_tracks, stretched
from emotalk.evaluation.metrics import METRICS, correlation, mean_absolute_error
from emotalk.evaluation.prediction import has_swap, read_prediction, test_examples
from emotalk.evaluation.vertices import VERTEX_METRICS, Basis

_COLUMNS = {region: channel_indices(names) for region, names in REGIONS.items()}
_UNIT = "blendshape units"


class Row(NamedTuple):
    """One value of one clip; `weight` is its share in the mean over clips."""

    clip_id: str
    metric: str
    region: str
    predictor: str
    value: float
    unit: str
    weight: float = 1.0


def errors_by_clip(
    predictions: Path,
    swapped: Path,
    store: ClipStore,
    schedule: Manifest,
    *,
    heard: pd.DataFrame,
    basis: Basis | None,
) -> pd.DataFrame:
    """Table with the columns of :class:`Row`; what cannot be told of a clip (NaN) is left out."""
    baselines = baseline_tracks(store, schedule)
    rows: list[Row] = []
    for example in test_examples(schedule):
        clip_id = example["audio_c1e2"]
        true = store[clip_id].track
        own = read_prediction(predictions, clip_id)
        rows += _own_emotion(clip_id, own[: len(true)], true, baselines, basis)
        if has_swap(example):
            worn = read_prediction(swapped, clip_id)
            wanted = store[example["track_c1e1"]].track
            # Baselines are of the clip that has the words and the emotion: the nearest clip to it, above all.
            tracks = {"model": worn, "own_emotion": stretched(own, len(wanted))}
            tracks |= {name: face(example["track_c1e1"], len(wanted)) for name, face in baselines.items()}
            rows += _cross_errors(clip_id, tracks, wanted)
            rows += _moved(clip_id, Swap(own, worn, true, wanted))
    rows += _heard_emotions(heard)
    table = pd.DataFrame(rows, columns=Row._fields)
    return table[np.isfinite(table["value"])]


def _own_emotion(
    clip_id: str,
    predicted: np.ndarray,
    true: np.ndarray,
    baselines: Mapping[str, Callable[[str, int], np.ndarray]],
    basis: Basis | None,
) -> Iterator[Row]:
    """Reconstruction of the clip itself."""
    tracks = {"model": predicted} | {name: face(clip_id, len(true)) for name, face in baselines.items()}
    for metric in METRICS:
        for region in metric.regions:
            columns = slice(None) if metric.whole else _COLUMNS[region]
            for predictor, track in tracks.items():
                value = metric.function(track[:, columns], true[:, columns])
                yield Row(clip_id, metric.name, region, predictor, value, metric.unit)
    if basis is not None:
        for predictor, track in tracks.items():
            distances = {region: basis.distances(track, true, region) for region in basis.indices}
            for name, (region, function, unit) in VERTEX_METRICS.items():
                yield Row(clip_id, name, region, predictor, function(distances[region]), unit)


def _cross_errors(clip_id: str, tracks: Mapping[str, np.ndarray], wanted: np.ndarray) -> Iterator[Row]:
    """Cross-reconstruction: the words of this clip with the emotion of another, against the clip that has both.

    Beside it the same words without the swap (`own_emotion`) and the baselines.
    """
    for region, columns in _COLUMNS.items():
        for predictor, track in tracks.items():
            value = mean_absolute_error(track[:, columns], wanted[:, columns])
            yield Row(clip_id, "cross_mae", region, predictor, value, _UNIT)


class Swap(NamedTuple):
    """A clip's words with its own emotion and with another, predicted and true: four tracks."""

    own: np.ndarray
    swapped: np.ndarray
    true: np.ndarray
    wanted: np.ndarray


def _moved(clip_id: str, swap: Swap) -> Iterator[Row]:
    """What the swap of emotion does.

    `emotion_shift` tells how far it moves the mean face from where it was towards where it should be: the sum over
    clips of Δ·d by that of d·d, with Δ = mean_t(swapped) - mean_t(own) and d = mean_t(wanted) - mean_t(true); 1 is all
    the way, 0 not at all. `motion_kept` is the correlation over time of the motion with and without the swap: the words
    should move the mouth alike, whatever the emotion.
    """
    unswapped = stretched(swap.own, len(swap.swapped))
    for region in ("upper", "mouth"):
        columns = _COLUMNS[region]
        moved = (swap.swapped.mean(axis=0) - swap.own.mean(axis=0))[columns]
        way = (swap.wanted.mean(axis=0) - swap.true.mean(axis=0))[columns]
        length = float(way @ way)
        if length > 0:
            yield Row(clip_id, "emotion_shift", region, "model", float(moved @ way) / length, "part of the way", length)
        kept = correlation(swap.swapped[:, columns], unswapped[:, columns])
        yield Row(clip_id, "motion_kept", region, "model", kept, "Pearson's r")


def _heard_emotions(heard: pd.DataFrame) -> Iterator[Row]:
    """Accuracy of the emotion encoder; it says little where its pretrained weights have heard the corpus."""
    labelled = heard[heard["emotion"] >= 0]
    if labelled.empty:
        return
    frequent = labelled["emotion"].mode()[0]
    for row in labelled.to_dict("records"):
        for predictor, guess in (("model", row["heard"]), ("most_frequent", frequent)):
            right = float(guess == row["emotion"])
            yield Row(row["clip_id"], "emotion_accuracy", "all", predictor, right, "part of clips")
