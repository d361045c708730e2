"""Starting of a training: in this process, or by torchrun in several, on one node or on every node of a Slurm job."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from emotalk.device import choose_device
from emotalk.errors import Interrupted, TrainingError
from emotalk.logs import job_log
from emotalk.parallel import prepend_pythonpath
from emotalk.training.distributed import init_process_group
from emotalk.training.settings import RunSettings
from emotalk.training.signals import SIGNALS
from emotalk.training.train import TrainingFiles, train

_LOG = logging.getLogger(__name__)
_SHUTDOWN_S = 600
"""How long processes may save after a signal; 7 GiB may go to a slow disk."""


@dataclass(frozen=True)
class TrainingJob:
    """What rule `train` is given.

    Attributes
    ----------
    files
        What is read, and the folder that is written to.
    train, model
        Sections of the configuration.
    gpus
        GPUs granted on each node.
    threads
        CPU cores granted on each node.
    log
        Log file; other processes than the main one add their rank to its name.
    start_over
        Whether a run that is there already is put aside, and training starts from the beginning.
    """

    files: dict[str, Any]
    train: dict[str, Any]
    model: dict[str, Any]
    seed: int
    gpus: int
    threads: int
    log: str
    start_over: bool = False


def launch(job: TrainingJob, module: str = __name__) -> None:
    """Train in this process, or start a process for each GPU on each node; without GPUs they share the CPU cores.

    Parameters
    ----------
    module
        What torchrun starts with the job as its only argument.

    Raises
    ------
    Interrupted
        If the processes stopped after a signal, or were killed by one.
    TrainingError
        If several nodes are asked for outside a Slurm job.
    """
    nodes = job.train["nodes"]
    if job.gpus and job.gpus < job.train["gpus"]:
        wanted = job.train["gpus"]
        _LOG.warning("train.gpus is %d and %d granted: use --resources gpu=%d to grant all.", wanted, job.gpus, wanted)
    present = torch.cuda.device_count()
    if 0 < present < job.gpus and nodes == 1:
        _LOG.warning("%d GPUs are granted, but torch sees %d: those are used.", job.gpus, present)
    count = min(job.gpus, present or job.gpus) if nodes == 1 else job.gpus
    prepend_pythonpath()
    arguments = [f"--nproc-per-node={max(count, 1)}", "-m", module, json.dumps(asdict(job))]
    if nodes > 1:
        _LOG.info("Starting %d processes on each of %d nodes.", count, nodes)
        _srun_torchrun(arguments, nodes, job.threads)
    elif count > 1:
        _LOG.info("Starting %d processes.", count)
        _torchrun(["--standalone", *arguments])
    else:
        device = choose_device(job.gpus, job.threads)
        train(TrainingFiles(**job.files), _settings(job), device=device, start_over=job.start_over)


def _settings(job: TrainingJob) -> RunSettings:
    return RunSettings.model_validate({**job.train, "model": job.model, "seed": job.seed})


def _torchrun(arguments: list[str]) -> None:
    """Run torchrun in this process: its workers then end with this job, however it ends."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    try:
        main([*_signal_options(), *arguments])
    except SignalException as stop:
        raise Interrupted(f"The processes were stopped by {stop.sigval.name}.") from None
    except ChildFailedError:
        sys.exit(1)  # The process that failed has logged why.


def _signal_options() -> list[str]:
    return [f"--signals-to-handle={','.join(SIGNALS)}", f"--shutdown-timeout={_SHUTDOWN_S}"]


def _srun_torchrun(arguments: list[str], nodes: int, threads: int) -> None:
    """Run torchrun on every node of the Slurm job whose script this is; they meet at its first node."""
    if "SLURM_JOB_ID" not in os.environ or not shutil.which("srun"):
        raise TrainingError(
            f"train.nodes is {nodes}, but this is no Slurm job, or srun is missing (as in a container). Run `snakemake "
            "train --workflow-profile profiles/slurm`, or set train.nodes to 1."
        )
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    command = [
        "srun",
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={threads}",
        "--kill-on-bad-exit=0",  # The first node that has saved must not end the others.
        f"--wait={_SHUTDOWN_S}",
        sys.executable,
        "-m",
        "torch.distributed.run",
        *_signal_options(),
        f"--nnodes={nodes}",
        f"--rdzv-id={os.environ['SLURM_JOB_ID']}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={socket.gethostname()}:{port}",
        *arguments,
    ]
    with _signals_forwarded(subprocess.Popen(command)) as started:  # noqa: S603 - our own words, no shell
        if code := started.wait():
            sys.exit(code if code > 0 else 1)  # The process that failed has logged why.


@contextmanager
def _signals_forwarded(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Context in which signals to this process reach what srun started: it forwards SIGUSR1, and kills at others."""

    def forward(number: int, frame: FrameType | None) -> None:
        process.send_signal(signal.SIGUSR1)

    before = {name: signal.signal(signal.Signals[name], forward) for name in SIGNALS}
    try:
        yield process
    finally:
        for name, handler in before.items():
            signal.signal(signal.Signals[name], handler)


def run_worker(job: TrainingJob) -> None:
    """Train as one of torchrun's processes; all but the main one log errors only."""
    rank, local_rank, count = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    log = Path(job.log).with_suffix(f".{rank}.log") if rank else Path(job.log)
    with job_log(log, append=rank == 0, level=logging.ERROR if rank else logging.INFO):
        device = choose_device(job.gpus, job.threads // count, local_rank)
        with init_process_group(device) as group:
            train(TrainingFiles(**job.files), _settings(job), device=device, group=group, start_over=job.start_over)


if __name__ == "__main__":
    run_worker(TrainingJob(**json.loads(sys.argv[1])))
