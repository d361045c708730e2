"""The state of the data in words: whether training can start, and what to look at before."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MIN_OFFSET_FRAMES = 1.5


def describe_data(
    counts: Sequence[Mapping[str, Any]],
    issues: Sequence[Mapping[str, Any]],
    offsets: Mapping[str, Mapping[str, Any]],
    warnings: Sequence[str],
    *,
    jitter: tuple[float, float],
    min_confidence: float,
) -> tuple[list[str], list[str]]:
    """Return statements about the data, and what to look at before training.

    Parameters
    ----------
    counts, issues, offsets
        Tables of `emotalk.report.data_quality`.
    warnings
        Warnings of the manifest.
    jitter
        Mean jitter as delivered and as used for training.
    """
    found, usable = (sum(row[name] for row in counts) for name in ("found", "usable"))
    minutes, subjects = (sum(row[name] for row in counts) for name in ("minutes", "subjects"))
    statements = [f"{usable} of {found} recordings are usable: {minutes:.1f} minutes, speakers: {subjects}."]
    before, after = jitter
    if before > 0 and after < 0.999 * before:
        statements.append(f"Smoothing removes {1 - after / before:.0%} of the jitter.".replace("%", " %"))
    elif before > 0:
        statements.append("Tracks are used as delivered, without smoothing.")
    in_sync = [name for name, result in offsets.items() if _is_in_sync(result, min_confidence)]
    if in_sync:
        statements.append(f"Speech and motion are in sync in {', '.join(in_sync)}.")
    return statements, [*warnings, *_concerns(counts, issues, offsets, min_confidence)]


def _is_in_sync(result: Mapping[str, Any], min_confidence: float) -> bool:
    return bool(result["confidence"] >= min_confidence and abs(result["offset"]) < _MIN_OFFSET_FRAMES)


def _concerns(
    counts: Sequence[Mapping[str, Any]],
    issues: Sequence[Mapping[str, Any]],
    offsets: Mapping[str, Mapping[str, Any]],
    min_confidence: float,
) -> Iterator[str]:
    if excluded := sum(row["excluded"] for row in counts):
        codes = [f"{row['code']} ({row['count']})" for row in sorted(issues, key=lambda row: -row["count"])]
        yield f"{excluded} recordings are excluded. Most frequent issues: {', '.join(codes[:3])}."
    for corpus, result in offsets.items():
        if result["confidence"] < min_confidence:
            yield f"The offset between speech and motion of {corpus} is unknown: the correlation has no clear peak."
        elif not _is_in_sync(result, min_confidence):
            side = "late" if result["offset"] > 0 else "early"
            yield (
                f"Motion of {corpus} is {abs(result['offset']):.1f} frames {side}. Play a recording; if it is visible, "
                "set index.issues.av_offset to repair."
            )
