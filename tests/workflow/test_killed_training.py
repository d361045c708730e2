"""Training through Snakemake that is killed, signalled, shared by processes, or given what cannot work."""

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
def test_killed_trainings_of_every_kind_end_with_the_same_bits_and_files(prepared, tmp_path):
    outcomes = run_trials(prepared, tmp_path, times=len(KINDS), max_kills=1, seed=3)
    assert {outcome.kind: outcome.differences for outcome in outcomes} == {kind: [] for kind in KINDS}


def wait_for(condition) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def log_of(training) -> str:
    """What all attempts of the run logged."""
    return "".join(path.read_text() for path in training.results.glob("checkpoints/*/train.log"))


def test_a_warned_training_saves_and_the_same_invocation_goes_on(training):
    """As Slurm warns before a time limit."""
    process = training.start_training()
    wait_for(lambda: any(training.results.rglob("*.pth")))
    for job in training.find_jobs(process.pid):
        job.send_signal(signal.SIGUSR1)
    assert process.wait() == 0
    log = log_of(training)
    assert re.search(r"SIGUSR1: training saves.*\n(.*\n)*.*Continuing: epoch", log)
    assert log.count("epoch 1 of 2, train") == 1


@pytest.mark.long
def test_after_ctrl_c_nothing_but_the_command_is_typed_again(training):
    process = training.start_training()
    wait_for(lambda: any(training.results.rglob("*.pth")))
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() != 0
    assert "SIGINT: training saves" in log_of(training)
    training.finish("train")
    assert "Continuing: epoch" in log_of(training)
    assert len(pq.read_table(training.results / "metrics.parquet")) == 4


@pytest.mark.long
def test_several_processes_are_launched_where_as_many_gpus_are_granted(training):
    """Here as processes on the CPU; stopped by a signal to their launcher, they save once and go on."""
    training.configure(CONFIG | {"train": {**CONFIG["train"], "gpus": 2}})
    process = training.start("train", "--cores", "2", "--retries", "2", "--resources", "gpu=2")
    wait_for(lambda: any(training.results.rglob("*.pth")))
    for job in training.find_jobs(process.pid):
        job.send_signal(signal.SIGTERM)
    assert process.wait() == 0, (training.folder / "said.txt").read_text()
    log = log_of(training)
    assert "shared by 2 processes" in log
    assert "SIGTERM: training saves" in log
    assert "Continuing: epoch" in log
    assert "Traceback" not in log
    assert len(pq.read_table(training.results / "metrics.parquet")) == 4


def test_an_error_in_several_processes_is_one_sentence(training):
    settings = {**CONFIG["train"], "gpus": 2, "optimizer_state": "8bit", "freeze": {"content_encoder": 9}}
    training.configure(CONFIG | {"train": settings})
    done = training.run("train", "--cores", "2", "--resources", "gpu=2")
    assert done.returncode != 0
    log = (training.folder / "results/logs/train.log").read_text()
    assert log.count("9 layers are to be frozen under train.freeze") == 1
    assert "Traceback" not in log
