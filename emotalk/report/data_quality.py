"""Tables about recordings, issues, clips and training examples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.data.av_sync import estimate_offset
from emotalk.data.clips import ClipStore
from emotalk.data.issues import issue_code
from emotalk.data.manifest import AUDIO_COLUMNS, Manifest
from emotalk.data.splits import SPLITS
from emotalk.data.track_files import read_statistics
from emotalk.emotions import RAVDESS_EMOTIONS
from emotalk.model.inputs import INTENSITIES
from emotalk.timing import FPS

STATISTICS = ("jitter_before", "jitter_after", "mean", "std", "lowest", "highest")
_MAX_NAMES = 3
NO_EMOTION = "no label"


def count_recordings(recordings: pd.DataFrame) -> list[dict[str, Any]]:
    """Count recordings, subjects and minutes by corpus."""
    rows = []
    for corpus, group in recordings.groupby("corpus"):
        usable = group[group["status"] != "excluded"]
        status = group["status"].value_counts()
        rows.append(
            {
                "corpus": corpus,
                "found": len(group),
                "usable": len(usable),
                **{name: int(status.get(name, 0)) for name in ("ok", "repaired", "excluded")},
                "subjects": usable["subject"].nunique(),
                "minutes": usable["num_frames"].sum() / (60 * FPS),
            }
        )
    return rows


def count_issues(recordings: pd.DataFrame) -> list[dict[str, Any]]:
    """Count the recordings with each issue, with their status and the first names."""
    rows = recordings[["corpus", "recording_id", "status", "reasons"]].explode("reasons").dropna(subset="reasons")
    rows = rows.assign(code=rows["reasons"].map(issue_code)).drop_duplicates(["corpus", "recording_id", "code"])
    return [
        {
            "code": code,
            "count": len(group),
            "status": ", ".join(f"{count} {name}" for name, count in group["status"].value_counts().items()),
            "names": ", ".join(group["recording_id"].head(_MAX_NAMES)) + (", …" if len(group) > _MAX_NAMES else ""),
        }
        for code, group in rows.groupby("code")
    ]


def read_used_clips(clips: Sequence[str | Path], manifest: str | Path) -> pd.DataFrame:
    """Read metadata, seconds and split of each clip in the first epoch, validation and test."""
    table = ClipStore(clips).metadata().to_pandas()
    rows = Manifest(manifest).columns(["split", *AUDIO_COLUMNS])
    used = pd.concat([rows[["split", column]].rename(columns={column: "clip_id"}) for column in AUDIO_COLUMNS]).dropna()
    table = table.assign(seconds=(table["stop_frame"] - table["start_frame"]) / FPS)
    return table.merge(used.drop_duplicates("clip_id"), on="clip_id")


def count_pairs(clips: Sequence[str | Path], manifest: str | Path) -> pd.DataFrame:
    """Count the pseudo-pairs of the first epoch by the emotions of their reference (rows) and content (columns)."""
    rows = Manifest(manifest).columns(["split", "kind", *AUDIO_COLUMNS])
    rows = rows[(rows["split"] == "train") & (rows["kind"] == "cross")]
    emotions = ClipStore(clips).metadata().select(["clip_id", "emotion"]).to_pandas().set_index("clip_id")["emotion"]
    content, reference = (pd.Categorical(rows[name].map(emotions), RAVDESS_EMOTIONS) for name in AUDIO_COLUMNS)
    return pd.crosstab(pd.Series(reference, name="reference"), pd.Series(content, name="content"), dropna=False)


def count_emotions(clips: pd.DataFrame) -> list[dict[str, Any]]:
    """Count the clips of each emotion, in total and by intensity and split."""
    emotion = clips["emotion"].fillna(NO_EMOTION)
    rows = []
    for word in (*RAVDESS_EMOTIONS, NO_EMOTION):
        group = clips[emotion == word]
        if group.empty:
            continue
        intensity, split = group["intensity"].value_counts(), group["split"].value_counts()
        counts = {name: int(intensity.get(index, 0)) for index, name in enumerate(INTENSITIES, start=1)}
        rows.append(
            {"emotion": word, "clips": len(group), **counts} | {name: int(split.get(name, 0)) for name in SPLITS}
        )
    return rows


def count_examples(manifest: str | Path) -> list[dict[Any, Any]]:
    """Count the examples of one epoch by split and kind."""
    rows = Manifest(manifest).columns(["split", "kind", "num_frames"])
    table = rows.groupby(["split", "kind"]).agg(examples=("kind", "size"), frames=("num_frames", "sum"))
    return table.reset_index().to_dict("records")


def average_synchrony(recordings: str | Path) -> dict[str, dict[str, Any]]:
    """Average the correlation at each lag over each corpus, weighted by length.

    Returns
    -------
    dict
        By corpus: `curve` (mean correlation at each lag), its `offset` and `confidence`, and the table `each` with the
        offsets of its recordings.
    """
    columns = ["corpus", "status", "num_frames", "offset_scores", "offset_frames", "offset_confidence"]
    table = pq.read_table(recordings, columns=columns, filters=[("status", "!=", "excluded")])
    table = table.filter(pa.compute.is_valid(table["offset_scores"]))
    by_corpus = {}
    for corpus in sorted(set(table["corpus"].to_pylist())):
        rows = table.filter(pa.compute.equal(table["corpus"], corpus))
        scores = rows["offset_scores"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
        curve = np.average(scores, axis=0, weights=rows["num_frames"].to_numpy())
        offset, confidence = estimate_offset(curve)
        each = rows.select(["offset_frames", "offset_confidence"]).to_pandas()
        by_corpus[corpus] = {"curve": curve, "offset": offset, "confidence": confidence, "each": each}
    return by_corpus


def read_channel_statistics(tracks: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """Read the statistics of the tracks, and their jitter before and after smoothing: (R, 52) each, R recordings."""
    rows = pa.concat_tables([read_statistics(path, STATISTICS) for path in tracks])
    return {
        name: rows[name].combine_chunks().flatten().to_numpy().reshape(-1, NUM_CHANNELS)
        for name in STATISTICS
    }  # fmt: skip
