"""Issues of recordings: their effect on the status of a recording, and a summary."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emotalk.config.corpus import IndexSettings
from emotalk.errors import CorpusError, Issue

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
