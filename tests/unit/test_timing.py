"""Conversions between samples and frames."""

import pytest

from emotalk.timing import EXACT_FRAMES, FPS, SAMPLING_RATE, frame_to_sample, frames_in, frames_to_predict


@pytest.mark.parametrize("frame", range(0, 300, EXACT_FRAMES))
def test_a_multiple_of_three_frames_is_at_a_whole_sample(frame):
    assert frame_to_sample(frame) * FPS == frame * SAMPLING_RATE


def test_only_completely_covered_frames_are_counted():
    assert frames_in(1066) == 1
    assert frames_in(1067) == 2
    assert frames_in(48_000, sampling_rate=48_000) == 30


def test_the_number_of_predicted_frames_is_rounded_up():
    assert [frames_to_predict(n) for n in (720, 16_000, 16_001)] == [2, 30, 31]


@pytest.mark.parametrize("num_frames", range(1, 400, 7))
def test_audio_that_is_cut_to_n_frames_predicts_n_frames(num_frames):
    assert frames_to_predict(frame_to_sample(num_frames)) == num_frames
