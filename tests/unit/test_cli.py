"""Command line `emotalk` in a process of its own."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from emotalk.cli import build_parser
from emotalk.formats.files import SUFFIXES
from tests.unit.formats.heads import read_animation, write_head


def run(*arguments):
    command = [sys.executable, "-m", "emotalk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def track(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((60, 52)).astype(np.float32))
    return tmp_path / "a.npy"


def test_motion_survives_conversion_through_all_formats(track, tmp_path):
    for source, target in (("a.npy", "b.csv"), ("b.csv", "c.json"), ("c.json", "d.npy")):
        done = run("convert", tmp_path / source, tmp_path / target)
        assert done.returncode == 0, done.stderr
        assert "60 frames, 1.97 s, 30 frames per second" in done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "d.npy"), np.load(track), atol=1e-6)


def test_a_head_is_animated(track, tmp_path):
    head = write_head(tmp_path / "head.glb", ["jawOpen"])
    done = run("convert", track, tmp_path / "b.glb", "--head", head)
    assert done.returncode == 0, done.stderr
    assert read_animation(tmp_path / "b.glb")[2].shape == (60, 1)


def test_fps_resamples_the_motion(track, tmp_path):
    done = run("convert", track, tmp_path / "b.csv", "--fps", 60)
    assert "120 frames, 1.98 s, 60 frames per second" in done.stderr


@pytest.mark.parametrize("rate", ["0", "-5", "ten"])
def test_an_invalid_rate_is_an_error(track, rate):
    done = run("convert", track, "b.csv", "--fps", rate)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_missing_output_folders_are_created(track, tmp_path):
    assert run("convert", track, tmp_path / "new/b.json").returncode == 0
    assert run("preview", track, "-o", tmp_path / "other/p.html").returncode == 0


def test_preview_writes_a_page_with_speech(track, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(32_000), 16_000)
    done = run("preview", track, tmp_path / "a.wav", "-o", tmp_path / "p.html")
    assert done.returncode == 0, done.stderr
    assert "2.00 s of speech" in (tmp_path / "p.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "none.npy", "b.csv"], "File none.npy does not exist"),
        (["convert", "none.npy", "b.txt"], "unknown suffix; supported are .npy, .csv"),
        (["convert", "A", "b.npy", "--fps", "60"], "has 30 frames per second; use --fps only for other formats"),
        (["convert", "A", "b.csv", "--fps", "23"], "set one of 24, 25, 30"),
        (["convert", "A", "b.glb", "--head", "none.glb"], "none.glb is not a valid GLB file"),
        (["convert", "A", "b.glb"], "b.glb needs a head to animate; set one whose morph targets"),
        (["convert", "none.glb", "b.npy"], "File none.glb does not exist"),
    ],
)
def test_a_mistake_is_one_message_without_traceback(arguments, message, track, tmp_path):
    done = run(*(track if argument == "A" else argument.replace("b.", f"{tmp_path}/b.") for argument in arguments))
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_rejects_glb_and_names_the_alternative(track):
    done = run("predict", "a.wav", "--format", "npy", "glb")
    assert done.returncode == 2
    assert "glb needs a head model: predict npy, then run 'emotalk convert' with --head HEAD.glb" in done.stderr


def test_predict_names_missing_weights_and_imports_only_what_it_needs(monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = run("predict", "a.wav", "--weights", "none.pth")
    assert done.returncode == 1
    assert "There is no file none.pth" in done.stderr
    assert "Traceback" not in done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "torch" in imported
    assert not imported & {"transformers", "pandas", "pyarrow", "scipy", "matplotlib", "librosa", "snakemake"}


def test_predict_offers_all_formats_without_a_head():
    choices = next(action for action in _predict_actions() if action.dest == "format").choices
    assert set(choices) == set(SUFFIXES)


def _predict_actions():
    commands = next(action for action in build_parser()._actions if action.dest == "command").choices
    return commands["predict"]._actions
