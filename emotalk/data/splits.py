"""Which clips train, which validate and which test: always by subject, never by clip."""

import hashlib
import math
from collections.abc import Iterable, Sequence

from emotalk.config.corpus import normalize_subject

SPLITS = ("train", "validation", "test")


def split_subjects(
    subjects: Iterable[str], *, validation: Sequence[str | int] | float, test: Sequence[str | int] | float, seed: int
) -> dict[str, str]:
    """Assign each subject of one corpus to a split.

    Parameters
    ----------
    subjects
        Names of the subjects that the corpus holds.
    validation, test
        Names of the subjects held out, or the fraction of subjects (rounded to the nearest whole number, at least
        one where the fraction is not 0 and three subjects or more are there).
    seed
        Decides which subjects a fraction takes. A subject keeps its place in the draw when others are added.

    Returns
    -------
    dict
        Subject to `train`, `validation` or `test`.
    """
    names = sorted(set(subjects))
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    assigned = dict.fromkeys(names, "train")
    for split, wanted in (("test", test), ("validation", validation)):
        free = [name for name in drawn if assigned[name] == "train"]
        if isinstance(wanted, int | float):
            chosen = _first(free, wanted, len(names))
        else:
            chosen = [name for name in free if normalize_subject(name) in named_subjects(wanted)]
        assigned |= dict.fromkeys(chosen, split)
    return assigned


def named_subjects(wanted: Sequence[str | int]) -> set[str]:
    """Names of subjects, comparable."""
    return {normalize_subject(name) for name in wanted}


def _first(free: list[str], fraction: float, num_subjects: int) -> list[str]:
    """The first subjects of the draw, as many as the fraction of all asks for."""
    if fraction == 0 or num_subjects < len(SPLITS):
        return []
    return free[: max(1, math.floor(fraction * num_subjects + 0.5))]
