"""What can be wrong with a recording, and what is done about it."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emotalk.config.corpus import IndexSettings
from emotalk.errors import CorpusError, Issue
from emotalk.timing import FPS

_STATUS = {"keep": "ok", "repair": "repaired", "exclude": "excluded"}
_WORSE = ("ok", "repaired", "excluded")


def apply_policy(row: dict[str, Any], issues: Iterable[Issue], settings: IndexSettings) -> None:
    """Add issues to a recording's row: its reasons, and the status that they leave it."""
    for issue in issues:
        policy = settings.policy(issue.code)
        status = _STATUS["exclude" if issue.always_excludes else policy]
        row["reasons"] = [*row["reasons"], str(issue)]
        row["status"] = max(row["status"], status, key=_WORSE.index)


def code_of(reason: str) -> str:
    """Code that a reason starts with."""
    return reason.partition(":")[0]


_USUAL_RATES = (24, 25, 48, 50, 60, 90, 100, 120)


@dataclass(frozen=True)
class Lengths:
    """Frames of audio and of motion, and by how many the motion is late, if that is to be mended."""

    audio: int
    track: int
    shift: int

    @property
    def common(self) -> int:
        """Frames that both have, from where both begin."""
        return max(0, min(self.audio - max(0, -self.shift), self.track - max(0, self.shift)))

    @property
    def is_usual(self) -> bool:
        """Whether the track is as long as its audio or one frame shorter (docs/method.md, section "Data")."""
        return self.audio - 1 <= self.track <= self.audio


def length_issues(lengths: Lengths, settings: IndexSettings, *, longer: int = 0) -> Iterator[Issue]:
    """Issues of the lengths of a recording, whose track may be `longer` by more frames than the settings allow."""
    found = f"the track has {lengths.track} frames, the audio {lengths.audio}"
    difference = lengths.track - lengths.audio
    if not -settings.max_frame_difference <= difference <= max(settings.max_frame_difference, longer):
        rule = f"at most {settings.max_frame_difference} frames of difference are tolerated"
        yield Issue("frame_mismatch", f"{found}; {rule}", always_excludes=True)
    elif not lengths.is_usual:
        yield Issue("frame_mismatch", f"{found}; both are cut to {lengths.common}")
    if lengths.common < settings.min_frames:
        rule = f"the shortest usable recording has {settings.min_frames}"
        yield Issue("too_short", f"{lengths.common} frames; {rule}", always_excludes=True)
    if lengths.common > settings.max_minutes * 60 * FPS:
        minutes = lengths.common / (60 * FPS)
        yield Issue("too_long", f"{minutes:.1f} minutes; the longest usable recording has {settings.max_minutes:g}")


def other_rate(num_frames: int, seconds: float, tolerance: int) -> int | None:
    """Frame rate that would make a track as long as its audio, where 30 does not and another usual one does."""

    def difference(fps: int) -> float:
        return abs(num_frames / fps - seconds) * FPS

    nearest = min(_USUAL_RATES, key=difference)
    return nearest if difference(FPS) > tolerance + 1 and difference(nearest) <= tolerance else None


_LOG = logging.getLogger(__name__)
_NAMES = 3
_LISTED = 100


class IssueSummary:
    """Counts of recordings by status and of issues by code, with the first names of each."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._status: dict[str, Counter[str]] = defaultdict(Counter)
        self._codes: Counter[str] = Counter()
        self._names: dict[str, list[str]] = defaultdict(list)
        self._excluded: dict[str, list[str]] = defaultdict(list)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a recording."""
        self._status[row["corpus"]][row["status"]] += 1
        codes = [code_of(reason) for reason in row["reasons"]]
        for code in dict.fromkeys(codes):
            self._codes[code] += 1
            if len(self._names[code]) < _NAMES:
                self._names[code].append(row["recording_id"])
        told = f"{row['recording_id']}: {'; '.join(row['reasons'])}"
        if row["status"] == "excluded" and len(excluded := self._excluded[row["corpus"]]) < _LISTED:
            excluded.append(told)

    def log(self, corpora: Sequence[str]) -> None:
        """Log counts by corpus and status, then a line for each code: its policy, how many, the first names."""
        for corpus in corpora:
            counts = sorted(self._status[corpus].items())
            _LOG.info("%s: %s", corpus, ", ".join(f"{count} {name}" for name, count in counts) or "empty")
        for code, count in sorted(self._codes.items()):
            more = ", …" if count > _NAMES else ""
            policy = self._settings.policy(code)
            _LOG.info("  %-19s %-7s %6d  %s%s", code, policy, count, ", ".join(self._names[code]), more)

    def refuse(self, corpora: Sequence[str], strict: bool) -> None:
        """Stop where a corpus has nothing usable, or where what was found must not be.

        Raises
        ------
        CorpusError
            With the reasons of the first recordings concerned.
        """
        for corpus in corpora:
            counts = self._status[corpus]
            if counts.total() == 0:
                raise CorpusError(f"Nothing of {corpus} can be used: no wav, no flac and no track was found.")
            if counts["excluded"] == counts.total():
                raise CorpusError(
                    f"Nothing of {corpus} can be used: all {counts.total()} are excluded, the first for these "
                    f"reasons: {' | '.join(self._excluded[corpus][:5])}"
                )
        num_excluded = sum(counts["excluded"] for counts in self._status.values())
        if strict and num_excluded:
            total = sum(counts.total() for counts in self._status.values())
            said = f"{num_excluded} of {total} recordings are excluded and 'strict' is set"
            every = [told for corpus in corpora for told in self._excluded[corpus]]
            raise CorpusError(f"{said}: {_listed(every[:_LISTED], num_excluded)}")


def _listed(told: Sequence[str], count: int) -> str:
    rule = "where nothing is to stop the run, recordings.parquet tells all"
    more = f" | and {count - len(told)} more; {rule}" if count > len(told) else ""
    return " | ".join(told) + more
