"""Tables of metrics for the report: a row per metric and region, a column per predictor."""

from typing import Any

import pandas as pd

from emotalk.evaluation.metrics import METRICS

PREDICTORS = {
    "model": "model",
    "mean_face": "mean face",
    "still_face": "still face",
    "nearest_clip": "nearest clip",
    "own_emotion": "without the swap",
    "most_frequent": "most frequent class",
}
"""Display names of the predictors."""

_SWAP = ("cross_mae", "emotion_shift", "motion_kept")
_CLASSIFICATION = ("emotion_accuracy",)
_BETTER: dict[str, str | float] = {metric.name: metric.better for metric in METRICS} | {
    "emotion_shift": 1.0,
    "motion_kept": "high",
    "emotion_accuracy": "high",
}


def build_metric_tables(metrics: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Build the tables `own`, `swap` and `classification`, with `predictors` and `rows`; empty tables are left out.

    A row has `metric`, `region`, `unit`, `cells` by predictor (value, low, high) and `best`, the predictor with the
    best value (None if there is only one predictor).
    """
    is_swap, is_classification = metrics["metric"].isin(_SWAP), metrics["metric"].isin(_CLASSIFICATION)
    parts = {
        "own": metrics[~is_swap & ~is_classification],
        "swap": metrics[is_swap],
        "classification": metrics[is_classification],
    }
    return {name: _build_table(part) for name, part in parts.items() if len(part)}


def _build_table(metrics: pd.DataFrame) -> dict[str, Any]:
    present = set(metrics["predictor"])
    rows = []
    for (metric, region), group in metrics.groupby(["metric", "region"], sort=False):
        cells = {row["predictor"]: row for row in group.to_dict("records")}
        rows.append(
            {
                "metric": metric,
                "region": region,
                "unit": group["unit"].iloc[0],
                "cells": cells,
                "best": _find_best(str(metric), group) if len(cells) > 1 else None,
            }
        )
    return {"predictors": {name: label for name, label in PREDICTORS.items() if name in present}, "rows": rows}


def _find_best(metric: str, group: pd.DataFrame) -> str:
    better, values = _BETTER.get(metric, "low"), group.set_index("predictor")["value"]
    if better == "high":
        return str(values.idxmax())
    return str((values - (0.0 if isinstance(better, str) else better)).abs().idxmin())
