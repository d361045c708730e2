"""Interpolation of irregular samples to tracks, with synthetic values."""

import numpy as np
import pytest

from emotalk.capture.tracks import resample_track, split_scenes


def wave(seconds, hertz=2.0):
    return np.stack([np.sin(2 * np.pi * hertz * seconds), seconds], axis=1).astype(np.float32)


def even(count, rate):
    return np.arange(count) / rate


@pytest.mark.parametrize("start", [0.0, 7.3])
@pytest.mark.parametrize("rounded", [6, 3])
def test_samples_at_30_fps_do_not_change_even_with_rounded_times(start, rounded):
    values = wave(even(60, 30))
    track = resample_track(np.round(start + even(60, 30), rounded), values, 2.0)
    np.testing.assert_array_equal(track, values)


def test_25_fps_are_interpolated_linearly():
    seconds = even(50, 25)
    track = resample_track(seconds, wave(seconds), 2.0)
    assert track.shape == (60, 2)
    np.testing.assert_allclose(track[:, 0], np.interp(even(60, 30), seconds, wave(seconds)[:, 0]), atol=1e-6)


def test_variable_times_are_resampled_correctly():
    seconds = np.sort(np.random.default_rng(0).choice(even(90, 30), 60, replace=False))
    seconds[0] = 0
    track = resample_track(seconds, wave(seconds), 3.0)
    shown = track[: int(seconds[-1] * 30)]
    np.testing.assert_allclose(shown[:, 1], even(len(shown), 30), atol=1e-6)


@pytest.mark.parametrize("rate", [50, 59.94, 60, 120])
def test_faster_motion_is_low_pass_filtered_without_delay(rate):
    seconds = even(int(4 * rate), rate)
    track = resample_track(seconds, wave(seconds), len(seconds) / rate)
    np.testing.assert_allclose(track[15:-15, 0], wave(even(len(track), 30))[15:-15, 0], atol=0.01)
    trembling = resample_track(seconds, wave(seconds, hertz=22.0), len(seconds) / rate)
    assert np.abs(trembling[15:-15, 0]).max() < 0.15


def test_a_short_gap_is_interpolated_linearly():
    seconds = even(60, 30)
    values = wave(seconds)
    values[20:34] = np.nan
    track = resample_track(seconds, values, 2.0)
    line = np.interp(seconds[20:34], seconds[[19, 34]], values[[19, 34], 0])
    np.testing.assert_allclose(track[20:34, 0], line, atol=1e-6)
    np.testing.assert_array_equal(track[:20], values[:20])


@pytest.mark.parametrize("rate", [25, 30, 60])
@pytest.mark.parametrize(("begin", "end"), [(0.0, 0.8), (1.0, 1.8), (2.2, 3.0)])
def test_only_a_long_gap_is_nan(rate, begin, end):
    seconds = even(3 * rate, rate)
    values = wave(seconds)
    values[(seconds > begin - 0.01) & (seconds < end - 0.01)] = np.nan
    track = resample_track(seconds, values, 3.0)
    marked = np.isnan(track).any(axis=1)
    rows = even(90, 30)
    assert marked[(rows >= begin + 0.02) & (rows < end - 0.05)].all()
    assert not marked[(rows <= begin - 0.05) | (rows >= end)].any()


def test_missing_frames_are_a_gap():
    seconds = np.concatenate([even(30, 30), 2 + even(30, 30)])
    marked = np.isnan(resample_track(seconds, wave(seconds), 3.0)).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(marked), np.arange(30, 60))


def test_a_track_without_a_face_is_nan():
    assert np.isnan(resample_track(even(30, 30), np.full((30, 2), np.nan, np.float32), 1.0)).all()


def test_a_single_frame_has_a_track_of_one_row():
    assert resample_track(np.array([3.0]), wave(np.zeros(1)), 1 / 30).shape == (1, 2)


def test_scenes_are_divided_at_cuts():
    cuts = np.zeros(90, bool)
    cuts[[30, 60]] = True
    scenes = list(split_scenes(even(90, 30), np.ones(90, bool), cuts))
    assert [(scene.begin, scene.end) for scene in scenes] == [(0, 30), (30, 60), (60, 90)]
    assert [scene.span.end_s for scene in scenes] == pytest.approx([1.0, 2.0, 3.0])


def test_frames_without_a_face_before_a_cut_belong_to_no_scene():
    found, cuts = np.ones(90, bool), np.zeros(90, bool)
    found[20:60], cuts[60] = False, True
    assert [(scene.begin, scene.end) for scene in split_scenes(even(90, 30), found, cuts)] == [(0, 20), (60, 90)]
    found[:20] = False
    assert [(scene.begin, scene.end) for scene in split_scenes(even(90, 30), found, cuts)] == [(60, 90)]
