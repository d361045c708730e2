"""Charts of the training: the loss and its terms by epoch."""

import math

import pandas as pd

from emotalk.report.charts import LineChart, integer_scale, linear_scale, make_line
from emotalk.training.history import best_epochs

_TITLES = {
    "loss": "Loss (weighted sum of the terms)",
    "cross": "Cross-reconstruction",
    "self": "Self-reconstruction",
    "velocity": "Velocity",
    "classification": "Emotion classification",
    "motion": "Motion (predicted / captured variance)",
}


def chart_losses(losses: pd.DataFrame) -> list[LineChart]:
    """Return a chart of the loss, then one of each term; the epoch with the lowest validation loss is marked."""
    names = [name for name in losses.columns if name in _TITLES and losses[name].any()]
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
        description = f"{_TITLES[name]} by epoch; last epoch: {ends}" + (f"; {mark[1]}" if mark else "")
        charts.append(LineChart(_TITLES[name], description, epochs, values, "epoch", "", lines, mark))
    return charts
