"""Tables about recordings, issues, clips and training examples."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.blendshapes import CHANNELS, NUM_CHANNELS
from emotalk.data.av_sync import estimate_offset
from emotalk.data.clips import ClipStore
from emotalk.data.issues import issue_code
from emotalk.data.recordings import read_rows
from emotalk.data.track_files import read_tracks
from emotalk.emotions import EMOTIONS
from emotalk.errors import Issue
from emotalk.formats.tracks import TrackFormat, read_track
from emotalk.timing import FPS

STATISTICS = ("jitter_before", "jitter_after", "mean", "std", "lowest", "highest")
_CLIP_COLUMNS = ("audio_c1e2", "audio_c2e1")
_MAX_NAMES = 3
_NUM_CANDIDATES = 50
_CHANNEL = CHANNELS.index("jawOpen")


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
    """Read labels, seconds and split of each clip in the first epoch, validation and test."""
    labels = ClipStore(clips).labels().to_pandas()
    rows = pq.read_table(manifest, columns=["split", *_CLIP_COLUMNS], filters=[("epoch", "<=", 1)]).to_pandas()
    used = pd.concat([rows[["split", column]].rename(columns={column: "clip_id"}) for column in _CLIP_COLUMNS]).dropna()
    labels = labels.assign(seconds=(labels["stop_frame"] - labels["start_frame"]) / FPS)
    return labels.merge(used.drop_duplicates("clip_id"), on="clip_id")


def count_pairs(manifest: str | Path) -> pd.DataFrame:
    """Count the pseudo-pairs of the first epoch by their emotions e1 (rows) and e2 (columns)."""
    filters = [("epoch", "==", 1), ("kind", "==", "cross")]
    rows = pq.read_table(manifest, columns=["emotion_e1", "emotion_e2"], filters=filters).to_pandas()
    rows = rows[(rows >= 0).all(axis=1)]
    table = pd.crosstab(rows["emotion_e1"], rows["emotion_e2"])
    classes = range(len(EMOTIONS))
    table = table.reindex(index=classes, columns=classes, fill_value=0)
    return table.set_axis(EMOTIONS, axis=0).set_axis(EMOTIONS, axis=1)


def count_examples(manifest: str | Path) -> list[dict[Any, Any]]:
    """Count the examples of one epoch by split and kind."""
    rows = pq.read_table(manifest, columns=["split", "kind", "num_frames"], filters=[("epoch", "<=", 1)]).to_pandas()
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
    rows = pa.concat_tables([pq.read_table(path, columns=list(STATISTICS)) for path in tracks])
    return {
        name: rows[name].combine_chunks().flatten().to_numpy().reshape(-1, NUM_CHANNELS)
        for name in STATISTICS
    }  # fmt: skip


def choose_excerpt(recordings: str | Path, tracks: Sequence[str | Path]) -> tuple[str, np.ndarray | None, np.ndarray]:
    """Choose among the first recordings the one whose jaw jitter is reduced most by smoothing.

    Returns
    -------
    recording_id : str
    delivered : (T, 52) float32, optional
        Delivered track; None if its file is missing.
    smoothed : (T, 52) float32
        Smoothed track.
    """
    reductions: dict[tuple[str | Path, int], float] = {}
    for path in tracks:
        before, after = (read_channel_statistics([path])[name][:_NUM_CANDIDATES, _CHANNEL] for name in STATISTICS[:2])
        reductions |= {(path, index): value for index, value in enumerate((before - after).tolist())}
    path, index = max(reductions, key=reductions.__getitem__)
    recording_id, smooth = next(islice(read_tracks(path), index, None))
    columns = ["corpus", "recording_id", "status", "track_path", "channel_order", "track_fps", "track_scale"]
    columns.append("num_track_frames")
    rows = read_rows(recordings, columns)
    key = (Path(path).stem, recording_id)
    row = next(row for row in rows if (row["corpus"], row["recording_id"]) == key and row["status"] != "excluded")
    try:
        form = TrackFormat.from_settings(row["channel_order"], row["track_fps"], row["track_scale"])
        raw, _ = read_track(Path(row["track_path"]), form)
    except Issue:
        return recording_id, None, smooth
    return recording_id, raw, smooth
