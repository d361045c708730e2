"""Smoothing and blinks of predicted motion."""

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.inference.postprocessing import add_blinks, smooth

LIDS = [CHANNELS.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]


def test_blinks_last_7_frames_and_start_every_60_to_180_frames():
    track = np.full((6000, 52), 0.3, np.float32)
    result = add_blinks(track, seed=1)
    lids = result[:, LIDS]
    assert (lids[:, 0] == lids[:, 1]).all()
    starts = np.flatnonzero((lids[1:, 0] > 0) & (lids[:-1, 0] == 0)) + 1
    intervals = np.diff(starts)
    assert intervals.min() >= 60
    assert intervals.max() <= 180
    lengths = [int((lids[start : start + 20, 0] > 0).sum()) for start in starts[:-1]]
    assert set(lengths) == {7}
    assert lids.max() == 1
    np.testing.assert_array_equal(np.delete(result, LIDS, axis=1), np.delete(track, LIDS, axis=1))


def test_the_seed_determines_the_blinks():
    track = np.zeros((500, 52), np.float32)
    np.testing.assert_array_equal(add_blinks(track, seed=4), add_blinks(track, seed=4))
    assert (add_blinks(track, seed=4) != add_blinks(track, seed=5)).any()


def test_smoothing_keeps_parabolas_and_reduces_noise():
    time = np.linspace(0, 1, 40)[:, None] * np.ones(52)
    np.testing.assert_allclose(smooth((time**2).astype(np.float32)), time**2, atol=1e-5)
    noise = np.random.default_rng(0).standard_normal((400, 52)).astype(np.float32)
    assert np.diff(smooth(noise), n=2, axis=0).std() < 0.5 * np.diff(noise, n=2, axis=0).std()
