"""Estimated and measured memory of training for several settings: `python -m tests.benchmarks.memory --help`.

Without --device it prints the table of docs/performance.md, which has estimates only.
"""

import argparse
import gc
import json
import tempfile
from pathlib import Path

import torch

from emotalk.config.training import FreezeSettings
from emotalk.device import configure_kernels
from emotalk.model.network import EmoTalk
from emotalk.training.batches import BatchMaker, form_batches
from emotalk.training.finite import FiniteGuard
from emotalk.training.memory import Workload, estimate_memory, largest_workload
from emotalk.training.optimizer import Optimizer
from emotalk.training.settings import RunSettings
from emotalk.training.train import prepare_network
from emotalk.training.trainer import training_step
from tests.benchmarks.material import PLAIN, pairs, write_clips
from tests.benchmarks.measuring import peak_mb, reset_peak

RAVDESS_FRAMES = [111] * 32
"""Clips with the mean length of RAVDESS, for eight pairs of the paper's recipe."""

CHANGES: dict[str, dict[str, object]] = {
    "`precision: fp32`": {"precision": "fp32"},
    "`precision: fp32`, `gradient_checkpointing`": {"precision": "fp32", "gradient_checkpointing": True},
    "bf16 or fp16 (what `auto` takes on a GPU)": {},
    "`gradient_checkpointing: true`": {"gradient_checkpointing": True},
    "`optimizer_state: 8bit`": {"optimizer_state": "8bit"},
    "both of these": {"gradient_checkpointing": True, "optimizer_state": "8bit"},
    "`freeze: {content_encoder: 12, emotion_encoder: 12}`": {
        "freeze": FreezeSettings(content_encoder=12, emotion_encoder=12)
    },
    "`freeze: {content_encoder: conv, emotion_encoder: all}`": {
        "freeze": FreezeSettings(content_encoder="conv", emotion_encoder="all")
    },
    "`freeze: {content_encoder: all, emotion_encoder: all}`": {
        "freeze": FreezeSettings(content_encoder="all", emotion_encoder="all")
    },
}


def computed(changes: dict[str, object], batch_size: int, accumulate: int = 1) -> float:
    """Estimated peak memory (GiB) on a GPU for pairs of the paper's recipe."""
    settings = PLAIN.model_copy(update={"batch_size": batch_size, "accumulate": accumulate, **changes})
    with torch.device("meta"):
        network = prepare_network(settings, torch.device("meta"))
    return estimate_memory(network, settings, settings.precision, _workload(batch_size)).peak / 2**30


def _workload(batch_size: int) -> Workload:
    return largest_workload(form_batches(pairs("paper", RAVDESS_FRAMES), batch_size, None))


def table() -> str:
    """Markdown table of the estimates."""
    lines = [
        "| setting, over the paper's recipe | 1 pair (GiB) | 8 times 1 pair (GiB) | 8 pairs (GiB) |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, changes in CHANGES.items():
        figures = computed(changes, 1), computed(changes, 1, accumulate=8), computed(changes, 8)
        lines.append(f"| {name} | " + " | ".join(f"{gib:.1f}" for gib in figures) + " |")
    return "\n".join(lines)


def measured(changes: dict[str, object], batch_size: int, device: torch.device, folder: Path) -> dict[str, float]:
    """Estimated and measured peak memory (GiB) of two steps, in fp32 on the CPU."""
    settings = PLAIN.model_copy(update={"batch_size": batch_size, **changes})
    if device.type == "cpu":
        settings = settings.model_copy(update={"precision": "fp32"})
    configure_kernels(device)
    reset_peak(device)
    network = prepare_network(settings, device)
    estimate = estimate_memory(network.train(), settings, settings.precision, _workload(batch_size)).peak / 2**30
    _run_steps(network, settings, device, folder)
    return {"computed": estimate, "measured": peak_mb(device) / 1024}


def _run_steps(network: EmoTalk, settings: RunSettings, device: torch.device, folder: Path) -> None:
    store = write_clips(folder / "clips.arrow", RAVDESS_FRAMES)
    make_batch = BatchMaker(store, network.conv_frames, "every")
    trainable = network.trainable_parameters()
    precision = settings.precision
    optimizer = Optimizer(trainable, 1e-6, FiniteGuard(device), moments=settings.optimizer_state, precision=precision)
    examples = pairs("paper", RAVDESS_FRAMES)[: settings.batch_size]
    for _ in range(2):
        training_step(network, optimizer, [make_batch(examples).to(device)], settings.loss_weights, precision=precision)


def main() -> None:
    """Print the table, or measure on a device."""
    parser = argparse.ArgumentParser(description="Memory of training for several settings.")
    parser.add_argument("--device", help="cpu or cuda: device for measurements")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--only", nargs="*", type=int, help="row numbers of the table, from 0")
    parser.add_argument("--json", type=Path, help="output file")
    args = parser.parse_args()
    if args.device is None:
        print(table())
        return
    results = {}
    for number, (name, changes) in enumerate(CHANGES.items()):
        if args.only is None or number in args.only:
            with tempfile.TemporaryDirectory() as folder:
                results[name] = measured(changes, args.batch_size, torch.device(args.device), Path(folder))
            gc.collect()
            figures = results[name]
            print(f"{name}: computed {figures['computed']:.1f}, measured {figures['measured']:.1f} GiB", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
