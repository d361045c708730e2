"""The workflow through profiles/slurm, on a real Slurm of two nodes."""

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
    if reason := slurm.obstacle():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # User munge looks for its key there.
    with slurm.cluster(folder):
        yield
    shutil.rmtree(folder)


class Clustered(Training):
    """A project whose jobs go to Slurm."""

    def type(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Type a command with the profile; it asks for a job when most are done, and then ever more seldom."""
        often = "--seconds-between-status-checks", "1", "--slurm-init-seconds-before-status-checks", "5"
        return self.start(*arguments, "--workflow-profile", "profiles/slurm", *often, "--verbose")

    def wait_for_checkpoint(self, process: subprocess.Popen[bytes]) -> None:
        self.wait_until(process, lambda: any(self.results.rglob("*.pth")))

    def wait_until(self, process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 300
        while not condition():
            assert process.poll() is None, (self.folder / "said.txt").read_text()
            assert time.monotonic() < until
            time.sleep(0.1)

    def log(self) -> str:
        """What all attempts of the run logged."""
        return "".join(path.read_text(encoding="utf-8") for path in self.results.glob("checkpoints/*/train.log"))


def jobs() -> list[dict[str, str]]:
    """What Slurm tells of each job, finished ones too."""
    told = subprocess.run(["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True, check=True).stdout
    return [dict(re.findall(r"(\S+?)=(\S+)", line)) for line in told.splitlines()]


def job_of(rule: str) -> dict[str, str]:
    """The job of a rule that is running."""
    return next(job for job in jobs() if job["Comment"] == f"rule_{rule}" and job["JobState"] == "RUNNING")


def test_a_corpus_in_200_parts_is_planned_as_hundreds_of_jobs(project):
    planned = project(TINY_RUN | {"parts": 200}).run("-n", "all", "--workflow-profile", "profiles/slurm")
    assert planned.returncode == 0, planned.stderr
    # For each part a job of index, and one of smooth and slice for each of two corpora.
    assert 1000 < int(re.search(r"^total +(\d+)$", planned.stdout, re.MULTILINE)[1]) < 1020


@pytest.fixture(scope="module")
def finished(cluster, tmp_path_factory) -> Clustered:
    """The whole demo, whose training was killed once."""
    project = Clustered.new(tmp_path_factory.mktemp("slurm"), CONFIG)
    process = project.type("all")
    project.wait_for_checkpoint(process)
    subprocess.run(["scancel", "--signal=KILL", job_of("train")["JobId"]], check=True)
    assert process.wait(600) == 0, (project.folder / "said.txt").read_text()
    return project


@pytest.mark.long
def test_every_rule_goes_through_slurm_and_only_what_computes_has_a_gpu(finished):
    ran = [job["Comment"].removeprefix("rule_") for job in jobs()]
    before, after = "corpus_pair_slice_smooth", "results_evaluate_extract_report"
    assert sorted(ran) == sorted(["index", before, "data_page", "train", "train", after])
    with_gpu = {job["Comment"] for job in jobs() if job.get("TresPerJob") == "gres:gpu:1"}
    assert with_gpu == {"rule_train", f"rule_{after}"}
    assert (finished.folder / "results/report/index.html").exists()


@pytest.mark.long
def test_slurm_is_asked_for_a_warning_and_to_queue_what_it_preempts_again(finished):
    calls = [line for line in (finished.folder / "said.txt").read_text().splitlines() if "sbatch call" in line]
    trainings = [call for call in calls if "rule_train" in call]
    assert len(trainings) == 2
    assert all("--signal=USR1@300" in call for call in trainings)
    assert all("--requeue" in call for call in calls)
    (job, *_) = [job for job in jobs() if job["Comment"] == "rule_train"]
    assert (job["Requeue"], job["NumNodes"], job["MinMemoryNode"], job["CPUs/Task"]) == ("1", "1", "24000M", "8")


@pytest.mark.long
def test_a_training_killed_by_slurm_goes_on_to_the_weights_of_an_uninterrupted_one(finished, tmp_path):
    assert "Continuing: epoch" in finished.log()
    reference = finished.copy(tmp_path / "reference")
    shutil.rmtree(reference.results)
    done = reference.run("train", "--cores", "all")
    assert done.returncode == 0, done.stderr
    assert list(list_differences(finished, reference)) == []


@pytest.mark.long
def test_a_training_that_slurm_queued_again_and_then_warned_ends_with_the_same_weights(finished, tmp_path):
    """As after preemption, and before a time limit."""
    project = Clustered(finished.copy(tmp_path / "queued").folder)
    shutil.rmtree(project.results)
    process = project.type("train")
    project.wait_for_checkpoint(process)
    number = job_of("train")["JobId"]
    subprocess.run(["scontrol", "requeue", number], check=True)
    project.wait_until(process, lambda: "Continuing:" in project.log())
    subprocess.run(["scancel", "--signal=USR1", number], check=True)
    assert process.wait(600) == 0, (project.folder / "said.txt").read_text()
    assert next(job for job in jobs() if job["JobId"] == number)["Restarts"] == "1"
    assert "SIGUSR1: training saves" in project.log()
    assert project.log().count("Continuing:") == 2
    assert list(list_differences(project, finished)) == []


@pytest.mark.long
def test_training_spreads_over_two_nodes_and_goes_on_after_slurm_s_warning(finished, tmp_path):
    project = Clustered(finished.copy(tmp_path / "spread").folder)
    shutil.rmtree(project.results)
    project.configure(CONFIG | {"train": CONFIG["train"] | {"nodes": 2}})
    process = project.type("train")
    project.wait_for_checkpoint(process)
    job = job_of("train")
    assert job["NumNodes"] == "2"
    assert job["TresPerNode"] == "gres:gpu:1"
    subprocess.run(["scancel", "--signal=USR1", job["JobId"]], check=True)
    assert process.wait(600) == 0, (project.folder / "said.txt").read_text()
    log = project.log()
    assert "shared by 2 processes" in log
    assert "SIGUSR1: training saves" in log
    assert "Continuing: epoch" in log
    assert (project.results / "checkpoint.pth").exists()
