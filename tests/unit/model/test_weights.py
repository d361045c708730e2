import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from transformers import Wav2Vec2Config

from emotalk.errors import WeightsError
from emotalk.model import EmoTalk, load_weights
from emotalk.model.card import write_card
from emotalk.model.weights import fit_state, released_names, save_weights
from tests.conftest import TINY


@pytest.fixture
def network() -> EmoTalk:
    torch.manual_seed(0)
    return EmoTalk.from_configs(Wav2Vec2Config(**TINY), Wav2Vec2Config(**TINY))


@pytest.fixture
def saved(network, tmp_path):
    save_weights(network, tmp_path, "emotalk")
    return tmp_path


def equal(one: EmoTalk, other: EmoTalk) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_come_back_bit_by_bit(network, saved, suffix):
    assert equal(load_weights(saved / f"emotalk.{suffix}", encoder=TINY), network)


def test_saved_names_are_the_released_ones(saved):
    names = torch.load(saved / "emotalk.pth", weights_only=True).keys()
    assert "audio_encoder_cont.encoder.pos_conv_embed.conv.weight_g" in names
    assert not any("parametrizations" in name for name in names)


def test_a_card_beside_the_weights_gives_the_sizes(network, saved):
    write_card(saved / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}})
    for suffix in ("pth", "safetensors", "json"):
        assert equal(load_weights(saved / f"emotalk.{suffix}"), network)


def test_weights_that_do_not_fit_are_refused_with_the_first_name(saved):
    with pytest.raises(WeightsError, match=r"are of another shape \(audio_encoder_cont.*…\).*pass them as 'encoder'"):
        load_weights(saved / "emotalk.pth", encoder={**TINY, "hidden_size": 64})
    with pytest.raises(WeightsError, match="are missing"):
        load_weights(saved / "emotalk.pth", encoder={**TINY, "num_hidden_layers": 2})


def test_leftovers_are_ignored_and_named(network):
    state = released_names(network.state_dict()) | {"PPE.pe": torch.zeros(1)}
    assert fit_state(network, state, "released") == ["PPE.pe"]


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"x" * 100, b"PK\x03\x04 cut"])
def test_a_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name} (is no readable|holds more)"):
        load_weights(tmp_path / name, encoder=TINY)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"There is no file .*w.pth"):
        load_weights(tmp_path / "w.pth", encoder=TINY)


def test_code_in_a_weights_file_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was_run"),)

    for write in (lambda path: torch.save(Bomb(), path), lambda path: path.write_bytes(pickle.dumps(Bomb()))):
        write(tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=r"w.pth (holds more|is no readable)"):
            load_weights(tmp_path / "w.pth", encoder=TINY)
    assert not (tmp_path / "was_run").exists()


def test_a_training_checkpoint_is_told_apart_from_weights(tmp_path):
    torch.save({"epoch": 1, "model": {}}, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match="becomes weights by rule 'extract'"):
        load_weights(tmp_path / "c.pth", encoder=TINY)


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"encoders": {"content": {}}}'])
def test_a_broken_card_is_named(saved, card):
    (saved / "emotalk.json").write_text(card)
    with pytest.raises(WeightsError, match=r"emotalk.json is no card"):
        load_weights(saved / "emotalk.pth")


def test_safetensors_of_another_network_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="are missing"):
        load_weights(tmp_path / "w.safetensors", encoder=TINY)
