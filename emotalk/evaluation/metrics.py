"""Metrics of predicted motion: pure functions of two tracks.

p is the predicted and b the true (captured) track, (T, C), with frames t and channels c, in blendshape units (0 to 1).
Papers use the same names for different formulas (docs/metrics.md), so that names here state what is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emotalk.blendshapes import REGIONS
from emotalk.data.av_sync import mouth_opening

_STILL = 1e-4
_CLOSED_FRACTION = 0.15


def mean_absolute_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean over frames and channels of |p - b|."""
    return float(np.abs(predicted - true).mean())


def root_mean_square_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the square root of the mean over frames and channels of (p - b)²."""
    return float(np.sqrt(np.square(predicted - true).mean()))


def correlation(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean of :func:`channel_correlations` over the channels that move in b; NaN if none moves."""
    values = channel_correlations(predicted, true)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def channel_correlations(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return Pearson's r over time of each channel, (C,): NaN if b is constant, 0 if only p is constant."""
    p, b = predicted - predicted.mean(axis=0), true - true.mean(axis=0)
    norms = np.sqrt(np.square(p).sum(axis=0) * np.square(b).sum(axis=0))
    is_defined = (norms > 0) & (p.std(axis=0) > _STILL / 100)
    values = np.divide((p * b).sum(axis=0), norms, out=np.zeros(p.shape[1]), where=is_defined)
    return np.where(b.std(axis=0) > _STILL, values, np.nan)


def velocity_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean over frames and channels of |(p_t - p_{t-1}) - (b_t - b_{t-1})|, in units per frame."""
    return mean_absolute_error(np.diff(predicted, axis=0), np.diff(true, axis=0))


def acceleration_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean of |p″ - b″| with x″_t = x_{t+1} - 2 x_t + x_{t-1}, in units per frame²."""
    return mean_absolute_error(np.diff(predicted, n=2, axis=0), np.diff(true, n=2, axis=0))


def jitter_ratio(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return mean |p″| divided by mean |b″|: below 1 too smooth, above 1 trembling; NaN if b is constant."""
    true_jitter = np.abs(np.diff(true, n=2, axis=0)).mean()
    predicted_jitter = np.abs(np.diff(predicted, n=2, axis=0)).mean()
    return float(predicted_jitter / true_jitter) if true_jitter > 0 else float("nan")


def dynamics_deviation(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean over channels of std_t(p) - std_t(b): below 0 if the face moves less than the captured face.

    Source
    ------
    Upper-face dynamics deviation of CodeTalker (CVPR 2023), on coefficients instead of vertices, and with the sign
    predicted minus true.
    """
    return float((predicted.std(axis=0) - true.std(axis=0)).mean())


def absolute_dynamics_deviation(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean over channels of |std_t(p) - std_t(b)|, in which opposite deviations do not cancel."""
    return float(np.abs(predicted.std(axis=0) - true.std(axis=0)).mean())


def lip_closure_precision(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the fraction of predicted lip closures (frames) that are true ones; see `find_closed_lips`."""
    predicted_closed, true_closed = find_closed_lips(predicted, true)
    return _fraction(predicted_closed & true_closed, predicted_closed) if true_closed.any() else float("nan")


def lip_closure_recall(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the fraction of true lip closures (frames) that are predicted; see `find_closed_lips`."""
    predicted_closed, true_closed = find_closed_lips(predicted, true)
    return _fraction(predicted_closed & true_closed, true_closed) if true_closed.any() else float("nan")


def find_closed_lips(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the frames with closed lips in two (T, 52) tracks, (T,) bool each.

    The mouth opening is jawOpen + mouthLowerDown (left and right) - mouthClose. Lips count as closed if the opening is
    in the lowest 15 % of the true track's range (5th to 95th percentile); both tracks have the same threshold. A true
    mouth that does not move has no closures.
    """
    openings = mouth_opening(predicted), mouth_opening(true)
    low, high = np.percentile(openings[1], [5, 95])
    if high - low < _STILL:
        return np.zeros(len(predicted), bool), np.zeros(len(true), bool)
    threshold = low + _CLOSED_FRACTION * (high - low)
    return openings[0] <= threshold, openings[1] <= threshold


def _fraction(part: np.ndarray, whole: np.ndarray) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else 0.0


@dataclass(frozen=True)
class Metric:
    """A metric of the table: name, unit, function of (predicted, true), and the regions that it is computed for.

    Attributes
    ----------
    better
        "low", "high", or the best value.
    uses_all_channels
        If true, the function receives all 52 channels instead of those of the region.
    ranks
        Whether the better value means the better prediction. False where a face that never moves can have the best
        value.
    """

    name: str
    unit: str
    function: Callable[[np.ndarray, np.ndarray], float]
    regions: tuple[str, ...]
    better: str | float = "low"
    uses_all_channels: bool = False
    ranks: bool = True


_ALL, _UNIT = tuple(REGIONS), "blendshape units"
METRICS = (
    Metric("mae", _UNIT, mean_absolute_error, _ALL),
    Metric("rmse", _UNIT, root_mean_square_error, _ALL),
    Metric("correlation", "Pearson's r", correlation, _ALL, "high"),
    Metric("velocity_error", f"{_UNIT} per frame", velocity_error, _ALL),
    Metric("acceleration_error", f"{_UNIT} per frame²", acceleration_error, _ALL),
    Metric("jitter_ratio", "ratio", jitter_ratio, ("all", "mouth", "upper"), 1.0),
    Metric(
        "lip_closure_precision", "fraction of frames", lip_closure_precision, ("mouth",), "high", uses_all_channels=True
    ),
    Metric(
        "lip_closure_recall",
        "fraction of frames",
        lip_closure_recall,
        ("mouth",),
        "high",
        uses_all_channels=True,
        ranks=False,
    ),
    Metric("dynamics_deviation", _UNIT, dynamics_deviation, ("upper", "mouth"), 0.0),
    Metric("absolute_dynamics_deviation", _UNIT, absolute_dynamics_deviation, ("upper", "mouth")),
)

_BETTER = {metric.name: metric.better for metric in METRICS} | {"emotion_accuracy": "high"}


def orient(metric: str, values: pd.DataFrame) -> pd.DataFrame:
    """Convert values of a metric so that lower is better: their negatives, or their distances to the best value."""
    better = _BETTER.get(metric, "low")
    if better == "high":
        return -values
    return values if better == "low" else (values - float(better)).abs()
