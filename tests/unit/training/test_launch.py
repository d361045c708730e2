"""Training on several nodes: in two network namespaces if root can create them, else in two local processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotalk.config.config import load_config
from emotalk.data.manifest import MANIFEST_SCHEMA
from emotalk.errors import TrainingError
from emotalk.logs import INTERRUPTED_EXIT_CODE
from emotalk.training import train
from emotalk.training.launch import TrainingJob, launch
from tests.benchmarks.material import make_model_settings
from tests.project import TINY_RUN
from tests.unit.training.conftest import STEADY, example
from tests.unit.training.steady import prepare_network_without_dropout

MODULE = "tests.unit.training.steady"
CONFIG = TINY_RUN | {
    "model": make_model_settings(STEADY).model_dump(),
    "train": {"epochs": 4, "batch_size": 3, "lr_schedule": "constant"},
}


@pytest.fixture
def job(clips, manifest, tmp_path):
    """Job on `nodes` nodes with its own folder."""

    def make(name: str, nodes: int, **changes) -> TrainingJob:
        settings = CONFIG | {"train": CONFIG["train"] | {"nodes": nodes} | changes}
        config = load_config([settings], recipes="config/recipes").model_dump()
        folder = tmp_path / name
        return TrainingJob(
            files={
                "clips": [str(path) for path in clips],
                "manifest": str(manifest),
                "folder": str(folder),
            },
            train=config["train"],
            model=config["model"],
            seed=7,
            gpus=1,
            threads=1,
            log=str(folder / "train.log"),
        )

    return make


def can_make_namespaces() -> bool:
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("ip"):
        return False
    done = subprocess.run(["ip", "netns", "add", "emotalk-try"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "delete", "emotalk-try"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def machines():
    """Two machines: command prefix of each, IP address of the first, and network interface of each."""
    if not can_make_namespaces():
        yield [[], []], "127.0.0.1", ["lo", "lo"]
        return
    names = [f"emotalk-{os.getpid()}-{number}" for number in (1, 2)]
    interfaces = [f"emo{os.getpid() % 10**7}{letter}" for letter in "ab"]
    commands = [f"ip netns add {name}" for name in names]
    commands.append(
        f"ip link add {interfaces[0]} netns {names[0]} type veth peer name {interfaces[1]} netns {names[1]}"
    )
    for number, (name, interface) in enumerate(zip(names, interfaces, strict=True), 1):
        commands += [f"ip -n {name} address add 10.77.0.{number}/24 dev {interface}"]
        commands += [f"ip -n {name} link set {interface} up", f"ip -n {name} link set lo up"]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        yield [["ip", "netns", "exec", name] for name in names], "10.77.0.1", interfaces
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


@pytest.fixture
def nodes(machines):
    """Start torchrun on each node, as Slurm does."""
    processes = []

    def start(job: TrainingJob) -> list[subprocess.Popen]:
        prefixes, address, interfaces = machines
        with socket.socket() as unused:
            unused.bind(("", 0))
            port = unused.getsockname()[1]
        started = []
        options = "--nnodes=2 --nproc-per-node=1 --rdzv-id=1 --rdzv-backend=c10d --signals-to-handle=SIGTERM,SIGUSR1"
        common = [*options.split(), f"--rdzv-endpoint={address}:{port}", "--shutdown-timeout=60", "-m", MODULE]
        for number, (prefix, interface) in enumerate(zip(prefixes, interfaces, strict=True), 1):
            # torchrun finds the rendezvous host by its host name, which namespaces share.
            own = f"10.77.0.{number}" if prefix else address
            options = [f"--local-addr={own}", f"--rdzv-conf=is_host={int(number == 1)}", *common]
            command = [*prefix, sys.executable, "-m", "torch.distributed.run", *options, json.dumps(asdict(job))]
            environment = os.environ | {"GLOO_SOCKET_IFNAME": interface}
            started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        processes.extend(started)
        return started

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def losses(job: TrainingJob) -> list[float]:
    return pq.read_table(f"{job.files['folder']}/metrics.parquet")["loss"].to_pylist()


@pytest.fixture
def expected(job, monkeypatch) -> list[float]:
    """Losses of training in one process."""
    monkeypatch.setattr(train, "prepare_network", prepare_network_without_dropout)
    alone = job("alone", 1)
    launch(alone)
    return losses(alone)


def wait_for_checkpoint(job: TrainingJob) -> None:
    until = time.monotonic() + 120
    while not list(Path(job.files["folder"]).rglob("*.pth")):
        assert time.monotonic() < until
        time.sleep(0.02)


def log_of(job: TrainingJob) -> str:
    (log,) = Path(job.files["folder"]).glob("checkpoints/*/train.log")
    return log.read_text(encoding="utf-8")


def test_two_processes_of_one_node_train_together(job):
    together = replace(job("together", 1), gpus=2)
    launch(together)
    assert len(losses(together)) == 8
    assert "shared by 2 processes" in log_of(together)


@pytest.mark.long
def test_workers_exit_if_only_their_launcher_is_killed(job, manifest):
    """Otherwise they would train beside the next attempt."""
    rows = [example("random", position, epoch=epoch) for epoch in range(1, 401) for position in range(3)]
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA), manifest)
    together = replace(job("together", 1, epochs=400, checkpoint_every_steps=1), gpus=2)
    code = "import json, sys; from emotalk.training.launch import *; launch(TrainingJob(**json.loads(sys.argv[1])))"
    with subprocess.Popen([sys.executable, "-c", code, json.dumps(asdict(together))]) as launcher:
        wait_for_checkpoint(together)
        workers = psutil.Process(launcher.pid).children(recursive=True)
        launcher.kill()
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    assert not (Path(together.files["folder"]) / "metrics.parquet").exists()


@pytest.mark.long
def test_two_nodes_have_the_losses_of_one_process_also_after_a_signal(job, nodes, expected):
    """The signal is sent to one process only; all save and exit with an error, so that the job is run again."""
    together = job("together", 2, checkpoint_every_steps=1)
    processes = nodes(together)
    wait_for_checkpoint(together)
    processes[1].send_signal(signal.SIGUSR1)
    assert all(process.wait(60) != 0 for process in processes)
    assert not Path(together.files["folder"], "metrics.parquet").exists()
    for process in nodes(together):
        stderr = process.communicate(timeout=120)[1]
        assert process.returncode == 0, stderr
    assert losses(together) == pytest.approx(expected, rel=1e-5)
    assert "shared by 2 processes" in log_of(together)
    assert "Continuing" in log_of(together)


def test_several_nodes_without_slurm_are_an_error_that_says_what_to_do(job, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(TrainingError, match=r"train.nodes is 2.*--workflow-profile profiles/slurm"):
        launch(job("nowhere", 2))


@pytest.fixture
def srun(tmp_path, monkeypatch):
    """Replace srun by a script, in a Slurm job."""

    def make(script: str) -> None:
        path = tmp_path / "srun"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
        path.chmod(0o700)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    return make


@pytest.mark.parametrize("script", ["exit 1", "exit 75", "exit 137", "kill -9 $$"])
def test_job_fails_if_a_node_fails(srun, job, script):
    srun(script)
    with pytest.raises(SystemExit) as exit_info:
        launch(job("failing", 2))
    assert exit_info.value.code


def test_srun_starts_torchrun_on_each_node_with_the_first_as_rendezvous_host(srun, job, tmp_path):
    srun(f'echo "$@" > {tmp_path}/arguments')
    launch(replace(job("nodes", 2), gpus=4, threads=8))
    arguments = (tmp_path / "arguments").read_text().split()
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=8"} <= set(arguments)
    assert {"torch.distributed.run", "--nnodes=2", "--nproc-per-node=4", "--rdzv-backend=c10d"} <= set(arguments)
    (endpoint,) = [word for word in arguments if word.startswith(f"--rdzv-endpoint={socket.gethostname()}:")]
    assert endpoint.rpartition(":")[2].isdecimal()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_all_signals_are_forwarded_to_srun_as_sigusr1(srun, job, number):
    srun(f"trap 'exit {INTERRUPTED_EXIT_CODE}' USR1; sleep 1; kill -{number} $PPID; while true; do sleep 0.1; done")
    with pytest.raises(SystemExit) as exit_info:
        launch(job("signalled", 2))
    assert exit_info.value.code == INTERRUPTED_EXIT_CODE
