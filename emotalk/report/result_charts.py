"""Charts of the report: losses by epoch, errors by region and predictor, and errors by channel."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from emotalk.report.charts import (
    LineChart,
    Mark,
    Row,
    RowChart,
    Scale,
    integer_scale,
    linear_scale,
    make_line,
    typeset,
)
from emotalk.report.names import PREDICTOR_NAMES, REGION_NAMES
from emotalk.training.history import best_epochs

_LOSS_TITLES = {
    "loss": "Loss (weighted sum of the terms)",
    "cross": "Cross-reconstruction",
    "self": "Self-reconstruction",
    "velocity": "Velocity",
    "classification": "Emotion classification",
    "motion": "Motion (predicted / captured variance)",
}


def chart_losses(losses: pd.DataFrame) -> list[LineChart]:
    """Return a chart of the loss, then one of each term; the epoch with the lowest validation loss is marked."""
    names = [name for name in losses.columns if name in _LOSS_TITLES and losses[name].any()]
    epochs = integer_scale(int(losses["epoch"].min()), int(losses["epoch"].max()))
    best = best_epochs(losses.to_dict("records"), 1)
    charts = []
    for name in names:
        values = linear_scale(losses[name].dropna())
        lines = [
            make_line(str(split), str(split), epochs, values, zip(rows["epoch"], rows[name], strict=True))
            for split, rows in losses.groupby("split")
        ]
        last = {str(split): float(rows[name].iloc[-1]) for split, rows in losses.groupby("split")}
        ends = ", ".join(f"{split} {value:.4g}" for split, value in last.items() if math.isfinite(value))
        mark = (epochs.place(best[0]), f"best: epoch {best[0]}") if best and name == "loss" else None
        description = f"{_LOSS_TITLES[name]} by epoch; last epoch: {ends}" + (f"; {mark[1]}" if mark else "")
        charts.append(LineChart(_LOSS_TITLES[name], description, epochs, values, "epoch", "", lines, mark))
    return charts


def chart_errors(metrics: pd.DataFrame) -> RowChart:
    """Return the mean absolute error of each predictor by region, with 95 % intervals.

    Parameters
    ----------
    metrics
        Rows of one group of `groups.csv`.
    """
    table = metrics[(metrics["metric"] == "mae") & metrics["region"].isin(REGION_NAMES)]
    scale = linear_scale(table["high"])
    legend = [(name, label) for name, label in PREDICTOR_NAMES.items() if name in set(table["predictor"])]
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
        for name, label in PREDICTOR_NAMES.items()
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
