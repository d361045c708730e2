"""Configuration of a wav2vec2 encoder, validated before the encoder is built.

The values may come from untrusted files (cards, `config.json`). Each value therefore has a type and a range, and no
value selects code to execute.
"""

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from emotalk.errors import WeightsError
from emotalk.subjects import MAX_SUBJECT_SLOTS, NUM_RELEASED_SLOTS

Activation = Literal["gelu", "gelu_new", "relu", "silu"]
Size = Annotated[int, Field(ge=1, le=65_536)]
Rate = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Sizes = Annotated[tuple[Size, ...], Field(min_length=1, max_length=32, strict=False)]
"""Not strict, so that lists from JSON and YAML are accepted."""

_MAX_SHOWN = 3


RELEASED_ENCODER: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
    "hidden_dropout": 0.05,
    "activation_dropout": 0.05,
    "feat_proj_dropout": 0.05,
    "attention_dropout": 0.1,
    "layerdrop": 0.05,
}
"""Configuration of both encoders of the released network (docs/method.md, section "Network")."""


class EncoderConfig(BaseModel):
    """Configuration of an encoder, with the names and defaults of `Wav2Vec2Config` of transformers.

    Published `config.json` files can be read. Their other keys (tokens, SpecAugment, quantization) are ignored, because
    they do not affect the network.

    Attributes
    ----------
    conv_dim, conv_kernel, conv_stride
        Channels, kernel sizes and strides of the convolutions, in their order.
    num_conv_pos_embeddings, num_conv_pos_embedding_groups
        Kernel size in frames, and groups, of the positional convolution.
    do_stable_layer_norm
        If true, layers use pre-norm, else post-norm.
    layerdrop
        Probability of skipping a layer in training.
    final_dropout
        Dropout of the emotion classifier.
    initializer_range
        Standard deviation of the random weights of linear layers.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False, validate_default=True)

    hidden_size: Size = 768
    num_hidden_layers: Annotated[int, Field(ge=1, le=96)] = 12
    num_attention_heads: Size = 12
    intermediate_size: Size = 3072
    hidden_act: Activation = "gelu"
    hidden_dropout: Rate = 0.1
    activation_dropout: Rate = 0.1
    attention_dropout: Rate = 0.1
    feat_proj_dropout: Rate = 0.0
    final_dropout: Rate = 0.1
    layerdrop: Rate = 0.1
    initializer_range: Positive = 0.02
    layer_norm_eps: Positive = 1e-5
    feat_extract_norm: Literal["group", "layer"] = "group"
    feat_extract_activation: Activation = "gelu"
    conv_dim: Sizes = (512,) * 7
    conv_kernel: Sizes = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: Sizes = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: Size = 128
    num_conv_pos_embedding_groups: Size = 16
    do_stable_layer_norm: bool = False
    add_adapter: bool = Field(default=False, exclude=True)
    adapter_attn_dim: int | None = Field(default=None, exclude=True)
    attn_implementation: Literal["eager", "sdpa"] | None = Field(default=None, exclude=True)

    @field_validator("feat_extract_norm")
    @classmethod
    def _check_norm(cls, norm: str) -> str:
        if norm == "group":
            raise PydanticCustomError(
                "norm",
                "group norm includes the padding of clips in a batch. Use an encoder with feat_extract_norm='layer' "
                "(the large wav2vec2 models)",
            )
        return norm

    @field_validator("add_adapter", "adapter_attn_dim")
    @classmethod
    def _check_adapter(cls, value: bool | int | None) -> bool | int | None:
        if value:
            raise PydanticCustomError("adapter", "adapters are not supported. Use an encoder without them")
        return value

    @field_validator("num_attention_heads", "num_conv_pos_embedding_groups")
    @classmethod
    def _check_divisor(cls, count: int, info: ValidationInfo) -> int:
        size = info.data.get("hidden_size", 0)  # Missing if hidden_size itself is invalid.
        if size % count:
            raise PydanticCustomError("divisor", "hidden_size={size} must be divisible by this value", {"size": size})
        return count

    @field_validator("conv_kernel", "conv_stride")
    @classmethod
    def _check_length(cls, values: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        channels = info.data.get("conv_dim", values)
        if len(values) != len(channels):
            raise PydanticCustomError("length", "it must have {count} values, as conv_dim", {"count": len(channels)})
        return values

    @classmethod
    def from_values(cls, values: Any, source: str) -> Self:
        """Validate values that were read from a file.

        Parameters
        ----------
        values
            Content of the file; must be a mapping.
        source
            Name of the source, as the subject of an error message.

        Raises
        ------
        WeightsError
            If the values are not a valid configuration. The message has the keys, values and rules.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            more = len(errors) - _MAX_SHOWN
            shown = "; ".join(map(_format_error, errors[:_MAX_SHOWN])) + (f"; and {more} more" if more > 0 else "")
            raise WeightsError(f"{source} has {shown}.") from None


def _format_error(error: ErrorDetails) -> str:
    name = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in error["loc"]) or "values"
    return f"{name}={reprlib.repr(error['input'])}: {error['msg'][:1].lower()}{error['msg'][1:]}"


class NetworkConfig(NamedTuple):
    """Arguments of `EmoTalk.from_configs`."""

    content: EncoderConfig
    emotion: EncoderConfig
    num_slots: int = NUM_RELEASED_SLOTS

    @classmethod
    def from_values(cls, values: Mapping[str, Any], source: str) -> Self:
        """Validate `encoders` and `num_subject_slots` of a card or checkpoint.

        Raises
        ------
        WeightsError
            If a value is not valid; see `EncoderConfig.from_values`.
        """
        content, emotion = (
            EncoderConfig.from_values(values["encoders"][name], f"The {name} encoder of {source}")
            for name in ("content", "emotion")
        )
        num_slots = values.get("num_subject_slots", NUM_RELEASED_SLOTS)  # Missing in cards of earlier versions.
        if type(num_slots) is not int or not NUM_RELEASED_SLOTS <= num_slots <= MAX_SUBJECT_SLOTS:
            raise WeightsError(
                f"{source} has num_subject_slots={reprlib.repr(num_slots)}; it must be an integer from "
                f"{NUM_RELEASED_SLOTS} to {MAX_SUBJECT_SLOTS}."
            )
        return cls(content, emotion, num_slots)
