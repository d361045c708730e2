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
import yaml

from tests.conftest import TINY

_ROOT = Path(__file__).parents[2]
_PARTS = ("Snakefile", "workflow", "emotalk", "config", "profiles", "resources/demo.yaml")
_CONFIG = {
    "results": "results",
    "demo": {"actors": 3},
    "split": {"RAVDESS": {"validation": [2], "test": [3]}},
    "model": {name: {"source": "random", "sizes": TINY} for name in ("content_encoder", "emotion_encoder")},
    "corpora": ["RAVDESS"],
    "train": {"epochs": 3, "batch_size": 8, "schedule": "cosine", "ema_decay": 0.9, "checkpoint_every_steps": 2},
}
KINDS = ("job", "everything", "while saving")
"""SIGKILL to the training process only, to Snakemake and all its children, and to all while a checkpoint is written."""


@dataclass(frozen=True)
class Outcome:
    """What came of one training that was killed."""

    kind: str
    kills: int
    differences: list[str]


class Project:
    """A copy of the project, prepared up to training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def prepared(cls, folder: Path) -> "Project":
        """A fresh copy with a small configuration, whose corpus stages are done."""
        for part in _PARTS:
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (_ROOT / part).is_dir() else shutil.copy
            copy(_ROOT / part, folder / part)
        (folder / "kill.yaml").write_text(yaml.safe_dump(_CONFIG), encoding="utf-8")
        project = cls(folder)
        project.finish("pair")
        return project

    def copy(self, folder: Path) -> "Project":
        """A copy in which nothing is stale."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def start(self, target: str) -> subprocess.Popen[bytes]:
        """Type the command that asks for a target."""
        command = ["snakemake", target, "--cores", "2", "--configfile", "kill.yaml"]
        with open(self.folder / "said.txt", "ab") as said:
            return subprocess.Popen(  # A session of its own: its group can be killed without this process.
                [sys.executable, "-m", *command], cwd=self.folder, stdout=said, stderr=said, start_new_session=True
            )

    def finish(self, target: str) -> None:
        """Ask for a target and wait for it."""
        process = self.start(target)
        if process.wait():
            said = (self.folder / "said.txt").read_text(errors="replace")
            raise SystemExit(f"snakemake {target} failed in {self.folder}:\n{said[-3000:]}")

    def unlock(self) -> None:
        """What PLATFORM.md says must be typed after a SIGKILL of Snakemake."""
        command = [sys.executable, "-m", "snakemake", "--unlock", "--configfile", "kill.yaml"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    @property
    def training(self) -> Path:
        """Folder of the run."""
        return self.folder / "results/training"

    def leftovers(self) -> list[str]:
        """Names of all files of the run, without times: what an uninterrupted run leaves is what there may be."""
        files = [path for path in self.training.rglob("*") if path.is_file() and "tfevents" not in path.name]
        return sorted(re.sub(r"_\d{8}T\d{6}", "", str(path.relative_to(self.training))) for path in files)


def killed(project: Project, kind: str, seconds: float, rng: random.Random) -> int:
    """Train to the end, killing now and then; returns how many kills struck."""
    kills = 0
    process = project.start("train")
    for _ in range(rng.randint(1, 3)):
        if not _wait_for_moment(project, process, kind, rng.uniform(0, seconds)):
            break
        kills += 1
        if kind == "job":
            for job in _training_jobs(process.pid):
                job.kill()
            continue  # Snakemake tries again by itself.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        project.unlock()
        process = project.start("train")
    if process.wait():
        project.finish("train")
    return kills


def _wait_for_moment(project: Project, process: subprocess.Popen[bytes], kind: str, seconds: float) -> bool:
    """Wait for a moment to kill at; False if training ended before."""
    until = time.monotonic() + seconds
    while process.poll() is None:
        if kind == "everything" and time.monotonic() > until:
            return True
        jobs = _training_jobs(process.pid)
        if kind == "job" and jobs and time.monotonic() > until:
            return True
        if kind == "while saving" and any(project.training.rglob("*.partial")) and time.monotonic() > until:
            return True
        time.sleep(0.0005)
    return False


def _training_jobs(pid: int) -> list[psutil.Process]:
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if any(word.endswith("train.py") for word in child.cmdline())]
    except psutil.Error:
        return []


def differences(project: Project, reference: Project) -> Iterator[str]:
    """In what a finished run differs from the uninterrupted one."""
    mine, theirs = (torch.load(each.training / "checkpoint.pth", weights_only=True) for each in (project, reference))
    for part in ("model", "average"):
        weights = [content[part].get("weights", content[part]) for content in (mine, theirs)]
        unlike = [name for name, value in weights[0].items() if not torch.equal(value, weights[1][name])]
        if unlike:
            yield f"{len(unlike)} tensors of the {part} differ, {unlike[0]} first"
    tables = [pq.read_table(each.training / "metrics.parquet") for each in (project, reference)]
    if not tables[0].equals(tables[1]):
        yield "metrics.parquet differs"
    left = [set(each.leftovers()) for each in (project, reference)]
    if left[0] != left[1]:
        yield f"files differ: {sorted(left[0] ^ left[1])}"


def campaign(times: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Outcomes of so many killed trainings, of all kinds in turn."""
    rng = random.Random(seed)
    prepared = Project.prepared(folder / "prepared")
    reference = prepared.copy(folder / "reference")
    start = time.monotonic()
    reference.finish("train")
    seconds = time.monotonic() - start
    for number in range(times):
        kind = KINDS[number % len(KINDS)]
        project = prepared.copy(folder / "killed")
        kills = killed(project, kind, seconds, rng)
        yield Outcome(kind, kills, list(differences(project, reference)))
        shutil.rmtree(project.folder)


def main() -> None:
    """Run the campaign and tell."""
    parser = argparse.ArgumentParser(description="Kill a small training again and again, and compare how it ends.")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        for outcome in campaign(given.times, given.seed, Path(name)):
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
