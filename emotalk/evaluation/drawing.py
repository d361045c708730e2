"""How figures look, and how they become SVG."""

import io
from typing import Any

import matplotlib

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


def as_svg(figure: Figure) -> str:
    """The drawing itself, without the XML declaration that has no place inside a page; the figure is closed."""
    text = io.StringIO()
    options: dict[str, Any] = {"format": "svg", "transparent": True, "metadata": {"Date": None}}
    figure.savefig(text, **options)
    plt.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]
