"""Launch training: in this process, or in several with torchrun, on one node or on all nodes of a Slurm job."""

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
from emotalk.training.signals import stop_signals
from emotalk.training.train import TrainingFiles, train

_LOG = logging.getLogger(__name__)
_SHUTDOWN_S = 600
"""Time for processes to save after a signal: a checkpoint has up to 7 GiB, and the disk may be slow."""


@dataclass(frozen=True)
class TrainingJob:
    """Inputs, settings and resources of rule `train`.

    Attributes
    ----------
    files
        Fields of `TrainingFiles`.
    train, model
        Sections of the configuration.
    gpus
        Number of GPUs granted per node.
    threads
        Number of CPU cores granted per node.
    log
        Log file of the main process; the others add their rank to its name.
    start_over_before
        See `train`.
    """

    files: dict[str, Any]
    train: dict[str, Any]
    model: dict[str, Any]
    seed: int
    gpus: int
    threads: int
    log: str
    start_over_before: float = 0


def launch(job: TrainingJob) -> None:
    """Train in this process, or start one process per granted GPU on each node.

    Raises
    ------
    Interrupted
        If a signal stopped or killed the processes.
    TrainingError
        If train.nodes is greater than 1 outside a Slurm job.
    """
    nodes = job.train["nodes"]
    if job.gpus and job.gpus < job.train["gpus"]:
        gpus = job.train["gpus"]
        _LOG.warning("train.gpus is %d, but Snakemake provides only %d. Add --resources gpu=%d.", gpus, job.gpus, gpus)
    available = torch.cuda.device_count()
    if 0 < available < job.gpus and nodes == 1:
        _LOG.warning("%d GPUs are granted, but torch finds %d: using these.", job.gpus, available)
    count = min(job.gpus, available or job.gpus) if nodes == 1 else job.gpus
    prepend_pythonpath()
    arguments = [f"--nproc-per-node={max(count, 1)}", "-m", __name__, json.dumps(asdict(job))]
    if nodes > 1:
        _LOG.info("Starting %d processes on each of %d nodes.", count, nodes)
        _srun_torchrun(arguments, nodes, job.threads)
    elif count > 1:
        _LOG.info("Starting %d processes.", count)
        _torchrun(["--standalone", *arguments])
    else:
        device = choose_device(job.gpus, job.threads)
        train(TrainingFiles(**job.files), _settings(job), device=device, start_over_before=job.start_over_before)


def _settings(job: TrainingJob) -> RunSettings:
    return RunSettings.model_validate({**job.train, "model": job.model, "seed": job.seed})


def _torchrun(arguments: list[str]) -> None:
    """Run torchrun in this process, so that its workers exit together with this job, even after SIGKILL."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    try:
        main([*_signal_options(), *arguments])
    except SignalException as error:
        raise Interrupted(f"The processes were stopped by {error.sigval.name}.") from None
    except ChildFailedError:
        sys.exit(1)  # The failed process has logged the error.


def _signal_options() -> list[str]:
    return [f"--signals-to-handle={','.join(stop_signals())}", f"--shutdown-timeout={_SHUTDOWN_S}"]


def _srun_torchrun(arguments: list[str], nodes: int, threads: int) -> None:
    """Run torchrun on every node of the current Slurm job, with this node as rendezvous host."""
    if "SLURM_JOB_ID" not in os.environ or not shutil.which("srun"):
        raise TrainingError(
            f"train.nodes is {nodes}, but this is not a Slurm job, or srun is missing (for example in a container). "
            "Run `snakemake train --workflow-profile profiles/slurm`, or set train.nodes to 1."
        )
    with socket.socket() as unused:
        unused.bind(("", 0))
        port = unused.getsockname()[1]
    command = [
        "srun",
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={threads}",
        "--kill-on-bad-exit=0",  # The first node to exit must not stop the others while they save.
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
    with _forward_signals(subprocess.Popen(command)) as process:  # noqa: S603 - trusted arguments, no shell
        if code := process.wait():
            sys.exit(code if code > 0 else 1)  # The failed process has logged the error.


@contextmanager
def _forward_signals(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Context that forwards signals to srun as SIGUSR1, which srun passes on; others make srun kill its tasks."""

    def forward(number: int, frame: FrameType | None) -> None:
        process.send_signal(signal.SIGUSR1)

    handlers = {name: signal.signal(signal.Signals[name], forward) for name in stop_signals()}
    try:
        yield process
    finally:
        for name, handler in handlers.items():
            signal.signal(signal.Signals[name], handler)


def run_worker(job: TrainingJob) -> None:
    """Train in a process that torchrun started; only the main process logs more than errors."""
    rank, local_rank, count = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    log = Path(job.log).with_suffix(f".{rank}.log") if rank else Path(job.log)
    with job_log(log, append=rank == 0, level=logging.ERROR if rank else logging.INFO):
        device = choose_device(job.gpus, job.threads // count, local_rank)
        with init_process_group(device) as group:
            files, settings = TrainingFiles(**job.files), _settings(job)
            train(files, settings, device=device, group=group, start_over_before=job.start_over_before)


if __name__ == "__main__":
    run_worker(TrainingJob(**json.loads(sys.argv[1])))
