import numpy as np
import pytest

from emotalk.evaluation.metrics import bootstrap_interval, mean_absolute_error, velocity_error


def test_mean_absolute_error_of_a_hand_computed_case():
    assert mean_absolute_error(np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([[0.2, 0.6], [0.5, 0.1]])) == pytest.approx(
        0.25
    )


def test_a_constant_offset_has_no_velocity_error():
    track = np.random.default_rng(0).random((20, 52))
    assert velocity_error(track + 0.3, track) == pytest.approx(0)


def test_a_still_face_against_a_ramp_has_the_slope_as_velocity_error():
    ramp = 0.1 * np.arange(10)[:, None] * np.ones((1, 3))
    assert velocity_error(np.zeros((10, 3)), ramp) == pytest.approx(0.1)


def test_the_interval_of_equal_clips_is_a_point_and_of_unlike_clips_holds_the_mean():
    assert bootstrap_interval([0.2] * 10, draws=100, seed=1) == pytest.approx((0.2, 0.2))
    values = np.random.default_rng(0).normal(1.0, 0.5, 400)
    low, high = bootstrap_interval(values.tolist(), draws=2000, seed=1)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(400), rel=0.1)
