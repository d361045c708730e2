"""Time of a whole run on noise of the size of RAVDESS: `python -m tests.benchmarks.epochs --device cuda --epochs 80`.

Includes reading, batching, steps and checkpoints. Needs no data, and only torch, numpy, pandas, pyarrow
and safetensors.
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
from emotalk.data.names import NUM_ACTORS
from emotalk.emotions import RAVDESS_EMOTIONS
from emotalk.training.settings import RunSettings
from emotalk.training.train import TrainingFiles, train
from tests.benchmarks.lengths import ravdess_lengths
from tests.benchmarks.material import ENCODERS, WEIGHTS, make_model_settings, write_clips


def ravdess_labels() -> list[dict[str, Any]]:
    """Labels of the 1,440 clips of RAVDESS (docs/method.md, section "Data")."""
    combinations = product(range(1, NUM_ACTORS + 1), RAVDESS_EMOTIONS, (1, 2), (1, 2), (1, 2))
    names = ("subject", "emotion", "intensity", "statement", "repetition")
    rows = [dict(zip(names, combination, strict=True)) for combination in combinations]
    rows = [row for row in rows if (row["emotion"], row["intensity"]) != ("neutral", 2)]
    return [row | {"subject": str(row["subject"]), "statement": str(row["statement"])} for row in rows]


def main() -> None:
    """Write clips, train, and print the time."""
    parser = argparse.ArgumentParser(description="Time of a whole run on noise of the size of RAVDESS.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--size", choices=list(ENCODERS), default="full", help="size of the two encoders")
    parser.add_argument("--recipe", choices=list(WEIGHTS), default="report")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cache-features", action="store_true")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--json", type=Path, help="output file")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = RunSettings(
        epochs=args.epochs,
        batch_size=args.batch_size,
        loss_weights=WEIGHTS[args.recipe],
        velocity_on="first" if args.recipe == "report" else "every",
        gradient_checkpointing=args.gradient_checkpointing,
        compile=args.compile,
        cache_features=args.cache_features,
        model=make_model_settings(ENCODERS[args.size]),
        seed=1,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = ravdess_labels()
        write_clips(folder / "clips.arrow", ravdess_lengths(len(labels)), labels)
        write_manifest(
            [folder / "clips.arrow"],
            folder / "manifest.parquet",
            settings=PairSettings(strategy="random" if args.recipe == "report" else "pseudo"),
            split={"RAVDESS": SplitSettings(validation=[], test=[NUM_ACTORS])},
            epochs=args.epochs,
            seed=1,
        )
        manifest = folder / "manifest.parquet"
        start = time.perf_counter()
        train(TrainingFiles([folder / "clips.arrow"], manifest, folder), settings, device=torch.device(args.device))
        seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / 2**20 if args.device == "cuda" else None
    minutes = seconds / 60 * NUM_ACTORS / (NUM_ACTORS - 1)  # For all actors; one is the test set.
    print(f"{args.epochs} epochs of the {args.recipe}'s recipe: {minutes:.2f} minutes, peak memory {peak} MiB")
    if args.json:
        figures = {"recipe": args.recipe, "epochs": args.epochs, "minutes": minutes, "peak_mb": peak}
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
