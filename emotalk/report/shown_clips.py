"""Test clips for the player of the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Example, Manifest
from emotalk.evaluation.prediction import has_swap, read_prediction, select_test_examples
from emotalk.report.names import describe_emotion
from emotalk.report.player import PlayerClip
from emotalk.timing import FPS

_MAX_CLIPS, _MAX_TOTAL_S, _MAX_CLIP_S = 12, 90.0, 30.0


def rank_clips(by_clip: pd.DataFrame) -> pd.Series:
    """Return the model's mouth error of each test clip by clip id, the lowest first."""
    rows = by_clip.query("metric == 'mae' and region == 'mouth' and predictor == 'model'")
    return rows.set_index("clip_id")["value"].sort_values()


def select_player_clips(
    by_clip: pd.DataFrame,
    store: ClipStore,
    manifest: Manifest,
    names: Mapping[str, str],
    *,
    predictions: str | Path,
    swapped: str | Path,
) -> list[PlayerClip]:
    """Select test clips for the player, each with captured and predicted motion, and with swapped emotion if available.

    Selected are the best and the worst clip, then one clip per pair of emotions, then clips evenly from best to worst,
    at most 12 clips and 90 seconds.

    Parameters
    ----------
    names
        Name of each clip for readers.
    """
    errors = rank_clips(by_clip)
    examples = {example["audio_c1e2"]: example for example in select_test_examples(manifest)}
    clips = store.metadata().to_pandas().set_index("clip_id")
    player_clips = []
    for clip_id in _choose_ids(errors, examples, store):
        clip, example = store[clip_id], examples[clip_id]
        tracks = {"captured": clip.track, "model": read_prediction(predictions, clip_id)}
        rank = int(np.flatnonzero(errors.index == clip_id)[0]) + 1
        note = f"Mouth error {errors[clip_id]:.4f}, rank {rank} of {len(errors)} (1 is best)."
        swapped_caption = ""
        if has_swap(example):
            reference = clips.loc[example["audio_c2e1"]]
            swapped_caption = f"model, {describe_emotion(reference['emotion'], reference['intensity'])}"
            tracks[swapped_caption] = read_prediction(swapped, clip_id)
            note += f" The third face has the emotion of another clip: {names[example['audio_c2e1']]}."
        rank_text = "best" if rank == 1 else "worst" if rank == len(errors) else f"rank {rank}"
        label = f"{names[clip_id]} · {rank_text}"
        player_clips.append(PlayerClip(label, note, tracks, clip.waveform, stretched=[swapped_caption]))
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
