"""Page about the data: recordings that play, issues and training examples. It is made before training."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emotalk.capture.records import summarize_captures
from emotalk.data.manifest import Manifest
from emotalk.data.names import clean_id
from emotalk.data.recordings import RECORDINGS_SCHEMA
from emotalk.report import data_charts, data_quality
from emotalk.report.conspicuous import Finding, RecordingKey, find_conspicuous, read_excerpts
from emotalk.report.data_verdict import describe_data
from emotalk.report.html import write_page
from emotalk.report.names import name_clips
from emotalk.report.player import encode_clips

_LOG = logging.getLogger(__name__)
_MAX_LISTED = 200
_BEGIN, _END = "<!-- data -->", "<!-- /data -->"


def write_data_page(
    page: str | Path,
    *,
    recordings: str | Path,
    tracks: Sequence[str | Path],
    clips: Sequence[str | Path],
    manifest: str | Path,
    captured: Mapping[str, Path],
    min_confidence: float,
) -> None:
    """Write the page about the data.

    Parameters
    ----------
    captured
        For corpora that were captured from videos, the table of the videos.
    min_confidence
        Minimum confidence of displayed offsets.
    """
    columns = [name for name in RECORDINGS_SCHEMA.names if name != "offset_scores"]
    table = pd.read_parquet(recordings, columns=columns)
    data = _collect_tables(table, recordings, tracks, clips, manifest, min_confidence=min_confidence)
    findings = find_conspicuous(table, tracks, min_confidence)
    names = _name_recordings(table)
    excluded, repaired = (_list_reasons(table, status) for status in ("excluded", "repaired"))
    captures = summarize_captures(captured)
    keys = [finding.key for finding in findings] + [row["key"] for row in repaired["first"]]
    videos = ((corpus, video[0]) for corpus, capture in captures.items() for video in capture.least_confident)
    keys += [(corpus, _recording_id(name)) for corpus, name in videos if (corpus, _recording_id(name)) in names]
    excerpts = read_excerpts(keys, recordings, tracks, names)
    index = {key: number for number, key in enumerate(excerpts)}
    content = {
        "data": data,
        "names": names,
        "findings": sorted(findings, key=_kind_order),
        "captures": captures,
        "recording_id": _recording_id,
        "listed": {"Excluded": excluded, "Repaired": repaired},
        "index": index,
        "player": encode_clips(list(excerpts.values())) if excerpts else None,
    }
    write_page("data_page.html.j2", page, content)
    for text in [*data["statements"], *data["concerns"]]:
        _LOG.info("%s", text)


def _recording_id(video: str) -> str:
    """Return the id of the recording of a video without cuts."""
    return clean_id(video)[0]


def _kind_order(finding: Finding) -> int:
    return ("offset", "gap", "range", "jitter", "typical").index(finding.kind)


def _name_recordings(table: pd.DataFrame) -> dict[RecordingKey, str]:
    """Name each recording by its labels."""
    keys = list(zip(table["corpus"], table["recording_id"], strict=True))
    names = name_clips(table.set_index(pd.RangeIndex(len(table))))
    return dict(zip(keys, names.values(), strict=True))


def _collect_tables(
    table: pd.DataFrame,
    recordings: str | Path,
    tracks: Sequence[str | Path],
    clips: Sequence[str | Path],
    manifest: str | Path,
    *,
    min_confidence: float,
) -> dict[str, Any]:
    """Tables and charts of the page, by name."""
    statistics = data_quality.read_channel_statistics(tracks)
    offsets = data_quality.average_synchrony(recordings)
    used = data_quality.read_used_clips(clips, manifest)
    pairs = data_quality.count_pairs(clips, manifest)
    counts, issues = data_quality.count_recordings(table), data_quality.count_issues(table)
    before, after = (float(statistics[name].mean()) for name in ("jitter_before", "jitter_after"))
    statements, concerns = describe_data(
        counts,
        issues,
        offsets,
        Manifest(manifest).notes["warnings"],
        jitter=(before, after),
        min_confidence=min_confidence,
    )
    return {
        "statements": statements,
        "concerns": concerns,
        "counts": counts,
        "issues": issues,
        "examples": data_quality.count_examples(manifest),
        "offsets": offsets,
        "min_confidence": min_confidence,
        "speakers": data_charts.chart_speakers(used),
        "emotions": data_quality.count_emotions(used),
        "durations": data_charts.chart_durations(table),
        "differences": data_charts.chart_differences(table),
        "channels": data_charts.chart_channel_ranges(statistics),
        "jitter": data_charts.chart_jitter(statistics),
        "synchrony": data_charts.chart_synchrony(offsets),
        "pairs": pairs if pairs.to_numpy().any() else None,
        "max_pairs": int(pairs.to_numpy().max(initial=0)),
    }


def _list_reasons(recordings: pd.DataFrame, status: str) -> dict[str, Any]:
    """Count the recordings with this status, and list the first ones with their reasons."""
    rows = recordings.loc[recordings["status"] == status, ["corpus", "recording_id", "reasons"]]
    first = [
        {"key": (row["corpus"], row["recording_id"]), "reasons": list(row["reasons"])}
        for row in rows.head(_MAX_LISTED).to_dict("records")
    ]
    return {"count": len(rows), "first": first}


def read_data_section(page: str | Path) -> str:
    """Return the tables and charts of the page about the data, without the recordings."""
    text = Path(page).read_text(encoding="utf-8")
    return text[text.index(_BEGIN) : text.index(_END)]
