"""A whole run over noise of RAVDESS's size, timed: `python -m tests.benchmarks.epochs --device cuda --epochs 80`.

Everything that training does is in it: reading, batching, steps, checkpoints. Needs no data, and no library beyond
torch, numpy, pandas, pydantic, pyarrow and safetensors.
"""

import argparse
import json
import logging
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch

from emotalk.config.corpus import PairSettings, SplitSettings
from emotalk.data.manifest import write_manifest
from emotalk.data.names import NUM_ACTORS, RAVDESS_EMOTIONS
from emotalk.training.settings import RunSettings
from emotalk.training.train import TrainingFiles, train
from tests.benchmarks.lengths import ravdess_lengths
from tests.benchmarks.material import ENCODERS, WEIGHTS, model_of, write_clips


def ravdess_labels() -> list[dict[str, Any]]:
    """Labels of RAVDESS's 1,440 clips (DOMAIN.md, section 1)."""
    cells = product(range(1, NUM_ACTORS + 1), RAVDESS_EMOTIONS, (1, 2), (1, 2), (1, 2))
    names = ("subject", "emotion", "intensity", "statement", "repetition")
    rows = [dict(zip(names, cell, strict=True)) for cell in cells]
    strong_neutral = ("neutral", 2)
    kept = [row for row in rows if (row["emotion"], row["intensity"]) != strong_neutral]
    return [row | {"subject": str(row["subject"]), "statement": str(row["statement"])} for row in kept]


def main() -> None:
    """Make the clips, train, and tell how long it took."""
    parser = argparse.ArgumentParser(description="A whole run over noise of RAVDESS's size.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--size", choices=list(ENCODERS), default="full", help="size of the two encoders")
    parser.add_argument("--recipe", choices=list(WEIGHTS), default="report")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cache-features", action="store_true")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = RunSettings(
        epochs=given.epochs,
        batch_size=given.batch_size,
        loss_weights=WEIGHTS[given.recipe],
        velocity_on="first" if given.recipe == "report" else "every",
        gradient_checkpointing=given.gradient_checkpointing,
        compile=given.compile,
        cache_features=given.cache_features,
        model=model_of(ENCODERS[given.size]),
        seed=1,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = ravdess_labels()
        write_clips(folder / "clips.arrow", ravdess_lengths(len(labels)), labels)
        write_manifest(
            [folder / "clips.arrow"],
            folder / "manifest.parquet",
            settings=PairSettings(strategy="random" if given.recipe == "report" else "pseudo"),
            split={"RAVDESS": SplitSettings(validation=[], test=[NUM_ACTORS])},
            epochs=given.epochs,
            seed=1,
        )
        manifest = folder / "manifest.parquet"
        start = time.perf_counter()
        train(TrainingFiles([folder / "clips.arrow"], manifest, folder), settings, device=torch.device(given.device))
        taken = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / 2**20 if given.device == "cuda" else None
    taken *= NUM_ACTORS / (NUM_ACTORS - 1)  # One actor is held out, as evaluation asks for it.
    print(f"{given.epochs} epochs of the {given.recipe}'s recipe: {taken / 60:.2f} minutes, peak memory {peak} MiB")
    if given.json:
        figures = {"recipe": given.recipe, "epochs": given.epochs, "minutes": taken / 60, "peak_mb": peak}
        given.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
