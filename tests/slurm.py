"""A local Slurm cluster of two nodes, each with a simulated GPU: for tests as root, without cgroups or database.

Both nodes report more cores and memory than the machine has, so that jobs can request the resources of the profile.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ETC = Path("/etc/slurm")
_FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
_NODES = ("one", "two")
_TIMEOUT_S = 30


def find_obstacle() -> str | None:
    """Return the reason why Slurm cannot be started here, or None."""
    if os.name != "posix" or os.geteuid() != 0:
        return "only root can start Slurm"
    if missing := [name for name in ("slurmctld", "slurmd", "munged", "srun") if not shutil.which(name)]:
        return f"{', '.join(missing)} not found: apt-get install slurm-wlm munge"
    if any((_ETC / name).exists() for name in _FILES):
        return f"{_ETC} has the configuration of another Slurm cluster"
    return None


@contextmanager
def run_cluster(folder: Path) -> Iterator[None]:
    """Context in which Slurm runs, with its files in a folder that user munge can read."""
    pids = folder / "run"
    for name in ("state", "log", "run", *(f"spool.{node}" for node in _NODES)):
        (folder / name).mkdir(parents=True)
    shutil.chown(pids, "munge", "munge")
    key = folder / "munge.key"
    key.touch(mode=0o400)
    key.write_bytes(secrets.token_bytes(1024))
    shutil.chown(key, "munge", "munge")
    (folder / "slurm.conf").write_text(_configuration(folder), encoding="ascii")
    (folder / "gres.conf").write_text(f"NodeName={','.join(_NODES)} Name=gpu File=/dev/null\n", encoding="ascii")
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n", encoding="ascii")
    _ETC.mkdir(exist_ok=True)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for name in _FILES:
            # Snakemake's executor removes SLURM_CONF, so that only the default path works.
            (_ETC / name).symlink_to(folder / name)
        munge = ["--key-file", key, "--socket", pids / "munge.socket", "--pid-file", pids / "munged.pid"]
        munge += ["--log-file", pids / "munged.log", "--seed-file", pids / "munged.seed", "--foreground"]
        commands = [["runuser", "-u", "munge", "--", "munged", *munge], ["slurmctld", "-D", "-i"]]
        commands += [["slurmd", "-D", "-N", node] for node in _NODES]
        with open(folder / "log/started.log", "wb") as log:
            daemons += [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
        _wait_for_nodes(folder)
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], timeout=_TIMEOUT_S, capture_output=True, check=False)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for name in _FILES:
            (_ETC / name).unlink(missing_ok=True)


def _wait_for_nodes(folder: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    states = ["sinfo", "--noheader", "--Node", "-o", "%T"]
    while subprocess.run(states, capture_output=True, text=True, check=False).stdout.split() != ["idle"] * len(_NODES):
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text() for path in sorted((folder / "log").iterdir()))
            raise RuntimeError(f"Slurm did not start.\n{logs[-3000:]}")
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def _configuration(folder: Path) -> str:
    host = socket.gethostname().partition(".")[0]
    control, *ports = _free_ports(1 + len(_NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=64000 Gres=gpu:1"
        for node, port in zip(_NODES, ports, strict=True)
    )
    return f"""\
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
MinJobAge=3600
KillWait=10
GresTypes=gpu
{nodes}
PartitionName=main Nodes={",".join(_NODES)} Default=YES MaxTime=INFINITE
"""
