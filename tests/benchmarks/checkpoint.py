"""Cost of a checkpoint as a share of training: `python -m tests.benchmarks.checkpoint --device cuda`.

Steps are timed alone, and while a checkpoint is written behind them; what a checkpoint costs is what it makes training
wait and what it slows down, over the minutes between two checkpoints.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from emotalk.data.manifest import Example
from emotalk.device import choose_kernels, choose_precision
from emotalk.training.batches import BatchMaker
from emotalk.training.checkpoint_file import BackgroundWriter, write_checkpoint
from emotalk.training.history import History
from emotalk.training.train import prepare_network
from emotalk.training.trainer import Trainer
from tests.benchmarks.lengths import ravdess_lengths
from tests.benchmarks.material import ENCODERS, PLAIN, model_of, pairs, write_clips

_EVERY_MINUTES = 5
_WARM_UP = 2


class _LongEpoch:
    """A manifest of one epoch, which does not end while steps are timed."""

    def __init__(self, examples: list[Example]) -> None:
        self._examples = examples

    def examples(self, split: str, epoch: int = 0) -> list[Example]:
        return self._examples if split == "train" else []

    def training_subjects(self) -> list[int]:
        return [0]


def measure(trainer: Trainer, folder: Path, num_steps: int) -> dict[str, float]:
    """Seconds of a step alone and of one during writing, and of what a checkpoint takes."""

    def sync() -> float:
        trainer.check_finite()  # Waits for the device.
        return time.perf_counter()

    steps = trainer.train_epoch()
    for _ in range(_WARM_UP):
        next(steps)
    start = sync()
    for _ in range(num_steps):
        next(steps)
    alone = (sync() - start) / num_steps
    with BackgroundWriter(lambda content: write_checkpoint(folder / "checkpoint.pth", content)) as writer:
        for step in range(2):  # The first one finds memory for the copy.
            writer.wait()
            start = sync()
            writer.submit({**trainer.state(), "identity": {}, "step": step})
        waited = time.perf_counter() - start
        begun, during = time.perf_counter(), 0
        while writer._pending is not None and not writer._pending.done():
            next(steps)
            sync()
            during += 1
        writing = time.perf_counter() - begun
    slowed = writing - during * alone
    return {
        "step_s": alone,
        "waited_s": waited,
        "written_behind_s": writing,
        "slowed_s": slowed,
        "gib": sum(path.stat().st_size for path in folder.glob("*.pth")) / 2**30,
        "share": (waited + max(slowed, 0)) / (60 * _EVERY_MINUTES),
    }


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description="Cost of a checkpoint as a share of training.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--size", choices=list(ENCODERS), default="full", help="size of the two encoders")
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed alone")
    parser.add_argument("--folder", type=Path, help="where checkpoints go; a temporary folder by default")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    device, encoder = torch.device(given.device), ENCODERS[given.size]
    precision = choose_precision("auto", device)
    choose_kernels(device)
    settings = PLAIN.model_copy(update={"precision": precision, "model": model_of(encoder)})
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        lengths = ravdess_lengths(8)
        store = write_clips(folder / "clips.arrow", lengths)
        network = prepare_network(settings, device)
        make = BatchMaker(store, network.conv_frames, settings.velocity_on)
        schedule = _LongEpoch(pairs("report", lengths) * 2000)
        trainer = Trainer(network, schedule, make, settings, precision, history=History([], None))  # type: ignore[arg-type]
        figures = measure(trainer, folder, given.steps)
    print(
        f"A checkpoint of {figures['gib']:.2f} GiB: training waits {figures['waited_s']:.2f} s for the copy, then "
        f"{figures['written_behind_s']:.1f} s of writing behind it cost {figures['slowed_s']:.2f} s. At "
        f"one every {_EVERY_MINUTES} minutes that is {figures['share']:.2%} of training."
    )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
