"""Summary of a run: its results and the next command, in a few lines."""

import json
import shlex
from pathlib import Path

import pandas as pd

from emotalk.data.manifest import Manifest
from emotalk.report.verdict import describe_mouth


def write_summary(
    out: str | Path, *, page: str | Path, card: str | Path, comparisons: str | Path, manifest: str | Path
) -> None:
    """Write the paths of report and weights, the result for each group, the next command, and warnings.

    Parameters
    ----------
    card
        Card of the weights, in the same folder.
    comparisons
        Table of :func:`emotalk.evaluation.comparison.compare`.
    """
    weights = Path(card).parent
    epochs = json.loads(Path(card).read_text(encoding="utf-8"))["epochs"]
    results = describe_mouth(pd.read_csv(comparisons)) or ["not evaluated, because there is no test split"]
    lines = [
        ("Report", f"{page} (open it in a browser)"),
        ("Weights", f"{weights / 'emotalk.pth'} and .safetensors, {epochs} epochs"),
        *(("Result", result) for result in results),
        ("Next", next_command(weights)),
        *(("Warning", warning) for warning in Manifest(manifest).notes["warnings"]),
    ]
    Path(out).write_text("".join(f"{name + ':':<9}{text}\n" for name, text in lines), encoding="utf-8")


def next_command(weights: Path) -> str:
    """Return the command that predicts motion with the weights in a folder."""
    return f"emotalk predict SPEECH.wav --weights {shlex.quote(str(weights))}"
