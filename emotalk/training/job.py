"""The job of rule `train`: one process, or several that torchrun starts (`python -m emotalk.training.job JOB`)."""

import json
import logging
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from emotalk.errors import Interrupted
from emotalk.logs import INTERRUPTED_EXIT_CODE, job_log
from emotalk.training.device import choose_device
from emotalk.training.loop import train
from emotalk.training.processes import ALONE, Processes, joined
from emotalk.training.settings import TrainingSettings
from emotalk.training.signals import SIGNALS

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
        """Train in this process, or launch as many as GPUs were granted.

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
        else:
            self._train(choose_device(self.gpus, self.threads), ALONE)

    def _launch(self, count: int) -> None:
        """Let torchrun start the processes; a signal to this one reaches them.

        Raises
        ------
        Interrupted
            If they stopped after a signal, or were killed by one.
        """
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        options = {
            "--nproc-per-node": count,
            "--signals-to-handle": ",".join(SIGNALS),
            "--shutdown-timeout": _SHUTDOWN_S,
        }
        words = [f"{name}={value}" for name, value in options.items()]
        try:
            torchrun(["--standalone", *words, "-m", __name__, json.dumps(asdict(self))])
        except SignalException as stop:
            raise Interrupted(f"The processes were stopped by {stop.sigval.name}.") from None
        except ChildFailedError as error:
            codes = {failure.exitcode for failure in error.failures.values()}
            # When one fails, torchrun ends the others by SIGTERM; what the failed one said counts then.
            decisive = codes - {-signal.SIGTERM} or codes
            if INTERRUPTED_EXIT_CODE in codes or min(decisive) < 0:
                raise Interrupted("The processes were stopped by a signal.") from None
            sys.exit(1)  # What was wrong stands in the log.

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
    TrainingJob(**json.loads(sys.argv[1])).join()
