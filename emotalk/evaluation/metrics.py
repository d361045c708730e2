"""Errors of predicted motion, by clip, and their means with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


def mean_absolute_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean over frames and channels of |p - t|, in blendshape units (0 to 1).

    Parameters
    ----------
    predicted, true : (T, C)
    """
    return float(np.abs(predicted - true).mean())


def velocity_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean over neighbouring frames and channels of |(p_t - p_{t-1}) - (b_t - b_{t-1})|, in units a frame."""
    return float(np.abs(np.diff(predicted, axis=0) - np.diff(true, axis=0)).mean())


@dataclass(frozen=True)
class Metric:
    """A metric by its name in the table, its unit, and its function of (predicted, true)."""

    name: str
    unit: str
    function: Callable[[np.ndarray, np.ndarray], float]


METRICS = (
    Metric("mae", "blendshape units", mean_absolute_error),
    Metric("velocity_error", "blendshape units a frame", velocity_error),
)


def bootstrap_interval(values: Sequence[float], *, draws: int, seed: int) -> tuple[float, float]:
    """95 % interval of the mean over clips, by drawing clips with replacement (percentile method, Efron 1979)."""
    rng = np.random.default_rng(seed)
    numbers = np.asarray(values)
    means = numbers[rng.integers(len(numbers), size=(draws, len(numbers)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
