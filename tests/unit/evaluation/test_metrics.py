"""Metrics of cases that are computed by hand."""

import numpy as np
import pytest

from emotalk.blendshapes import CHANNELS, channel_indices
from emotalk.evaluation import metrics
from emotalk.evaluation.intervals import bootstrap_interval
from emotalk.evaluation.metrics import METRICS

RAMP = 0.1 * np.arange(10)[:, None] * np.ones((1, 3))
STILL = np.zeros((10, 3))


def test_errors_of_a_hand_computed_case():
    predicted, true = np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([[0.2, 0.6], [0.5, 0.1]])
    assert metrics.mean_absolute_error(predicted, true) == pytest.approx((0.2 + 0.4 + 0 + 0.4) / 4)
    assert metrics.root_mean_square_error(predicted, true) == pytest.approx(((0.04 + 0.16 + 0 + 0.16) / 4) ** 0.5)


def test_a_constant_offset_changes_only_the_mae():
    track = np.random.default_rng(0).random((20, 52))
    assert metrics.mean_absolute_error(track + 0.3, track) == pytest.approx(0.3)
    assert metrics.velocity_error(track + 0.3, track) == pytest.approx(0)
    assert metrics.acceleration_error(track + 0.3, track) == pytest.approx(0)
    assert metrics.correlation(track + 0.3, track) == pytest.approx(1)
    assert metrics.jitter_ratio(track + 0.3, track) == pytest.approx(1)
    assert metrics.dynamics_deviation(track + 0.3, track) == pytest.approx(0)


def test_the_velocity_error_of_a_still_face_against_a_ramp_is_the_slope():
    assert metrics.velocity_error(STILL, RAMP) == pytest.approx(0.1)
    assert metrics.acceleration_error(STILL, RAMP) == pytest.approx(0)


def test_the_acceleration_error_is_the_mean_second_difference():
    true = np.array([[0.0], [0.0], [1.0], [0.0]])
    assert metrics.acceleration_error(np.zeros((4, 1)), true) == pytest.approx((1 + 2) / 2)


def test_the_correlation_is_the_mean_over_channels_that_move():
    true = np.stack([np.sin(np.arange(50)), np.cos(np.arange(50)), np.full(50, 0.3)], axis=1)
    predicted = np.stack([2 * true[:, 0] + 1, -true[:, 1], np.sin(np.arange(50))], axis=1)
    np.testing.assert_allclose(metrics.channel_correlations(predicted, true), [1, -1, np.nan], atol=1e-9)
    assert metrics.correlation(predicted, true) == pytest.approx(0)
    assert metrics.correlation(np.zeros_like(true), true) == 0
    assert np.isnan(metrics.correlation(predicted, np.zeros_like(true)))


def test_the_jitter_ratio_is_relative_to_the_true_jitter():
    noise = np.random.default_rng(0).random((40, 4))
    assert metrics.jitter_ratio(0.25 * noise, noise) == pytest.approx(0.25)
    assert np.isnan(metrics.jitter_ratio(noise, STILL))


def test_the_dynamics_deviation_is_negative_if_the_prediction_moves_less():
    true = np.stack([np.tile([0.0, 0.4], 10), np.tile([0.0, 0.2], 10)], axis=1)
    predicted = np.stack([np.tile([0.0, 0.2], 10), np.tile([0.0, 0.6], 10)], axis=1)
    assert metrics.dynamics_deviation(predicted, true) == pytest.approx((-0.1 + 0.2) / 2)
    assert metrics.absolute_dynamics_deviation(predicted, true) == pytest.approx((0.1 + 0.2) / 2)
    assert metrics.dynamics_deviation(np.zeros_like(true), true) < 0


def lips(*openings: float) -> np.ndarray:
    track = np.zeros((len(openings), len(CHANNELS)))
    track[:, channel_indices(["jawOpen"])[0]] = openings
    return track


def test_lips_are_closed_in_the_lowest_part_of_the_true_range():
    true = lips(*[0.0] * 4, *[1.0] * 6)
    predicted = lips(0.0, 0.0, 0.0, 0.5, 0.0, *[0.9] * 5)
    assert metrics.lip_closure_precision(predicted, true) == pytest.approx(3 / 4)
    assert metrics.lip_closure_recall(predicted, true) == pytest.approx(3 / 4)
    assert metrics.lip_closure_recall(lips(*[0.5] * 10), true) == 0
    assert metrics.lip_closure_precision(lips(*[0.5] * 10), true) == 0


def test_lips_closed_by_mouth_close_over_an_open_jaw_count_as_closed():
    true = lips(*[0.0] * 4, *[1.0] * 6)
    predicted = lips(*[0.6] * 10)
    predicted[:4, channel_indices(["mouthClose"])[0]] = 0.6
    assert metrics.lip_closure_recall(predicted, true) == 1


def test_a_true_mouth_that_never_moves_has_no_closures():
    assert np.isnan(metrics.lip_closure_recall(lips(*[0.1] * 5), lips(*[0.3] * 5)))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_true_track_has_the_best_value_of_every_metric(metric):
    true = np.random.default_rng(2).random((60, 52))
    best = {"low": 0.0, "high": 1.0}.get(metric.better, metric.better)
    assert metric.function(true, true) == pytest.approx(best)


def test_the_interval_of_equal_values_is_a_point_and_of_different_values_contains_the_mean():
    assert bootstrap_interval([0.2] * 10, draws=100, seed=1) == pytest.approx((0.2, 0.2))
    values = np.random.default_rng(0).normal(1.0, 0.5, 400)
    low, high = bootstrap_interval(values.tolist(), draws=2000, seed=1)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(400), rel=0.1)


def test_a_clip_of_weight_zero_does_not_count():
    assert bootstrap_interval([0.0, 1.0], draws=200, seed=1, weights=[0.0, 1.0])[1] == 1.0
