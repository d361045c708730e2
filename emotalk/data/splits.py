"""Splits: assigns clips to training, validation and test."""

import hashlib
import math
import unicodedata
from collections.abc import Iterable

import pandas as pd

from emotalk.config.corpus import HeldOut, SplitSettings, normalize_subject
from emotalk.errors import CorpusError

SPLITS = ("train", "validation", "test")
_MIN_NAMES = 3
"""Minimum number of subjects or recordings for a split by them: one each for training, validation and test."""


def split_unit(clips: pd.DataFrame, settings: SplitSettings) -> str:
    """Return the unit that a corpus is split by: `subject`, `recording` or `time`.

    Parameters
    ----------
    clips
        Columns `subject` and `recording_id`, one row per clip.
    """
    if settings.by != "auto":
        return settings.by
    if isinstance(settings.validation, list) or isinstance(settings.test, list):
        return "subject"
    if clips["subject"].nunique() >= _MIN_NAMES:
        return "subject"
    return "recording" if clips["recording_id"].nunique() >= _MIN_NAMES else "time"


def split_clips(clips: pd.DataFrame, settings: SplitSettings, *, corpus: str, seed: int) -> pd.Series:
    """Assign each clip of one corpus to a split; None for clips in the gap between two splits by time.

    Parameters
    ----------
    clips
        Columns `subject`, `recording_id`, `start_frame`, `stop_frame`.

    Raises
    ------
    CorpusError
        If the settings name a subject or recording without clips.
    """
    unit = split_unit(clips, settings)
    if unit == "time":
        return _split_by_time(clips, settings)
    names = clips["subject" if unit == "subject" else "recording_id"]
    _check_names(names.unique(), settings, corpus=corpus, unit=unit)
    return names.map(split_names(names.unique(), validation=settings.validation, test=settings.test, seed=seed))


def split_names(names: Iterable[str], *, validation: HeldOut, test: HeldOut, seed: int) -> dict[str, str]:
    """Assign each subject or recording of one corpus to `train`, `validation` or `test`.

    Parameters
    ----------
    validation, test
        Names to hold out, or the fraction of names (rounded to the nearest integer; at least one if the fraction is not
        0 and there are three or more names), or "none".
    seed
        Seed of the random order from which a fraction selects names. Adding names does not change the order of others.
    """
    names = sorted(set(names))
    shuffled = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    assigned = dict.fromkeys(names, "train")
    for split, held_out in (("test", test), ("validation", validation)):
        free = [name for name in shuffled if assigned[name] == "train"]
        if isinstance(held_out, list):
            selected = _matching(free, held_out)
        else:
            selected = _first(free, _fraction(held_out), len(names))
        assigned |= dict.fromkeys(selected, split)
    return assigned


def _matching(names: Iterable[str], requested: Iterable[str | int]) -> list[str]:
    """Find the requested names: exact matches, or else matches without leading zeros."""
    names, matches = list(names), []
    for request in map(str, requested):
        exact = [name for name in names if name == unicodedata.normalize("NFC", request)]
        matches += exact or [name for name in names if normalize_subject(name) == normalize_subject(request)]
    return matches


def _check_names(names: Iterable[str], settings: SplitSettings, *, corpus: str, unit: str) -> None:
    for split in ("validation", "test"):
        requested = getattr(settings, split)
        absent = (
            [str(name) for name in requested if not _matching(names, [name])] if isinstance(requested, list) else []
        )
        if absent:
            raise CorpusError(
                f"split.{corpus}.{split} has {', '.join(absent)}, but there is no such {unit} with a usable clip. "
                f"Available: {_format_list(names)}. Use some of these, a fraction, or none."
            )


def _format_list(names: Iterable[str], max_names: int = 40) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:max_names]) + (
        f" and {len(ordered) - max_names} more" if len(ordered) > max_names else ""
    )


def _fraction(held_out: HeldOut) -> float:
    return held_out if isinstance(held_out, int | float) else 0.0


def _first(free: list[str], fraction: float, total: int) -> list[str]:
    """Return the first names, as many as the fraction of the total."""
    if fraction == 0 or total < _MIN_NAMES:
        return []
    return free[: max(1, math.floor(fraction * total + 0.5))]


def _split_by_time(clips: pd.DataFrame, settings: SplitSettings) -> pd.Series:
    """Split recordings by time: training, then validation, then test, with a gap of one clip at each boundary.

    A recording with too few clips is used for training.
    """
    validation, test = _fraction(settings.validation), _fraction(settings.test)
    assigned = pd.Series("train", index=clips.index, dtype=object)
    for _, rows in clips.groupby("recording_id"):
        ordered = rows.sort_values("start_frame").index
        parts = [("validation", validation), ("test", test)]
        counts = [(name, max(1, round(share * len(ordered)))) for name, share in parts if share > 0]
        stop = len(ordered)
        if stop < sum(count + 1 for _, count in counts) + 1:
            continue
        for name, count in reversed(counts):
            assigned[ordered[stop - count : stop]] = name
            assigned[ordered[stop - count - 1]] = None
            stop -= count + 1
    return assigned
