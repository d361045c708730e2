"""The model compared with the baselines, by corpus and by whether training contains the sentence."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.evaluation.baselines import BASELINES
from emotalk.evaluation.intervals import paired_interval
from emotalk.evaluation.metrics import METRICS, orient
from emotalk.evaluation.prediction import select_test_examples

GROUP = ["corpus", "sentence"]
"""Columns that identify a group of test clips."""
IN_TRAINING, NOT_IN_TRAINING, NO_LABEL = "in training", "not in training", "no label"
"""Values of column `sentence`: training contains the sentence, does not contain it, or the clip has no sentence label.
Spontaneous speech has no labels, and training does not contain its sentences."""

COLUMNS = [*GROUP, "metric", "region", "baseline", "num_clips", "model", "value", "advantage", "low", "high", "verdict"]
"""`model` and `value` are means of the model and of the baseline. `advantage` is the mean of the paired differences, in
the unit of the metric, positive where the model is better; `low` and `high` are its 95 % interval."""

_MIN_CLIPS = 3
_EQUAL = 0.2


def group_test_clips(store: ClipStore, manifest: Manifest) -> pd.DataFrame:
    """Return the metadata of the test clips by clip id, with the group of each clip.

    Returns
    -------
    DataFrame
        Columns of `emotalk.data.clips.METADATA_COLUMNS`, `sentence` (see `IN_TRAINING`) and `has_nearest`: whether a
        training clip has the same sentence from start to end, so that the nearest clip is a fair baseline.
    """
    clips = store.metadata().to_pandas().set_index("clip_id")
    # Statement numbers are specific to a corpus.
    sentences = clips["corpus"] + ": " + clips["statement"]
    trained = sentences.loc[manifest.training_clips()]
    test_ids = [example["audio_c1e2"] for example in select_test_examples(manifest)]
    table, sentence = clips.loc[test_ids], sentences.loc[test_ids]
    known = np.where(sentence.isin(trained.dropna()), IN_TRAINING, NOT_IN_TRAINING)
    is_whole = clips["is_whole"].loc[trained.index]
    has_nearest = table["is_whole"] & sentence.isin(trained[is_whole].dropna())
    return table.assign(sentence=np.where(sentence.isna(), NO_LABEL, known), has_nearest=has_nearest)


def add_groups(by_clip: pd.DataFrame, clips: pd.DataFrame) -> pd.DataFrame:
    """Add the columns `GROUP`, and leave out the nearest clip where training does not contain the sentence."""
    table = by_clip.join(clips[[*GROUP, "has_nearest"]], on="clip_id")
    is_fair = (table["predictor"] != "nearest_clip") | table["has_nearest"].astype(bool)
    return table[is_fair].drop(columns="has_nearest")


def compare(grouped: pd.DataFrame) -> pd.DataFrame:
    """Compare the model with each baseline clip by clip.

    Parameters
    ----------
    grouped
        Values of each clip from `add_groups`.

    Returns
    -------
    DataFrame
        `COLUMNS`, one row per group, metric, region and baseline. `verdict` is "better" or "worse" if the interval does
        not contain 0, "as good" if it does and reaches at most a fifth of the baseline's value, and "unclear" if it is
        wider or there are fewer than three clips.
    """
    metrics = [metric.name for metric in METRICS if metric.ranks]
    rows: list[dict[str, Any]] = []
    for keys, values in grouped[grouped["metric"].isin(metrics)].groupby([*GROUP, "metric", "region"], sort=False):
        by_predictor = values.pivot(index="clip_id", columns="predictor", values="value")
        rows += ({**dict(zip(COLUMNS, keys, strict=False)), **row} for row in _rows(by_predictor, str(keys[2])))
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(by_predictor: pd.DataFrame, metric: str) -> Iterator[dict[str, Any]]:
    for baseline in (name for name in BASELINES if name in by_predictor):
        pairs = by_predictor[["model", baseline]].dropna()
        oriented = orient(metric, pairs)
        advantage, low, high = paired_interval(oriented[baseline] - oriented["model"])
        yield {
            "baseline": baseline,
            "num_clips": len(pairs),
            "model": pairs["model"].mean(),
            "value": pairs[baseline].mean(),
            "advantage": advantage,
            "low": low,
            "high": high,
            "verdict": _verdict(low, high, pairs[baseline].mean()) if len(pairs) >= _MIN_CLIPS else "unclear",
        }


def _verdict(low: float, high: float, value: float) -> str:
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "as good" if max(-low, high) <= _EQUAL * abs(value) else "unclear"
