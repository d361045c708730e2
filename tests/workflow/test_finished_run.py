"""A finished training is never made again unless its user asks for that, whatever makes the engine ask."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.project import TINY_RUN, Project

TRAINED = "epoch 1 of"
DELIVERED = "This run is finished (1 epochs)"


def train(project: Project, *arguments: str) -> str:
    """Ask for rule train; returns its log, which is empty if Snakemake had nothing to do."""
    before = checkpoints(project)
    log = project.folder / "results/logs/train.log"
    log.unlink(missing_ok=True)
    done = project.run("--cores", "2", "train", *arguments)
    assert done.returncode == 0, done.stderr
    assert before <= checkpoints(project), "a checkpoint of before is gone"
    return log.read_text() if log.exists() else ""


def checkpoints(project: Project) -> set[bytes]:
    """Contents of all checkpoints of all runs, and of the delivered one."""
    return {path.read_bytes() for path in (project.folder / "results/training").rglob("*.pth")}


def wavs(project: Project) -> list[Path]:
    return sorted((project.folder / "results/demo_corpus/RAVDESS/audio").glob("*.wav"))


def touched(path: Path) -> None:
    later = time.time() + 5
    os.utime(path, (later, later))


@pytest.fixture
def own_data(project, finished_folder, tmp_path) -> Project:
    """A finished run on recordings that a user has, which the engine watches."""
    (tmp_path / "data").mkdir()
    for corpus in ("RAVDESS", "HDTF"):
        shutil.copytree(finished_folder / "results/demo_corpus" / corpus, tmp_path / "data" / corpus)
    copy = project(TINY_RUN | {"data": str(tmp_path / "data")})
    assert TRAINED in train(copy)
    return copy


def test_a_touched_manifest_delivers_the_finished_run(finished):
    """Touched alone, Snakemake compares the checksum of so small a file; its bytes change, too, its rows do not."""
    manifest = finished.folder / "results/manifest.parquet"
    touched(manifest)
    assert "train" not in finished.jobs("train")
    pq.write_table(pq.read_table(manifest), manifest, compression="gzip")
    touched(manifest)
    assert "train" in finished.jobs("train")
    said = train(finished)
    assert DELIVERED in said
    assert TRAINED not in said


def test_touched_and_orphan_recordings_deliver_the_finished_run(own_data):
    data = own_data.folder / "data"
    touched(sorted(data.rglob("*.wav"))[0])
    assert "index" in own_data.jobs("train")
    assert TRAINED not in train(own_data)
    soundfile.write(data / "HDTF/audio/WDA_Orphan0_000.wav", 0.1 * np.ones(16_000), 16_000)
    assert "index" in own_data.jobs("train")
    assert TRAINED not in train(own_data)


def test_results_copied_without_times_and_metadata_deliver_the_finished_run(finished, tmp_path):
    """Unzipped, or copied from another machine, beside a fresh clone of the project."""
    clone = Project.new(tmp_path / "clone", TINY_RUN)
    files = [path for path in (finished.folder / "results").rglob("*") if path.is_file()]
    for path in sorted(files, reverse=True):  # What was made last is the oldest now.
        target = clone.folder / path.relative_to(finished.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        time.sleep(0.002)
    before = checkpoints(clone)
    assert TRAINED not in train(clone)
    assert before <= checkpoints(clone)


def test_raised_epochs_continue_a_run_that_was_copied_without_the_engine_s_metadata(finished, tmp_path):
    clone = Project.new(tmp_path / "clone", TINY_RUN | {"train": {**TINY_RUN["train"], "epochs": 2}})
    shutil.copytree(finished.folder / "results", clone.folder / "results")
    said = train(clone)
    assert "Continuing: epoch 1, step 0" in said
    assert "epoch 2 of 2" in said
    assert TRAINED not in said


def test_a_changed_setting_of_another_stage_leaves_the_training_alone(finished):
    finished.configure(TINY_RUN | {"evaluate": {"required_improvement": None, "bootstrap_draws": 200}})
    assert "train" not in finished.jobs("all")


def test_a_setting_that_changes_nothing_learned_delivers_the_finished_run(finished):
    finished.configure(TINY_RUN | {"train": {**TINY_RUN["train"], "keep_last": 5}})
    assert "train" in finished.jobs("train")
    assert TRAINED not in train(finished)


def test_two_clones_that_train_into_one_folder_train_once(finished, tmp_path):
    """The second waits for the first, and delivers what that has trained."""
    shutil.rmtree(finished.folder / "results/training")
    clones = [finished, Project.new(tmp_path / "clone", TINY_RUN)]
    (clones[1].folder / "results").symlink_to(finished.folder / "results")
    started = [clone.start("--cores", "1", "train", "--nolock") for clone in clones]
    for process, clone in zip(started, clones, strict=True):
        assert process.wait(300) == 0, (clone.folder / "said.txt").read_text()
    (run,) = (finished.folder / "results/training/checkpoints").glob("*/train.log")
    assert run.read_text().count(TRAINED) == 2  # One line each of training and validation.


def test_a_workflow_that_dies_before_it_accepts_the_finished_job_delivers_it_next_time(finished):
    shutil.rmtree(finished.folder / "results/training")
    process = finished.start("--cores", "2", "train")
    until = time.monotonic() + 120
    while not (finished.folder / "results/training/checkpoint.pth").exists():
        assert time.monotonic() < until
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert finished.run("--unlock").returncode == 0
    said = train(finished)
    assert TRAINED not in said


def test_a_forced_training_starts_over_keeps_the_one_before_and_ends_with_equal_weights(finished, finished_folder):
    said = train(finished, "--forcerun", "train")
    assert TRAINED in said
    assert "The run before is kept in" in said
    assert list((finished.folder / "results/training/checkpoints").glob("*.replaced-*"))
    done = finished.run("--cores", "2", "extract")
    assert done.returncode == 0, done.stderr
    weights = "results/weights/emotalk.safetensors"
    assert (finished.folder / weights).read_bytes() == (finished_folder / weights).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("how", [("-R", "train"), ("--forceall",)])
def test_other_ways_to_force_start_over_too(finished, how):
    assert TRAINED in train(finished, *how)


def test_forced_slicing_with_equal_clips_delivers_the_finished_run(finished):
    assert TRAINED not in train(finished, "--forcerun", "slice")
    assert len(pq.read_table(finished.folder / "results/training/metrics.parquet")) == 2
