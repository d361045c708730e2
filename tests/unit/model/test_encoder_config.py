"""Validation of encoder configurations from cards, folders and settings."""

import json
import time

import pytest
from pydantic import ValidationError
from transformers import Wav2Vec2Config

from emotalk.config.training import EncoderSettings
from emotalk.errors import WeightsError
from emotalk.model.encoder_config import RELEASED_ENCODER, EncoderConfig
from emotalk.model.encoders import EmotionEncoder, SpeechEncoder
from emotalk.model.pretrained import load_encoder
from emotalk.model.weights import load_weights
from tests.conftest import TINY

ERRORS = [
    ({"num_hidden_layers": 10_000_000}, r"num_hidden_layers=10000000: input should be less than or equal to 96"),
    ({"num_attention_heads": 0}, "num_attention_heads=0: input should be greater than or equal to 1"),
    ({"num_attention_heads": 3}, "num_attention_heads=3: hidden_size=32 must be divisible by this value"),
    ({"num_conv_pos_embedding_groups": 5}, "num_conv_pos_embedding_groups=5: hidden_size=32 must be divisible"),
    ({"hidden_size": -32}, "hidden_size=-32: input should be greater than or equal to 1"),
    ({"hidden_size": 32.5}, "hidden_size=32.5: input should be a valid integer"),
    ({"hidden_size": True}, "hidden_size=True: input should be a valid integer"),
    ({"hidden_size": 10**400}, "hidden_size=100.*: "),
    ({"hidden_act": "os.system"}, "hidden_act='os.system': input should be 'gelu', 'gelu_new', 'relu' or 'silu'"),
    ({"feat_extract_activation": ["gelu"]}, r"feat_extract_activation=\['gelu'\]: "),
    ({"attn_implementation": "someone/kernels"}, "attn_implementation='someone/kernels': input should be 'eager' or"),
    ({"conv_dim": [8]}, r"conv_kernel=\[10, 16, 20\]: it must have 1 values, as conv_dim"),
    ({"conv_stride": [5] * 33}, "conv_stride=.*: tuple should have at most 32 items"),
    ({"conv_kernel": [10, 0, 20]}, r"conv_kernel\[1\]=0: input should be greater than or equal to 1"),
    ({"conv_dim": "888"}, "conv_dim='888': input should be a valid tuple"),
    ({"conv_bias": "yes"}, "conv_bias='yes': input should be a valid boolean"),
    ({"hidden_dropout": 1.5}, "hidden_dropout=1.5: input should be less than or equal to 1"),
    ({"layer_norm_eps": float("nan")}, "layer_norm_eps=nan: input should be a finite number"),
    (
        {"feat_extract_norm": "group"},
        "feat_extract_norm='group': group norm includes the padding .* with feat_extract_norm='layer'",
    ),
    ({"adapter_attn_dim": 16}, "adapter_attn_dim=16: adapters are not supported"),
    ({"add_adapter": True}, "add_adapter=True: adapters are not supported"),
    ({"hidden_size": "x" * 10_000}, "hidden_size='xxx.{,40}xxx': input should be a valid integer"),
    ({name: "x" for name in RELEASED_ENCODER if name != "conv_bias"}, "; and 8 more"),
]


@pytest.mark.parametrize(("values", "message"), ERRORS)
def test_a_card_with_an_invalid_value_is_an_error(tmp_path, values, message):
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"encoders": {"content": TINY, "emotion": TINY | values}}))
    start = time.perf_counter()
    with pytest.raises(WeightsError, match=rf"^The emotion encoder of .*w\.json has .*{message}") as error:
        load_weights(path)
    assert time.perf_counter() - start < 0.5
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(("values", "message"), [*ERRORS[:3], ERRORS[8], ERRORS[-4]])
def test_an_encoder_with_an_invalid_value_is_an_error(tmp_path, values, message):
    (tmp_path / "config.json").write_text(json.dumps(TINY | values))
    with pytest.raises(WeightsError, match=rf"^The encoder {tmp_path} has .*{message}"):
        load_encoder(SpeechEncoder, EncoderSettings(source=str(tmp_path)))
    if "adapter_attn_dim" not in values:
        with pytest.raises(WeightsError, match=f"^'sizes' of the random EmotionEncoder has .*{message}"):
            load_encoder(EmotionEncoder, EncoderSettings(source="random", sizes=TINY | values))


@pytest.mark.parametrize("values", [None, [], "gelu", 3])
def test_a_configuration_must_be_a_mapping(values):
    with pytest.raises(WeightsError, match=r"^The encoder has values=.*: input should be a valid dictionary"):
        EncoderConfig.from_values(values, "The encoder")


def test_an_unknown_name_under_sizes_is_an_error_that_lists_valid_names():
    with pytest.raises(
        WeightsError, match=r"^hiden_size under 'sizes' is not .* Valid names are: hidden_size, .*stable"
    ):
        load_encoder(SpeechEncoder, EncoderSettings(source="random", sizes={**TINY, "hiden_size": 64}))


def test_names_and_defaults_are_those_of_the_published_configurations():
    published = Wav2Vec2Config().to_dict()
    ours = {name: field.default for name, field in EncoderConfig.model_fields.items() if not field.exclude}
    assert json.dumps(ours) == json.dumps({name: published[name] for name in ours})


def test_irrelevant_values_are_ignored():
    """Cards of earlier versions have all keys of transformers, and published files have more."""
    written = Wav2Vec2Config(**TINY, mask_time_prob=0.5).to_diff_dict() | {
        "pooling_mode": "mean",
        "id2label": {"0": "a"},
    }
    assert EncoderConfig.from_values(json.loads(json.dumps(written)), "The card") == EncoderConfig(**TINY)


def test_a_configuration_is_immutable_and_can_be_written_and_read():
    config = EncoderConfig(**TINY)
    assert EncoderConfig.from_values(json.loads(json.dumps(config.model_dump())), "The card") == config
    assert not config.model_dump().keys() & {"add_adapter", "adapter_attn_dim", "attn_implementation"}
    with pytest.raises(ValidationError, match="frozen"):
        config.hidden_size = 64
