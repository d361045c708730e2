"""Names for readers: of recordings and clips (speaker, emotion, sentence), predictors and regions."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from emotalk.timing import FPS

PREDICTOR_NAMES = {
    "model": "model",
    "mean_face": "mean face",
    "still_face": "still face",
    "nearest_clip": "nearest training clip",
    "by_name": "emotion by name",
    "own_emotion": "without the swap",
    "most_frequent": "most frequent class",
}
"""Names of the predictors for readers."""

REGION_NAMES = {"mouth": "Mouth and jaw", "brows": "Brows", "eyes": "Eyes", "cheeks": "Cheeks and nose"}
"""Regions of the verdict, which together are the whole face."""


def name_clips(clips: pd.DataFrame) -> dict[str, str]:
    """Name each clip by its labels; equal names get the take, and then the id of the recording.

    Parameters
    ----------
    clips
        Indexed by clip id or recording id, with columns `corpus`, `recording_id`, `subject`, `emotion`, `intensity`,
        `statement` and `repetition`, and for clips `start_frame`, `stop_frame` and `is_whole`.

    Returns
    -------
    dict
        Name of each index value.
    """
    rows: dict[Any, Any] = clips.to_dict("index")
    names = {key: _describe(row) for key, row in rows.items()}
    for column in ("repetition", "recording_id"):
        counts = Counter(names.values())
        equal = [key for key in names if counts[names[key]] > 1 and not pd.isna(rows[key][column])]
        names |= {key: f"{names[key]} · {_distinguish(column, rows[key][column])}" for key in equal}
    return {str(key): name for key, name in names.items()}


def _distinguish(column: str, value: Any) -> str:
    return f"take {int(value)}" if column == "repetition" else str(value)


def _describe(row: Mapping[str, Any]) -> str:
    parts = [describe_speaker(row["corpus"], row["subject"])]
    if not pd.isna(row["emotion"]):
        parts.append(describe_emotion(row["emotion"], row["intensity"]))
    if not pd.isna(row["statement"]):
        parts.append(f"sentence {row['statement']}")
    elif pd.isna(row["emotion"]):
        parts.append(str(row["recording_id"]))
    if not row.get("is_whole", True):
        parts.append(f"{format_seconds(row['start_frame'] / FPS)} to {format_seconds(row['stop_frame'] / FPS)}")
    return " · ".join(parts)


def describe_speaker(corpus: str, subject: str | None) -> str:
    """Return corpus and speaker, for example `RAVDESS speaker 6` or `HDTF BenSample`."""
    if pd.isna(subject):
        return f"{corpus}, unknown speaker"
    return f"{corpus} speaker {subject}" if str(subject).isdigit() else f"{corpus} {subject}"


def describe_emotion(emotion: str, intensity: float | None) -> str:
    """Return an emotion word, and `strong` if its intensity is strong."""
    return f"{emotion}, strong" if intensity == 2 else emotion


def format_seconds(seconds: float) -> str:
    """Format as minutes and seconds, for example 1:05.0."""
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"


def format_duration(seconds: float) -> str:
    """Format a long duration in its two largest units, for example `2 h 05 min` or `7 min 41 s`."""
    total = round(seconds)
    if total >= 3600:
        return f"{total // 3600} h {total % 3600 // 60:02d} min"
    return f"{total // 60} min {total % 60:02d} s" if total >= 60 else f"{total} s"
