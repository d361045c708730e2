import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from emotalk.config.training import InitialWeights
from emotalk.errors import OutputError, WeightsError
from emotalk.model import EmoTalk, load_weights
from emotalk.model.card import write_card
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.initial import load_initial
from emotalk.model.weights import load_strict, save_weights, to_released_names
from tests.conftest import TINY


@pytest.fixture
def network() -> EmoTalk:
    torch.manual_seed(0)
    return EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))


@pytest.fixture
def saved(network, tmp_path):
    save_weights(network, tmp_path, "emotalk")
    return tmp_path


def equal(one: EmoTalk, other: EmoTalk) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_loaded_weights_equal_the_saved_ones(network, saved, suffix):
    assert equal(load_weights(saved / f"emotalk.{suffix}", encoder=TINY), network)


def test_saved_names_are_the_released_ones(saved):
    names = torch.load(saved / "emotalk.pth", weights_only=True).keys()
    assert "audio_encoder_cont.encoder.pos_conv_embed.conv.weight_g" in names
    assert not any("parametrizations" in name for name in names)


def test_sizes_are_read_from_the_card(network, saved):
    write_card(saved / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}})
    for suffix in ("pth", "safetensors", "json"):
        assert equal(load_weights(saved / f"emotalk.{suffix}"), network)


def test_weights_that_do_not_match_are_an_error_with_parameter_names(saved):
    with pytest.raises(
        WeightsError, match=r"are of another shape \(audio_encoder_cont.*…\).*pass the sizes to load_weights"
    ):
        load_weights(saved / "emotalk.pth", encoder={**TINY, "hidden_size": 64})
    with pytest.raises(WeightsError, match="are missing"):
        load_weights(saved / "emotalk.pth", encoder={**TINY, "num_hidden_layers": 2})


def test_unexpected_parameters_are_ignored_and_returned(network):
    state = to_released_names(network.state_dict()) | {"PPE.pe": torch.zeros(1)}
    assert load_strict(network, state, "released") == ["PPE.pe"]


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"x" * 100, b"PK\x03\x04 cut"])
def test_a_damaged_file_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name} (cannot be read|is damaged or contains)"):
        load_weights(tmp_path / name, encoder=TINY)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match=r"File .*w.pth does not exist"):
        load_weights(tmp_path / "w.pth", encoder=TINY)


def test_code_in_a_weights_file_is_never_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was_run"),)

    for write in (lambda path: torch.save(Bomb(), path), lambda path: path.write_bytes(pickle.dumps(Bomb()))):
        write(tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=r"w.pth (is damaged or contains|cannot be read)"):
            load_weights(tmp_path / "w.pth", encoder=TINY)
    assert not (tmp_path / "was_run").exists()


def test_a_training_checkpoint_is_an_error(tmp_path):
    torch.save({"epoch": 1, "model": {}}, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match="Rule 'extract' converts"):
        load_weights(tmp_path / "c.pth", encoder=TINY)


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"encoders": {"content": {}}}'])
def test_an_invalid_card_is_an_error(saved, card):
    (saved / "emotalk.json").write_text(card)
    with pytest.raises(WeightsError, match=r"emotalk.json is not a valid card"):
        load_weights(saved / "emotalk.pth")


@pytest.mark.parametrize("number", [0, 23, 129, 10**9, True, "24", None, [24]])
def test_an_invalid_number_of_subject_slots_in_a_card_is_an_error(saved, number):
    write_card(saved / "emotalk.json", {"encoders": {"content": TINY, "emotion": TINY}, "num_subject_slots": number})
    with pytest.raises(WeightsError, match=r"has num_subject_slots=.*; it must be an integer from 24 to 128"):
        load_weights(saved / "emotalk.json")


def test_safetensors_of_another_network_are_an_error(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="are missing"):
        load_weights(tmp_path / "w.safetensors", encoder=TINY)


def rewritten(saved, suffix, change):
    """Path of the weights with a changed state, and their card."""
    path = saved / f"changed.{suffix}"
    state = {name: value.clone() for name, value in torch.load(saved / "emotalk.pth", weights_only=True).items()}
    state |= change(state)
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    write_card(saved / "changed.json", {"encoders": {"content": TINY, "emotion": TINY}})
    return path


NAME = "bs_map_r.weight"


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.long(), "has type int64; weights must be floating-point"),
        (lambda value: value.bool(), "has type bool"),
        (lambda value: value.index_fill(0, torch.tensor([3]), float("nan")), "NaN or infinite"),
        (lambda value: value.index_fill(1, torch.tensor([0]), -float("inf")), "NaN or infinite"),
        (lambda value: value.double().fill_(1e300), "NaN or infinite values in float32"),
    ],
)
def test_an_invalid_tensor_is_an_error_with_its_name(saved, suffix, change, message):
    path = rewritten(saved, suffix, lambda state: {NAME: change(state[NAME])})
    for load in (load_weights, lambda path: load_initial(InitialWeights(source=str(path)))):
        with pytest.raises(WeightsError, match=rf"Tensor {NAME} in .*{message}") as error:
            load(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_tensor_of_another_shape_is_an_error_with_its_name(saved, suffix):
    path = rewritten(saved, suffix, lambda state: {NAME: state[NAME].T.contiguous()})
    with pytest.raises(WeightsError, match=rf"1 parameters are of another shape \({NAME}\)"):
        load_weights(path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floating_point_types_become_float32(network, saved, dtype):
    path = rewritten(saved, "pth", lambda state: {name: value.to(dtype) for name, value in state.items()})
    loaded = load_weights(path).state_dict()
    for name, value in network.state_dict().items():
        assert loaded[name].dtype == torch.float32
        torch.testing.assert_close(loaded[name], value.to(dtype).float(), rtol=0, atol=0)


def test_unexpected_parameters_may_be_integers(saved):
    assert load_weights(rewritten(saved, "pth", lambda state: {"step": torch.tensor(3)}))


def test_files_that_cannot_be_memory_mapped_are_loaded(network, saved):
    state = torch.load(saved / "emotalk.pth", weights_only=True)
    torch.save(state, saved / "old.pth", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(saved / "emotalk.pth") as plain, zipfile.ZipFile(saved / "packed.pth", "w", 8) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    for name in ("old.pth", "packed.pth"):
        assert equal(load_weights(saved / name, encoder=TINY), network)


def test_loaded_weights_do_not_change_when_the_file_is_replaced(network, saved):
    loaded = load_weights(saved / "emotalk.pth", encoder=TINY)
    other = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))
    save_weights(other, saved, "emotalk")
    assert equal(loaded, network)
    assert equal(load_weights(saved / "emotalk.pth", encoder=TINY), other)


def test_frozen_parameters_are_frozen_in_loaded_weights(network, saved):
    loaded = load_weights(saved / "emotalk.safetensors", encoder=TINY)
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in network.parameters()]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_file_modes_follow_the_umask(network, tmp_path, umask):
    before = os.umask(umask)
    try:
        save_weights(network, tmp_path, "emotalk")
    finally:
        os.umask(before)
    for suffix in ("pth", "safetensors"):
        assert (tmp_path / f"emotalk.{suffix}").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("writer", ["torch.save", "emotalk.model.weights.save_file"])
def test_a_failed_write_leaves_the_previous_files(network, saved, monkeypatch, writer):
    def broken(state, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(writer, broken)
    with pytest.raises(OutputError, match=r"emotalk\.\w+ cannot be written \(disk full\)"):
        save_weights(EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY)), saved, "emotalk")
    assert sorted(path.name for path in saved.iterdir()) == ["emotalk.pth", "emotalk.safetensors"]
    assert equal(load_weights(saved / "emotalk.safetensors", encoder=TINY), network)
