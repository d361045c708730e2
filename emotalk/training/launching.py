"""Launching of the processes of a run by torchrun, on this machine or on every node of a Slurm job.

On each node Slurm starts `python -m emotalk.training.launching MODULE ARGUMENT COUNT PORT`.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from emotalk.errors import Interrupted, TrainingError
from emotalk.importing import let_children_import_this_package
from emotalk.logs import INTERRUPTED_EXIT_CODE, job_log
from emotalk.training.signals import SIGNALS

_SHUTDOWN_S = 600
"""How long processes may save after a signal, or after those of another node ended; 7 GiB may go to a slow disk."""
_KILLED = 128
"""A shell and srun add the number of the signal to this."""
_SIOCGIFADDR = 0x8915


@dataclass(frozen=True)
class Nodes:
    """The machines that share a run, seen from one of them.

    Attributes
    ----------
    count
        How many there are.
    rank
        Number of this one, from 0.
    address, port
        Where the first one waits for the others.
    """

    count: int = 1
    rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def of_slurm(cls, environment: Mapping[str, str], port: int) -> "Nodes":
        """Those of a Slurm step that was started on its first node."""
        count, rank = int(environment["SLURM_NNODES"]), int(environment["SLURM_NODEID"])
        return cls(count, rank, environment["SLURM_LAUNCH_NODE_IPADDR"], port)

    def options(self) -> dict[str, object]:
        """What torchrun is told."""
        if self.count == 1:
            return {"--standalone": True}
        names = "--nnodes", "--node-rank", "--master-addr", "--master-port"
        return dict(zip(names, (self.count, self.rank, self.address, self.port), strict=True))


def launch(module: str, argument: str, count: int, nodes: Nodes | None = None) -> None:
    """Start so many processes of a module on this machine, and wait for them; a signal to this one reaches them.

    Raises
    ------
    Interrupted
        If they stopped after a signal, or were killed by one.
    """
    nodes = nodes or Nodes()
    if nodes.count > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _interface_to(nodes.address))
    options = nodes.options() | {
        "--nproc-per-node": count,
        "--signals-to-handle": ",".join(SIGNALS),
        "--shutdown-timeout": _SHUTDOWN_S,
    }
    words = [name if value is True else f"{name}={value}" for name, value in options.items()]
    let_children_import_this_package()
    try:
        torchrun([*words, "-m", module, argument])
    except SignalException as stop:
        raise Interrupted(f"The processes were stopped by {stop.sigval.name}.") from None
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values()}
        # When one fails, torchrun ends the others by SIGTERM; what the failed one said counts then.
        decisive = codes - {-signal.SIGTERM} or codes
        if INTERRUPTED_EXIT_CODE in codes or min(decisive) < 0:
            raise Interrupted("The processes were stopped by a signal.") from None
        sys.exit(1)  # What was wrong stands in the log.


def launch_on_nodes(module: str, argument: str, count: int, *, nodes: int, threads: int) -> None:
    """Start so many processes of a module on each node of the Slurm job that this process is the script of.

    Parameters
    ----------
    threads
        CPU cores of each node's share.

    Raises
    ------
    Interrupted
        If they stopped after a signal, or were killed by one.
    TrainingError
        If this is no Slurm job, or one in a container without Slurm's commands.
    """
    if "SLURM_JOB_ID" not in os.environ or not shutil.which("srun"):
        raise TrainingError(
            f"train.nodes is {nodes}, and several nodes are had from Slurm only, outside a container: type "
            "`snakemake train --workflow-profile profiles/slurm`, or set train.nodes to 1."
        )
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    options = {
        "--nodes": nodes,
        "--ntasks": nodes,
        "--ntasks-per-node": 1,
        "--cpus-per-task": threads,
        "--kill-on-bad-exit": 0,  # The first one that has saved must not take the others along.
        "--wait": _SHUTDOWN_S,
    }
    words = [f"{name}={value}" for name, value in options.items()]
    let_children_import_this_package()
    command = ["srun", *words, sys.executable, "-m", __name__, module, argument, str(count), str(port)]
    with _passing_signals_on(subprocess.Popen(command)) as started:  # noqa: S603 - words of ours, no shell
        code = started.wait()
    if code == INTERRUPTED_EXIT_CODE or code > _KILLED or code < 0:
        raise Interrupted("The processes were stopped by a signal.")
    if code:
        sys.exit(1)  # What was wrong stands in the log.


@contextmanager
def _passing_signals_on(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Context in which signals to this process reach what srun started: it passes SIGUSR1 on, and kills at others."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(signal.SIGUSR1)

    before = {name: signal.signal(signal.Signals[name], pass_on) for name in SIGNALS}
    try:
        yield process
    finally:
        for name, handler in before.items():
            signal.signal(signal.Signals[name], handler)


def _interface_to(address: str) -> str:
    """Name of the network interface that leads to an address; gloo's guess by the host's name may lead elsewhere."""
    import fcntl  # Not on every system; Slurm's have it.

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))  # Sends nothing.
        own = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:  # It has no address.
                continue
            if socket.inet_ntoa(answer[20:24]) == own:
                return name
    raise TrainingError(f"No network interface of {socket.gethostname()} leads to the first node, {address}.")


def _join_nodes(module: str, argument: str, count: int, port: int) -> None:
    """What Slurm starts on each node.

    Raises
    ------
    TrainingError
        If the node has fewer GPUs than processes.
    """
    found = torch.cuda.device_count()
    if 0 < found < count:
        raise TrainingError(
            f"{socket.gethostname()} gives this job {found} GPUs, and train.gpus asks for {count} on each node."
        )
    launch(module, argument, count, Nodes.of_slurm(os.environ, port))


if __name__ == "__main__":
    with job_log(None):
        _join_nodes(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
