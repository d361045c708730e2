"""A campaign of kills: `python -m tests.benchmarks.kill --times 50`.

A small training runs through Snakemake, is killed with SIGKILL at random moments, and goes on until it is done: with
what a user would type, and nothing else. Its weights and its metrics must be those of an uninterrupted run, bit for
bit, and nothing may be left over. The exit status is not 0 on any difference.
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
"""How often Snakemake runs a job again."""
KINDS = ("job", "everything", "while saving")
"""SIGKILL to the training process only, to Snakemake and all its children, and to all while a checkpoint is written."""


@dataclass(frozen=True)
class Outcome:
    """What came of one training that was killed."""

    kind: str
    kills: int
    differences: list[str]


class Training(Project):
    """A project that is asked to train."""

    @property
    def results(self) -> Path:
        """Folder of the run."""
        return self.folder / "results/training"

    def begin(self) -> subprocess.Popen[bytes]:
        """Ask for the training, with what an earlier one left."""
        return self.start("train", "--cores", "2", "--retries", str(_RETRIES))

    def finish(self, *target: str) -> None:
        """Ask for a target and wait for it."""
        done = self.run(*target, "--cores", "2")
        if done.returncode:
            raise SystemExit(f"snakemake {' '.join(target)} failed in {self.folder}:\n{done.stderr[-3000:]}")

    def jobs_at_work(self, pid: int) -> list[psutil.Process]:
        """Processes of rule `train` below a process."""
        try:
            children = psutil.Process(pid).children(recursive=True)
            return [child for child in children if any(word.endswith("train.py") for word in child.cmdline())]
        except psutil.Error:
            return []

    def files(self) -> set[str]:
        """Names of all files of the run, without times."""
        files = [path for path in self.results.rglob("*") if path.is_file() and "tfevents" not in path.name]
        return {re.sub(r"_\d{8}T\d{6}", "", str(path.relative_to(self.results))) for path in files}


def kill_now_and_then(training: Training, kind: str, seconds: float, most: int, rng: random.Random) -> int:
    """Train to the end, killing once or up to `most` times; returns how many kills struck.

    Parameters
    ----------
    seconds
        Time of an uninterrupted training.
    """
    kills, most = 0, rng.randint(1, most)
    process = training.begin()
    while kills < most and _comes_to(training, process, kind, rng.uniform(0, seconds if kills else seconds / 2)):
        kills += 1
        if kind == "job":
            for job in training.jobs_at_work(process.pid):
                job.kill()
            continue  # Snakemake tries again by itself.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        training.finish("--unlock")  # PLATFORM.md: needed after a SIGKILL of Snakemake.
        process = training.begin()
    if process.wait() and not (kind == "job" and kills > _RETRIES):
        raise SystemExit(f"After {kills} kills ({kind}) training did not go on by itself in {training.folder}.")
    training.finish("train")
    return kills


def _comes_to(training: Training, process: subprocess.Popen[bytes], kind: str, seconds: float) -> bool:
    """Wait for a moment to kill at, so many seconds from now or later; False if training ended before."""
    until = time.monotonic() + seconds
    while process.poll() is None:
        is_moment = {
            "everything": lambda: True,
            "job": lambda: bool(training.jobs_at_work(process.pid)),
            "while saving": lambda: any(training.results.rglob("*.partial")),
        }
        if time.monotonic() > until and is_moment[kind]():
            return True
        time.sleep(0.0005)
    return False


def differences(training: Training, reference: Training) -> Iterator[str]:
    """In what a finished run differs from the uninterrupted one."""
    contents = [torch.load(each.results / "checkpoint.pth", weights_only=True) for each in (training, reference)]
    for part in ("model", "average"):
        mine, theirs = (content[part].get("weights", content[part]) for content in contents)
        unlike = [name for name in mine.keys() | theirs.keys() if not torch.equal(mine[name], theirs[name])]
        if unlike:
            yield f"{len(unlike)} tensors of the {part} differ, {min(unlike)} first"
    tables = [pq.read_table(each.results / "metrics.parquet") for each in (training, reference)]
    if not tables[0].equals(tables[1]):
        yield "metrics.parquet differs"
    if training.files() != reference.files():
        yield f"files differ: {sorted(training.files() ^ reference.files())}"


def prepare(folder: Path) -> Training:
    """A project that has all but its training."""
    prepared = Training.from_checkout(folder, CONFIG)
    prepared.finish("pair")
    return prepared


def campaign(prepared: Training, folder: Path, *, times: int, most: int, seed: int) -> Iterator[Outcome]:
    """Outcomes of so many trainings that are killed, each at most so often, of all kinds in turn."""
    rng = random.Random(seed)
    reference = prepared.copy(folder / "reference")
    start = time.monotonic()
    reference.finish("train")
    seconds = time.monotonic() - start
    for number in range(times):
        kind = KINDS[number % len(KINDS)]
        training = prepared.copy(folder / "killed")
        kills = kill_now_and_then(training, kind, seconds, most, rng)
        found = list(differences(training, reference))
        yield Outcome(kind, kills, found if kills else ["no kill struck"])
        shutil.rmtree(training.folder)


def main() -> None:
    """Run the campaign and tell."""
    parser = argparse.ArgumentParser(description="Kill a small training again and again, and compare how it ends.")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        prepared = prepare(Path(name) / "prepared")
        for outcome in campaign(prepared, Path(name), times=given.times, most=3, seed=given.seed):
            outcomes.append(outcome)
            told = "; ".join(outcome.differences) or "equal"
            print(f"{len(outcomes)} of {given.times}: {outcome.kind}, {outcome.kills} kills: {told}", flush=True)
    equal = sum(not outcome.differences for outcome in outcomes)
    kills = sum(outcome.kills for outcome in outcomes)
    print(f"{equal} of {given.times} trainings end bit-equal after {kills} kills.")
    if given.json:
        figures = {"times": given.times, "equal": equal, "kills": kills}
        given.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    sys.exit(equal != given.times)


if __name__ == "__main__":
    main()
