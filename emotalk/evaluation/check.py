"""The check that a network has learned: its mouth must beat the mean face."""

import logging
from pathlib import Path

import pandas as pd

from emotalk.errors import EvaluationError

_LOG = logging.getLogger(__name__)


def mouth_improvement(metrics: pd.DataFrame) -> float:
    """By which fraction the model's mouth error lies below that of the training clips' mean face."""
    mouth = metrics[(metrics["metric"] == "mae") & (metrics["region"] == "mouth")].set_index("predictor")["value"]
    return float(1 - mouth["model"] / mouth["mean_face"])


def check_improvement(metrics: str | Path, out: str | Path, *, required: float | None) -> None:
    """Refuse a model whose mouth is not clearly better than the mean face; `None` refuses nothing.

    Raises
    ------
    EvaluationError
        If the improvement falls short of `required`.
    """
    found = mouth_improvement(pd.read_csv(metrics))
    said = f"The model's mouth error lies {found:.1%} below that of the mean face"
    if required is not None and found < required:
        raise EvaluationError(
            f"{said}; evaluate.required_improvement asks for {required:.1%}. Train longer, or look at the losses in "
            "the report: a network that has not learned shows a still face."
        )
    Path(out).write_text(f"{said}.\n", encoding="utf-8")
    _LOG.info("%s.", said)
