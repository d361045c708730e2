"""The job of rule `train`: one process, or several that torchrun starts (`python -m emotalk.training.job JOB`)."""

import json
import logging
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from emotalk.logs import job_log
from emotalk.training.device import choose_device
from emotalk.training.loop import train
from emotalk.training.processes import ALONE, Processes, joined
from emotalk.training.settings import TrainingSettings

_LOG = logging.getLogger(__name__)
_SHUTDOWN_S = 600
"""How long torchrun lets its processes save after a signal; 7 GiB may go to a slow disk."""


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
        """Train in this process, or become the launcher of as many as GPUs were granted.

        Without a GPU in the machine as many processes share its cores.
        """
        if self.gpus and self.gpus < self.train["gpus"]:
            _LOG.warning(
                "train.gpus is %d and %d granted: type --resources gpu=%d to grant all.",
                self.train["gpus"],
                self.gpus,
                self.train["gpus"],
            )
        count = min(self.gpus, torch.cuda.device_count() or self.gpus)
        if count > 1:
            _LOG.info("Launching %d processes.", count)
            self._launch(count)
        self._train(choose_device(self.gpus, self.threads), ALONE)

    def _launch(self, count: int) -> NoReturn:
        """Replace this process by torchrun, so that signals reach it."""
        root = str(Path(__file__).parents[2])
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        options = {
            "--nproc-per-node": count,
            "--signals-to-handle": "SIGTERM,SIGINT,SIGUSR1",
            "--shutdown-timeout": _SHUTDOWN_S,
        }
        words = [f"{name}={value}" for name, value in options.items()]
        command = ["-m", "torch.distributed.run", "--standalone", *words, "-m", __spec__.name, json.dumps(asdict(self))]
        os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - no shell

    def join(self) -> None:
        """Train as one of torchrun's processes."""
        rank, local_rank, count = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        level = logging.ERROR if rank else logging.INFO
        with job_log(self.log, self.attempts_log, goes_on=True, level=level):
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
    TrainingJob(**json.loads(sys.argv[1])).join()
