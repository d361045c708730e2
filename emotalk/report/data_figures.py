"""Figures about the corpus, as SVG text."""

from typing import Any

import numpy as np
import pandas as pd

from emotalk.blendshapes import CHANNELS
from emotalk.data.av_sync import LAGS
from emotalk.data.splits import SPLITS
from emotalk.report.figures import COLOURS, as_svg, plt
from emotalk.timing import FPS

_SPLIT_COLOURS = dict(zip(SPLITS, COLOURS, strict=False))
_MOST_SUBJECTS = 40
_EXCERPT_S = 3
_SHOWN = CHANNELS.index("jawOpen")


def speakers_figure(clips: pd.DataFrame) -> str:
    """Minutes by subject, coloured by split; clips by emotion and intensity, and by split."""
    names = clips["corpus"] + " " + clips["subject"].fillna("?")
    minutes = clips.pivot_table(index=names, columns="split", values="seconds", aggfunc="sum", fill_value=0) / 60
    minutes = minutes.loc[minutes.sum(axis=1).sort_values(ascending=False).index]
    shown = minutes.head(_MOST_SUBJECTS)[::-1]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, max(3.2, 0.24 * len(shown) + 1)), layout="constrained", width_ratios=(1.3, 1)
    )
    _stacked(left.barh, shown, _SPLIT_COLOURS)
    hidden = len(minutes) - len(shown)
    left.set(xlabel="minutes", title="Subjects" + (f" (the longest; {hidden} more)" if hidden else ""))
    left.tick_params(axis="y", labelsize=8)
    left.legend(frameon=False, fontsize=8, loc="lower right")
    emotion = clips["emotion"].astype(object).fillna("unlabelled")
    level = clips["intensity"].map({1: "normal", 2: "strong"}).astype(object).fillna("none")
    by_emotion = pd.crosstab(emotion, level)
    levels = dict(zip(("none", "normal", "strong"), ("#9aa0a6", "#7fb3e6", "#1f4e9c"), strict=True))
    _stacked(right.barh, by_emotion[::-1], levels)
    right.set(xlabel="clips")
    right.legend(frameon=False, fontsize=8, title="intensity", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return as_svg(figure)


def _stacked(bar: Any, table: pd.DataFrame, colours: dict[str, str]) -> None:
    start = np.zeros(len(table))
    for name, colour in colours.items():
        if name in table:
            bar(table.index.astype(str), table[name], left=start, color=colour, label=name, height=0.75)
            start = start + table[name].to_numpy()


def lengths_figure(recordings: pd.DataFrame) -> str:
    """Durations, and how many frames longer than its audio each track is."""
    both = recordings.dropna(subset=["duration_s", "num_track_frames"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained")
    longest = max(both["duration_s"].max(), 1.0)
    edges = np.geomspace(max(0.1, both["duration_s"].min()), longest * 1.01, 40)
    for (corpus, rows), colour in zip(both.groupby("corpus"), COLOURS * len(both), strict=False):
        left.hist(rows["duration_s"], edges, color=colour, alpha=0.6, label=corpus)
    left.set(xscale="log", xlabel="duration (s)", ylabel="recordings", title="Durations")
    left.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    left.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    left.legend(frameon=False, fontsize=8)
    difference = both["num_track_frames"] - np.floor(both["duration_s"] * FPS + 1e-6)
    counted = difference.clip(-6, 6).astype(int).value_counts().sort_index()
    labels = [{-6: "≤ -6", 6: "≥ 6"}.get(int(str(value)), str(value)) for value in counted.index]
    right.bar_label(right.bar(labels, counted, color=COLOURS[0]), fontsize=8)
    right.set(xlabel="frames of the track beyond its audio", ylabel="recordings", title="Frame differences")
    right.margins(y=0.15)
    return as_svg(figure)


def channels_figure(statistics: dict[str, np.ndarray]) -> str:
    """Each channel's range over all recordings, and its mean with the spread within a recording."""
    places = np.arange(len(CHANNELS))[::-1]
    figure, axis = plt.subplots(figsize=(10, 9.5), layout="constrained")
    lowest, highest = statistics["lowest"].min(axis=0), statistics["highest"].max(axis=0)
    axis.hlines(places, lowest, highest, color="#9aa0a6", linewidth=2, label="lowest to highest value")
    mean, std = statistics["mean"].mean(axis=0), statistics["std"].mean(axis=0)
    axis.errorbar(mean, places, xerr=std, fmt="o", markersize=4, color=COLOURS[0], label="mean ± std of a recording")
    axis.axvspan(0, 1, color="#2f6fde", alpha=0.05)
    axis.set_yticks(places, CHANNELS, fontsize=7)
    axis.set(xlabel="blendshape units (shaded: 0 to 1)", ylim=(-1, len(CHANNELS)))
    axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return as_svg(figure)


def jitter_figure(statistics: dict[str, np.ndarray], example: tuple[str, np.ndarray | None, np.ndarray]) -> str:
    """Jitter of each channel before and after smoothing, and a piece of one channel."""
    name, raw, smooth = example
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    before, after = statistics["jitter_before"].mean(axis=0), statistics["jitter_after"].mean(axis=0)
    order = np.argsort(before)[::-1]
    left.plot(before[order], color="#9aa0a6", label="as delivered")
    left.plot(after[order], color=COLOURS[0], label="as trained on")
    left.set(xlabel="channels, the most jittery first", ylabel="mean |second difference|\n(units a frame²)")
    left.set(title="Jitter", ylim=(0, None))
    left.legend(frameon=False, fontsize=8)
    length = min(len(smooth), _EXCERPT_S * FPS)
    start = int(np.argmax(np.convolve(np.abs(np.diff(smooth[:, _SHOWN])), np.ones(length - 1), mode="valid")))
    seconds = (start + np.arange(length)) / FPS
    if raw is not None:
        right.plot(seconds, raw[start : start + length, _SHOWN], ".-", color="#9aa0a6", label="as delivered")
    right.plot(seconds, smooth[start : start + length, _SHOWN], color=COLOURS[0], label="as trained on")
    right.set(xlabel="time (s)", ylabel="jawOpen (units)", title=name)
    right.legend(frameon=False, fontsize=8)
    return as_svg(figure)


def synchrony_figure(found: dict[str, dict[str, Any]], min_confidence: float) -> str:
    """Correlation of loudness and mouth opening at each shift, and the offsets of single recordings."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
    for (corpus, one), colour in zip(found.items(), COLOURS * len(found), strict=False):
        left.plot(LAGS, one["curve"], ".-", color=colour, label=corpus)
        sure = one["each"]["offset_confidence"] >= min_confidence
        label = f"{corpus}: {sure.sum()} of {len(sure)}"
        right.hist(one["each"]["offset_frames"][sure], np.arange(-15.5, 16), color=colour, alpha=0.6, label=label)
    left.axvline(0, color="#888", linewidth=0.8)
    left.set(xlabel="motion later by (frames of 33.3 ms)", ylabel="mean correlation", title="All recordings together")
    right.set(xlabel="offset of motion (frames, late > 0)", ylabel="recordings")
    right.set(title=f"Recordings with a confidence of {min_confidence:g} or more")
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=8)
    return as_svg(figure)


def pairs_figure(table: pd.DataFrame) -> str:
    """Pseudo-pairs by their two emotions."""
    figure, axis = plt.subplots(figsize=(5.5, 4.2), layout="constrained")
    axis.imshow(table, cmap="Blues", vmin=0)
    axis.grid(visible=False)
    axis.set_xticks(range(len(table)), table.columns, rotation=35, ha="right")
    axis.set_yticks(range(len(table)), table.index)
    axis.set(xlabel="emotion e2 (of the audio that gives the words)", ylabel="emotion e1 (of the other audio)")
    dark = table.to_numpy().max() / 2
    for (row, column), count in np.ndenumerate(table.to_numpy()):
        axis.text(column, row, str(count), ha="center", va="center", color="white" if count > dark else "black")
    return as_svg(figure)
