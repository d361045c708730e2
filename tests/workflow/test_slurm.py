"""The workflow with profiles/slurm on a Slurm cluster of two nodes."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import slurm
from tests.benchmarks.kill import CONFIG, Training, list_differences
from tests.project import TINY_RUN


@pytest.fixture(scope="module")
def cluster():
    if reason := slurm.find_obstacle():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # User munge must be able to read its key.
    with slurm.run_cluster(folder):
        yield
    shutil.rmtree(folder)


class SlurmTraining(Training):
    """A project whose jobs are submitted to Slurm."""

    def submit(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start Snakemake with the Slurm profile and frequent status checks."""
        frequent = "--seconds-between-status-checks", "1", "--slurm-init-seconds-before-status-checks", "5"
        return self.start(*arguments, "--workflow-profile", "profiles/slurm", *frequent, "--verbose")

    def wait_for_checkpoint(self, process: subprocess.Popen[bytes]) -> None:
        self.wait_until(process, lambda: any(self.results.rglob("*.pth")))

    def wait_until(self, process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not condition():
            assert process.poll() is None, (self.folder / "output.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def log(self) -> str:
        """Return the log lines of all attempts of the run."""
        return "".join(path.read_text(encoding="utf-8") for path in self.results.glob("checkpoints/*/train.log"))


def jobs() -> list[dict[str, str]]:
    """Return Slurm's data of all jobs, including finished ones."""
    output = subprocess.run(
        ["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True, check=True
    ).stdout
    return [dict(re.findall(r"(\S+?)=(\S+)", line)) for line in output.splitlines()]


def job_of(rule: str) -> dict[str, str]:
    """Return the running job of a rule."""
    return next(job for job in jobs() if job["Comment"] == f"rule_{rule}" and job["JobState"] == "RUNNING")


def test_a_corpus_in_200_parts_has_a_job_per_part_and_stage(project):
    done = project(TINY_RUN | {"parts": 200}).run("-n", "all", "--workflow-profile", "profiles/slurm")
    assert done.returncode == 0, done.stderr
    # Per part: one job of index, and jobs of smooth and slice for each of two corpora.
    assert 1000 < int(re.search(r"^total +(\d+)$", done.stdout, re.MULTILINE)[1]) < 1020


@pytest.fixture(scope="module")
def finished(cluster, tmp_path_factory) -> SlurmTraining:
    """A finished demo run whose training was killed once."""
    project = SlurmTraining.from_checkout(tmp_path_factory.mktemp("slurm"), CONFIG)
    process = project.submit("all")
    project.wait_for_checkpoint(process)
    subprocess.run(["scancel", "--signal=KILL", job_of("train")["JobId"]], check=True)
    assert process.wait(600) == 0, (project.folder / "output.txt").read_text()
    return project


@pytest.mark.long
def test_each_rule_is_submitted_and_only_computing_rules_have_a_gpu(finished):
    ran = [job["Comment"].removeprefix("rule_") for job in jobs()]
    before, after = "corpus_pair_slice_smooth", "results_evaluate_extract_report"
    assert sorted(ran) == sorted(["index", before, "data_page", "train", "train", after])
    with_gpu = {job["Comment"] for job in jobs() if job.get("TresPerJob") == "gres:gpu:1"}
    assert with_gpu == {"rule_train", f"rule_{after}"}
    assert (finished.folder / "results/report/index.html").exists()


@pytest.mark.long
def test_trainings_request_a_signal_and_all_jobs_can_be_requeued(finished):
    calls = [line for line in (finished.folder / "output.txt").read_text().splitlines() if "sbatch call" in line]
    trainings = [call for call in calls if "rule_train" in call]
    assert len(trainings) == 2
    assert all("--signal=USR1@300" in call for call in trainings)
    assert all("--requeue" in call for call in calls)
    (job, *_) = [job for job in jobs() if job["Comment"] == "rule_train"]
    assert (job["Requeue"], job["NumNodes"], job["MinMemoryNode"], job["CPUs/Task"]) == ("1", "1", "24000M", "8")


@pytest.mark.long
def test_a_killed_training_ends_with_the_weights_of_an_uninterrupted_training(finished, tmp_path):
    assert "Continuing after" in finished.log()
    reference = finished.copy(tmp_path / "reference")
    shutil.rmtree(reference.results)
    done = reference.run("train", "--cores", "all")
    assert done.returncode == 0, done.stderr
    assert list(list_differences(finished, reference)) == []


@pytest.mark.long
def test_a_requeued_and_signalled_training_ends_with_the_same_weights(finished, tmp_path):
    """As after preemption and before a time limit."""
    project = SlurmTraining(finished.copy(tmp_path / "queued").folder)
    shutil.rmtree(project.results)
    process = project.submit("train")
    project.wait_for_checkpoint(process)
    number = job_of("train")["JobId"]
    subprocess.run(["scontrol", "requeue", number], check=True)
    project.wait_until(process, lambda: "Continuing after" in project.log())
    subprocess.run(["scancel", "--signal=USR1", number], check=True)
    assert process.wait(600) == 0, (project.folder / "output.txt").read_text()
    assert next(job for job in jobs() if job["JobId"] == number)["Restarts"] == "1"
    assert "SIGUSR1: training saves" in project.log()
    assert project.log().count("Continuing after") == 2
    assert list(list_differences(project, finished)) == []


@pytest.mark.long
def test_training_on_two_nodes_continues_after_a_signal(finished, tmp_path):
    project = SlurmTraining(finished.copy(tmp_path / "spread").folder)
    shutil.rmtree(project.results)
    project.configure(CONFIG | {"train": CONFIG["train"] | {"nodes": 2}})
    process = project.submit("train")
    project.wait_for_checkpoint(process)
    job = job_of("train")
    assert job["NumNodes"] == "2"
    assert job["TresPerNode"] == "gres:gpu:1"
    subprocess.run(["scancel", "--signal=USR1", job["JobId"]], check=True)
    assert process.wait(600) == 0, (project.folder / "output.txt").read_text()
    log = project.log()
    assert "shared by 2 processes" in log
    assert "SIGUSR1: training saves" in log
    assert "Continuing after" in log
    assert (project.results / "checkpoint.pth").exists()
