"""Charts as positions in percent of their area; `charts.html.j2` draws them in the page's colours and fonts.

A `kind` is what a line or a mark stands for, such as `model` or `validation`. Each kind has one colour on all pages
(`page.css`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


def typeset(number: str) -> str:
    """Return a formatted number with a minus sign instead of a hyphen."""
    return number.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Scale:
    """An axis: its range and the values with a tick.

    Attributes
    ----------
    is_log
        Whether the axis is logarithmic.
    """

    low: float
    high: float
    ticks: Sequence[float]
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value in percent, limited to the axis."""
        low, high, value = (math.log(v) if self.is_log else v for v in (self.low, self.high, max(value, self._least)))
        return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 2)

    @property
    def _least(self) -> float:
        return self.low if self.is_log else -math.inf

    @property
    def labels(self) -> list[tuple[float, str]]:
        """Position and text of each tick."""
        return [(self.place(tick), typeset(f"{tick:g}")) for tick in self.ticks]


def linear_scale(values: Iterable[float], *, count: int = 5) -> Scale:
    """Return a scale with about `count` round ticks that contains zero and all finite values."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(0.0, *finite), max(0.0, *finite)
    if low == high:
        high = low + 1.0
    step = _round_step((high - low) / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(index * step, 12) for index in range(first, last + 1)]
    return Scale(ticks[0], ticks[-1], ticks)


def _round_step(step: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def log_scale(low: float, high: float) -> Scale:
    """Return a logarithmic scale from 1, 2 or 5 times a power of ten to another."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max(value for value in values if value <= low)
    last = next((value for value in values if value >= high and value > first), values[-1])
    return Scale(first, last, [value for value in values if first <= value <= last], is_log=True)


def integer_scale(low: int, high: int) -> Scale:
    """Return a scale over the integers from `low` to `high` with about 8 ticks, which are integers."""
    step = max(1, round(_round_step(max(1, high - low) / 8)))
    ticks = [tick for tick in range(low, high + 1) if tick % step == 0 or tick == low]
    return Scale(low, max(high, low + 1), ticks)


@dataclass(frozen=True)
class Line:
    """A line of a chart: SVG points in percent, y downwards."""

    kind: str
    name: str
    points: str


@dataclass(frozen=True)
class LineChart:
    """Lines over a common axis.

    Attributes
    ----------
    mark
        Position in percent of a vertical line, and its text.
    description
        What the chart shows, for screen readers.
    """

    title: str
    description: str
    x: Scale
    y: Scale
    xlabel: str
    ylabel: str
    lines: Sequence[Line]
    mark: tuple[float, str] | None = None


def make_line(kind: str, name: str, x: Scale, y: Scale, points: Iterable[tuple[float, float]]) -> Line:
    """Place the points of a line; values that are not finite are left out."""
    placed = (f"{x.place(a)},{100 - y.place(b):.2f}" for a, b in points if math.isfinite(b))
    return Line(kind, name, " ".join(placed))


@dataclass(frozen=True)
class Mark:
    """A bar, or an interval with a point, which is explained by `text`: positions in percent."""

    kind: str
    low: float
    high: float
    point: float = 0
    text: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a chart: a label, marks on the common axis, and the numbers as text."""

    label: str
    marks: Sequence[Mark]
    text: str = ""


@dataclass(frozen=True)
class RowChart:
    """Rows of bars or intervals over a common horizontal axis.

    Attributes
    ----------
    is_stacked
        Whether the marks of a row are bars that continue each other; otherwise, each mark has its own line.
    legend
        Kind and name of each colour.
    """

    description: str
    scale: Scale
    xlabel: str
    rows: Sequence[Row]
    legend: Sequence[tuple[str, str]] = field(default_factory=tuple)
    is_stacked: bool = False


@dataclass(frozen=True)
class ColumnChart:
    """Vertical columns, such as a histogram: height in percent, label and count of each column."""

    title: str
    description: str
    xlabel: str
    ylabel: str
    y: Scale
    columns: Sequence[tuple[float, str, int]]


def make_columns(
    title: str, description: str, xlabel: str, labels: Sequence[str], counts: Sequence[int]
) -> ColumnChart:
    """Return a histogram of recordings, with a column for each label; labels may be empty."""
    y = linear_scale(counts, count=4)
    columns = [(y.place(count), label, count) for label, count in zip(labels, counts, strict=True)]
    return ColumnChart(title, description, xlabel, "recordings", y, columns)
