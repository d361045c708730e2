import numpy as np
import pytest

from emotalk.data.smoothing import smooth_track


def smooth(track, **settings):
    return smooth_track(track, **{"window": 5, "order": 2, **settings})


def test_a_parabola_is_not_changed():
    t = np.linspace(-1, 1, 50)[:, None]
    parabola = (0.3 * t**2 - 0.2 * t + 0.1).astype(np.float32) * np.ones((1, 52), np.float32)
    np.testing.assert_allclose(smooth(parabola), parabola, atol=1e-6)


def test_white_noise_is_reduced_by_the_norm_of_the_filter():
    """The central coefficients are (-3, 12, 17, 12, -3) / 35, whose squares sum to 17 / 35."""
    noise = np.random.default_rng(0).standard_normal((4000, 52)).astype(np.float32)
    assert smooth(noise)[2:-2].std() == pytest.approx(np.sqrt(17 / 35), rel=0.01)


def test_channels_are_smoothed_independently():
    track = np.zeros((20, 52), np.float32)
    track[10, 3] = 1
    assert np.flatnonzero(smooth(track).any(axis=0)).tolist() == [3]


def test_negative_values_are_kept_unless_clip_negatives_is_set():
    track = np.full((20, 52), -0.05, np.float32)
    np.testing.assert_allclose(smooth(track), track, atol=1e-6)
    assert (smooth(track, clip_negatives=True) == 0).all()


def test_a_track_shorter_than_the_window_is_not_changed():
    track = np.random.default_rng(0).random((4, 52)).astype(np.float32)
    assert (smooth(track) == track).all()
