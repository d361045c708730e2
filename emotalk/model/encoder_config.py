"""Configuration of a wav2vec2 encoder: the values that decide what it computes, checked before anything is built.

They come from files of others too (cards, `config.json`), so that each has a type and a range, and none chooses code.
"""

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from emotalk.errors import WeightsError

Activation = Literal["gelu", "gelu_new", "relu", "silu"]
Size = Annotated[int, Field(ge=1, le=65_536)]
Rate = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Sizes = Annotated[tuple[Size, ...], Field(min_length=1, max_length=32, strict=False)]
"""JSON and YAML have lists, so that this one need not be a tuple."""

_MOST_SHOWN = 3


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
    """Names and defaults are those of `Wav2Vec2Config` of transformers, so that published `config.json` files are read.

    Other keys are ignored: such files have dozens that decide nothing here (tokens, SpecAugment, quantisation).

    Attributes
    ----------
    conv_dim, conv_kernel, conv_stride
        Channels, samples and steps of the convolutions, in their order.
    num_conv_pos_embeddings, num_conv_pos_embedding_groups
        Frames and groups of the positional convolution.
    do_stable_layer_norm
        Whether a layer normalises what its halves take, instead of the sums with what they give.
    layerdrop
        Probability that training leaves out a layer.
    final_dropout
        Of the emotion classifier.
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
    def _refuse_group_norm(cls, norm: str) -> str:
        if norm == "group":
            raise PydanticCustomError(
                "norm",
                "this mixes all frames of a batch's padded clips. Use an encoder with feat_extract_norm='layer' (the "
                "large wav2vec2 models)",
            )
        return norm

    @field_validator("add_adapter", "adapter_attn_dim")
    @classmethod
    def _refuse_adapters(cls, value: bool | int | None) -> bool | int | None:
        if value:
            raise PydanticCustomError("adapter", "adapters are not supported. Use an encoder without them")
        return value

    @field_validator("num_attention_heads", "num_conv_pos_embedding_groups")
    @classmethod
    def _divides_hidden_size(cls, count: int, info: ValidationInfo) -> int:
        size = info.data.get("hidden_size", 0)  # It is absent if it is wrong itself.
        if size % count:
            raise PydanticCustomError("divisor", "hidden_size={size} must be a multiple of it", {"size": size})
        return count

    @field_validator("conv_kernel", "conv_stride")
    @classmethod
    def _is_as_long_as_conv_dim(cls, values: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        channels = info.data.get("conv_dim", values)
        if len(values) != len(channels):
            raise PydanticCustomError(
                "length", "conv_dim has {count} values, and it must have as many", {"count": len(channels)}
            )
        return values

    @classmethod
    def from_values(cls, values: Any, source: str) -> Self:
        """Configuration from values that were read from a file.

        Parameters
        ----------
        values
            Should be a mapping.
        source
            Where they come from, as the subject of a sentence.

        Raises
        ------
        WeightsError
            If they are no configuration: it names keys, values and rules.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            faults = error.errors(include_url=False)
            more = len(faults) - _MOST_SHOWN
            shown = "; ".join(map(_sentence, faults[:_MOST_SHOWN])) + (f"; and {more} more" if more > 0 else "")
            raise WeightsError(f"{source} has {shown}.") from None


def _sentence(fault: ErrorDetails) -> str:
    name = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in fault["loc"]) or "values"
    return f"{name}={reprlib.repr(fault['input'])}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def encoder_configs(encoders: Mapping[str, Any], source: str) -> tuple[EncoderConfig, EncoderConfig]:
    """Configurations of the content and the emotion encoder from what a card or a checkpoint has of them.

    Raises
    ------
    WeightsError
        If one is none; see `EncoderConfig.from_values`.
    """
    content, emotion = (
        EncoderConfig.from_values(encoders[name], f"The {name} encoder of {source}") for name in ("content", "emotion")
    )
    return content, emotion
