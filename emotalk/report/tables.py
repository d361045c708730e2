"""Tables of metrics for the report: a row per metric and region, a column per predictor."""

from typing import Any

import pandas as pd

from emotalk.evaluation.intervals import paired_interval
from emotalk.evaluation.metrics import METRICS, orient
from emotalk.report.names import PREDICTOR_NAMES

SWAP = ("cross_mae", "emotion_shift", "motion_kept")
CLASSIFICATION = ("emotion_accuracy",)
_RANKED = {metric.name for metric in METRICS if metric.ranks} | {"cross_mae", "emotion_accuracy"}


def build_table(metrics: pd.DataFrame, by_clip: pd.DataFrame) -> dict[str, Any]:
    """Build a table with `predictors` (name by column) and `rows`.

    A row has `metric`, `region`, `unit`, `cells` by predictor (value, low, high) and `best`: the predictor with the
    best value, if the metric ranks predictions and the paired difference from the second best is not by chance (95 %);
    otherwise None.

    Parameters
    ----------
    metrics
        Rows of `metrics.csv` or of one group of `groups.csv`.
    by_clip
        Values of the same clips.
    """
    present = set(metrics["predictor"])
    values = dict(iter(by_clip.groupby(["metric", "region"])))
    rows = []
    for (metric, region), group in metrics.groupby(["metric", "region"], sort=False):
        rows.append(
            {
                "metric": str(metric).replace("_", " "),
                "region": region,
                "unit": group["unit"].iloc[0],
                "cells": {row["predictor"]: row for row in group.to_dict("records")},
                "best": _find_best(str(metric), values[metric, region]) if metric in _RANKED else None,
            }
        )
    return {"predictors": {name: label for name, label in PREDICTOR_NAMES.items() if name in present}, "rows": rows}


def _find_best(metric: str, values: pd.DataFrame) -> str | None:
    oriented = orient(metric, values.pivot(index="clip_id", columns="predictor", values="value").dropna())
    if oriented.shape[1] < 2 or oriented.empty:
        return None
    first, second = oriented.mean().sort_values().index[:2]
    _, low, _ = paired_interval(oriented[second] - oriented[first])
    return str(first) if low > 0 else None
