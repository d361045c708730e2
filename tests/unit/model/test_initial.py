"""Weights that training begins from."""

import logging

import pytest
import torch
from safetensors.torch import save_file
from transformers import Wav2Vec2Config

from emotalk.errors import WeightsError
from emotalk.model.card import write_card
from emotalk.model.initial import begin_from
from emotalk.model.network import EmoTalk
from emotalk.model.weights import released_names, save_weights
from emotalk.provenance import file_digest
from tests.conftest import TINY


def network_of(seed: int, **sizes) -> EmoTalk:
    torch.manual_seed(seed)
    config = Wav2Vec2Config(**{**TINY, **sizes})
    network = EmoTalk.from_configs(config, config)
    torch.nn.init.normal_(network.bs_map_r.weight)
    return network


@pytest.fixture
def network():
    return network_of(1)


@pytest.fixture
def saved(tmp_path):
    """Weights of another network, in the three forms."""
    save_weights(network_of(2), tmp_path, "emotalk")
    write_card(tmp_path / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}})
    return tmp_path


def equal(network, other, part="") -> bool:
    mine, theirs = network.state_dict(), other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in mine.items() if name.startswith(part))


@pytest.mark.parametrize("name", ["emotalk.pth", "emotalk.safetensors", "emotalk.json"])
def test_training_begins_from_weights_in_any_form(network, saved, name):
    digest = begin_from(network, str(saved / name), encoders_only=False, strict=True)
    assert equal(network, network_of(2))
    assert digest == file_digest(saved / name.replace("json", "safetensors"))


def test_encoders_only_leaves_the_rest_as_it_was(network, saved):
    begin_from(network, str(saved / "emotalk.pth"), encoders_only=True, strict=True)
    assert equal(network, network_of(2), "audio_encoder_")
    for part in ("bs_map_r", "transformer_decoder", "audio_feature_map"):
        assert equal(network, network_of(1), part)


def test_encoders_alone_are_enough_for_encoders_only(network, saved):
    state = released_names(network_of(2).state_dict())
    save_file({name: value for name, value in state.items() if "encoder_" in name}, saved / "part.safetensors")
    begin_from(network, str(saved / "part.safetensors"), encoders_only=True, strict=True)
    with pytest.raises(WeightsError, match="parameters are missing"):
        begin_from(network, str(saved / "part.safetensors"), encoders_only=False, strict=True)


@pytest.fixture
def unlike(saved):
    """Weights that lack a parameter, have one more, and one of another shape."""
    state = released_names(network_of(2).state_dict())
    del state["bs_map_r.bias"]
    state |= {"PPE.pe": torch.zeros(3), "bs_map_r.weight": torch.zeros(51, 832)}
    torch.save(state, saved / "unlike.pth")
    return str(saved / "unlike.pth")


TOLD = (
    r"1 parameters are missing \(bs_map_r.bias\); 1 parameters are unexpected \(PPE.pe\); "
    r"1 parameters are of another shape \(bs_map_r.weight\)"
)


def test_what_does_not_fit_is_refused_with_a_list(network, unlike):
    with pytest.raises(WeightsError, match=rf"does not fit the network: {TOLD}\. .*train.init_weights.strict to false"):
        begin_from(network, unlike, encoders_only=False, strict=True)
    assert equal(network, network_of(1))


def test_what_fits_is_taken_if_asked_and_the_rest_listed(network, unlike, caplog):
    caplog.set_level(logging.WARNING)
    begin_from(network, unlike, encoders_only=False, strict=False)
    assert caplog.text.count("only what fits is taken: 1 parameters are missing (bs_map_r.bias)") == 1
    assert equal(network, network_of(2), "audio_encoder_")
    assert equal(network, network_of(1), "bs_map_r")


def test_nothing_that_fits_is_an_error_even_then(network, tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="holds nothing that fits"):
        begin_from(network, str(tmp_path / "other.pth"), encoders_only=False, strict=False)


def test_a_file_that_is_not_there_is_named(network, tmp_path):
    with pytest.raises(WeightsError, match=r"There is no file .*nowhere\.pth"):
        begin_from(network, str(tmp_path / "nowhere.pth"), encoders_only=False, strict=True)
