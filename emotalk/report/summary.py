"""Summary at the end of a run: what was made and what to do next, in a few lines."""

import json
import shlex
from pathlib import Path

import pandas as pd

from emotalk.data.manifest import Manifest
from emotalk.evaluation.evaluate import mouth_improvement


def write_summary(
    out: str | Path, *, page: str | Path, card: str | Path, metrics: str | Path, manifest: str | Path
) -> None:
    """Write paths of the report and the weights, the main result, a command that uses the weights, and warnings.

    Parameters
    ----------
    card
        The weights' card, beside them.
    metrics
        Table written by :func:`emotalk.evaluation.evaluate.evaluate`.
    """
    weights = Path(card).parent
    epochs = json.loads(Path(card).read_text(encoding="utf-8"))["epochs"]
    lines = {
        "Report": f"{page} (open it in a browser)",
        "Weights": f"{weights / 'emotalk.pth'} and .safetensors, {epochs} epochs",
        "Result": _result(pd.read_csv(metrics)),
        "Next": f"emotalk predict SPEECH.wav --weights {shlex.quote(str(weights))}",
    }
    text = "\n".join(f"{name + ':':<9}{line}" for name, line in lines.items())
    notes = Manifest(manifest).notes
    text = "".join([text, *(f"\nWarning: {warning}" for warning in notes["warnings"])])
    Path(out).write_text(text + "\n", encoding="utf-8")


def _result(metrics: pd.DataFrame) -> str:
    if metrics.empty:
        return "not evaluated, as there is no test split"
    improvement = mouth_improvement(metrics)
    side = "below" if improvement >= 0 else "above"
    return f"mouth error {abs(improvement):.0%} {side} that of the mean face, on the test split"
