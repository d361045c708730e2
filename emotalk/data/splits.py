"""Splits: which clips are for training, for validation and for test."""

import hashlib
import math
import unicodedata
from collections.abc import Iterable

import pandas as pd

from emotalk.config.corpus import HeldOut, SplitSettings, normalize_subject
from emotalk.errors import CorpusError

SPLITS = ("train", "validation", "test")
_ENOUGH = 3
"""Subjects or recordings that a split by them needs: one for each of training, validation and test."""


def split_unit(clips: pd.DataFrame, settings: SplitSettings) -> str:
    """What a corpus is split by: `subject`, `recording` or `time`.

    Parameters
    ----------
    clips
        Columns `subject` and `recording_id`, one row per clip.
    """
    if settings.by != "auto":
        return settings.by
    if isinstance(settings.validation, list) or isinstance(settings.test, list):
        return "subject"
    if clips["subject"].nunique() >= _ENOUGH:
        return "subject"
    return "recording" if clips["recording_id"].nunique() >= _ENOUGH else "time"


def split_clips(clips: pd.DataFrame, settings: SplitSettings, *, corpus: str, seed: int) -> pd.Series:
    """Split of each clip of one corpus; None for clips in the gap between two splits by time.

    Parameters
    ----------
    clips
        Columns `subject`, `recording_id`, `start_frame`, `stop_frame`.

    Raises
    ------
    CorpusError
        If a subject or recording is named that has no clip.
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
        Names that are held out, or the fraction of names (rounded to the nearest whole number, at least one where the
        fraction is not 0 and there are three names or more), or "none".
    seed
        Decides which names a fraction takes. A name keeps its place in the draw when others are added.
    """
    names = sorted(set(names))
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    assigned = dict.fromkeys(names, "train")
    for split, held_out in (("test", test), ("validation", validation)):
        free = [name for name in drawn if assigned[name] == "train"]
        if isinstance(held_out, list):
            chosen = _matching(free, held_out)
        else:
            chosen = _first(free, _fraction(held_out), len(names))
        assigned |= dict.fromkeys(chosen, split)
    return assigned


def _matching(names: Iterable[str], requested: Iterable[str | int]) -> list[str]:
    """Names that are requested, as they are written or else without the zeros before a number."""
    names, found = list(names), []
    for request in map(str, requested):
        exact = [name for name in names if name == unicodedata.normalize("NFC", request)]
        found += exact or [name for name in names if normalize_subject(name) == normalize_subject(request)]
    return found


def _check_names(names: Iterable[str], settings: SplitSettings, *, corpus: str, unit: str) -> None:
    for split in ("validation", "test"):
        requested = getattr(settings, split)
        absent = (
            [str(name) for name in requested if not _matching(names, [name])] if isinstance(requested, list) else []
        )
        if absent:
            raise CorpusError(
                f"split.{corpus}.{split} names {', '.join(absent)}, and there is no such {unit} with a usable clip. "
                f"There are: {_listed(names)}. Name some of these, or set a fraction, or none."
            )


def _listed(names: Iterable[str], most: int = 40) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:most]) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")


def _fraction(held_out: HeldOut) -> float:
    return held_out if isinstance(held_out, int | float) else 0.0


def _first(free: list[str], fraction: float, total: int) -> list[str]:
    """The first names of the draw, as many as the fraction of all."""
    if fraction == 0 or total < _ENOUGH:
        return []
    return free[: max(1, math.floor(fraction * total + 0.5))]


def _split_by_time(clips: pd.DataFrame, settings: SplitSettings) -> pd.Series:
    """Split recordings along time: training first, then validation, then test, each boundary with a gap of a clip.

    A recording of fewer clips than splits and gaps need is for training.
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
