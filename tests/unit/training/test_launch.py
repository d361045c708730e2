"""Training on several nodes: two network namespaces where root can make them, else two processes on one loopback."""

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

import pyarrow.parquet as pq
import pytest

from emotalk.config.config import load_config
from emotalk.errors import TrainingError
from emotalk.logs import INTERRUPTED_EXIT_CODE
from emotalk.training import train
from emotalk.training.launch import TrainingJob, launch
from tests.benchmarks.material import model_of
from tests.project import TINY_RUN
from tests.unit.training.conftest import STEADY
from tests.unit.training.steady import without_chance

MODULE = "tests.unit.training.steady"
CONFIG = TINY_RUN | {
    "model": model_of(STEADY).model_dump(),
    "train": {"epochs": 4, "batch_size": 3, "lr_schedule": "constant"},
}


@pytest.fixture
def job(clips, manifest, tmp_path):
    """A job of so many nodes, with a folder of its own."""

    def make(name: str, nodes: int, **changes) -> TrainingJob:
        given = CONFIG | {"train": CONFIG["train"] | {"nodes": nodes} | changes}
        config = load_config([given], recipes="config/recipes").model_dump()
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
    """Two machines: what to put before a command to run it there, the first one's address, and network interfaces."""
    if not can_make_namespaces():
        yield [[], []], "127.0.0.1", ["lo", "lo"]
        return
    names = [f"emotalk-{os.getpid()}-{number}" for number in (1, 2)]
    ends = [f"emo{os.getpid() % 10**7}{letter}" for letter in "ab"]
    commands = [f"ip netns add {name}" for name in names]
    commands.append(f"ip link add {ends[0]} netns {names[0]} type veth peer name {ends[1]} netns {names[1]}")
    for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
        commands += [f"ip -n {name} address add 10.77.0.{number}/24 dev {end}"]
        commands += [f"ip -n {name} link set {end} up", f"ip -n {name} link set lo up"]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        yield [["ip", "netns", "exec", name] for name in names], "10.77.0.1", ends
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


@pytest.fixture
def nodes(machines):
    """Start what Slurm starts on each node, with the variables that it sets."""
    started = []

    def start(job: TrainingJob) -> list[subprocess.Popen]:
        befores, address, interfaces = machines
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        now = []
        options = "--nnodes=2 --nproc-per-node=1 --rdzv-id=1 --rdzv-backend=c10d --signals-to-handle=SIGTERM,SIGUSR1"
        words = [*options.split(), f"--rdzv-endpoint={address}:{port}", "--shutdown-timeout=60", "-m", MODULE]
        for number, (before, interface) in enumerate(zip(befores, interfaces, strict=True), 1):
            # torchrun knows the first node by its name, which namespaces share.
            own = f"10.77.0.{number}" if before else address
            options = [f"--local-addr={own}", f"--rdzv-conf=is_host={int(number == 1)}", *words]
            command = [*before, sys.executable, "-m", "torch.distributed.run", *options, json.dumps(asdict(job))]
            environment = os.environ | {"GLOO_SOCKET_IFNAME": interface}
            now.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        started.extend(now)
        return now

    yield start
    for process in started:
        process.kill()
        process.communicate()


def losses(job: TrainingJob) -> list[float]:
    return pq.read_table(f"{job.files['folder']}/metrics.parquet")["loss"].to_pylist()


@pytest.fixture
def expected(job, monkeypatch) -> list[float]:
    """Losses of one process."""
    monkeypatch.setattr(train, "prepare_network", without_chance)
    alone = job("alone", 1)
    launch(alone)
    return losses(alone)


def wait_for_checkpoint(job: TrainingJob) -> None:
    until = time.monotonic() + 120
    while not list(Path(job.files["folder"]).rglob("*.pth")):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_two_nodes_have_the_losses_of_one_process_also_when_one_of_them_was_warned(job, nodes, expected):
    """The warning reaches one process only; all save, and end with the code that means: again."""
    together = job("together", 2, checkpoint_every_steps=1)
    warned = nodes(together)
    wait_for_checkpoint(together)
    warned[1].send_signal(signal.SIGUSR1)
    assert all(process.wait(60) != 0 for process in warned)
    assert not Path(together.files["folder"], "metrics.parquet").exists()
    for process in nodes(together):
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 0, said
    assert losses(together) == pytest.approx(expected, rel=1e-5)
    (log,) = (path.read_text(encoding="utf-8") for path in Path(together.log).parent.glob("checkpoints/*/train.log"))
    assert "shared by 2 processes" in log
    assert "Continuing" in log


def test_several_nodes_without_slurm_are_an_error_that_says_how_to_get_them(job, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(TrainingError, match=r"train.nodes is 2.*--workflow-profile profiles/slurm"):
        launch(job("nowhere", 2))


@pytest.fixture
def srun(tmp_path, monkeypatch):
    """A srun that ends in some way, in a Slurm job."""

    def make(script: str) -> None:
        path = tmp_path / "srun"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
        path.chmod(0o700)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    return make


@pytest.mark.parametrize("script", ["exit 1", "exit 75", "exit 137", "kill -9 $$"])
def test_a_failure_on_a_node_is_the_job_s(srun, job, script):
    srun(script)
    with pytest.raises(SystemExit) as ended:
        launch(job("failing", 2))
    assert ended.value.code


def test_srun_is_asked_for_torchrun_on_each_node_which_meet_at_the_first(srun, job, tmp_path):
    srun(f'echo "$@" > {tmp_path}/asked')
    launch(replace(job("asked", 2), gpus=4, threads=8))
    asked = (tmp_path / "asked").read_text().split()
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=8"} <= set(asked)
    assert {"torch.distributed.run", "--nnodes=2", "--nproc-per-node=4", "--rdzv-backend=c10d"} <= set(asked)
    (endpoint,) = [word for word in asked if word.startswith(f"--rdzv-endpoint={socket.gethostname()}:")]
    assert endpoint.rpartition(":")[2].isdecimal()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_any_signal_reaches_the_nodes_as_the_one_that_srun_passes_on(srun, job, number):
    srun(f"trap 'exit {INTERRUPTED_EXIT_CODE}' USR1; sleep 1; kill -{number} $PPID; while true; do sleep 0.1; done")
    with pytest.raises(SystemExit) as ended:
        launch(job("signalled", 2))
    assert ended.value.code == INTERRUPTED_EXIT_CODE
