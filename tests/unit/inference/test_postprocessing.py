"""Smoothing and blinks after prediction."""

import numpy as np

from emotalk.blendshapes import CHANNELS
from emotalk.inference.postprocessing import smoothed, with_blinks

LIDS = [CHANNELS.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]


def test_blinks_last_7_frames_and_come_every_60_to_180(tmp_path):
    track = np.full((6000, 52), 0.3, np.float32)
    blinking = with_blinks(track, seed=1)
    lids = blinking[:, LIDS]
    assert (lids[:, 0] == lids[:, 1]).all()
    starts = np.flatnonzero((lids[1:, 0] > 0) & (lids[:-1, 0] == 0)) + 1
    pauses = np.diff(starts)
    assert pauses.min() >= 60
    assert pauses.max() <= 180
    closed = [int((lids[start : start + 20, 0] > 0).sum()) for start in starts[:-1]]
    assert set(closed) == {7}
    assert lids.max() == 1
    np.testing.assert_array_equal(np.delete(blinking, LIDS, axis=1), np.delete(track, LIDS, axis=1))


def test_a_seed_decides_the_blinks():
    track = np.zeros((500, 52), np.float32)
    np.testing.assert_array_equal(with_blinks(track, seed=4), with_blinks(track, seed=4))
    assert (with_blinks(track, seed=4) != with_blinks(track, seed=5)).any()


def test_smoothing_leaves_parabolas_and_quietens_noise():
    time = np.linspace(0, 1, 40)[:, None] * np.ones(52)
    np.testing.assert_allclose(smoothed((time**2).astype(np.float32)), time**2, atol=1e-5)
    noise = np.random.default_rng(0).standard_normal((400, 52)).astype(np.float32)
    assert np.diff(smoothed(noise), n=2, axis=0).std() < 0.5 * np.diff(noise, n=2, axis=0).std()
