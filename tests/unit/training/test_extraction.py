import json

import pytest
import torch

from emotalk.errors import TrainingError, WeightsError
from emotalk.model import load_weights
from emotalk.training import extraction
from emotalk.training.extraction import extract_weights
from emotalk.training.train import TrainingFiles, train


@pytest.fixture
def finished(clips, manifest, settings, tmp_path):
    files = TrainingFiles(clips, manifest, tmp_path)
    train(files, settings(epochs=2), device=torch.device("cpu"))
    (tmp_path / "weights").mkdir()
    return tmp_path


def test_extracted_weights_load_from_all_three_files_without_being_told_the_sizes(finished, clips):
    extract_weights(finished / "checkpoint.pth", clips, finished / "weights", recipe={"pair": {"recipe": "paper"}})
    trained = torch.load(finished / "checkpoint.pth", weights_only=True)["model"]
    for suffix in ("pth", "safetensors", "json"):
        state = load_weights(finished / f"weights/emotalk.{suffix}").state_dict()
        assert all(torch.equal(state[name], value) for name, value in trained.items())


def test_the_card_tells_recipe_data_losses_and_versions(finished, clips):
    extract_weights(finished / "checkpoint.pth", clips, finished / "weights", recipe={"pair": {"recipe": "paper"}})
    card = json.loads((finished / "weights/emotalk.json").read_text())
    assert card["recipe"] == {"pair": {"recipe": "paper"}}
    assert card["epochs"] == 2
    assert set(card["losses"]) == {"train", "validation"}
    assert card["resolved_encoders"] == {"content": "random", "emotion": "random"}
    assert card["run"]["clips"]
    assert card["versions"]["torch"] == torch.__version__.partition("+")[0] or card["versions"]["torch"]
    assert "non-commercial" in card["licence"]


def test_weights_that_predict_otherwise_are_refused(finished, clips, monkeypatch):
    def spoiled(path):
        network = load_weights(path)
        torch.nn.init.ones_(network.bs_map_r.bias)
        return network

    monkeypatch.setattr(extraction, "load_weights", spoiled)
    with pytest.raises(WeightsError, match="does not predict what the trained network predicts"):
        extract_weights(finished / "checkpoint.pth", clips, finished / "weights", recipe={})


def test_a_missing_checkpoint_is_named(clips, tmp_path):
    with pytest.raises(TrainingError, match="no readable checkpoint"):
        extract_weights(tmp_path / "none.pth", clips, tmp_path, recipe={})
