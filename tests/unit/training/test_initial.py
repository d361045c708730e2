"""Initial weights of training."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from emotalk.config.training import InitialWeights
from emotalk.errors import WeightsError
from emotalk.model.card import write_card
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.initial import load_initial, weights_digest
from emotalk.model.network import EmoTalk
from emotalk.model.weights import save_weights, to_released_names
from emotalk.provenance import file_digest
from tests.conftest import TINY


def make_network(seed: int, **sizes) -> EmoTalk:
    torch.manual_seed(seed)
    config = EncoderConfig(**{**TINY, **sizes})
    network = EmoTalk.from_configs(config, config)
    torch.nn.init.normal_(network.bs_map_r.weight)
    return network


def save_card(path) -> None:
    write_card(path.with_suffix(".json"), {"encoders": {"content": TINY, "emotion": TINY}})


@pytest.fixture
def saved(tmp_path):
    """Weights in the three file formats."""
    save_weights(make_network(2), tmp_path, "emotalk")
    save_card(tmp_path / "emotalk.json")
    return tmp_path


def load_from(path, *, encoders_only=False, strict=True) -> EmoTalk:
    torch.manual_seed(1)
    parts = "encoders" if encoders_only else "all"
    return load_initial(InitialWeights(source=str(path), parts=parts, strict=strict))


def equal(network, other, part="") -> bool:
    ours, theirs = network.state_dict(), other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items() if name.startswith(part))


def is_random(network, part) -> bool:
    return not equal(network, make_network(2), part)


@pytest.mark.parametrize("name", ["emotalk.pth", "emotalk.safetensors", "emotalk.json"])
def test_initial_weights_load_from_any_format_with_the_sizes_of_their_card(saved, name):
    network = load_initial(InitialWeights(source=str(saved / name)))
    assert equal(network, make_network(2))
    assert weights_digest(str(saved / name)) == file_digest(saved / name.replace("json", "safetensors"))


def test_weights_without_a_card_have_the_released_sizes(saved, monkeypatch):
    (saved / "emotalk.json").unlink()
    monkeypatch.setattr("emotalk.model.card.RELEASED_ENCODER", TINY)
    assert equal(load_from(saved / "emotalk.pth"), make_network(2))
    monkeypatch.setattr("emotalk.model.card.RELEASED_ENCODER", TINY | {"num_hidden_layers": 2})
    with pytest.raises(WeightsError, match=r"parameters are missing \(audio_encoder_cont.encoder.layers.1\."):
        load_from(saved / "emotalk.pth")


def test_encoders_only_leaves_other_parameters_random(saved):
    network = load_from(saved / "emotalk.pth", encoders_only=True)
    assert equal(network, make_network(2), "audio_encoder_")
    for part in ("bs_map_r", "transformer_decoder", "audio_feature_map"):
        assert is_random(network, part)


def test_encoders_only_needs_no_other_parameters_in_the_file(saved):
    state = to_released_names(make_network(2).state_dict())
    save_file({name: value for name, value in state.items() if "encoder_" in name}, saved / "part.safetensors")
    save_card(saved / "part.json")
    load_from(saved / "part.safetensors", encoders_only=True)
    with pytest.raises(WeightsError, match="parameters are missing"):
        load_from(saved / "part.safetensors")


@pytest.fixture
def mismatched(saved):
    """Weights with one missing, one unexpected and one differently shaped parameter."""
    state = to_released_names(make_network(2).state_dict())
    del state["bs_map_r.bias"]
    state |= {"PPE.pe": torch.zeros(3), "bs_map_r.weight": torch.zeros(51, 832)}
    torch.save(state, saved / "mismatched.pth")
    save_card(saved / "mismatched.json")
    return saved / "mismatched.pth"


MISMATCHES = (
    r"1 parameters are missing \(bs_map_r.bias\); 1 parameters are unexpected \(PPE.pe\); "
    r"1 parameters are of another shape \(bs_map_r.weight\)"
)


def test_mismatched_parameters_are_an_error_with_a_list(mismatched):
    with pytest.raises(
        WeightsError, match=rf"does not match the network: {MISMATCHES}\. .*train.init_weights.strict to false"
    ):
        load_from(mismatched)


def test_strict_false_loads_matching_parameters_and_logs_the_others(mismatched, caplog):
    network = load_from(mismatched, strict=False)
    assert caplog.text.count("1 parameters are missing (bs_map_r.bias)") == 1
    assert equal(network, make_network(2), "audio_encoder_")
    assert is_random(network, "bs_map_r")


def test_no_matching_parameter_is_an_error_even_if_strict_is_false(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    save_card(tmp_path / "other.json")
    with pytest.raises(WeightsError, match="contains no parameter that matches"):
        load_from(tmp_path / "other.pth", strict=False)


def test_error_names_a_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r"File .*nowhere\.pth does not exist"):
        load_from(tmp_path / "nowhere.pth")


def test_other_initial_weights_make_another_run(run, saved):
    source = InitialWeights(source=str(saved / "emotalk.json"))
    checkpoint, folder = run(init_weights=source, epochs=1, learning_rate=1e-12)
    trained = to_released_names(checkpoint["model"])
    expected = to_released_names(make_network(2).state_dict())
    assert all(torch.allclose(value, expected[name], atol=1e-6) for name, value in trained.items())
    save_weights(make_network(3), saved, "emotalk")
    run(init_weights=source, epochs=1)
    assert len(list(folder.glob("checkpoints/*/run.json"))) == 2


def test_new_subjects_start_from_the_mean_of_all_subjects(saved):
    path = str(saved / "emotalk.pth")
    before = load_initial(InitialWeights(source=path)).obj_vector_person.weight
    after = load_initial(InitialWeights(source=path, new_subjects=True)).obj_vector_person.weight
    torch.testing.assert_close(after, before.mean(dim=1, keepdim=True).expand_as(before))
    assert not torch.equal(after, before)


def test_added_subject_slots_have_the_mean_of_the_slots_in_the_file(saved):
    network = load_initial(InitialWeights(source=str(saved / "emotalk.pth")), num_slots=26)
    slots, loaded = network.obj_vector_person.weight, make_network(2).obj_vector_person.weight
    assert network.num_slots == 26
    assert torch.equal(slots[:, :24], loaded)
    torch.testing.assert_close(slots[:, 24:], loaded.mean(dim=1, keepdim=True).expand(-1, 2))
    network.predict(np.zeros(8000, np.float32), intensity=0, subject=25)
