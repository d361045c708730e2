"""What the index found, counted: the table at the end of its log, and the reasons to stop."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from emotalk.config.corpus import IndexSettings
from emotalk.corpus.faults import code_of
from emotalk.errors import CorpusError

_LOG = logging.getLogger(__name__)
_NAMES = 3
_LISTED = 100


class Tally:
    """Counts of recordings by status and of faults by code, with the first names of each."""

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
