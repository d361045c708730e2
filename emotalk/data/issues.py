"""Issues of recordings: their effect on the status of a recording, and a summary."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emotalk.config.corpus import IndexSettings
from emotalk.errors import CorpusError, Issue
from emotalk.timing import FPS

_STATUS = {"keep": "ok", "repair": "repaired", "exclude": "excluded"}
_SEVERITY = ("ok", "repaired", "excluded")


def apply_policy(row: dict[str, Any], issues: Iterable[Issue], settings: IndexSettings) -> None:
    """Add issues to the reasons of a recording's row, and update its status."""
    for issue in issues:
        policy = settings.policy(issue.code)
        status = _STATUS["exclude" if issue.always_excludes else policy]
        row["reasons"] = [*row["reasons"], str(issue)]
        row["status"] = max(row["status"], status, key=_SEVERITY.index)


def issue_code(reason: str) -> str:
    """Return the code at the start of a reason."""
    return reason.partition(":")[0]


_USUAL_FRAME_RATES = (24, 25, 48, 50, 60, 90, 100, 120)


@dataclass(frozen=True)
class Lengths:
    """Numbers of frames of audio and track, and the delay of the motion in frames, if it is to be repaired."""

    audio: int
    track: int
    shift: int

    @property
    def common(self) -> int:
        """Number of frames that audio and track have in common after the shift."""
        return max(0, min(self.audio - max(0, -self.shift), self.track - max(0, self.shift)))

    @property
    def is_usual(self) -> bool:
        """Whether the track is as long as the audio or one frame shorter (docs/method.md, section "Data")."""
        return self.audio - 1 <= self.track <= self.audio


def length_issues(lengths: Lengths, settings: IndexSettings, *, extra_frames: int = 0) -> Iterator[Issue]:
    """Yield issues of the lengths; the track may be up to `extra_frames` longer, even beyond the settings' limit."""
    message = f"the track has {lengths.track} frames, the audio {lengths.audio}"
    difference = lengths.track - lengths.audio
    if not -settings.max_frame_difference <= difference <= max(settings.max_frame_difference, extra_frames):
        rule = f"the largest allowed difference is {settings.max_frame_difference} frames"
        yield Issue("frame_mismatch", f"{message}; {rule}", always_excludes=True)
    elif not lengths.is_usual:
        yield Issue("frame_mismatch", f"{message}; both are cut to {lengths.common} frames")
    if lengths.common < settings.min_frames:
        rule = f"the minimum is {settings.min_frames}"
        yield Issue("too_short", f"{lengths.common} frames; {rule}", always_excludes=True)
    if lengths.common > settings.max_minutes * 60 * FPS:
        minutes = lengths.common / (60 * FPS)
        yield Issue("too_long", f"{minutes:.1f} minutes; the maximum is {settings.max_minutes:g}")


def matching_frame_rate(num_frames: int, seconds: float, tolerance: int) -> int | None:
    """Return the usual frame rate at which a track is as long as its audio; None if 30 fits or no rate does."""

    def difference(fps: int) -> float:
        return abs(num_frames / fps - seconds) * FPS

    nearest = min(_USUAL_FRAME_RATES, key=difference)
    return nearest if difference(FPS) > tolerance + 1 and difference(nearest) <= tolerance else None


_LOG = logging.getLogger(__name__)
_MAX_NAMES = 3
_MAX_LISTED = 100


class IssueSummary:
    """Counts of recordings by status and of issues by code, with the first recordings of each code."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._status: dict[str, Counter[str]] = defaultdict(Counter)
        self._codes: Counter[str] = Counter()
        self._names: dict[str, list[str]] = defaultdict(list)
        self._excluded: dict[str, list[str]] = defaultdict(list)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a recording to the counts."""
        self._status[row["corpus"]][row["status"]] += 1
        codes = [issue_code(reason) for reason in row["reasons"]]
        for code in dict.fromkeys(codes):
            self._codes[code] += 1
            if len(self._names[code]) < _MAX_NAMES:
                self._names[code].append(row["recording_id"])
        if row["status"] == "excluded" and len(excluded := self._excluded[row["corpus"]]) < _MAX_LISTED:
            excluded.append(f"{row['recording_id']}: {'; '.join(row['reasons'])}")

    def log(self, corpora: Sequence[str]) -> None:
        """Log counts by corpus and status, then one line per code: policy, count and first recordings."""
        for corpus in corpora:
            counts = sorted(self._status[corpus].items())
            _LOG.info("%s: %s", corpus, ", ".join(f"{count} {name}" for name, count in counts) or "empty")
        for code, count in sorted(self._codes.items()):
            more = ", …" if count > _MAX_NAMES else ""
            policy = self._settings.policy(code)
            _LOG.info("  %-19s %-7s %6d  %s%s", code, policy, count, ", ".join(self._names[code]), more)

    def raise_if_unusable(self, corpora: Sequence[str], strict: bool) -> None:
        """Raise an error if a corpus has no usable recording, or, if `strict`, if any recording is excluded.

        Raises
        ------
        CorpusError
            With the reasons of the first excluded recordings.
        """
        for corpus in corpora:
            counts = self._status[corpus]
            if counts.total() == 0:
                raise CorpusError(f"{corpus} has no usable recording: no audio and no track was found.")
            if counts["excluded"] == counts.total():
                raise CorpusError(
                    f"{corpus} has no usable recording: all {counts.total()} are excluded. First reasons: "
                    f"{' | '.join(self._excluded[corpus][:5])}"
                )
        num_excluded = sum(counts["excluded"] for counts in self._status.values())
        if strict and num_excluded:
            total = sum(counts.total() for counts in self._status.values())
            message = f"{num_excluded} of {total} recordings are excluded and 'strict' is set"
            reasons = [reason for corpus in corpora for reason in self._excluded[corpus]]
            raise CorpusError(f"{message}: {_format_list(reasons[:_MAX_LISTED], num_excluded)}")


def _format_list(reasons: Sequence[str], count: int) -> str:
    remedy = "without 'strict', all are listed in recordings.parquet"
    more = f" | and {count - len(reasons)} more; {remedy}" if count > len(reasons) else ""
    return " | ".join(reasons) + more
