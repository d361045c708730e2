"""A finished training is repeated only if the user forces it, even if Snakemake runs rule train again."""

import os
import shutil
import signal
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.project import TINY_RUN, Project

TRAINED = "epoch 1 of"
DELIVERED = "This run is finished (1 epochs)"


def train(project: Project, *arguments: str) -> str:
    """Run rule train and return its log, which is empty if Snakemake had nothing to do."""
    previous = checkpoints(project)
    log = project.folder / "results/logs/train.log"
    log.unlink(missing_ok=True)
    done = project.run("--cores", "2", "train", *arguments)
    assert done.returncode == 0, done.stderr
    assert previous <= checkpoints(project), "a previous checkpoint is missing"
    return log.read_text() if log.exists() else ""


def checkpoints(project: Project) -> set[bytes]:
    """Return the contents of all checkpoints of all runs, and of the delivered checkpoint."""
    return {path.read_bytes() for path in (project.folder / "results/training").rglob("*.pth")}


def test_a_rewritten_manifest_with_equal_rows_delivers_the_finished_run(finished):
    """If only the time of a small file changes, Snakemake compares checksums; therefore its bytes are changed, too."""
    manifest = finished.folder / "results/manifest.parquet"
    manifest.touch()
    assert "train" not in finished.jobs("train")
    pq.write_table(pq.read_table(manifest), manifest, compression="gzip")
    assert "train" in finished.jobs("train")
    log = train(finished)
    assert DELIVERED in log
    assert TRAINED not in log


def test_a_touched_and_an_orphan_recording_deliver_the_finished_run(own_data):
    data = own_data.folder / "data"
    sorted(data.rglob("*.wav"))[0].touch()
    assert "index" in own_data.jobs("train")
    soundfile.write(data / "HDTF/audio/WDA_Orphan0_000.wav", 0.1 * np.ones(16_000), 16_000)
    assert DELIVERED in train(own_data)
    assert "Orphan" in (own_data.folder / "results/logs/index.log").read_text()


def test_results_copied_without_times_and_metadata_deliver_the_finished_run(finished, tmp_path):
    """As after unzipping, or after copying to a new clone on another machine."""
    clone = Project.from_checkout(tmp_path / "clone", TINY_RUN)
    files = [path for path in (finished.folder / "results").rglob("*") if path.is_file()]
    for path in sorted(files, reverse=True):  # The newest file becomes the oldest.
        target = clone.folder / path.relative_to(finished.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        time.sleep(0.002)
    previous = checkpoints(clone)
    assert DELIVERED in train(clone)
    assert previous <= checkpoints(clone)


def test_more_epochs_continue_a_run_that_was_copied_without_metadata(finished, tmp_path):
    clone = Project.from_checkout(tmp_path / "clone", TINY_RUN | {"train": {**TINY_RUN["train"], "epochs": 2}})
    shutil.copytree(finished.folder / "results", clone.folder / "results")
    log = train(clone)
    assert "Continuing after 1 epochs and 0 steps" in log
    assert "epoch 2 of 2" in log
    assert TRAINED not in log


def test_a_changed_setting_of_another_stage_does_not_run_train(finished):
    finished.configure(TINY_RUN | {"evaluate": {"required_improvement": None, "bootstrap_draws": 200}})
    assert "train" not in finished.jobs("all")


def test_changed_text_of_the_scripts_makes_nothing_stale(finished):
    for script in (finished.folder / "workflow/scripts").glob("*.py"):
        script.write_text(script.read_text() + "\n# A comment.\n")
    assert "Nothing to be done" in finished.run("-n", "all").stdout


def test_a_setting_without_effect_on_the_weights_delivers_the_finished_run(finished):
    finished.configure(TINY_RUN | {"train": {**TINY_RUN["train"], "keep_last": 5}})
    assert "train" in finished.jobs("train")
    assert DELIVERED in train(finished)


def test_two_clones_with_one_results_folder_train_once(finished, tmp_path):
    """The second clone waits for the first and delivers its result."""
    shutil.rmtree(finished.folder / "results/training")
    clones = [finished, finished.copy(tmp_path / "clone")]
    shutil.rmtree(clones[1].folder / "results")
    (clones[1].folder / "results").symlink_to(finished.folder / "results")
    processes = [clone.start("--cores", "1", "train", "--nolock") for clone in clones]
    for process, clone in zip(processes, clones, strict=True):
        assert process.wait(300) == 0, (clone.folder / "output.txt").read_text()
    outputs = [(clone.folder / "output.txt").read_text() for clone in clones]
    assert sum("Another process trains this run" in output for output in outputs) == 1
    assert sum(DELIVERED in output for output in outputs) == 1
    (run_log,) = (finished.folder / "results/training/checkpoints").glob("*/train.log")
    assert run_log.read_text().count(TRAINED) == 2  # One line for training and one for validation.


def test_a_workflow_killed_after_its_training_delivers_the_finished_run_next_time(finished):
    shutil.rmtree(finished.folder / "results/training")
    process = finished.start("--cores", "2", "train")
    deadline = time.monotonic() + 120
    while not (finished.folder / "results/training/checkpoint.pth").exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert finished.run("--unlock").returncode == 0
    assert DELIVERED in train(finished)


def test_a_forced_training_keeps_the_previous_run_and_ends_with_equal_weights(finished, finished_folder):
    log = train(finished, "--forcerun", "train")
    assert TRAINED in log
    assert "The previous run is kept in" in log
    assert list((finished.folder / "results/training/checkpoints").glob("*.replaced-*"))
    done = finished.run("--cores", "2", "extract")
    assert done.returncode == 0, done.stderr
    weights = "results/weights/emotalk.safetensors"
    assert (finished.folder / weights).read_bytes() == (finished_folder / weights).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("options", [("--force",), ("--forceall",)])
def test_other_force_options_also_start_over(finished, options):
    assert TRAINED in train(finished, *options)


def test_forced_slicing_with_equal_clips_delivers_the_finished_run(finished):
    assert DELIVERED in train(finished, "--forcerun", "slice")
    assert len(pq.read_table(finished.folder / "results/training/metrics.parquet")) == 2
