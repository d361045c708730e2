"""Intervals of means over clips."""

from collections.abc import Sequence

import numpy as np


def bootstrap_interval(
    values: Sequence[float], *, draws: int, seed: int, weights: Sequence[float] | None = None
) -> tuple[float, float]:
    """95 % interval of the weighted mean over clips, by drawing clips with replacement (percentile, Efron 1979)."""
    rng = np.random.default_rng(seed)
    numbers = np.asarray(values)
    shares = np.ones(len(numbers)) if weights is None else np.asarray(weights)
    drawn = rng.integers(len(numbers), size=(draws, len(numbers)))
    means = (numbers * shares)[drawn].sum(axis=1) / np.maximum(shares[drawn].sum(axis=1), 1e-12)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
