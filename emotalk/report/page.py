"""Report page: one self-contained page about data, training and results, with animated faces."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Manifest
from emotalk.evaluation.comparison import GROUP, add_groups, group_test_clips
from emotalk.provenance import fingerprint
from emotalk.report.data_page import read_data_section
from emotalk.report.html import write_page
from emotalk.report.names import PREDICTOR_NAMES, REGION_NAMES, describe_speaker, format_duration, name_clips
from emotalk.report.player import encode_clips
from emotalk.report.result_charts import chart_channels, chart_errors, chart_losses, chart_mouth
from emotalk.report.shown_clips import rank_clips, select_player_clips
from emotalk.report.summary import next_command
from emotalk.report.tables import CLASSIFICATION, SWAP, build_table
from emotalk.report.verdict import describe_group, select_comparisons, summarize
from emotalk.training.history import is_still, read_training_time

_MAX_LISTED = 5
_MAX_NAMES = 20
_SWAP_REGIONS = ("mouth", "upper")


def write_report(
    page: str | Path,
    *,
    data_page: str | Path,
    losses: str | Path,
    evaluation: str | Path,
    predictions: str | Path,
    clips: Sequence[str | Path],
    manifest: str | Path,
    card: str | Path,
) -> None:
    """Write the report, which includes the page about the data without its recordings.

    Parameters
    ----------
    losses
        Table in the folder of the training.
    evaluation
        Output folder of `emotalk.evaluation.evaluate.evaluate`.
    """
    losses_table = pd.read_parquet(losses)
    loaded_manifest = Manifest(manifest)
    content: dict[str, Any] = {
        "facts": _list_facts(Path(card), Path(losses).parent),
        "card": json.loads(Path(card).read_text(encoding="utf-8")),
        "warnings": loaded_manifest.notes["warnings"],
        "held_out": loaded_manifest.notes["held_out"],
        "max_names": _MAX_NAMES,
        "is_still": is_still(losses_table.to_dict("records")),
        "losses": chart_losses(losses_table),
        "data_section": read_data_section(data_page),
        "data_page": Path(data_page).name,
        "is_evaluated": bool(loaded_manifest.examples("test")),
    }
    if content["is_evaluated"]:
        store = ClipStore(clips)
        content |= _collect_results(Path(evaluation), Path(predictions), store, loaded_manifest)
    write_page("report.html.j2", page, content)


def _list_facts(card: Path, training: Path) -> dict[str, Any]:
    """When and how long the network was trained, where its weights are, and what to do with them."""
    content = json.loads(card.read_text(encoding="utf-8"))
    log = training / "checkpoints" / fingerprint(content["run"]) / "train.log"
    seconds = read_training_time(log)
    return {
        "recipe": content["recipe"]["recipe"],
        "corpora": content["recipe"]["corpora"],
        "epochs": content["epochs"],
        "date": datetime.fromisoformat(content["written"]).astimezone().strftime("%Y-%m-%d %H:%M"),
        "training_time": None if seconds is None else format_duration(seconds),
        "weights": str(card.parent),
        "next": next_command(card.parent),
    }


def _collect_results(evaluation: Path, predictions: Path, store: ClipStore, manifest: Manifest) -> dict[str, Any]:
    by_clip, metrics = pd.read_parquet(evaluation / "clips.parquet"), pd.read_csv(evaluation / "metrics.csv")
    test_clips = group_test_clips(store, manifest)
    names = name_clips(store.metadata().to_pandas().set_index("clip_id"))
    swap, classification = (metrics[metrics["metric"].isin(part)] for part in (SWAP, CLASSIFICATION))
    swap = swap[swap["region"].isin(_SWAP_REGIONS)]
    errors = rank_clips(by_clip)
    return {
        "groups": _collect_groups(evaluation, by_clip, test_clips),
        "predictor_names": PREDICTOR_NAMES,
        "subject": by_clip["predicted_subject"].iloc[0],
        "player": encode_clips(
            select_player_clips(
                by_clip, store, manifest, names, predictions=predictions, swapped=evaluation / "swapped"
            )
        ),
        "swap": build_table(swap, by_clip) if len(swap) else None,
        "classification": build_table(classification, by_clip) if len(classification) else None,
        "channels": chart_channels(pd.read_csv(evaluation / "channels.csv")),
        "best": [(names[str(clip_id)], error) for clip_id, error in errors.head(_MAX_LISTED).items()],
        "worst": [(names[str(clip_id)], error) for clip_id, error in errors[::-1].head(_MAX_LISTED).items()],
    }


def _collect_groups(evaluation: Path, by_clip: pd.DataFrame, test_clips: pd.DataFrame) -> list[dict[str, Any]]:
    """Collect verdict, chart and table of each group of test clips."""
    groups, comparisons = (pd.read_csv(evaluation / f"{name}.csv") for name in ("groups", "comparisons"))
    grouped = add_groups(by_clip, test_clips)
    is_swap = groups["metric"].isin(SWAP + CLASSIFICATION)
    result = []
    for keys, members in test_clips.groupby(GROUP):
        corpus, sentence = map(str, keys)
        metrics = groups[(groups["corpus"] == corpus) & (groups["sentence"] == sentence) & ~is_swap]
        values = grouped[(grouped["corpus"] == corpus) & (grouped["sentence"] == sentence)]
        speakers = [describe_speaker(corpus, subject) for subject in members["subject"].unique()]
        compared = {region: select_comparisons(comparisons, corpus, sentence, region) for region in REGION_NAMES}
        result.append(
            {
                "name": describe_group(corpus, sentence),
                "num_clips": len(members),
                "speakers": speakers,
                "mouth": summarize(compared["mouth"]),
                "mouth_chart": chart_mouth(metrics),
                "regions": [
                    (name, summarize(compared[region]), compared[region]) for region, name in REGION_NAMES.items()
                ],
                "chart": chart_errors(metrics),
                "table": build_table(metrics, values),
            }
        )
    return sorted(result, key=lambda group: -group["num_clips"])
