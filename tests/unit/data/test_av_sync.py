import numpy as np
import pytest

from emotalk.data.av_sync import MAX_LAG, estimate_offset, mouth_opening, offset_correlations

RNG = np.random.default_rng(0)


def speech(frames=300):
    """Loudness of random syllables, one value per frame."""
    steps = np.repeat(RNG.random(frames), RNG.integers(2, 6, frames))[: frames + 200]
    return np.convolve(steps, np.hanning(5) / 2, mode="same").astype(np.float32)


@pytest.mark.parametrize("delay", [-9, -3, -1, 0, 1, 2, 7])
def test_a_delay_of_the_motion_is_estimated_in_frames(delay):
    loudness = speech()
    envelope, opening = loudness[100:400], loudness[100 - delay : 400 - delay]
    offset, confidence = estimate_offset(offset_correlations(envelope, opening))
    assert offset == pytest.approx(delay, abs=0.35)
    assert confidence > 0.4


def test_a_delay_of_half_a_frame_is_interpolated():
    fine = np.repeat(speech(), 2)
    fine = np.convolve(fine, np.ones(4) / 4, mode="same")
    offset, _ = estimate_offset(offset_correlations(fine[200:800:2], fine[199:799:2]))
    assert offset == pytest.approx(0.5, abs=0.25)


def test_unrelated_motion_has_low_confidence():
    confidences = [estimate_offset(offset_correlations(speech()[:300], speech()[:300]))[1] for _ in range(200)]
    assert np.quantile(confidences, 0.99) < 0.3


@pytest.mark.parametrize(
    ("envelope", "opening"),
    [
        (np.zeros(300), np.sin(np.arange(300))),
        (speech()[:300], np.zeros(300)),
        (speech()[: 2 * MAX_LAG], speech()[: 2 * MAX_LAG]),
    ],
)
def test_silence_a_still_mouth_and_short_recordings_have_no_estimate(envelope, opening):
    assert offset_correlations(envelope.astype(np.float32), opening.astype(np.float32)) is None


def test_each_score_is_the_correlation_over_overlapping_frames():
    audio, motion = speech()[:300], speech()[:300]
    audio, motion = audio - audio.mean(), motion - motion.mean()
    from emotalk.data.av_sync import _correlations

    scores = _correlations(audio, motion)
    for lag in (-MAX_LAG, -4, 0, 4, MAX_LAG):
        first, second = audio[max(0, -lag) : 300 - max(0, lag)], motion[max(0, lag) : 300 - max(0, -lag)]
        expected = first @ second / np.sqrt((first @ first) * (second @ second))
        assert scores[lag + MAX_LAG] == pytest.approx(expected, abs=1e-5)


def index_recording(data, run, delay, **changes):
    """Index one recording in which the jaw follows the loudness with a delay in frames."""
    import soundfile

    loudness = speech()
    samples = np.repeat(loudness[100:400], 1600)[::3] * RNG.standard_normal(160_000) * 0.3
    track = np.zeros((300, 52), np.float32)
    track[:, 24] = loudness[100 - delay : 400 - delay].clip(0, 1)
    (data / "Own").mkdir(exist_ok=True)
    soundfile.write(data / "Own/take.wav", samples, 16_000)
    np.save(data / "Own/take.npy", track)
    assert (mouth_opening(track) == track[:, 24]).all()
    return run(["Own"], **changes)["take"]


def test_an_offset_of_one_frame_is_not_an_issue(index, data):
    row = index_recording(data, index, 1)
    assert row["offset_frames"] == pytest.approx(1, abs=0.3)
    assert row["offset_confidence"] > 0.3
    assert row["reasons"] == []


@pytest.mark.parametrize("delay", [-7, 7])
def test_a_large_offset_is_reported_and_repaired_only_by_setting(index, data, delay):
    row = index_recording(data, index, delay)
    assert (row["status"], row["shift_frames"], row["num_frames"]) == ("ok", None, 300)
    assert row["reasons"][0].startswith("av_offset: motion is 7.")
    repaired = index_recording(data, index, delay, index={"issues": {"av_offset": "repair"}})
    assert (repaired["status"], repaired["shift_frames"]) == ("repaired", delay)
    assert repaired["num_frames"] == 293
