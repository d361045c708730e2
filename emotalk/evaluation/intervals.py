"""95 % intervals of means over clips."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats


def bootstrap_interval(
    values: Sequence[float], *, draws: int, seed: int, weights: Sequence[float] | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of the weighted mean over clips: percentile bootstrap over clips (Efron 1979)."""
    rng = np.random.default_rng(seed)
    value_array = np.asarray(values)
    weight_array = np.ones(len(value_array)) if weights is None else np.asarray(weights)
    samples = rng.integers(len(value_array), size=(draws, len(value_array)))
    weight_sums = np.maximum(weight_array[samples].sum(axis=1), 1e-12)
    means = (value_array * weight_array)[samples].sum(axis=1) / weight_sums
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def paired_interval(differences: pd.Series) -> tuple[float, float, float]:
    """Return the mean of paired differences and its 95 % interval (Student's t, which also holds for few clips)."""
    count, mean = len(differences), float(differences.mean())
    if count < 2:
        return mean, float("nan"), float("nan")
    margin = float(stats.t.ppf(0.975, count - 1) * differences.std(ddof=1) / np.sqrt(count))
    return mean, mean - margin, mean + margin
