"""Fault injection: `python -m tests.benchmarks.kill --times 50`.

A small training runs through Snakemake, is killed with SIGKILL at random times, and is continued with the commands of a
user until it is finished. Its weights and metrics must be bit-identical to those of an uninterrupted run, and no other
files may remain. The exit status is 1 after any difference.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import torch

from tests.project import TINY_RUN, Project

CONFIG = TINY_RUN | {
    "corpora": ["RAVDESS"],
    "train": {"epochs": 2, "batch_size": 8, "lr_schedule": "cosine", "ema_decay": 0.9, "checkpoint_every_steps": 2},
}
_RETRIES = 2
"""Maximum number of times that Snakemake retries a job."""
KINDS = ("job", "everything", "while saving")
"""SIGKILL to the training process only, to Snakemake and all its children, or to all while a checkpoint is written."""


@dataclass(frozen=True)
class Outcome:
    """Result of one killed training."""

    kind: str
    kills: int
    differences: list[str]


class Training(Project):
    """Project whose target is training."""

    @property
    def results(self) -> Path:
        """Folder of the run."""
        return self.folder / "results/training"

    def start_training(self) -> subprocess.Popen[bytes]:
        """Start or continue the training."""
        return self.start("train", "--cores", "2", "--retries", str(_RETRIES))

    def finish(self, *target: str) -> None:
        """Run Snakemake for a target until it is finished."""
        done = self.run(*target, "--cores", "2")
        if done.returncode:
            raise SystemExit(f"snakemake {' '.join(target)} failed in {self.folder}:\n{done.stderr[-3000:]}")

    def find_jobs(self, pid: int) -> list[psutil.Process]:
        """Processes of rule `train` among the descendants of a process."""
        try:
            children = psutil.Process(pid).children(recursive=True)
            return [child for child in children if any(word.endswith("train.py") for word in child.cmdline())]
        except psutil.Error:
            return []

    def files(self) -> set[str]:
        """Names of all files of the run, without time stamps."""
        files = [path for path in self.results.rglob("*") if path.is_file() and "tfevents" not in path.name]
        return {re.sub(r"_\d{8}T\d{6}", "", str(path.relative_to(self.results))) for path in files}


def train_with_kills(training: Training, kind: str, seconds: float, max_kills: int, rng: random.Random) -> int:
    """Train to the end, killing up to `max_kills` times; returns the number of kills.

    Parameters
    ----------
    seconds
        Time of an uninterrupted training.
    """
    kills, max_kills = 0, rng.randint(1, max_kills)
    process = training.start_training()
    while kills < max_kills and _wait_for_kill_time(
        training, process, kind, rng.uniform(0, seconds if kills else seconds / 2)
    ):
        kills += 1
        if kind == "job":
            for job in training.find_jobs(process.pid):
                job.kill()
            continue  # Snakemake retries the job.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        training.finish("--unlock")  # Needed after a SIGKILL of Snakemake.
        process = training.start_training()
    if process.wait() and not (kind == "job" and kills > _RETRIES):
        raise SystemExit(f"After {kills} kills ({kind}) training did not continue in {training.folder}.")
    training.finish("train")
    return kills


def _wait_for_kill_time(training: Training, process: subprocess.Popen[bytes], kind: str, seconds: float) -> bool:
    """Wait at least `seconds` until the condition of `kind` holds; returns False if the process exits before."""
    until = time.monotonic() + seconds
    while process.poll() is None:
        conditions = {
            "everything": lambda: True,
            "job": lambda: bool(training.find_jobs(process.pid)),
            "while saving": lambda: any(training.results.rglob("*.partial")),
        }
        if time.monotonic() > until and conditions[kind]():
            return True
        time.sleep(0.0005)
    return False


def list_differences(training: Training, reference: Training) -> Iterator[str]:
    """Differences between a finished run and the uninterrupted one."""
    runs = (training, reference)
    contents = [torch.load(run.results / "checkpoint.pth", weights_only=True) for run in runs]
    for part in ("model", "average"):
        ours, theirs = (content[part].get("weights", content[part]) for content in contents)
        changed = [name for name in ours.keys() | theirs.keys() if not torch.equal(ours[name], theirs[name])]
        if changed:
            yield f"{len(changed)} tensors of the {part} differ, for example {min(changed)}"
    tables = [pq.read_table(run.results / "metrics.parquet") for run in runs]
    if not tables[0].equals(tables[1]):
        yield "metrics.parquet differs"
    if training.files() != reference.files():
        yield f"files differ: {sorted(training.files() ^ reference.files())}"


def prepare(folder: Path) -> Training:
    """Make a project and run all stages before training."""
    prepared = Training.from_checkout(folder, CONFIG)
    prepared.finish("pair")
    return prepared


def run_trials(prepared: Training, folder: Path, *, times: int, max_kills: int, seed: int) -> Iterator[Outcome]:
    """Kill `times` trainings, each up to `max_kills` times, with alternating kinds; yields their outcomes."""
    rng = random.Random(seed)
    reference = prepared.copy(folder / "reference")
    start = time.monotonic()
    reference.finish("train")
    seconds = time.monotonic() - start
    for number in range(times):
        kind = KINDS[number % len(KINDS)]
        training = prepared.copy(folder / "killed")
        kills = train_with_kills(training, kind, seconds, max_kills, rng)
        differences = list(list_differences(training, reference))
        yield Outcome(kind, kills, differences if kills else ["training finished before the first kill"])
        shutil.rmtree(training.folder)


def main() -> None:
    """Run all trials and print the results."""
    parser = argparse.ArgumentParser(description="Kill a small training repeatedly, and compare the result.")
    parser.add_argument("--times", type=int, default=50, help="number of trainings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="output file")
    args = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        prepared = prepare(Path(name) / "prepared")
        for outcome in run_trials(prepared, Path(name), times=args.times, max_kills=3, seed=args.seed):
            outcomes.append(outcome)
            result = "; ".join(outcome.differences) or "equal"
            print(f"{len(outcomes)} of {args.times}: {outcome.kind}, {outcome.kills} kills: {result}", flush=True)
    equal = sum(not outcome.differences for outcome in outcomes)
    kills = sum(outcome.kills for outcome in outcomes)
    print(f"{equal} of {args.times} trainings have bit-identical results after {kills} kills.")
    if args.json:
        figures = {"times": args.times, "equal": equal, "kills": kills}
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    sys.exit(equal != args.times)


if __name__ == "__main__":
    main()
