"""Freezing of parts of the encoders, which keep their pretrained weights and need no memory for gradients."""

from torch import nn

from emotalk.errors import WeightsError
from emotalk.model.encoders import EmotionEncoder, SpeechEncoder


def freeze(encoder: SpeechEncoder | EmotionEncoder, part: str | int) -> None:
    """Freeze a part of an encoder in addition to its convolutional stack, which is always frozen.

    Parameters
    ----------
    part
        "conv" for no additional part; a number n for all modules up to the n-th transformer layer; "all" for the whole
        encoder including the classifier.

    Raises
    ------
    WeightsError
        If the encoder has fewer than n layers.
    """
    if part == "all":
        encoder.requires_grad_(False)
    if isinstance(part, int):
        for module in _lower_part(encoder.wav2vec2 if isinstance(encoder, EmotionEncoder) else encoder, part):
            module.requires_grad_(False)


def _lower_part(encoder: SpeechEncoder, num_layers: int) -> list[nn.Module]:
    transformer = encoder.encoder
    if num_layers > len(transformer.layers):
        raise WeightsError(
            f"train.freeze is {num_layers}, but the encoder has only {len(transformer.layers)} layers to freeze."
        )
    lower_modules = [encoder.feature_projection, transformer.pos_conv_embed, *transformer.layers[:num_layers]]
    return lower_modules if encoder.config.do_stable_layer_norm else [*lower_modules, transformer.layer_norm]
