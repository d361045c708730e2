"""Data and networks of the benchmarks: noise with the lengths of RAVDESS, and encoders of two sizes."""

from pathlib import Path
from typing import Any

import numpy as np

from emotalk.config.training import EncoderSettings, LossWeights, ModelSettings
from emotalk.data.clips import ClipStore
from emotalk.data.manifest import Example
from emotalk.model.encoder_config import RELEASED_ENCODER
from emotalk.training.settings import RunSettings
from tests.clips import ClipWriter

SMALL_ENCODER = RELEASED_ENCODER | {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "conv_dim": [64] * 7,
}

ENCODERS = {
    "full": EncoderSettings(source="random", sizes=RELEASED_ENCODER),
    "small": EncoderSettings(source="random", sizes=SMALL_ENCODER),
}

WEIGHTS = {"report": LossWeights(classification=0.0), "paper": LossWeights()}


def make_model_settings(encoder: EncoderSettings) -> ModelSettings:
    """Settings of a network with two equal encoders."""
    return ModelSettings(content_encoder=encoder, emotion_encoder=encoder)


PLAIN = RunSettings(
    epochs=1,
    batch_size=1,
    learning_rate=1e-6,
    precision="bf16",
    cache_features=False,
    checkpoint_every_minutes=0,
    model=make_model_settings(ENCODERS["full"]),
    seed=1,
)
"""The paper's recipe at full size, one pair per step, in bf16; benchmarks modify it."""


def write_clips(path: Path, lengths: list[int], labels: list[dict[str, Any]] | None = None) -> ClipStore:
    """Write clips `c0`, `c1`, … with noise and random tracks."""
    rng = np.random.default_rng(1)
    with ClipWriter(path) as writer:
        for i, frames in enumerate(lengths):
            row = {"clip_id": f"c{i}", "corpus": "RAVDESS", "recording_id": f"c{i}", "is_whole": True}
            row |= {"start_frame": 0, "stop_frame": frames}
            row |= dict.fromkeys(("subject", "emotion", "intensity", "statement", "repetition"))
            row |= labels[i] if labels else {}
            waveform = rng.integers(-8000, 8000, frames * 1600 // 3).astype(np.int16)
            writer.write(row, waveform, rng.random((frames, 52)).astype(np.float32))
    return ClipStore([path])


def pairs(recipe: str, lengths: list[int]) -> list[Example]:
    """Examples of consecutive clips: two clips per pair for the report's recipe, four for the paper's."""
    size = 2 if recipe == "report" else 4
    examples: list[Example] = []
    for start in range(0, len(lengths) - size + 1, size):
        a, b, c, d = (f"c{start + i % size}" for i in range(4))
        frames = lengths[start : start + size]
        example = {"subject": 0, "intensity": 1, "audio_c1e2": a, "audio_c2e1": b}
        if recipe == "report":
            example |= {"kind": "random", "track_c1e1": a, "track_c2e2": b, "num_frames": 2 * frames[0] + frames[1]}
        else:
            example |= {"kind": "cross", "track_c1e1": c, "track_c2e2": d, "emotion_e1": 3, "emotion_e2": 0}
            example |= {"num_frames": frames[0] + frames[2] + frames[3]}
        examples.append(example)
    return examples
