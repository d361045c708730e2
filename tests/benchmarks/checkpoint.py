"""Cost of a checkpoint as a share of training time: `python -m tests.benchmarks.checkpoint --device cuda`.

Steps are timed without and with a checkpoint that is written in the background. The cost is the time that training
waits for the copy plus the slowdown during writing, divided by the time between two checkpoints.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from emotalk.data.manifest import Example
from emotalk.device import choose_precision, configure_kernels
from emotalk.training.batches import BatchMaker
from emotalk.training.checkpoint_file import BackgroundWriter, write_checkpoint
from emotalk.training.history import History
from emotalk.training.train import prepare_network
from emotalk.training.trainer import Trainer
from tests.benchmarks.lengths import ravdess_lengths
from tests.benchmarks.material import ENCODERS, PLAIN, make_model_settings, pairs, write_clips

_EVERY_MINUTES = 5
_WARM_UP = 2


class _LongEpoch:
    """Manifest of one epoch that is longer than the measurement."""

    def __init__(self, examples: list[Example]) -> None:
        self._examples = examples

    def examples(self, split: str, epoch: int = 0) -> list[Example]:
        return self._examples if split == "train" else []

    def training_subjects(self) -> list[int]:
        return [0]


def measure(trainer: Trainer, folder: Path, num_steps: int) -> dict[str, float]:
    """Measure the time of a step and of a checkpoint in seconds, and the size of the checkpoint."""

    def sync() -> float:
        trainer.check_finite()  # Synchronizes with the device.
        return time.perf_counter()

    steps = trainer.train_epoch()
    for _ in range(_WARM_UP):
        next(steps)
    start = sync()
    for _ in range(num_steps):
        next(steps)
    step_s = (sync() - start) / num_steps
    with BackgroundWriter(lambda content: write_checkpoint(folder / "checkpoint.pth", content)) as writer:
        for step in range(2):  # The first one allocates the memory for the copy.
            writer.wait()
            start = sync()
            writer.submit({**trainer.state(), "identity": {}, "step": step})
        copy_s = time.perf_counter() - start
        start, steps_during_write = time.perf_counter(), 0
        while writer._pending is not None and not writer._pending.done():
            next(steps)
            sync()
            steps_during_write += 1
        write_s = time.perf_counter() - start
    slowdown_s = write_s - steps_during_write * step_s
    return {
        "step_s": step_s,
        "copy_s": copy_s,
        "background_write_s": write_s,
        "slowdown_s": slowdown_s,
        "gib": sum(path.stat().st_size for path in folder.glob("*.pth")) / 2**30,
        "share": (copy_s + max(slowdown_s, 0)) / (60 * _EVERY_MINUTES),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cost of a checkpoint as a share of training time.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--size", choices=list(ENCODERS), default="full", help="size of the two encoders")
    parser.add_argument("--steps", type=int, default=3, help="number of steps that are timed without a checkpoint")
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder for checkpoints")
    parser.add_argument("--json", type=Path, help="output file")
    args = parser.parse_args()
    device, encoder = torch.device(args.device), ENCODERS[args.size]
    precision = choose_precision("auto", device)
    configure_kernels(device)
    settings = PLAIN.model_copy(update={"precision": precision, "model": make_model_settings(encoder)})
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        lengths = ravdess_lengths(8)
        store = write_clips(folder / "clips.arrow", lengths)
        network = prepare_network(settings, device)
        make_batch = BatchMaker(store, network.conv_frames, settings.velocity_on)
        manifest: Any = _LongEpoch(pairs("report", lengths) * 2000)
        trainer = Trainer(network, manifest, make_batch, settings, precision, history=History([], None))
        figures = measure(trainer, folder, args.steps)
    print(
        f"Checkpoint of {figures['gib']:.2f} GiB: copy {figures['copy_s']:.2f} s, background write "
        f"{figures['background_write_s']:.1f} s with a slowdown of {figures['slowdown_s']:.2f} s. One checkpoint every "
        f"{_EVERY_MINUTES} minutes costs {figures['share']:.2%} of the training time."
    )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
