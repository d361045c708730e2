"""Summary at the end of a run: what was made and what to do next, in a few lines."""

import json
import shlex
from pathlib import Path

import pandas as pd

from emotalk.evaluation.evaluate import mouth_improvement


def write_summary(out: str | Path, *, page: str | Path, card: str | Path, metrics: str | Path) -> None:
    """Write paths of the report and the weights, the main result, and a command that uses the weights.

    Parameters
    ----------
    card
        The weights' card, beside them.
    metrics
        Table written by :func:`emotalk.evaluation.evaluate.evaluate`.
    """
    weights = Path(card).parent
    epochs = json.loads(Path(card).read_text(encoding="utf-8"))["epochs"]
    improvement = mouth_improvement(pd.read_csv(metrics))
    side = "below" if improvement >= 0 else "above"
    lines = {
        "Report": f"{page} (open it in a browser)",
        "Weights": f"{weights / 'emotalk.pth'} and .safetensors, {epochs} epochs",
        "Result": f"mouth error {abs(improvement):.0%} {side} that of the mean face, on the test split",
        "Next": f"emotalk predict SPEECH.wav --weights {shlex.quote(str(weights))}",
    }
    text = "\n".join(f"{name + ':':<9}{line}" for name, line in lines.items())
    Path(out).write_text(text + "\n", encoding="utf-8")
