"""FreezeSettings: which parts of the encoders stay as they were pretrained. What is frozen costs no gradient memory."""

from torch import nn

from emotalk.errors import WeightsError
from emotalk.model.encoders import EmotionEncoder, SpeechEncoder


def freeze(encoder: SpeechEncoder | EmotionEncoder, part: str | int) -> None:
    """Freeze a part of an encoder besides its convolutional stack, which never trains.

    Parameters
    ----------
    part
        "conv" for nothing more; a number n for everything up to and with the n lowest transformer layers; "all" for
        the whole encoder, a classifier included.

    Raises
    ------
    WeightsError
        If the encoder has fewer layers.
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
            f"{num_layers} layers are to be frozen under train.freeze, and the encoder has {len(transformer.layers)}."
        )
    below = [encoder.feature_projection, transformer.pos_conv_embed, *transformer.layers[:num_layers]]
    return below if encoder.config.do_stable_layer_norm else [*below, transformer.layer_norm]
