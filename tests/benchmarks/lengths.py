"""Lengths of 3D-ETF's recordings."""

import numpy as np

MEAN_RAVDESS_FRAMES, HDTF_FRAMES = round(159_702 / 1440), round(543_240 / 179)
"""3D-ETF: 1,440 recordings of RAVDESS with 159,702 frames, 179 of HDTF with 543,240 (DOMAIN.md, section 1)."""


def ravdess_lengths(count: int) -> list[int]:
    """Lengths in frames like those of RAVDESS, between 3 and 5.3 s."""
    drawn = np.random.default_rng(0).normal(MEAN_RAVDESS_FRAMES, 11, count)
    return np.clip(drawn, 90, 158).astype(int).tolist()
