"""The report: one self-contained page about the data, the training and the result."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from emotalk.evaluation.check import mouth_improvement
from emotalk.evaluation.data_page import data_section
from emotalk.evaluation.figures import errors_figure, losses_figure
from emotalk.evaluation.pages import write_page
from emotalk.training.history import is_still


def write_report(
    page: str | Path,
    *,
    data_page: str | Path,
    losses: str | Path,
    metrics: str | Path,
    card: str | Path,
    losses_figure_path: str | Path,
    errors_figure_path: str | Path,
) -> None:
    """Write the report, with what the page about the data shows, and two of its figures as files."""
    losses_table, metrics_table = pd.read_parquet(losses), pd.read_csv(metrics)
    figures = {"losses_figure": losses_figure(losses_table), "errors_figure": errors_figure(metrics_table)}
    for name, path in (("losses_figure", losses_figure_path), ("errors_figure", errors_figure_path)):
        Path(path).write_text(figures[name], encoding="utf-8")
    content = {
        "data_section": data_section(data_page),
        "is_still": is_still(losses_table.to_dict("records")),
        **figures,
        "improvement": mouth_improvement(metrics_table),
        "metrics": _metrics(metrics_table),
        "card": json.loads(Path(card).read_text(encoding="utf-8")),
    }
    write_page("report.html.j2", page, content)


def _metrics(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row a metric and region, with a cell for each predictor."""
    rows = []
    for (metric, region), group in table.groupby(["metric", "region"], sort=False):
        cells = {row["predictor"]: row for row in group.to_dict("records")}
        rows.append({"metric": metric, "region": region, "unit": group["unit"].iloc[0], "cells": cells})
    return rows
