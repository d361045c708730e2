"""Metrics of predicted motion: pure functions of two tracks, each with its formula and unit.

p is the predicted and b the true track, (T, C); t counts frames, c channels. Tracks are in blendshape units, 0 to 1.
Public papers mean unlike things by one name (DOMAIN.md, section 5), so that names here say what is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emotalk.blendshapes import REGIONS
from emotalk.data.av_sync import mouth_opening

_STILL = 1e-4
_CLOSED_PART = 0.15


def mean_absolute_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean over frames and channels of |p - b|."""
    return float(np.abs(predicted - true).mean())


def root_mean_square_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Square root of the mean over frames and channels of (p - b)²."""
    return float(np.sqrt(np.square(predicted - true).mean()))


def correlation(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean of :func:`channel_correlations` over the channels that move in truth; NaN if none does."""
    values = channel_correlations(predicted, true)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def channel_correlations(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Pearson's r over time for each channel, (C,): NaN where truth stands still, 0 where only the prediction does."""
    p, b = predicted - predicted.mean(axis=0), true - true.mean(axis=0)
    norms = np.sqrt(np.square(p).sum(axis=0) * np.square(b).sum(axis=0))
    known = (norms > 0) & (p.std(axis=0) > _STILL / 100)
    values = np.divide((p * b).sum(axis=0), norms, out=np.zeros(p.shape[1]), where=known)
    return np.where(b.std(axis=0) > _STILL, values, np.nan)


def velocity_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean over neighbouring frames and channels of |(p_t - p_{t-1}) - (b_t - b_{t-1})|, in units a frame."""
    return mean_absolute_error(np.diff(predicted, axis=0), np.diff(true, axis=0))


def acceleration_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean of |p″ - b″| with x″_t = x_{t+1} - 2 x_t + x_{t-1}, in units a frame²."""
    return mean_absolute_error(np.diff(predicted, n=2, axis=0), np.diff(true, n=2, axis=0))


def jitter_ratio(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean |p″| over mean |b″|: 1 is as lively as truth, 0 still, more than 1 trembling; NaN if truth stands still."""
    wanted = np.abs(np.diff(true, n=2, axis=0)).mean()
    return float(np.abs(np.diff(predicted, n=2, axis=0)).mean() / wanted) if wanted > 0 else float("nan")


def dynamics_deviation(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean over channels of std_t(p) - std_t(b): below 0 the face moves less than the true one.

    Source
    ------
    Upper-face dynamics deviation of CodeTalker (CVPR 2023), on coefficients in place of vertices, and predicted less
    true, so that the sign says what is wrong.
    """
    return float((predicted.std(axis=0) - true.std(axis=0)).mean())


def absolute_dynamics_deviation(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean over channels of |std_t(p) - std_t(b)|: too much here and too little there do not cancel."""
    return float(np.abs(predicted.std(axis=0) - true.std(axis=0)).mean())


def lip_closure_precision(predicted: np.ndarray, true: np.ndarray) -> float:
    """Of the frames in which the predicted lips are closed, the part in which the true ones are; see `closed_lips`."""
    closed, wanted = closed_lips(predicted, true)
    return _part(closed & wanted, closed) if wanted.any() else float("nan")


def lip_closure_recall(predicted: np.ndarray, true: np.ndarray) -> float:
    """Of the frames in which the true lips are closed, the part in which the predicted ones are; see `closed_lips`."""
    closed, wanted = closed_lips(predicted, true)
    return _part(closed & wanted, wanted) if wanted.any() else float("nan")


def closed_lips(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames with closed lips in both (T, 52) tracks, (T,) bool each.

    The lips are open by jawOpen + mouthLowerDown (left and right) - mouthClose. They count as closed where that is
    within 15 % of the true clip's range above its least value (5th to 95th percentile); one threshold for both tracks.
    A mouth that stands still in truth has no closures.
    """
    openings = mouth_opening(predicted), mouth_opening(true)
    least, most = np.percentile(openings[1], [5, 95])
    if most - least < _STILL:
        return np.zeros(len(predicted), bool), np.zeros(len(true), bool)
    threshold = least + _CLOSED_PART * (most - least)
    return openings[0] <= threshold, openings[1] <= threshold


def _part(some: np.ndarray, of: np.ndarray) -> float:
    return float(some.sum() / of.sum()) if of.any() else 0.0


@dataclass(frozen=True)
class Metric:
    """A metric by its name in the table, its unit, its function of (predicted, true), and the regions it is shown for.

    Attributes
    ----------
    better
        "low", "high", or the value that is best.
    whole
        Whether the function wants all 52 channels, whatever the region's name.
    """

    name: str
    unit: str
    function: Callable[[np.ndarray, np.ndarray], float]
    regions: tuple[str, ...]
    better: str | float = "low"
    whole: bool = False


_ALL, _UNIT = tuple(REGIONS), "blendshape units"
METRICS = (
    Metric("mae", _UNIT, mean_absolute_error, _ALL),
    Metric("rmse", _UNIT, root_mean_square_error, _ALL),
    Metric("correlation", "Pearson's r", correlation, _ALL, "high"),
    Metric("velocity_error", f"{_UNIT} a frame", velocity_error, _ALL),
    Metric("acceleration_error", f"{_UNIT} a frame²", acceleration_error, _ALL),
    Metric("jitter_ratio", "ratio", jitter_ratio, ("all", "mouth", "upper"), 1.0),
    Metric("lip_closure_precision", "part of frames", lip_closure_precision, ("mouth",), "high", whole=True),
    Metric("lip_closure_recall", "part of frames", lip_closure_recall, ("mouth",), "high", whole=True),
    Metric("dynamics_deviation", _UNIT, dynamics_deviation, ("upper", "mouth"), 0.0),
    Metric("absolute_dynamics_deviation", _UNIT, absolute_dynamics_deviation, ("upper", "mouth")),
)
