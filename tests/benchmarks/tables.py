"""Tables of results: print them, and write them as csv and png."""

import csv
from pathlib import Path

Row = dict[str, float | str]


def show(rows: list[Row]) -> None:
    """Print rows as a table."""
    names = list(rows[-1])
    cells = [names] + [[_text(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def write(rows: list[Row], path: Path, *, x: str, y: str, label: str) -> None:
    """Write rows as csv, and a plot of column `y` over `x` if matplotlib is installed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[-1]))
        writer.writeheader()
        writer.writerows(rows)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed: skipping the plot.")
        return
    figure = Figure(figsize=(8, 0.4 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    if isinstance(rows[0][x], str):
        bars = axes.barh([row[x] for row in rows][::-1], [row[y] for row in rows][::-1], color="#3b6ea5")
        axes.bar_label(bars, fmt="%.3g", padding=3)
        axes.set_xlabel(label)
        axes.margins(x=0.1)
    else:
        axes.plot([row[x] for row in rows], [row[y] for row in rows], "o-", color="#3b6ea5")
        axes.set(xlabel="audio (s)", ylabel=label, xlim=(0, None), ylim=(0, None))
    figure.savefig(path.with_suffix(".png"), dpi=120)


def _text(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
