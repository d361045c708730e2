"""Report page: one self-contained page about data, training and results, with animated faces."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Example, Manifest
from emotalk.evaluation.evaluate import mouth_improvement
from emotalk.evaluation.prediction import emotion_name, has_swap, read_prediction, select_test_examples
from emotalk.report.data_page import read_data_section
from emotalk.report.figures import plot_channel_errors, plot_errors, plot_losses, plot_placeholder
from emotalk.report.html import write_page
from emotalk.report.player import PlayerClip, encode_clips
from emotalk.report.tables import build_metric_tables
from emotalk.timing import FPS
from emotalk.training.history import is_still

_MAX_LISTED = 5
_MAX_CLIPS, _MAX_TOTAL_S, _MAX_CLIP_S = 12, 90.0, 30.0
_NOT_EVALUATED = "There is no test split."


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
    figures: dict[str, str | Path],
) -> None:
    """Write the report, which includes the page about the data, and its figures as separate files.

    Parameters
    ----------
    evaluation
        Output folder of `emotalk.evaluation.evaluate.evaluate`.
    figures
        Files of the figures `losses`, `errors` and `channels`.
    """
    folder = Path(evaluation)
    losses_table, metrics = pd.read_parquet(losses), pd.read_csv(folder / "metrics.csv")
    by_clip, channels = pd.read_parquet(folder / "clips.parquet"), pd.read_csv(folder / "channels.csv")
    is_evaluated = not metrics.empty
    svg = {
        "losses": plot_losses(losses_table),
        "errors": plot_errors(metrics) if is_evaluated else plot_placeholder(_NOT_EVALUATED),
        "channels": plot_channel_errors(channels) if is_evaluated else plot_placeholder(_NOT_EVALUATED),
    }
    for name, path in figures.items():
        Path(path).write_text(svg[name], encoding="utf-8")
    content = {
        "is_evaluated": is_evaluated,
        "notes": Manifest(manifest).notes,
        "data_section": read_data_section(data_page),
        "is_still": is_still(losses_table.to_dict("records")),
        "figures": svg,
        "card": json.loads(Path(card).read_text(encoding="utf-8")),
    }
    if is_evaluated:
        player_clips = select_player_clips(
            by_clip, ClipStore(clips), Manifest(manifest), predictions=predictions, swapped=folder / "swapped"
        )
        content |= {
            "player": encode_clips(player_clips),
            "improvement": mouth_improvement(metrics),
            "tables": build_metric_tables(metrics),
            "subject": by_clip["predicted_subject"].iloc[0],
            "ranked": _list_best_and_worst(by_clip),
        }
    write_page("report.html.j2", page, content)


def _list_best_and_worst(by_clip: pd.DataFrame) -> list[tuple[tuple[str, float], tuple[str, float]]]:
    """List pairs of the best and the worst clips, each clip with its mouth error."""
    errors = [(str(name), value) for name, value in rank_clips(by_clip).items()]
    return list(zip(errors, errors[::-1], strict=True))[:_MAX_LISTED]


def rank_clips(by_clip: pd.DataFrame) -> pd.Series:
    """Return the model's mouth error of each test clip by clip id, the lowest first."""
    rows = by_clip.query("metric == 'mae' and region == 'mouth' and predictor == 'model'")
    return rows.set_index("clip_id")["value"].sort_values()


def select_player_clips(
    by_clip: pd.DataFrame, store: ClipStore, manifest: Manifest, *, predictions: str | Path, swapped: str | Path
) -> list[PlayerClip]:
    """Select test clips for the player, each with captured and predicted motion, and with swapped emotion if available.

    Selected are the best and the worst clip, then one clip per pair of emotions, then clips evenly from best to worst,
    at most 12 clips and 90 seconds.
    """
    errors = rank_clips(by_clip)
    examples = {example["audio_c1e2"]: example for example in select_test_examples(manifest)}
    player_clips = []
    for clip_id in _choose_ids(errors, examples, store):
        clip, example = store[clip_id], examples[clip_id]
        tracks = {"captured": clip.track, "model": read_prediction(predictions, clip_id)}
        own, other = emotion_name(example["emotion_e2"]), emotion_name(example["emotion_e1"])
        rank = int(np.flatnonzero(errors.index == clip_id)[0]) + 1
        note = f"{clip_id}: mouth error {errors[clip_id]:.4f}, rank {rank} of {len(errors)} (1 is best), emotion {own}."
        swapped_caption = f"model, emotion {other}"
        if has_swap(example):
            tracks[swapped_caption] = read_prediction(swapped, clip_id)
            note += f" Emotion reference of the third face: {example['audio_c2e1']}."
        rank_text = "best" if rank == 1 else "worst" if rank == len(errors) else f"rank {rank}"
        player_clips.append(
            PlayerClip(f"{clip_id} · {own} · {rank_text}", note, tracks, clip.waveform, stretched=[swapped_caption])
        )
    return player_clips


def _choose_ids(errors: pd.Series, examples: dict[str, Example], store: ClipStore) -> Sequence[str]:
    """Return the ids of the selected clips, the best first."""
    order = list(errors.index)
    candidates = [clip_id for clip_id in order if len(store[clip_id].track) / FPS <= _MAX_CLIP_S] or order[:1]
    preferred = [candidates[0], candidates[-1]]
    emotion_pairs: set[tuple[int, int]] = set()
    for clip_id in candidates:
        pair = examples[clip_id]["emotion_e2"], examples[clip_id]["emotion_e1"]
        if has_swap(examples[clip_id]) and pair not in emotion_pairs:
            emotion_pairs.add(pair)
            preferred.append(clip_id)
    preferred += [candidates[index] for index in np.linspace(0, len(candidates) - 1, _MAX_CLIPS).astype(int)]
    chosen: list[str] = []
    total_s = 0.0
    for clip_id in dict.fromkeys(preferred):
        duration_s = len(store[clip_id].track) / FPS
        if len(chosen) < _MAX_CLIPS and (not chosen or total_s + duration_s <= _MAX_TOTAL_S):
            chosen.append(clip_id)
            total_s += duration_s
    return sorted(chosen, key=order.index)
