"""Mistakes of users give one clear message without traceback."""

import numpy as np
import pytest
import soundfile

from tests.project import TINY_RUN


def run_and_fail(project, *arguments):
    done = project.run(*arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr + done.stdout


def test_a_misspelt_setting_is_an_error_with_the_nearest_known_setting(project):
    config = TINY_RUN | {"train": {"epoch": 3}}
    assert "train.epoch: unknown setting; did you mean train.epochs?" in run_and_fail(project(config), "-n", "all")


def test_a_missing_data_folder_is_an_error_with_its_path(project, tmp_path):
    output = run_and_fail(project(TINY_RUN | {"data": str(tmp_path / "nowhere")}), "--cores", "1", "index")
    assert f"Folder {tmp_path / 'nowhere'}/HDTF/audio does not exist" in output


@pytest.fixture
def broken_data(tmp_path):
    """A corpus whose only recording has 50 channels."""
    for part in ("audio", "blendshape"):
        (tmp_path / "data/RAVDESS" / part).mkdir(parents=True)
    stem = "01-01-03-01-01-01-01"
    soundfile.write(tmp_path / f"data/RAVDESS/audio/{stem}.wav", np.zeros(32_000), 16_000)
    np.save(tmp_path / f"data/RAVDESS/blendshape/{stem}.npy", np.zeros((60, 50), np.float32))
    return str(tmp_path / "data")


def test_data_without_usable_recordings_is_an_error_with_the_reasons(project, broken_data):
    copy = project(TINY_RUN | {"data": broken_data, "corpora": ["RAVDESS"]})
    output = run_and_fail(copy, "--cores", "1", "index")
    assert "all 1 are excluded" in output
    assert "wrong_width: 01-01-03-01-01-01-01.npy: it has 50 channels; arkit has 52 or 51" in output
    assert "wrong_width" in (copy.folder / "results/logs/index.log").read_text()


def test_recordings_in_the_output_folder_of_predict_are_an_error_and_are_kept(project):
    copy = project(TINY_RUN | {"predict": {"audio": "results/predicted/mine", "weights": "w.pth"}})
    recording = copy.folder / "results/predicted/mine/a.wav"
    recording.parent.mkdir(parents=True)
    soundfile.write(recording, np.zeros(16_000), 16_000)
    (copy.folder / "w.pth").touch()
    output = run_and_fail(copy, "--cores", "1", "predict")
    assert "results/predicted/mine is in the output folder of rule predict" in output
    assert recording.exists()
