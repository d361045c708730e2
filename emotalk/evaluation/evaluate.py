"""The table of metrics: the model beside baselines, by region of the face."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emotalk.blendshapes import CHANNELS
from emotalk.config.use import EvaluateSettings
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.errors import EvaluationError
from emotalk.evaluation.baselines import bootstrap_interval
from emotalk.evaluation.errors_by_clip import errors_by_clip
from emotalk.evaluation.metrics import channel_correlations
from emotalk.evaluation.prediction import predict_test_split, read_prediction, test_examples
from emotalk.evaluation.vertices import read_basis
from emotalk.model.weights import load_weights

_LOG = logging.getLogger(__name__)
_COLUMNS = ["metric", "region", "predictor", "value", "low", "high", "unit"]


def evaluate(
    weights: str | Path,
    clips: Sequence[str | Path],
    manifest: str | Path,
    *,
    predictions: str | Path,
    swapped: str | Path,
    metrics: str | Path,
    by_clip: str | Path,
    channels: str | Path,
    settings: EvaluateSettings,
    seed: int,
    device: torch.device,
) -> None:
    """Predict the test split and score it beside the baselines.

    Writes `predictions/<clip_id>.npy` and, with another clip's emotion, `swapped/<clip_id>.npy`; to `metrics` one row a
    (metric, region, predictor): the mean over test clips and its 95 % interval; to `by_clip` the values of every clip;
    to `channels` the error and the correlation of each channel.
    """
    basis = settings.basis
    vertices = None if basis is None else read_basis(basis, mm_per_unit=settings.mm_per_unit)
    schedule, store = Manifest(manifest), ClipStore(clips)
    folder = Path(predictions)
    if not schedule.examples("test"):
        _LOG.warning("The test split has no clip, so nothing is evaluated. Hold data out by 'split' to evaluate.")
        _write_nothing(folder, Path(swapped), metrics, by_clip, channels)
        return
    heard = predict_test_split(
        load_weights(weights, device), store, schedule, folder, swapped=Path(swapped), subject=settings.subject
    )
    table = errors_by_clip(folder, Path(swapped), store, schedule, heard=heard, basis=vertices)
    table.assign(predicted_subject=str(settings.subject)).to_parquet(by_clip, index=False)
    _channel_table(folder, store, schedule).to_csv(channels, index=False)
    result = _means(table, draws=settings.bootstrap_draws, seed=seed)
    result.to_csv(metrics, index=False)
    shown = result.to_string(index=False, float_format="%.4f")
    _LOG.info("Test split, subject %s (mean over clips, 95 %% interval):\n%s", settings.subject, shown)


def _write_nothing(
    predictions: Path, swapped: Path, metrics: str | Path, by_clip: str | Path, channels: str | Path
) -> None:
    """Write what `evaluate` writes, empty."""
    for folder in (predictions, swapped):
        folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns=_COLUMNS).to_csv(metrics, index=False)
    pd.DataFrame({"clip_id": [], "predicted_subject": []}, dtype=str).to_parquet(by_clip, index=False)
    pd.DataFrame(columns=["channel", "mae", "correlation"]).to_csv(channels, index=False)


def _means(table: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """Means over clips and their intervals."""
    rows = []
    for labels, group in table.groupby(["metric", "region", "predictor", "unit"], sort=False):
        metric, region, predictor, unit = labels
        values, weights = group["value"].tolist(), group["weight"].tolist()
        low, high = bootstrap_interval(values, draws=draws, seed=seed, weights=weights)
        rows.append((metric, region, predictor, float(np.average(values, weights=weights)), low, high, unit))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _channel_table(predictions: Path, store: ClipStore, schedule: Manifest) -> pd.DataFrame:
    """For each channel the error and the correlation, means over test clips; no correlation where truth never moves."""
    errors, correlations = [], []
    for example in test_examples(schedule):
        true = store[example["audio_c1e2"]].track
        predicted = read_prediction(predictions, example["audio_c1e2"])[: len(true)]
        errors.append(np.abs(predicted - true).mean(axis=0))
        correlations.append(channel_correlations(predicted, true))
    known = pd.DataFrame(correlations, columns=CHANNELS).mean(skipna=True)
    return pd.DataFrame({"channel": CHANNELS, "mae": np.mean(errors, axis=0), "correlation": known.to_numpy()})


def mouth_improvement(metrics: pd.DataFrame) -> float:
    """By which fraction the model's mouth error lies below that of the training clips' mean face."""
    mouth = metrics[(metrics["metric"] == "mae") & (metrics["region"] == "mouth")].set_index("predictor")["value"]
    return float(1 - mouth["model"] / mouth["mean_face"])


def check_improvement(metrics: str | Path, out: str | Path, *, required: float | None) -> None:
    """Refuse a model whose mouth is not clearly better than the mean face; `None` refuses nothing.

    Raises
    ------
    EvaluationError
        If the improvement falls short of `required`.
    """
    table = pd.read_csv(metrics)
    if table.empty:
        if required is not None:
            raise EvaluationError(
                "The test split has no clip, so evaluate.required_improvement cannot be checked. Set it to null, or "
                "hold data out by 'split'."
            )
        Path(out).write_text("Nothing to check: there is no test split.\n", encoding="utf-8")
        return
    found = mouth_improvement(table)
    said = f"The model's mouth error lies {found:.1%} below that of the mean face"
    if required is not None and found < required:
        raise EvaluationError(
            f"{said}; evaluate.required_improvement asks for {required:.1%}. Train longer, or look at the losses in "
            "the report: a network that has not learned shows a still face."
        )
    Path(out).write_text(f"{said}.\n", encoding="utf-8")
    _LOG.info("%s.", said)
