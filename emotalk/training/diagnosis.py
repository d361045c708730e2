"""Diagnosis of a step whose loss or gradient was not finite: data, weights or precision."""

import json
import math
from pathlib import Path
from typing import Any

import torch

from emotalk.corpus.clips import ClipStore
from emotalk.model.network import EmoTalk
from emotalk.training.batches import BatchMaker
from emotalk.training.guard import NonFiniteError
from emotalk.training.schedule import Example
from emotalk.training.settings import LossWeights
from emotalk.training.step import batch_losses


def write_diagnosis(
    path: Path,
    error: NonFiniteError,
    where: dict[str, Any],
    *,
    network: EmoTalk,
    make: BatchMaker,
    weights: LossWeights,
) -> None:
    """Write, as JSON, what was found where, and what the same examples give in fp32 without dropout.

    The network is as it was before the step: nothing was updated by it.
    """
    parameters = dict(network.named_parameters())
    diagnosis = {
        **where,
        "found": error.found,
        "parameters_not_finite": [name for name, each in parameters.items() if not each.isfinite().all()],
        "examples": [_examined(example, network, make, weights) for example in error.examples],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_plain(diagnosis), indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def _examined(example: Example, network: EmoTalk, make: BatchMaker, weights: LossWeights) -> dict[str, Any]:
    """One example: its row, its clips, and its losses in fp32."""
    device = network.bs_map_r.weight.device
    network.eval()
    losses = batch_losses(network, make([example]).to(device), weights, precision="fp32")
    roles = ("audio_c1e2", "audio_c2e1", "track_c1e1", "track_c2e2")
    clips = sorted({example[role] for role in roles} - {None})
    return {
        "row": example,
        "clips": {clip: _facts(make.store, clip) for clip in clips},
        "losses_in_fp32": {name: value.item() for name, value in losses.items()},
    }


def _facts(store: ClipStore, clip: str) -> dict[str, Any]:
    waveform, track = torch.tensor(store[clip].waveform), torch.tensor(store[clip].track)
    return {
        "samples": len(waveform),
        "peak": waveform.int().abs().max().item(),
        "frames": len(track),
        "lowest": track.min().item(),
        "highest": track.max().item(),
    }


def _plain(value: Any) -> Any:
    """Values as strict JSON takes them: numbers that are not finite as words."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
