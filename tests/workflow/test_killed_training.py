"""Training through Snakemake that is killed, signalled, distributed, or fails."""

import os
import re
import signal
import time

import pyarrow.parquet as pq
import pytest

from tests.benchmarks.kill import CONFIG, KINDS, Training, prepare, run_trials


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Training:
    return prepare(tmp_path_factory.mktemp("prepared") / "project")


@pytest.fixture
def training(prepared, tmp_path) -> Training:
    return prepared.copy(tmp_path / "run")


@pytest.mark.long
def test_killed_trainings_end_with_identical_results(prepared, tmp_path):
    outcomes = run_trials(prepared, tmp_path, times=len(KINDS), max_kills=1, seed=3)
    assert {outcome.kind: outcome.differences for outcome in outcomes} == {kind: [] for kind in KINDS}


def wait_for(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def log_of(training) -> str:
    """Return the log lines of all attempts of the run."""
    return "".join(path.read_text() for path in training.results.glob("checkpoints/*/train.log"))


def test_a_signalled_training_saves_and_the_same_invocation_continues_it(training):
    """Slurm sends this signal before the time limit."""
    process = training.start_training()
    wait_for(lambda: any(training.results.rglob("*.pth")))
    for job in training.find_jobs(process.pid):
        job.send_signal(signal.SIGUSR1)
    assert process.wait() == 0
    log = log_of(training)
    assert re.search(r"SIGUSR1: training saves.*\n(.*\n)*.*Continuing after", log)
    assert log.count("epoch 1 of 2, train") == 1


@pytest.mark.long
def test_after_ctrl_c_the_same_command_continues(training):
    process = training.start_training()
    wait_for(lambda: any(training.results.rglob("*.pth")))
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() != 0
    assert "SIGINT: training saves" in log_of(training)
    training.finish("train")
    assert "Continuing after" in log_of(training)
    assert len(pq.read_table(training.results / "metrics.parquet")) == 4


@pytest.mark.long
def test_one_process_per_granted_gpu_is_started(training):
    """On the CPU in this test. After a signal to the launcher, the processes save once and continue."""
    training.configure(CONFIG | {"train": {**CONFIG["train"], "gpus": 2}})
    process = training.start("train", "--cores", "2", "--retries", "2", "--resources", "gpu=2")
    wait_for(lambda: any(training.results.rglob("*.pth")))
    for job in training.find_jobs(process.pid):
        job.send_signal(signal.SIGTERM)
    assert process.wait() == 0, (training.folder / "output.txt").read_text()
    log = log_of(training)
    assert "shared by 2 processes" in log
    assert "SIGTERM: training saves" in log
    assert "Continuing after" in log
    assert "Traceback" not in log
    assert len(pq.read_table(training.results / "metrics.parquet")) == 4


def test_an_error_in_several_processes_is_logged_once_without_traceback(training):
    settings = {**CONFIG["train"], "gpus": 2, "optimizer_state": "8bit", "freeze": {"content_encoder": 9}}
    training.configure(CONFIG | {"train": settings})
    done = training.run("train", "--cores", "2", "--resources", "gpu=2")
    assert done.returncode != 0
    log = (training.folder / "results/logs/train.log").read_text()
    assert log.count("train.freeze is 9") == 1
    assert "Traceback" not in log
