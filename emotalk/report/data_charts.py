"""Charts of the data."""

from typing import Any

import numpy as np
import pandas as pd

from emotalk.blendshapes import CHANNELS
from emotalk.data.av_sync import LAGS
from emotalk.data.splits import SPLITS
from emotalk.report.charts import (
    ColumnChart,
    LineChart,
    Mark,
    Row,
    RowChart,
    Scale,
    linear_scale,
    log_scale,
    make_columns,
    make_line,
    typeset,
)
from emotalk.report.names import describe_speaker
from emotalk.timing import FPS

_MAX_SPEAKERS = 40
_MAX_JITTER_ROWS = 12
_NUM_BINS = 12
_MAX_DIFFERENCE = 6
_LAGS = Scale(float(LAGS[0]), float(LAGS[-1]), [-15, -10, -5, 0, 5, 10, 15])


def chart_speakers(clips: pd.DataFrame) -> RowChart:
    """Return the minutes of each speaker by split, the longest first."""
    pairs = zip(clips["corpus"], clips["subject"], strict=True)
    names = pd.Series([describe_speaker(*pair) for pair in pairs], clips.index)
    minutes = clips.pivot_table(index=names, columns="split", values="seconds", aggfunc="sum", fill_value=0) / 60
    minutes = minutes.loc[minutes.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    shown = minutes.head(_MAX_SPEAKERS)
    scale = linear_scale(shown.sum(axis=1))
    splits = [name for name in SPLITS if name in shown]
    rows = []
    for name, row in shown.iterrows():
        ends = np.cumsum([row[split] for split in splits])
        marks = [
            Mark(split, scale.place(end - row[split]), scale.place(end))
            for split, end in zip(splits, ends, strict=True)
            if row[split]
        ]
        rows.append(Row(str(name), marks, f"{ends[-1]:.1f}"))
    if hidden := len(minutes) - len(shown):
        rows.append(Row(f"and {hidden} more", [], f"{minutes.iloc[_MAX_SPEAKERS:].to_numpy().sum():.1f}"))
    legend = [(split, split) for split in splits]
    return RowChart("Minutes of each speaker by split", scale, "minutes", rows, legend, is_stacked=True)


def chart_durations(recordings: pd.DataFrame) -> list[ColumnChart]:
    """Return a histogram of the durations of each corpus."""
    charts = []
    for corpus, rows in recordings.dropna(subset=["duration_s"]).groupby("corpus"):
        durations = rows["duration_s"].clip(lower=0.1)
        scale = log_scale(durations.min(), durations.max())
        edges = np.geomspace(scale.low, scale.high, _NUM_BINS + 1)
        counts = np.histogram(durations, edges)[0].tolist()
        labels = [f"{edge:.2g} s" if i % 3 == 0 else "" for i, edge in enumerate(edges[:-1])]
        description = f"Durations of {corpus}: median {durations.median():.1f} s, longest {durations.max():.1f} s"
        charts.append(make_columns(f"{corpus}: durations", description, "", labels, counts))
    return charts


def chart_differences(recordings: pd.DataFrame) -> ColumnChart:
    """Return the difference in frames between each track and its audio."""
    complete = recordings.dropna(subset=["duration_s", "num_track_frames"])
    difference = complete["num_track_frames"] - np.floor(complete["duration_s"] * FPS + 1e-6)
    counts = difference.clip(-_MAX_DIFFERENCE, _MAX_DIFFERENCE).astype(int).value_counts()
    ends = {-_MAX_DIFFERENCE: f"≤ {-_MAX_DIFFERENCE}", _MAX_DIFFERENCE: f"≥ {_MAX_DIFFERENCE}"}
    values = range(-_MAX_DIFFERENCE, _MAX_DIFFERENCE + 1)
    labels = [typeset(ends.get(value, str(value))) if value % 3 == 0 else "" for value in values]
    description = f"{(difference == 0).sum()} of {len(difference)} tracks are as long as their audio"
    xlabel = "track longer than audio by (frames)"
    return make_columns(
        "Frame differences", description, xlabel, labels, [int(counts.get(value, 0)) for value in values]
    )


def chart_channel_ranges(statistics: dict[str, np.ndarray]) -> RowChart:
    """Return the range of each channel over all recordings, and its mean."""
    lowest, highest = statistics["lowest"].min(axis=0), statistics["highest"].max(axis=0)
    mean, std = statistics["mean"].mean(axis=0), statistics["std"].mean(axis=0)
    scale = linear_scale([*lowest.tolist(), *highest.tolist(), 1.0])
    rows = [
        Row(
            name,
            [Mark("captured", scale.place(lowest[i]), scale.place(highest[i]), scale.place(mean[i]))],
            typeset(f"{mean[i]:.2f} ± {std[i]:.2f}"),
        )
        for i, name in enumerate(CHANNELS)
    ]
    legend = [("captured", "minimum to maximum; point: mean; number: mean ± standard deviation within a recording")]
    return RowChart("Range of each channel", scale, "blendshape units", rows, legend)


def chart_jitter(statistics: dict[str, np.ndarray]) -> RowChart:
    """Return the jitter of the channels with the most, as delivered and as used for training."""
    before, after = statistics["jitter_before"].mean(axis=0), statistics["jitter_after"].mean(axis=0)
    scale = linear_scale([float(before.max()), float(after.max())])
    rows = [
        Row(
            CHANNELS[i],
            [
                Mark(kind, 0, scale.place(value), scale.place(value), f"{value:.4f}")
                for kind, value in (("delivered", before[i]), ("captured", after[i]))
            ],
            f"{before[i]:.4f} → {after[i]:.4f}",
        )
        for i in np.argsort(before)[::-1][:_MAX_JITTER_ROWS]
    ]
    legend = [("delivered", "delivered"), ("captured", "used for training")]
    return RowChart("Jitter by channel", scale, "mean |second difference| (units per frame²)", rows, legend)


def chart_synchrony(offsets: dict[str, dict[str, Any]]) -> list[LineChart]:
    """Return the correlation of loudness and mouth opening at each lag, one chart per corpus."""
    y = linear_scale([value for result in offsets.values() for value in result["curve"]])
    charts = []
    for corpus, result in offsets.items():
        line = make_line("captured", corpus, _LAGS, y, zip(LAGS.tolist(), result["curve"].tolist(), strict=True))
        peak = float(LAGS[int(np.argmax(result["curve"]))])
        description = f"{corpus}: mean correlation by lag, highest at {peak:+.0f} frames"
        mark = (_LAGS.place(0), "in sync")
        charts.append(LineChart(corpus, description, _LAGS, y, "lag of motion (frames)", "correlation", [line], mark))
    return charts
