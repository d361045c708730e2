"""Comparison of the model with the baselines, clip by clip."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.evaluation.comparison import (
    IN_TRAINING,
    NO_LABEL,
    NOT_IN_TRAINING,
    add_groups,
    compare,
    group_test_clips,
)
from emotalk.evaluation.intervals import paired_interval
from emotalk.evaluation.metrics import METRICS, orient
from tests.clips import ClipWriter
from tests.unit.evaluation.test_evaluate import write_manifest

CLIPS = {
    "a": ("dogs", True),
    "b": ("cats", False),
    "dogs": ("dogs", True),
    "part": ("dogs", False),
    "cats": ("cats", True),
    "kids": ("kids", True),
    "talk": (None, True),
}
"""Sentence of each clip, and whether the clip is a whole recording; training has a and b."""


@pytest.fixture
def labels(tmp_path):
    with ClipWriter(tmp_path / "clips.arrow") as writer:
        for name, (statement, is_whole) in CLIPS.items():
            row = dict(clip_id=name, corpus="C", recording_id=name, start_frame=0, stop_frame=9, is_whole=is_whole)
            row |= dict.fromkeys(("subject", "emotion", "intensity", "repetition")) | {"statement": statement}
            writer.write(row, np.zeros(4800, np.int16), np.zeros((9, 52), np.float32))
    manifest = write_manifest(tmp_path / "manifest.parquet", test=tuple(CLIPS)[2:])
    return group_test_clips(ClipStore([tmp_path / "clips.arrow"]), Manifest(manifest))


def test_a_test_clip_is_grouped_by_whether_training_contains_its_sentence(labels):
    expected = {
        "dogs": IN_TRAINING,
        "part": IN_TRAINING,
        "cats": IN_TRAINING,
        "kids": NOT_IN_TRAINING,
        "talk": NO_LABEL,
    }
    assert labels["sentence"].to_dict() == expected


def test_the_nearest_clip_is_a_baseline_only_of_whole_clips_whose_whole_sentence_is_in_training(labels):
    values = pd.DataFrame({"clip_id": list(labels.index) * 2, "predictor": ["model"] * 5 + ["nearest_clip"] * 5})
    grouped = add_groups(values, labels)
    assert grouped.query("predictor == 'nearest_clip'")["clip_id"].tolist() == ["dogs"]
    assert len(grouped.query("predictor == 'model'")) == 5


def test_the_interval_of_paired_differences_is_students(labels):
    differences = pd.Series([0.1, 0.3, 0.2, 0.4])
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert paired_interval(differences) == pytest.approx((0.25, expected.low, expected.high))
    assert np.isnan(paired_interval(pd.Series([0.1]))[1])


def rows(metric: str, **values: list[float]) -> pd.DataFrame:
    """Values of clips in one group."""
    table = [
        dict(
            clip_id=str(i), corpus="C", sentence=IN_TRAINING, metric=metric, region="mouth", predictor=name, value=value
        )
        for name, column in values.items()
        for i, value in enumerate(column)
    ]
    return pd.DataFrame(table)


@pytest.mark.parametrize(
    ("model", "verdict"),
    [
        ([0.10, 0.11, 0.12, 0.10], "better"),
        ([0.30, 0.31, 0.32, 0.30], "worse"),
        ([0.20, 0.21, 0.20, 0.19], "as good"),
        ([0.02, 0.45, 0.05, 0.30], "unclear"),
    ],
)
def test_the_verdict_follows_from_the_interval(model, verdict):
    (row,) = compare(rows("mae", model=model, mean_face=[0.2] * 4)).to_dict("records")
    assert row["verdict"] == verdict
    assert row["advantage"] == pytest.approx(0.2 - np.mean(model))
    assert row["low"] <= row["advantage"] <= row["high"]


def test_two_clips_are_too_few_for_a_verdict():
    (row,) = compare(rows("mae", model=[0.1, 0.1], mean_face=[0.2, 0.2])).to_dict("records")
    assert row["verdict"] == "unclear"


def test_metrics_that_a_still_face_can_win_are_not_compared():
    assert {metric.name for metric in METRICS if not metric.ranks} == {"lip_closure_recall"}
    assert compare(rows("lip_closure_recall", model=[0.1] * 3, still_face=[1.0] * 3)).empty


@pytest.mark.parametrize(
    ("metric", "values", "expected"),
    [
        ("mae", [0.1, 0.2], [0.1, 0.2]),
        ("correlation", [0.5, 1], [-0.5, -1]),
        ("jitter_ratio", [0.5, 1.25], [0.5, 0.25]),
    ],
)
def test_losses_are_lower_for_better_values(metric, values, expected):
    assert orient(metric, pd.DataFrame({"model": values}))["model"].tolist() == pytest.approx(expected)
