"""Figures of training and evaluation as SVG text, and the style of all figures."""

import io
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from emotalk.report.tables import PREDICTORS

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

COLOURS = ["#2f6fde", "#e08a2c", "#3a9e6b", "#a8539c", "#9aa0a6"]
plt.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "emotalk",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.25,
    }
)


def render_svg(figure: Figure) -> str:
    """Return the figure as an `<svg>` element for an HTML page, and close it."""
    buffer = io.StringIO()
    options: dict[str, Any] = {"format": "svg", "transparent": True, "metadata": {"Date": None}}
    figure.savefig(buffer, **options)
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]  # Without the XML declaration.


_COLOURS = {"model": COLOURS[0], "mean_face": COLOURS[1], "still_face": COLOURS[4], "nearest_clip": COLOURS[2]}


def plot_placeholder(text: str) -> str:
    """Plot a text in place of a figure without data."""
    figure, axis = plt.subplots(figsize=(6, 1), layout="constrained")
    axis.axis("off")
    axis.text(0.5, 0.5, text, ha="center", va="center")
    return render_svg(figure)


def plot_losses(losses: pd.DataFrame) -> str:
    """Plot the loss and its terms by epoch; training as solid line, validation dashed."""
    terms = [name for name in losses.columns if name not in ("epoch", "split") and losses[name].any()]
    figure, axes = plt.subplots(1, len(terms), figsize=(2.6 * len(terms), 2.6), layout="constrained")
    for axis, term in zip(np.atleast_1d(axes), terms, strict=True):
        for (split, rows), line in zip(losses.groupby("split"), ("-", "--"), strict=False):
            axis.plot(rows["epoch"], rows[term], line, marker=".", label=split, color=COLOURS[0])
        axis.set(title=term, xlabel="epoch", ylim=(0, None))
        axis.xaxis.get_major_locator().set_params(integer=True)
    np.atleast_1d(axes)[0].legend(frameon=False)
    return render_svg(figure)


def plot_errors(metrics: pd.DataFrame) -> str:
    """Plot the mean absolute error of the model and its baselines by region, with 95 % intervals."""
    table = metrics[metrics["metric"] == "mae"]
    regions, predictors = table["region"].unique(), list(_COLOURS)
    width = 0.8 / len(predictors)
    figure, axis = plt.subplots(figsize=(9, 3), layout="constrained")
    for i, predictor in enumerate(predictors):
        rows = table[table["predictor"] == predictor].set_index("region").loc[regions]
        whiskers = np.abs(rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy())
        positions = np.arange(len(regions)) + (i - (len(predictors) - 1) / 2) * width
        axis.bar(positions, rows["value"], width, yerr=whiskers, color=_COLOURS[predictor], label=PREDICTORS[predictor])
    axis.set_xticks(np.arange(len(regions)), regions)
    axis.set_ylabel("mean absolute error\n(blendshape units)")
    axis.legend(frameon=False, ncols=len(predictors), loc="lower left", bbox_to_anchor=(0, 1))
    return render_svg(figure)


def plot_channel_errors(channels: pd.DataFrame) -> str:
    """Plot error and correlation of each channel on the test split; no correlation for constant true channels."""
    figure, axes = plt.subplots(2, 1, figsize=(10, 5), sharex=True, layout="constrained")
    positions = np.arange(len(channels))
    axes[0].bar(positions, channels["mae"], color=COLOURS[0])
    axes[0].set_ylabel("mean absolute error\n(blendshape units)")
    axes[1].bar(positions, channels["correlation"], color=COLOURS[2])
    axes[1].set(ylabel="correlation over time\n(Pearson's r)", ylim=(min(0, channels["correlation"].min()), 1))
    axes[1].set_xticks(positions, channels["channel"], rotation=90, fontsize=8)
    axes[1].margins(x=0.01)
    return render_svg(figure)
