import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model

from emotalk.config.training import EncoderSettings
from emotalk.errors import WeightsError
from emotalk.model.encoder_config import RELEASED_ENCODER, EncoderConfig
from emotalk.model.encoders import EmotionEncoder, SpeechEncoder
from emotalk.model.pretrained import build_network, encoder_digest, load_encoder
from emotalk.model.weights import to_released_names
from emotalk.provenance import file_digest
from tests.conftest import TINY

CONFIG = EncoderConfig(**TINY)
PUBLISHED = Wav2Vec2Config(**TINY).to_dict() | {"architectures": ["Wav2Vec2ForCTC"]}


def published(encoder, *, prefix: str, drop=("lm_head", "masked_spec_embed")) -> dict[str, torch.Tensor]:
    """Return a state dict as on the hub: with a prefix, old weight-norm names, and a vocabulary of another size."""
    state = {
        f"{prefix}{name}" if not name.startswith(("wav2vec2", "classifier")) else name: value.clone()
        for name, value in to_released_names(encoder.state_dict()).items()
        if not any(d in name for d in drop)
    }
    return state | {"lm_head.weight": torch.zeros(33, TINY["hidden_size"]), "lm_head.bias": torch.zeros(33)}


def write(folder, state, form="new", **values) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(PUBLISHED | values))
    if form == "old":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        names = {
            name.replace("conv.weight_g", "conv.parametrizations.weight.original0").replace(
                "conv.weight_v", "conv.parametrizations.weight.original1"
            ): v
            for name, v in state.items()
        }
        save_file(names, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def trained(state: dict) -> dict:
    return {name: value for name, value in state.items() if "lm_head" not in name and "masked_spec" not in name}


@pytest.fixture(params=["old", "new"])
def form(request, monkeypatch):
    """Old: pytorch_model.bin with weight_g; new: safetensors with parametrizations. The hub cannot be reached."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return request.param


@pytest.mark.parametrize("kind", [SpeechEncoder, EmotionEncoder])
def test_a_local_folder_of_either_format_is_loaded_completely(tmp_path, form, kind):
    torch.manual_seed(1)
    source = kind(CONFIG)
    folder = write(tmp_path, published(source, prefix="wav2vec2."), form)
    torch.manual_seed(2)
    loaded = load_encoder(kind, EncoderSettings(source=folder))
    expected = trained(source.state_dict())
    actual = trained(loaded.state_dict())
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


def test_a_head_with_another_vocabulary_is_ignored_without_a_message(tmp_path, form, capfd, caplog):
    from transformers.utils import logging

    before = logging.get_verbosity()
    folder = write(tmp_path, published(SpeechEncoder(CONFIG), prefix="wav2vec2."), form)
    capfd.readouterr()
    loaded = load_encoder(SpeechEncoder, EncoderSettings(source=folder))
    assert loaded.lm_head.weight.shape == (32, TINY["hidden_size"])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.get_verbosity() == before
    assert logging.is_progress_bar_enabled()


def test_the_released_encoders_have_a_layerdrop_of_5_percent():
    assert RELEASED_ENCODER["layerdrop"] == 0.05


@pytest.mark.parametrize("kind", [Wav2Vec2Model, Wav2Vec2ForCTC])
@pytest.mark.parametrize("shard_size", ["1GB", "4KB"])
def test_a_model_saved_by_transformers_is_loaded(tmp_path, kind, shard_size):
    model = kind(Wav2Vec2Config(**TINY))
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard_size == "4KB")
    actual = load_encoder(SpeechEncoder, EncoderSettings(source=str(tmp_path))).state_dict()
    expected = getattr(model, "wav2vec2", model).state_dict()
    assert actual.keys() - expected.keys() == {"lm_head.weight", "lm_head.bias"}
    assert all(torch.equal(actual[name], value) for name, value in expected.items())


def test_all_parameters_of_a_loaded_encoder_are_trainable(tmp_path):
    write(tmp_path, published(SpeechEncoder(CONFIG), prefix="wav2vec2."))
    loaded = load_encoder(SpeechEncoder, EncoderSettings(source=str(tmp_path)))
    assert all(p.requires_grad and p.isfinite().all() for p in loaded.parameters())


def test_other_values_of_a_configuration_file_have_no_effect(tmp_path):
    """transformers would install, download or import code for these values."""
    hostile = {
        "auto_map": {"AutoModel": "someone/code--modeling.Model"},
        "quantization_config": {"quant_method": "gptq", "bits": 4},
        "_attn_implementation_internal": "someone/kernels",
        "dtype": "float16",
    }
    folder = write(tmp_path, published(SpeechEncoder(CONFIG), prefix="wav2vec2."), **hostile)
    loaded = load_encoder(SpeechEncoder, EncoderSettings(source=folder))
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}
    assert loaded.config == CONFIG


def test_the_convolutional_stacks_of_loaded_encoders_are_frozen_too(tmp_path):
    content, emotion = (
        EncoderSettings(source=write(tmp_path / kind.__name__, published(kind(CONFIG), prefix="wav2vec2.")))
        for kind in (SpeechEncoder, EmotionEncoder)
    )
    network = build_network(content, emotion)
    trainable = {name for name, p in network.named_parameters() if p.requires_grad}
    assert not any("feature_extractor" in name for name in trainable)
    assert any("feature_projection" in name for name in trainable)


def test_the_digest_of_a_folder_does_not_depend_on_its_path(tmp_path):
    write(tmp_path / "here", published(SpeechEncoder(CONFIG), prefix="wav2vec2."))
    digest = encoder_digest(EncoderSettings(source=str(tmp_path / "here")))
    assert digest == f"SHA-256 {file_digest(tmp_path / 'here/model.safetensors')}"
    (tmp_path / "here").rename(tmp_path / "there")
    assert encoder_digest(EncoderSettings(source=str(tmp_path / "there"))) == digest
    assert encoder_digest(EncoderSettings(source="random")) == "random"


def test_half_precision_files_become_float32(tmp_path):
    state = {name: value.half() for name, value in published(SpeechEncoder(CONFIG), prefix="wav2vec2.").items()}
    loaded = load_encoder(SpeechEncoder, EncoderSettings(source=write(tmp_path, state, "new")))
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("lost", ["classifier.out_proj.weight", "wav2vec2.encoder.layers.0.attention.k_proj.weight"])
def test_a_missing_parameter_is_an_error(tmp_path, form, lost):
    state = published(EmotionEncoder(CONFIG), prefix="")
    del state[lost]
    with pytest.raises(WeightsError, match=rf": 1 parameters of the EmotionEncoder are missing.*{lost}"):
        load_encoder(EmotionEncoder, EncoderSettings(source=write(tmp_path, state, form)))


def test_a_standard_classifier_is_an_error(tmp_path, form):
    """Its head has the names projector and classifier, so that the head would be random without an error."""
    state = published(SpeechEncoder(CONFIG), prefix="wav2vec2.") | {"projector.weight": torch.zeros(8, 32)}
    with pytest.raises(WeightsError, match=": 4 parameters"):
        load_encoder(EmotionEncoder, EncoderSettings(source=write(tmp_path, state, form)))


def test_a_parameter_of_another_shape_is_an_error(tmp_path, form):
    state = published(SpeechEncoder(CONFIG), prefix="wav2vec2.")
    state["wav2vec2.feature_projection.projection.weight"] = torch.zeros(3, 3)
    with pytest.raises(WeightsError, match=r"feature_projection\.projection\.weight"):
        load_encoder(SpeechEncoder, EncoderSettings(source=write(tmp_path, state, form)))


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match=f"The folder {tmp_path} is not a wav2vec2 encoder"):
        load_encoder(SpeechEncoder, EncoderSettings(source=str(tmp_path)))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"half a download"])
def test_a_damaged_file_in_a_folder_is_an_error(tmp_path, name, content):
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"The folder {tmp_path} is not a wav2vec2 encoder"):
        load_encoder(SpeechEncoder, EncoderSettings(source=str(tmp_path)))


def test_the_error_for_an_unreachable_hub_describes_alternatives(monkeypatch):
    def unreachable(*given, **options):
        raise OSError("We couldn't connect to the hub to load the files.")

    monkeypatch.setattr(Wav2Vec2Config, "get_config_dict", unreachable)
    with pytest.raises(
        WeightsError, match=r"Folder nobody/nothing does not exist, and it cannot be downloaded .* HF_ENDPOINT"
    ):
        load_encoder(SpeechEncoder, EncoderSettings(source="nobody/nothing"))
