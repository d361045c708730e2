"""Command line `emotalk` in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotalk.blendshapes import CHANNELS
from emotalk.cli import FORMATS, build_parser
from emotalk.formats.files import SUFFIXES
from emotalk.model import EmoTalk
from emotalk.model.card import write_card
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.weights import save_weights
from tests.conftest import TINY
from tests.unit.formats.heads import read_animation, write_head


def run(*arguments, cwd=None):
    command = [sys.executable, "-m", "emotalk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)


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
    done = run("convert", track, tmp_path / "b.glb", "--head", head, "--partial")
    assert done.returncode == 0, done.stderr
    assert read_animation(tmp_path / "b.glb")[2].shape == (60, 1)


def test_fps_resamples_the_motion(track, tmp_path):
    done = run("convert", track, tmp_path / "b.csv", "--fps", 60)
    assert "120 frames, 1.98 s, 60 frames per second" in done.stderr


def test_broadcast_frame_rates_are_exact(track, tmp_path):
    assert run("convert", track, tmp_path / "b.json", "--fps", "30000/1001").returncode == 0
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["fps"] == pytest.approx(30000 / 1001)
    assert content["frames"][29]["time"] == pytest.approx(29 * 1001 / 30000, abs=1e-6)


@pytest.mark.parametrize("rate", ["0", "-5", "ten", "1/0", "inf", "nan", "1e9"])
def test_an_invalid_rate_is_an_error(track, rate):
    done = run("convert", track, "b.csv", "--fps", rate)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_no_command_changes_an_existing_file_without_overwrite(track, tmp_path):
    """Every command with outputs is run against existing files; their content must stay."""
    network = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))
    weights = tmp_path / "weights"
    weights.mkdir()
    save_weights(network, weights, "emotalk")
    write_card(weights / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}})
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "data/a.wav", np.random.default_rng(0).standard_normal(32_000) / 9, 16_000)
    np.save(tmp_path / "data/a.npy", np.load(track))
    commands = {
        "out/a.npy": ["predict", "data/a.wav", "--weights", "weights", "--out", "out"],
        "b.json": ["convert", "a.npy", "b.json"],
        "p.html": ["preview", "a.npy", "-o", "p.html"],
        "my.yaml": ["scan", "data", "-o", "my.yaml"],
    }
    without_outputs_here = {"export", "capture", "app"}
    assert {*commands_with_outputs()} == {arguments[0] for arguments in commands.values()} | without_outputs_here
    (tmp_path / "out").mkdir()
    for target, arguments in commands.items():
        (tmp_path / target).write_text("mine")
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert "These files exist" in done.stderr
        assert "--overwrite" in done.stderr
        assert (tmp_path / target).read_text() == "mine"
        done = run(*arguments, "--overwrite", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert target in done.stderr  # What was written is said at the end.
        assert (tmp_path / target).read_bytes() != b"mine"


def commands_with_outputs():
    return next(action for action in build_parser()._actions if action.dest == "command").choices


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "a.npy", "a.npy"],
        ["preview", "a.npy", "speech.html", "-o", "speech.html"],
        ["convert", "a.npy", "head.glb", "--head", "head.glb"],
    ],
)
def test_an_input_is_never_an_output_even_with_overwrite(arguments, track, tmp_path):
    write_head(tmp_path / "head.glb", CHANNELS)
    (tmp_path / "speech.html").touch()
    before = (tmp_path / arguments[2]).read_bytes()
    done = run(*arguments, "--overwrite", cwd=tmp_path)
    assert done.returncode == 1
    assert "is an input and would be overwritten" in done.stderr
    assert (tmp_path / arguments[2]).read_bytes() == before


def test_a_preview_is_never_written_over_speech(track, tmp_path):
    soundfile.write(tmp_path / "t.wav", np.zeros(16_000), 16_000)
    done = run("preview", track, "-o", "t.wav", "--overwrite", cwd=tmp_path)
    assert "t.wav is not the name of a page; it must end in .html" in done.stderr
    assert soundfile.info(tmp_path / "t.wav").frames == 16_000


def test_an_output_folder_that_is_a_file_is_an_error(track, tmp_path):
    done = run("convert", track, tmp_path / "a.npy/b.json")
    assert "cannot be created, because it or one of its parents is a file" in done.stderr


@pytest.mark.parametrize("name", ["b.npy", "b.csv", "b.arkit.csv", "b.json", "b.html"])
def test_a_full_disk_is_an_error_with_the_path(name, track, tmp_path):
    program = """
import resource, sys
from emotalk.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
main(sys.argv[1:])
"""
    arguments = ["preview", "a.npy", "-o", name] if name == "b.html" else ["convert", "a.npy", name]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert f"{name} cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy"]


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
        (["convert", "A", "b.glb", "--head", "none.glb"], "none.glb cannot be read (No such file or directory)"),
        (["convert", "A", "b.glb"], "A GLB file needs a head to animate; set one whose morph targets"),
        (["convert", "none.glb", "b.npy"], "File none.glb does not exist"),
    ],
)
def test_a_mistake_is_one_message_without_traceback(arguments, message, track, tmp_path):
    done = run(*(track if argument == "A" else argument.replace("b.", f"{tmp_path}/b.") for argument in arguments))
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_rejects_glb_and_names_the_alternative(track):
    done = run("predict", "a.wav", "--format", "npy,glb")
    assert done.returncode == 2
    assert "glb needs a head model: predict npy, then run 'emotalk convert' with --head HEAD.glb" in done.stderr


def test_predict_names_missing_weights_and_imports_only_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    (tmp_path / "a.wav").touch()
    done = run("predict", tmp_path / "a.wav", "--weights", "none.pth")
    assert done.returncode == 1
    assert "File none.pth does not exist" in done.stderr
    assert "Traceback" not in done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "transformers", "pandas", "pyarrow", "scipy", "matplotlib", "librosa", "snakemake"}


def test_predict_offers_all_formats_without_a_head():
    assert set(FORMATS) == set(SUFFIXES)


def test_formats_are_separated_by_commas_and_may_come_before_the_recordings():
    args = build_parser().parse_args(["predict", "--format", "npy,livelink", "a.wav", "b.wav"])
    assert args.formats == ["npy", "livelink"]
    assert args.audio == [Path("a.wav"), Path("b.wav")]
    done = run("predict", "a.wav", "--format", "npy,csv")
    assert done.returncode == 2
    assert "unknown format 'csv'; the formats are npy, livelink, arkit-csv, json" in done.stderr
