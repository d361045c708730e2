"""The result in words: whether the model is better than each baseline, by group of test clips and by region."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from emotalk.evaluation.comparison import IN_TRAINING, NO_LABEL, NOT_IN_TRAINING
from emotalk.report.names import PREDICTOR_NAMES

_WORDS = {
    "better": "better than",
    "as good": "as good as",
    "unclear": "not clearly different from",
    "worse": "worse than",
}
_SENTENCES = {
    IN_TRAINING: "sentences that training contains",
    NOT_IN_TRAINING: "sentences that training does not contain",
    NO_LABEL: "speech without sentence labels",
}


@dataclass(frozen=True)
class BaselineComparison:
    """Comparison of the model with one baseline; `relative`, `low` and `high` are fractions of the baseline's error.

    Attributes
    ----------
    verdict
        See :func:`emotalk.evaluation.comparison.compare`.
    """

    verdict: str
    baseline: str
    relative: float
    low: float
    high: float

    @property
    def numbers(self) -> str:
        """Error relative to the baseline's, and its interval."""
        if math.isnan(self.low):
            return f"{_percent(self.relative)}, one clip"
        return f"{_percent(self.relative)}, 95 % interval {_interval(self.low, self.high)}"


def _percent(advantage: float) -> str:
    """Relative advantage in words, for example `31 % lower` or `4.2 times as high`."""
    if advantage < -1:
        return f"{1 - advantage:.1f} times as high"
    return f"{100 * min(1.0, abs(advantage)):.0f} % {'lower' if advantage >= 0 else 'higher'}"


def _interval(low: float, high: float) -> str:
    """Interval of a relative advantage, for example `34 to 27 % lower` or `18 % lower to 5 % higher`."""
    if high < -1:
        return f"{1 - high:.1f} to {1 - low:.1f} times as high"
    if low > 0 or -1 <= low <= high < 0:
        near, far = sorted(100 * min(1.0, abs(value)) for value in (low, high))
        return f"{near:.0f} to {far:.0f} % {'lower' if low > 0 else 'higher'}"
    return f"{_percent(high)} to {_percent(low)}"


@dataclass(frozen=True)
class Phrase:
    """The baselines with one verdict, for example `better than` and `the mean face and the still face`."""

    verdict: str
    words: str
    baselines: str


def summarize(comparisons: Sequence[BaselineComparison]) -> list[Phrase]:
    """Join the comparisons with the same verdict, in the order better, as good, not clearly different, worse."""
    phrases = []
    for verdict, words in _WORDS.items():
        names = [f"the {PREDICTOR_NAMES[item.baseline]}" for item in comparisons if item.verdict == verdict]
        if names:
            phrases.append(Phrase(verdict, words, _join(names)))
    return phrases


def _join(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def describe_group(corpus: str, sentence: str) -> str:
    """Return the name of a group of test clips."""
    return f"{corpus}, {_SENTENCES[sentence]}"


def select_comparisons(comparisons: pd.DataFrame, corpus: str, sentence: str, region: str) -> list[BaselineComparison]:
    """Return the comparisons of the mean absolute error of a region with each baseline of a group."""
    rows = comparisons.query("metric == 'mae' and region == @region and corpus == @corpus and sentence == @sentence")
    return [
        BaselineComparison(
            row["verdict"],
            row["baseline"],
            *(row[name] / max(row["value"], 1e-12) for name in ("advantage", "low", "high")),
        )
        for row in rows.to_dict("records")
    ]


def describe_mouth(comparisons: pd.DataFrame) -> list[str]:
    """Return a sentence about the mouth for each group of test clips."""
    sentences = []
    for corpus, sentence in comparisons[["corpus", "sentence"]].drop_duplicates().itertuples(index=False):
        compared = select_comparisons(comparisons, corpus, sentence, "mouth")
        phrases = ", ".join(f"{phrase.words} {phrase.baselines}" for phrase in summarize(compared))
        numbers = "; ".join(f"{PREDICTOR_NAMES[item.baseline]}: {item.numbers}" for item in compared)
        sentences.append(f"{describe_group(corpus, sentence)}: mouth {phrases} (error, {numbers})")
    return sentences
