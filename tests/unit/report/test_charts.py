"""Positions of charts, names of clips, and the verdict in words."""

import math

import pandas as pd
import pytest

from emotalk.report.charts import integer_scale, linear_scale, log_scale, make_line
from emotalk.report.names import format_duration, format_seconds, name_clips
from emotalk.report.result_charts import chart_losses
from emotalk.report.tables import build_table
from emotalk.report.verdict import BaselineComparison, summarize
from emotalk.training.history import read_training_time


@pytest.mark.parametrize("values", [[0.0123], [0.4, -0.2], [0.0], [1234.5, 3], [float("nan"), 2.0], []])
def test_a_linear_scale_contains_zero_and_all_values_and_ends_at_ticks(values):
    scale = linear_scale(values)
    finite = [value for value in values if math.isfinite(value)]
    assert scale.low <= min([0, *finite])
    assert scale.high >= max([0, *finite])
    assert (scale.ticks[0], scale.ticks[-1]) == (scale.low, scale.high)
    assert 2 <= len(scale.ticks) <= 8
    assert scale.labels[0][0] == 0
    assert scale.labels[-1][0] == 100


def test_a_logarithmic_scale_places_ratios_at_equal_distances():
    scale = log_scale(1.2, 90)
    assert (scale.low, scale.high) == (1, 100)
    assert [scale.place(value) for value in (1, 10, 100)] == [0, 50, 100]


def test_ticks_of_epochs_are_integers():
    assert integer_scale(1, 100).ticks == [1, 20, 40, 60, 80, 100]
    assert integer_scale(1, 1).place(1) == 0


def test_the_points_of_a_line_are_in_percent_with_y_downwards():
    x, y = integer_scale(1, 3), linear_scale([0, 4])
    line = make_line("train", "train", x, y, [(1, 0.0), (2, float("nan")), (3, 4.0)])
    assert line.points == "0.0,100.00 100.0,0.00"


def test_the_epoch_with_the_lowest_validation_loss_is_marked():
    rows = [(epoch, split, loss) for epoch in (1, 2, 3) for split, loss in (("train", 1 / epoch), ("validation", 1.0))]
    table = pd.DataFrame(rows, columns=["epoch", "split", "loss"])
    table.loc[(table["epoch"] == 2) & (table["split"] == "validation"), "loss"] = 0.5
    (chart,) = chart_losses(table)
    assert chart.mark == (50, "best: epoch 2")


def label(**changes) -> dict:
    common = dict(corpus="C", recording_id="r", subject="6", emotion="angry", intensity=2, statement="1", repetition=1)
    return common | dict(start_frame=0, stop_frame=60, is_whole=True) | changes


def test_clips_are_named_by_speaker_emotion_and_sentence_and_equal_names_by_the_take():
    rows = {
        "a": label(),
        "b": label(subject="Ben", emotion=None, intensity=None, statement=None, recording_id="talk", is_whole=False),
        "c": label(emotion="calm", intensity=1),
        "d": label(emotion="calm", intensity=1, repetition=2),
    }
    assert name_clips(pd.DataFrame(rows).T) == {
        "a": "C speaker 6 · angry, strong · sentence 1",
        "b": "C Ben · talk · 0:00.0 to 0:02.0",
        "c": "C speaker 6 · calm · sentence 1 · take 1",
        "d": "C speaker 6 · calm · sentence 1 · take 2",
    }


def test_durations():
    assert [format_duration(s) for s in (59, 461, 7500)] == ["59 s", "7 min 41 s", "2 h 05 min"]
    assert format_seconds(65.25) == "1:05.2"


@pytest.mark.parametrize(
    ("relative", "low", "high", "expected"),
    [
        (0.31, 0.27, 0.34, "31 % lower, 95 % interval 27 to 34 % lower"),
        (-0.72, -0.85, -0.58, "72 % higher, 95 % interval 58 to 85 % higher"),
        (0.03, -0.19, 0.25, "3 % lower, 95 % interval 25 % lower to 19 % higher"),
        (-3.2, -4.3, -2.2, "4.2 times as high, 95 % interval 3.2 to 5.3 times as high"),
        (0.5, float("nan"), float("nan"), "50 % lower, one clip"),
    ],
)
def test_the_numbers_of_a_comparison(relative, low, high, expected):
    assert BaselineComparison("better", "mean_face", relative, low, high).numbers == expected


def test_baselines_with_one_verdict_are_joined():
    verdicts = {"mean_face": "better", "still_face": "better", "nearest_clip": "worse"}
    comparisons = [BaselineComparison(verdict, baseline, 0, 0, 0) for baseline, verdict in verdicts.items()]
    texts = [f"{phrase.words} {phrase.baselines}" for phrase in summarize(comparisons)]
    assert texts == ["better than the mean face and the still face", "worse than the nearest training clip"]


def metric_rows(metric, **values):
    by_clip = pd.DataFrame(
        [(str(i), metric, "mouth", name, value) for name, column in values.items() for i, value in enumerate(column)],
        columns=["clip_id", "metric", "region", "predictor", "value"],
    )
    means = by_clip.groupby(["metric", "region", "predictor"], as_index=False)["value"].mean()
    return means.assign(low=0.0, high=1.0, unit="u"), by_clip


@pytest.mark.parametrize(
    ("metric", "model", "still", "best"),
    [
        ("mae", [0.1, 0.11, 0.1], [0.3, 0.3, 0.31], "model"),
        ("mae", [0.1, 0.5, 0.1], [0.3, 0.3, 0.31], None),
        ("lip_closure_recall", [0.5, 0.6, 0.5], [1.0, 1.0, 1.0], None),
    ],
)
def test_best_is_marked_only_where_the_metric_and_the_clips_can_tell(metric, model, still, best):
    table = build_table(*metric_rows(metric, model=model, still_face=still))
    assert table["rows"][0]["best"] == best


def test_the_training_time_is_the_time_of_all_attempts_without_the_pauses(tmp_path):
    lines = """\
2026-01-01 10:00:00 Run abc: 5 parameters
2026-01-01 10:00:30 Training: 5 of 10 steps
2026-01-02 23:59:50 Run abc: 5 parameters
2026-01-03 00:00:10 epoch 1 of 1, train: loss 1
2026-01-05 00:00:00 This run is finished (1 epochs)
"""
    (tmp_path / "train.log").write_text(lines)
    assert read_training_time(tmp_path / "train.log") == 30 + 20
    assert read_training_time(tmp_path / "none.log") is None
