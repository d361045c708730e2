"""Summary of a run: its results and the next command, in a few lines."""

import json
import shlex
from pathlib import Path

import pandas as pd

from emotalk.data.manifest import Manifest
from emotalk.evaluation.evaluate import mouth_improvement


def write_summary(
    out: str | Path, *, page: str | Path, card: str | Path, metrics: str | Path, manifest: str | Path
) -> None:
    """Write the paths of report and weights, the main result, the next command, and warnings.

    Parameters
    ----------
    card
        Card of the weights, in the same folder.
    metrics
        Table written by :func:`emotalk.evaluation.evaluate.evaluate`.
    """
    weights = Path(card).parent
    epochs = json.loads(Path(card).read_text(encoding="utf-8"))["epochs"]
    lines = {
        "Report": f"{page} (open it in a browser)",
        "Weights": f"{weights / 'emotalk.pth'} and .safetensors, {epochs} epochs",
        "Result": _describe_result(pd.read_csv(metrics)),
        "Next": f"emotalk predict SPEECH.wav --weights {shlex.quote(str(weights))}",
    }
    text = "\n".join(f"{name + ':':<9}{line}" for name, line in lines.items())
    notes = Manifest(manifest).notes
    text = "".join([text, *(f"\nWarning: {warning}" for warning in notes["warnings"])])
    Path(out).write_text(text + "\n", encoding="utf-8")


def _describe_result(metrics: pd.DataFrame) -> str:
    if metrics.empty:
        return "not evaluated, because there is no test split"
    improvement = mouth_improvement(metrics)
    side = "below" if improvement >= 0 else "above"
    return f"mouth error {abs(improvement):.0%} {side} that of the mean face, on the test split"
