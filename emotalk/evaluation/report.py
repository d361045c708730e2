"""The report: one self-contained page about the data, the training and the result."""

import json
import logging
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from emotalk.evaluation.check import mouth_improvement
from emotalk.evaluation.figures import errors_figure, losses_figure
from emotalk.training.history import is_still

_LOG = logging.getLogger(__name__)


def write_report(
    *,
    recordings: str | Path,
    manifest: str | Path,
    losses: str | Path,
    metrics: str | Path,
    card: str | Path,
    template: str | Path,
    page: str | Path,
    losses_figure_path: str | Path,
    errors_figure_path: str | Path,
) -> None:
    """Write the page, which loads nothing from anywhere, and its two figures."""
    found = pd.read_parquet(recordings)
    losses_table, metrics_table = pd.read_parquet(losses), pd.read_csv(metrics)
    losses_figure(losses_table, losses_figure_path)
    errors_figure(metrics_table, errors_figure_path)
    content = {
        "counts": _counts(found),
        "excluded": _with_reasons(found, "excluded"),
        "repaired": _with_reasons(found, "repaired"),
        "examples": _examples(manifest),
        "is_still": is_still(losses_table.to_dict("records")),
        "losses_figure": _svg(losses_figure_path),
        "errors_figure": _svg(errors_figure_path),
        "improvement": mouth_improvement(metrics_table),
        "metrics": _metrics(metrics_table),
        "card": json.loads(Path(card).read_text(encoding="utf-8")),
    }
    environment = Environment(
        loader=FileSystemLoader(Path(template).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    Path(page).write_text(environment.get_template(Path(template).name).render(content), encoding="utf-8")
    _LOG.info("Open %s in a browser.", Path(page).resolve())


def _counts(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Recordings, subjects and minutes by corpus."""
    rows = []
    for corpus, group in found.groupby("corpus"):
        usable = group[group["status"] != "excluded"]
        status = group["status"].value_counts()
        rows.append(
            {
                "corpus": corpus,
                "found": len(group),
                **{name: int(status.get(name, 0)) for name in ("ok", "repaired", "excluded")},
                "subjects": usable["subject"].nunique(),
                "minutes": usable["num_frames"].sum() / 1800,
            }
        )
    return rows


def _with_reasons(found: pd.DataFrame, status: str) -> list[dict[Hashable, Any]]:
    return found.loc[found["status"] == status, ["corpus", "recording_id", "reasons"]].to_dict("records")


def _examples(manifest: str | Path) -> list[dict[Hashable, Any]]:
    """Examples by split and kind, of one epoch."""
    rows = pq.read_table(manifest, columns=["split", "epoch", "kind", "num_frames"]).to_pandas()
    one = rows[rows["epoch"] <= 1]
    counted = one.groupby(["split", "kind"]).agg(examples=("kind", "size"), frames=("num_frames", "sum"))
    return counted.reset_index().to_dict("records")


def _metrics(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row a metric and region, with a cell for each predictor."""
    rows = []
    for (metric, region), group in table.groupby(["metric", "region"], sort=False):
        cells = {row["predictor"]: row for row in group.to_dict("records")}
        rows.append({"metric": metric, "region": region, "unit": group["unit"].iloc[0], "cells": cells})
    return rows


def _svg(path: str | Path) -> str:
    """The drawing itself, without the XML declaration that has no place inside a page."""
    text = Path(path).read_text(encoding="utf-8")
    return text[text.index("<svg") :]
