"""Figures of the data as SVG text."""

from typing import Any

import numpy as np
import pandas as pd

from emotalk.blendshapes import CHANNELS
from emotalk.data.av_sync import LAGS
from emotalk.data.splits import SPLITS
from emotalk.report.figures import COLOURS, plt, render_svg
from emotalk.timing import FPS

_SPLIT_COLOURS = dict(zip(SPLITS, COLOURS, strict=False))
_MAX_SUBJECTS = 40
_EXCERPT_S = 3
_CHANNEL = CHANNELS.index("jawOpen")


def plot_subjects(clips: pd.DataFrame) -> str:
    """Plot minutes by subject and split, and the number of clips by emotion and intensity."""
    names = clips["corpus"] + " " + clips["subject"].fillna("?")
    minutes = clips.pivot_table(index=names, columns="split", values="seconds", aggfunc="sum", fill_value=0) / 60
    minutes = minutes.loc[minutes.sum(axis=1).sort_values(ascending=False).index]
    longest = minutes.head(_MAX_SUBJECTS)[::-1]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, max(3.2, 0.24 * len(longest) + 1)), layout="constrained", width_ratios=(1.3, 1)
    )
    _plot_stacked(left.barh, longest, _SPLIT_COLOURS)
    num_hidden = len(minutes) - len(longest)
    left.set(
        xlabel="minutes", title="Subjects" + (f" (the longest {len(longest)} of {len(minutes)})" if num_hidden else "")
    )
    left.tick_params(axis="y", labelsize=8)
    left.legend(frameon=False, fontsize=8, loc="lower right")
    emotion = clips["emotion"].astype(object).fillna("unlabelled")
    intensity = clips["intensity"].map({1: "normal", 2: "strong"}).astype(object).fillna("none")
    by_emotion = pd.crosstab(emotion, intensity)
    colours = dict(zip(("none", "normal", "strong"), ("#9aa0a6", "#7fb3e6", "#1f4e9c"), strict=True))
    _plot_stacked(right.barh, by_emotion[::-1], colours)
    right.set(xlabel="clips")
    right.legend(frameon=False, fontsize=8, title="intensity", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return render_svg(figure)


def _plot_stacked(bar: Any, table: pd.DataFrame, colours: dict[str, str]) -> None:
    start = np.zeros(len(table))
    for name, colour in colours.items():
        if name in table:
            bar(table.index.astype(str), table[name], left=start, color=colour, label=name, height=0.75)
            start = start + table[name].to_numpy()


def plot_lengths(recordings: pd.DataFrame) -> str:
    """Plot durations, and the difference in frames between each track and its audio."""
    complete = recordings.dropna(subset=["duration_s", "num_track_frames"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained")
    longest = max(complete["duration_s"].max(), 1.0)
    edges = np.geomspace(max(0.1, complete["duration_s"].min()), longest * 1.01, 40)
    for (corpus, rows), colour in zip(complete.groupby("corpus"), COLOURS * len(complete), strict=False):
        left.hist(rows["duration_s"], edges, color=colour, alpha=0.6, label=corpus)
    left.set(xscale="log", xlabel="duration (s)", ylabel="recordings", title="Durations")
    left.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    left.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    left.legend(frameon=False, fontsize=8)
    difference = complete["num_track_frames"] - np.floor(complete["duration_s"] * FPS + 1e-6)
    counts = difference.clip(-6, 6).astype(int).value_counts().sort_index()
    labels = [{-6: "≤ -6", 6: "≥ 6"}.get(int(str(value)), str(value)) for value in counts.index]
    right.bar_label(right.bar(labels, counts, color=COLOURS[0]), fontsize=8)
    right.set(xlabel="track longer than audio by (frames)", ylabel="recordings", title="Frame differences")
    right.margins(y=0.15)
    return render_svg(figure)


def plot_channel_ranges(statistics: dict[str, np.ndarray]) -> str:
    """Plot the range of each channel over all recordings, and its mean and standard deviation within a recording."""
    positions = np.arange(len(CHANNELS))[::-1]
    figure, axis = plt.subplots(figsize=(10, 9.5), layout="constrained")
    lowest, highest = statistics["lowest"].min(axis=0), statistics["highest"].max(axis=0)
    axis.hlines(positions, lowest, highest, color="#9aa0a6", linewidth=2, label="minimum to maximum")
    mean, std = statistics["mean"].mean(axis=0), statistics["std"].mean(axis=0)
    axis.errorbar(
        mean, positions, xerr=std, fmt="o", markersize=4, color=COLOURS[0], label="mean ± std within a recording"
    )
    axis.axvspan(0, 1, color="#2f6fde", alpha=0.05)
    axis.set_yticks(positions, CHANNELS, fontsize=7)
    axis.set(xlabel="blendshape units (shaded: 0 to 1)", ylim=(-1, len(CHANNELS)))
    axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return render_svg(figure)


def plot_jitter(statistics: dict[str, np.ndarray], example: tuple[str, np.ndarray | None, np.ndarray]) -> str:
    """Plot the jitter of each channel before and after smoothing, and an excerpt of channel jawOpen."""
    name, raw, smooth = example
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    before, after = statistics["jitter_before"].mean(axis=0), statistics["jitter_after"].mean(axis=0)
    order = np.argsort(before)[::-1]
    left.plot(before[order], color="#9aa0a6", label="delivered")
    left.plot(after[order], color=COLOURS[0], label="used for training")
    left.set(xlabel="channels, sorted by jitter", ylabel="mean |second difference|\n(units per frame²)")
    left.set(title="Jitter", ylim=(0, None))
    left.legend(frameon=False, fontsize=8)
    length = min(len(smooth), _EXCERPT_S * FPS)
    start = int(np.argmax(np.convolve(np.abs(np.diff(smooth[:, _CHANNEL])), np.ones(length - 1), mode="valid")))
    seconds = (start + np.arange(length)) / FPS
    if raw is not None:
        right.plot(seconds, raw[start : start + length, _CHANNEL], ".-", color="#9aa0a6", label="delivered")
    right.plot(seconds, smooth[start : start + length, _CHANNEL], color=COLOURS[0], label="used for training")
    right.set(xlabel="time (s)", ylabel="jawOpen (units)", title=name)
    right.legend(frameon=False, fontsize=8)
    return render_svg(figure)


def plot_synchrony(offsets: dict[str, dict[str, Any]], min_confidence: float) -> str:
    """Plot the correlation of loudness and mouth opening at each lag, and the offsets of single recordings."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
    for (corpus, result), colour in zip(offsets.items(), COLOURS * len(offsets), strict=False):
        left.plot(LAGS, result["curve"], ".-", color=colour, label=corpus)
        is_confident = result["each"]["offset_confidence"] >= min_confidence
        label = f"{corpus}: {is_confident.sum()} of {len(is_confident)}"
        frames = result["each"]["offset_frames"][is_confident]
        right.hist(frames, np.arange(-15.5, 16), color=colour, alpha=0.6, label=label)
    left.axvline(0, color="#888", linewidth=0.8)
    left.set(xlabel="lag of motion (frames of 33.3 ms)", ylabel="mean correlation", title="All recordings")
    right.set(xlabel="offset of motion (frames, positive: late)", ylabel="recordings")
    right.set(title=f"Recordings with confidence of at least {min_confidence:g}")
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=8)
    return render_svg(figure)


def plot_pairs(table: pd.DataFrame) -> str:
    """Plot the number of pseudo-pairs by their two emotions."""
    figure, axis = plt.subplots(figsize=(5.5, 4.2), layout="constrained")
    axis.imshow(table, cmap="Blues", vmin=0)
    axis.grid(visible=False)
    axis.set_xticks(range(len(table)), table.columns, rotation=35, ha="right")
    axis.set_yticks(range(len(table)), table.index)
    axis.set(xlabel="emotion e2 (of the content clip)", ylabel="emotion e1 (of the emotion reference)")
    threshold = table.to_numpy().max() / 2
    for (row, column), count in np.ndenumerate(table.to_numpy()):
        axis.text(column, row, str(count), ha="center", va="center", color="white" if count > threshold else "black")
    return render_svg(figure)
