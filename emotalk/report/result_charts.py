"""Charts of the results: errors by region and predictor, and errors by channel."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from emotalk.report.charts import Mark, Row, RowChart, Scale, linear_scale, typeset
from emotalk.report.verdict import PREDICTORS, REGION_NAMES


def chart_errors(metrics: pd.DataFrame) -> RowChart:
    """Return the mean absolute error of each predictor by region, with 95 % intervals.

    Parameters
    ----------
    metrics
        Rows of one group of `groups.csv`.
    """
    table = metrics[(metrics["metric"] == "mae") & metrics["region"].isin(REGION_NAMES)]
    scale = linear_scale(table["high"])
    legend = [(name, label) for name, label in PREDICTORS.items() if name in set(table["predictor"])]
    rows = []
    for region, name in REGION_NAMES.items():
        cells = table[table["region"] == region].set_index("predictor").to_dict("index")
        marks = [_mark_interval(scale, predictor, label, cells[predictor]) for predictor, label in legend]
        rows.append(Row(name, marks))
    return RowChart("Errors by region; the table has the numbers", scale, "error (blendshape units)", rows, legend)


def _mark_interval(scale: Scale, predictor: str, label: str, cell: Mapping[Any, Any]) -> Mark:
    low, high, value = (scale.place(cell[name]) for name in ("low", "high", "value"))
    return Mark(predictor, low, high, value, f"{label} {cell['value']:.4f}")


def chart_mouth(metrics: pd.DataFrame) -> RowChart:
    """Return the mean absolute error of the mouth of each predictor of one group."""
    values = metrics.query("metric == 'mae' and region == 'mouth'").set_index("predictor")["value"].to_dict()
    scale = linear_scale(values.values(), count=4)
    rows = [
        Row(label, [Mark(name, 0, scale.place(values[name]))], f"{values[name]:.4f}")
        for name, label in PREDICTORS.items()
        if name in values
    ]
    description = "Mouth error: " + ", ".join(f"{row.label} {row.text}" for row in rows)
    return RowChart(description, scale, "mouth error (blendshape units)", rows, is_stacked=True)


def chart_channels(channels: pd.DataFrame) -> list[RowChart]:
    """Return the mean absolute error of each channel, the highest first, in two charts with one scale.

    The text of a row is the error and the correlation over time.
    """
    ordered = channels.sort_values("mae", ascending=False)
    scale = linear_scale(ordered["mae"])
    rows = [
        Row(
            row["channel"],
            [Mark("model", 0, scale.place(row["mae"]))],
            f"{row['mae']:.3f}{_format_correlation(row['correlation'])}",
        )
        for row in ordered.to_dict("records")
    ]
    half = -(-len(rows) // 2)
    return [
        RowChart("Error of each channel", scale, "error (blendshape units)", part, is_stacked=True)
        for part in (rows[:half], rows[half:])
    ]


def _format_correlation(value: float) -> str:
    return "" if pd.isna(value) else typeset(f", r {round(value, 2) + 0.0:.2f}")  # -0.0 + 0.0 is 0.0.
