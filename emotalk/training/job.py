"""The job of rule `train`: one process, or several that torchrun starts (`python -m emotalk.training.job FILE`)."""

import json
import logging
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from emotalk.logs import job_log
from emotalk.training.device import choose_device
from emotalk.training.launching import launch, launch_on_nodes
from emotalk.training.loop import train
from emotalk.training.processes import ALONE, Processes, joined
from emotalk.training.settings import TrainingSettings

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """What rule `train` is given; `train` and `model` are sections of the configuration."""

    clips: list[str]
    manifest: str
    alignments: str
    folder: str
    diagnosis: str
    train: dict[str, Any]
    model: dict[str, Any]
    seed: int
    gpus: int
    threads: int
    log: str
    attempts_log: str

    def start(self) -> None:
        """Train in this process, or launch as many as GPUs were granted, on each of as many nodes as are asked for.

        Without a GPU in the machine as many processes share its cores.
        """
        nodes = self.train["nodes"]
        if self.gpus and self.gpus < self.train["gpus"]:
            _LOG.warning(
                "train.gpus is %d and %d granted: type --resources gpu=%d to grant all.",
                self.train["gpus"],
                self.gpus,
                self.train["gpus"],
            )
        present = torch.cuda.device_count()
        if 0 < present < self.gpus:
            _LOG.warning("%d GPUs are granted, and torch sees %d here: those train.", self.gpus, present)
        count = min(self.gpus, present or self.gpus)
        if nodes > 1:
            _LOG.info("Launching %d processes on each of %d nodes.", self.gpus, nodes)
            launch_on_nodes(__name__, self.write(), self.gpus, nodes=nodes, threads=self.threads)
        elif count > 1:
            _LOG.info("Launching %d processes.", count)
            launch(__name__, self.write(), count)
        else:
            self._train(choose_device(self.gpus, self.threads), ALONE)

    @classmethod
    def read(cls, path: str | Path) -> "TrainingJob":
        """The job in a file."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def write(self) -> str:
        """Path of a file that holds the job; a command line would be too short for thousands of shards."""
        path = Path(self.folder) / "job.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return str(path)

    def join(self) -> None:
        """Train as one of torchrun's processes; all but the main one keep silent unless something is wrong."""
        rank, local_rank, count = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        log, attempts = Path(self.log), Path(self.attempts_log)
        if rank:
            log, attempts = (path.with_suffix(f".{rank}.log") for path in (log, attempts))
        level = logging.ERROR if rank else logging.INFO
        with job_log(log, attempts, goes_on=not rank, level=level):
            device = choose_device(self.gpus, self.threads // count, local_rank)
            with joined(device) as processes:
                self._train(device, processes)

    def _train(self, device: torch.device, processes: Processes) -> None:
        train(
            self.clips,
            self.manifest,
            self.alignments,
            folder=self.folder,
            diagnosis=self.diagnosis,
            settings=TrainingSettings.from_config(self.train, self.model, self.seed),
            device=device,
            processes=processes,
        )


if __name__ == "__main__":
    TrainingJob.read(sys.argv[1]).join()
