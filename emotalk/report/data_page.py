"""Page about the data: recordings, issues and training examples. It can be read before training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emotalk.data.recordings import RECORDINGS
from emotalk.report import data_figures, data_quality
from emotalk.report.html import write_page

_MAX_LISTED = 200
_BEGIN, _END = "<!-- data -->", "<!-- /data -->"


def write_data_page(
    page: str | Path,
    *,
    recordings: str | Path,
    tracks: Sequence[str | Path],
    clips: Sequence[str | Path],
    manifest: str | Path,
    min_confidence: float,
) -> None:
    """Write the page about the data.

    Parameters
    ----------
    min_confidence
        Minimum confidence of displayed offsets.
    """
    content = _collect_content(recordings, tracks, clips, manifest, min_confidence)
    write_page("data_page.html.j2", page, {"data": content})


def _collect_content(
    recordings: str | Path,
    tracks: Sequence[str | Path],
    clips: Sequence[str | Path],
    manifest: str | Path,
    min_confidence: float,
) -> dict[str, Any]:
    """Tables and figures of the page, by name."""
    columns = [name for name in RECORDINGS.names if name != "offset_scores"]
    recordings_table = pd.read_parquet(recordings, columns=columns)
    statistics = data_quality.read_channel_statistics(tracks)
    offsets = data_quality.average_synchrony(recordings)
    pairs = data_quality.count_pairs(manifest)
    return {
        "counts": data_quality.count_recordings(recordings_table),
        "issues": data_quality.count_issues(recordings_table),
        "excluded": _list_reasons(recordings_table, "excluded"),
        "repaired": _list_reasons(recordings_table, "repaired"),
        "examples": data_quality.count_examples(manifest),
        "offsets": offsets,
        "min_confidence": min_confidence,
        "has_pairs": bool(pairs.to_numpy().any()),
        "subjects_figure": data_figures.plot_subjects(data_quality.read_used_clips(clips, manifest)),
        "lengths_figure": data_figures.plot_lengths(recordings_table),
        "channels_figure": data_figures.plot_channel_ranges(statistics),
        "jitter_figure": data_figures.plot_jitter(statistics, data_quality.choose_excerpt(recordings, tracks)),
        "synchrony_figure": data_figures.plot_synchrony(offsets, min_confidence) if offsets else None,
        "pairs_figure": data_figures.plot_pairs(pairs),
    }


def _list_reasons(recordings: pd.DataFrame, status: str) -> dict[str, Any]:
    """Count the recordings with this status, and list the first ones with their reasons."""
    rows = recordings.loc[recordings["status"] == status, ["corpus", "recording_id", "reasons"]]
    return {"count": len(rows), "first": rows.head(_MAX_LISTED).to_dict("records")}


def read_data_section(page: str | Path) -> str:
    """Return the content of the page about the data, without its title."""
    text = Path(page).read_text(encoding="utf-8")
    return text[text.index(_BEGIN) : text.index(_END)]
