"""Evaluation of a model: table of metrics by face region, compared with baselines."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emotalk.blendshapes import CHANNELS
from emotalk.config.prediction import EvaluateSettings
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.errors import EvaluationError
from emotalk.evaluation.clip_scores import score_clips
from emotalk.evaluation.comparison import COLUMNS as COMPARISON_COLUMNS
from emotalk.evaluation.comparison import GROUP, add_groups, compare, group_test_clips
from emotalk.evaluation.intervals import bootstrap_interval
from emotalk.evaluation.metrics import channel_correlations
from emotalk.evaluation.prediction import predict_test_split, read_prediction, select_test_examples
from emotalk.evaluation.vertices import read_basis
from emotalk.logs import LOG_FILE_ONLY
from emotalk.model.emotion_references import EmotionReferences
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
    by_name: str | Path,
    metrics: str | Path,
    by_clip: str | Path,
    groups: str | Path,
    comparisons: str | Path,
    channels: str | Path,
    settings: EvaluateSettings,
    seed: int,
    device: torch.device,
) -> None:
    """Predict the test split and score the predictions and the baselines.

    Parameters
    ----------
    predictions
        Folder for predictions `<clip_id>.npy` with the clip's own emotion.
    swapped
        Folder for predictions `<clip_id>.npy` with the emotion of another clip.
    by_name
        Folder for predictions `<clip_id>.npy` with the same emotion by name, from the references of the weights.
    metrics
        CSV file with one row per metric, region and predictor: mean over test clips and 95 % interval.
    by_clip
        Parquet file with the values of each clip.
    groups
        CSV file with the rows of `metrics` by corpus and by whether training contains the sentence.
    comparisons
        CSV file of :func:`emotalk.evaluation.comparison.compare`.
    channels
        CSV file with error and correlation of each channel.
    """
    basis = settings.basis
    vertices = None if basis is None else read_basis(basis, mm_per_unit=settings.mm_per_unit)
    loaded_manifest, store = Manifest(manifest), ClipStore(clips)
    folder, swapped, by_name = Path(predictions), Path(swapped), Path(by_name)
    if not loaded_manifest.examples("test"):
        _LOG.warning(
            "Nothing is evaluated, because the test split has no clips. To evaluate, hold data out by 'split'."
        )
        for output in (folder, swapped, by_name):
            output.mkdir(parents=True, exist_ok=True)
        empty = pd.DataFrame({"clip_id": [], "predicted_subject": []}, dtype=str)
        empty.to_parquet(by_clip, index=False)
        for path, columns in (
            (metrics, _COLUMNS),
            (groups, [*GROUP, *_COLUMNS, "num_clips"]),
            (comparisons, COMPARISON_COLUMNS),
            (channels, ["channel", "mae", "correlation"]),
        ):
            pd.DataFrame(columns=columns).to_csv(path, index=False)
        return
    predicted_emotions = predict_test_split(
        load_weights(weights, device),
        EmotionReferences.from_weights(Path(weights)),
        store,
        loaded_manifest,
        folder,
        swapped=swapped,
        by_name=by_name,
        subject=settings.subject,
    )
    table = score_clips(
        folder, swapped, by_name, store, loaded_manifest, predicted_emotions=predicted_emotions, basis=vertices
    )
    table.assign(predicted_subject=str(settings.subject)).to_parquet(by_clip, index=False)
    _score_channels(folder, store, loaded_manifest).to_csv(channels, index=False)
    grouped = add_groups(table, group_test_clips(store, loaded_manifest))
    _average(grouped, GROUP, draws=settings.bootstrap_draws, seed=seed).to_csv(groups, index=False)
    compare(grouped).to_csv(comparisons, index=False)
    result = _average(table, draws=settings.bootstrap_draws, seed=seed)[_COLUMNS]
    result.to_csv(metrics, index=False)
    text = result.to_string(index=False, float_format="%.4f")
    message = "Test split, subject %s (mean over clips, 95 %% interval):\n%s"
    _LOG.info(message, settings.subject, text, extra=LOG_FILE_ONLY)


def _average(table: pd.DataFrame, keys: Sequence[str] = (), *, draws: int, seed: int) -> pd.DataFrame:
    """Average over clips, with bootstrap intervals; separately for each value of the columns `keys`."""
    rows = []
    columns = ["metric", "region", "predictor", "unit"]
    for labels, group in table.groupby([*keys, *columns], sort=False):
        values, weights = group["value"].tolist(), group["weight"].tolist()
        low, high = bootstrap_interval(values, draws=draws, seed=seed, weights=weights)
        mean = float(np.average(values, weights=weights))
        rows.append((*labels, mean, low, high, len(values)))
    result = pd.DataFrame(rows, columns=[*keys, *columns, "value", "low", "high", "num_clips"])
    return result[[*keys, *_COLUMNS, "num_clips"]]


def _score_channels(predictions: Path, store: ClipStore, manifest: Manifest) -> pd.DataFrame:
    """Mean error and correlation of each channel over test clips; NaN correlation if the true channel never moves."""
    errors, correlations = [], []
    for example in select_test_examples(manifest):
        true = store[example["audio_c1e2"]].track
        predicted = read_prediction(predictions, example["audio_c1e2"])[: len(true)]
        errors.append(np.abs(predicted - true).mean(axis=0))
        correlations.append(channel_correlations(predicted, true))
    mean_correlations = pd.DataFrame(correlations, columns=CHANNELS).mean(skipna=True)
    columns = {"channel": CHANNELS, "mae": np.mean(errors, axis=0), "correlation": mean_correlations.to_numpy()}
    return pd.DataFrame(columns)


def mouth_improvement(metrics: pd.DataFrame) -> float:
    """Return by which fraction the model's mouth error is below that of the mean face (negative if above)."""
    mouth = metrics[(metrics["metric"] == "mae") & (metrics["region"] == "mouth")].set_index("predictor")["value"]
    return float(1 - mouth["model"] / mouth["mean_face"])


def check_improvement(metrics: str | Path, out: str | Path, *, required: float | None) -> None:
    """Raise an error if the model's mouth error is not sufficiently below that of the mean face.

    Parameters
    ----------
    metrics
        Table written by `evaluate`.
    out
        Text file for the result.
    required
        Required improvement as a fraction, see `mouth_improvement`; None disables the check.

    Raises
    ------
    EvaluationError
        If the improvement is less than `required`, or cannot be computed.
    """
    table = pd.read_csv(metrics)
    if table.empty:
        if required is not None:
            raise EvaluationError(
                "evaluate.required_improvement cannot be checked, because the test split has no clips. Set it to null, "
                "or hold data out by 'split'."
            )
        Path(out).write_text("Nothing to check: there is no test split.\n", encoding="utf-8")
        return
    improvement = mouth_improvement(table)
    side = "below" if improvement >= 0 else "above"
    result = f"The model's mouth error is {abs(improvement):.1%} {side} that of the mean face"
    if required is not None and improvement < required:
        raise EvaluationError(
            f"{result}; evaluate.required_improvement is {required:.1%}. Train longer, or check the losses in the "
            "report. An untrained network predicts a still face."
        )
    Path(out).write_text(f"{result}.\n", encoding="utf-8")
    _LOG.info("%s.", result)
