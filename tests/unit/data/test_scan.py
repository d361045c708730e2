"""A scan writes a valid settings file with the properties of the recordings."""

import numpy as np
import pytest
import soundfile
import yaml

from emotalk.config.config import load_config
from emotalk.data.scan import scan_folder
from emotalk.errors import CorpusError, OutputError

RNG = np.random.default_rng(0)


def put(folder, name, *, track=None, suffix=".wav", rate=16_000):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(f"{path}{suffix}", 0.1 * RNG.standard_normal(2 * rate), rate)
    np.save(f"{path}.npy", RNG.random((60, 52)).astype(np.float32) if track is None else track)


@pytest.fixture
def scanned(tmp_path):
    def run(recipe="paper"):
        out = tmp_path / "my.yaml"
        scan_folder(tmp_path / "takes", out, recipe=recipe)
        settings = yaml.safe_load(out.read_text(encoding="utf-8"))
        return load_config([settings], recipes="config/recipes"), out.read_text(encoding="utf-8")

    return run


def test_a_flat_folder_is_one_subject(tmp_path, scanned):
    for name in ("take 1", "Übung", "拍摄"):
        put(tmp_path / "takes", name)
    config, text = scanned()
    assert config.corpora == ["takes"]
    assert config.sources["takes"].subject == "one"
    assert "3 recordings; speakers: takes (3)" in text


def test_folders_are_subjects(tmp_path, scanned):
    for name in ("anna/1", "ben/1", "ben/2"):
        put(tmp_path / "takes", name)
    config, text = scanned("demo")
    assert config.sources["takes"].subject == "folder"
    assert "ben (2), anna (1)" in text
    assert config.evaluate.required_improvement is None


def test_percentages_another_rate_and_live_links_columns_are_recognized(tmp_path, scanned):
    for i in range(3):
        put(tmp_path / "takes", f"t{i}", track=100 * RNG.random((120, 61)).astype(np.float32))
    source = scanned()[0].sources["takes"]
    assert (source.channels, source.scale, source.fps) == ("livelink", 100, 60)


def test_ravdess_names_are_recognized_in_any_folder(tmp_path, scanned):
    put(tmp_path / "takes", "Actor_01/03-01-03-01-01-01-01")
    assert scanned()[0].sources["takes"].layout == "ravdess"


def test_audio_without_track_is_listed_in_the_file(tmp_path, scanned):
    put(tmp_path / "takes", "a")
    soundfile.write(tmp_path / "takes/alone.wav", np.zeros(16_000), 16_000)
    assert "# Warning: 1 recordings have no track and are excluded: alone" in scanned()[1]


def test_an_existing_file_is_not_overwritten(tmp_path, scanned):
    put(tmp_path / "takes", "a")
    (tmp_path / "my.yaml").write_text("mine")
    with pytest.raises(OutputError, match="These files exist"):
        scanned()
    assert (tmp_path / "my.yaml").read_text() == "mine"


def test_a_folder_without_recordings_is_an_error(tmp_path):
    (tmp_path / "takes").mkdir()
    with pytest.raises(CorpusError, match="no audio with a track of the same name"):
        scan_folder(tmp_path / "takes", tmp_path / "my.yaml", recipe="paper")
    with pytest.raises(CorpusError, match="does not exist"):
        scan_folder(tmp_path / "nowhere", tmp_path / "my.yaml", recipe="paper")
