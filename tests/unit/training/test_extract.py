import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from emotalk.errors import EmoTalkError, TrainingError, WeightsError
from emotalk.inference.predict import resolve_subject
from emotalk.model import load_weights
from emotalk.model.weights import save_weights
from emotalk.training import extract
from emotalk.training.extract import extract_weights
from emotalk.training.train import TrainingFiles, train


@pytest.fixture
def finished(clips, manifest, settings, tmp_path):
    files = TrainingFiles(clips, manifest, tmp_path)
    train(files, settings(epochs=2), device=torch.device("cpu"))
    (tmp_path / "weights").mkdir()
    return tmp_path


def test_exported_weights_load_from_all_three_files_with_the_sizes_of_the_card(finished, clips, manifest):
    extract_weights(
        finished / "checkpoint.pth", clips, manifest, finished / "weights", settings={"recipe": "paper"}, captured={}
    )
    trained = torch.load(finished / "checkpoint.pth", weights_only=True)["model"]
    for suffix in ("pth", "safetensors", "json"):
        state = load_weights(finished / f"weights/emotalk.{suffix}").state_dict()
        assert all(torch.equal(state[name], value) for name, value in trained.items())


def test_card_has_recipe_data_losses_and_versions(finished, clips, manifest):
    extract_weights(
        finished / "checkpoint.pth", clips, manifest, finished / "weights", settings={"recipe": "paper"}, captured={}
    )
    card = json.loads((finished / "weights/emotalk.json").read_text())
    assert card["recipe"] == {"recipe": "paper"}
    assert card["epochs"] == 2
    assert set(card["losses"]) == {"train", "validation"}
    assert card["resolved_encoders"] == {"content": "random", "emotion": "random"}
    assert card["run"]["clips"]
    assert card["versions"]["torch"] == torch.__version__.partition("+")[0] or card["versions"]["torch"]
    assert "non-commercial" in card["licence"]


def test_written_files_that_differ_are_an_error_with_the_name_of_a_tensor(finished, clips, manifest, monkeypatch):
    def save_changed_weights(network, folder, name):
        save_weights(network, folder, name)
        state = load_file(folder / f"{name}.safetensors")
        state["bs_map_r.bias"][0] += 1e-6
        save_file(state, folder / f"{name}.safetensors")

    monkeypatch.setattr(extract, "save_weights", save_changed_weights)
    with pytest.raises(WeightsError, match=r"emotalk\.safetensors differs .* 1 tensors, for example bs_map_r\.bias"):
        extract_weights(finished / "checkpoint.pth", clips, manifest, finished / "weights", settings={}, captured={})


def test_invalid_tensor_in_a_checkpoint_is_an_error_with_its_name(finished, clips, manifest):
    content = torch.load(finished / "checkpoint.pth", weights_only=True)
    bias = content["model"]["bs_map_r.bias"]
    for value, message in (
        (bias.int(), r"Tensor bs_map_r\.bias in .*changed\.pth has type int32"),
        (bias + float("nan"), r"Tensor bs_map_r\.bias in .*changed\.pth contains NaN"),
        (bias[:51], r"changed\.pth does not match .* 1 parameters are of another shape \(bs_map_r\.bias\)"),
    ):
        changed = {"bs_map_r.bias": value}
        for change in ({"model": content["model"] | changed}, {"average": {"weights": changed, "count": 1}}):
            torch.save(content | change, finished / "changed.pth")
            with pytest.raises((TrainingError, WeightsError), match=message):
                extract_weights(
                    finished / "changed.pth", clips, manifest, finished / "weights", settings={}, captured={}
                )
            assert not list((finished / "weights").iterdir())


def test_missing_checkpoint_is_an_error(clips, manifest, tmp_path):
    with pytest.raises(TrainingError, match="not a readable checkpoint"):
        extract_weights(tmp_path / "none.pth", clips, manifest, tmp_path, settings={}, captured={})


def test_a_network_with_more_subject_slots_is_trained_and_exported_with_their_number(
    clips, manifest, settings, tmp_path
):
    model = settings().model.model_copy(update={"num_subject_slots": 40})
    files = TrainingFiles(clips, manifest, tmp_path)
    train(files, settings(epochs=1, model=model), device=torch.device("cpu"))
    weights = tmp_path / "weights"
    weights.mkdir()
    extract_weights(tmp_path / "checkpoint.pth", clips, manifest, weights, settings={}, captured={})
    card = json.loads((weights / "emotalk.json").read_text())
    assert card["num_subject_slots"] == 40
    assert card["released_code"] == "cannot load 40 subject slots"
    assert load_weights(weights / "emotalk.pth").num_slots == 40
    assert len(resolve_subject("mean", weights / "emotalk.json")) == 40
    assert resolve_subject(39, weights / "emotalk.json") == 39
    with pytest.raises(EmoTalkError, match="subject is 40; the network has the indices 0 to 39"):
        resolve_subject(40, weights / "emotalk.json")
    (weights / "emotalk.json").unlink()
    with pytest.raises(WeightsError, match=r"another shape .* copy the card"):
        load_weights(weights / "emotalk.pth")
