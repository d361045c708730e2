"""The table of metrics: the model beside baselines, by region of the face."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emotalk.blendshapes import NUM_CHANNELS, REGIONS, channel_indices
from emotalk.corpus.clips import ClipStore
from emotalk.evaluation.metrics import METRICS, bootstrap_interval
from emotalk.evaluation.prediction import predict_test_split, test_examples
from emotalk.model.weights import load_weights
from emotalk.training.schedule import Schedule

_LOG = logging.getLogger(__name__)
_COLUMNS = ["metric", "region", "predictor", "value", "low", "high", "unit"]


def evaluate(
    weights: str | Path,
    clips: Sequence[str | Path],
    manifest: str | Path,
    *,
    predictions: str | Path,
    metrics: str | Path,
    person: str | int,
    bootstrap_draws: int,
    seed: int,
    device: torch.device,
) -> None:
    """Predict the test split and score it beside the baselines.

    Writes `predictions/<clip_id>.npy` and, to `metrics`, one row a (metric, region, predictor): the mean over test
    clips and its 95 % interval.

    Parameters
    ----------
    person
        Subject that the network is told; see `emotalk.evaluation.prediction.predict_test_split`.
    """
    schedule, store = Schedule(manifest), ClipStore(clips)
    predict_test_split(load_weights(weights, device), store, schedule, Path(predictions), person=person)
    rows = list(_errors_by_clip(Path(predictions), store, schedule))
    table = pd.DataFrame(rows, columns=["metric", "region", "predictor", "error", "unit"])
    summary = []
    for labels, group in table.groupby(["metric", "region", "predictor", "unit"], sort=False):
        metric, region, predictor, unit = labels
        low, high = bootstrap_interval(group["error"].tolist(), draws=bootstrap_draws, seed=seed)
        summary.append((metric, region, predictor, group["error"].mean(), low, high, unit))
    result = pd.DataFrame(summary, columns=_COLUMNS)
    result.to_csv(metrics, index=False)
    _LOG.info("Errors on the test split (mean over clips, 95 %% interval):\n%s", result.to_string(index=False))


def mean_face(store: ClipStore, schedule: Schedule) -> np.ndarray:
    """Mean over all frames of the training clips, (52,)."""
    total, count = np.zeros(NUM_CHANNELS), 0
    for clip_id in schedule.training_clips():
        track = store[clip_id].track
        total += track.sum(axis=0, dtype=np.float64)
        count += len(track)
    return (total / count).astype(np.float32)


def _errors_by_clip(
    predictions: Path, store: ClipStore, schedule: Schedule
) -> Iterator[tuple[str, str, str, float, str]]:
    """Metric, region, predictor, error and unit for each test clip."""
    still = {"mean_face": mean_face(store, schedule), "still_face": np.zeros(NUM_CHANNELS, np.float32)}
    for example in test_examples(schedule):
        true = store[example["audio_c1e2"]].track
        predicted = np.load(predictions / f"{example['audio_c1e2']}.npy", allow_pickle=False)
        tracks = {"model": predicted[: len(true)]} | {
            name: np.broadcast_to(face, true.shape) for name, face in still.items()
        }
        for metric in METRICS:
            for region, names in REGIONS.items():
                columns = channel_indices(names)
                for predictor, track in tracks.items():
                    error = metric.function(track[:, columns], true[:, columns])
                    yield metric.name, region, predictor, error, metric.unit
