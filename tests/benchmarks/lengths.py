"""Lengths of the recordings of 3D-ETF."""

import numpy as np

MEAN_RAVDESS_FRAMES, HDTF_FRAMES = round(159_702 / 1440), round(543_240 / 179)
"""3D-ETF: 1,440 recordings of RAVDESS (159,702 frames), 179 of HDTF (543,240) (docs/method.md, section "Data")."""


def ravdess_lengths(count: int) -> list[int]:
    """Random lengths (frames) similar to RAVDESS, between 3 and 5.3 s."""
    lengths = np.random.default_rng(0).normal(MEAN_RAVDESS_FRAMES, 11, count)
    return np.clip(lengths, 90, 158).astype(int).tolist()
