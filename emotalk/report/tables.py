"""The table of metrics as a page shows it: a row a metric and region, a column a predictor."""

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
"""Predictors and what a page calls them."""

_SWAP = ("cross_mae", "emotion_shift", "motion_kept")
_HEARING = ("emotion_accuracy",)
_BETTER: dict[str, str | float] = {metric.name: metric.better for metric in METRICS} | {
    "emotion_shift": 1.0,
    "motion_kept": "high",
    "emotion_accuracy": "high",
}


def metric_tables(metrics: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Tables `own`, `swap` and `hearing`, each with its `predictors` and `rows`; those without rows are left out.

    A row has `metric`, `region`, `unit`, `cells` by predictor (value, low, high) and `best`, the predictor with the
    best value, where there are several.
    """
    is_swap, is_hearing = metrics["metric"].isin(_SWAP), metrics["metric"].isin(_HEARING)
    parts = {
        "own": metrics[~is_swap & ~is_hearing],
        "swap": metrics[is_swap],
        "hearing": metrics[is_hearing],
    }
    return {name: _table(part) for name, part in parts.items() if len(part)}


def _table(metrics: pd.DataFrame) -> dict[str, Any]:
    there = set(metrics["predictor"])
    rows = []
    for (metric, region), group in metrics.groupby(["metric", "region"], sort=False):
        cells = {row["predictor"]: row for row in group.to_dict("records")}
        rows.append(
            {
                "metric": metric,
                "region": region,
                "unit": group["unit"].iloc[0],
                "cells": cells,
                "best": _best(str(metric), group) if len(cells) > 1 else None,
            }
        )
    return {"predictors": {name: shown for name, shown in PREDICTORS.items() if name in there}, "rows": rows}


def _best(metric: str, group: pd.DataFrame) -> str:
    better, values = _BETTER.get(metric, "low"), group.set_index("predictor")["value"]
    if better == "high":
        return str(values.idxmax())
    return str((values - (0.0 if isinstance(better, str) else better)).abs().idxmin())
