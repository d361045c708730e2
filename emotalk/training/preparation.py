"""Preparation of a network for training: built from a seed, partly frozen, and set to trade time for memory."""

import torch

from emotalk.model.freezing import freeze
from emotalk.model.network import EmoTalk
from emotalk.model.pretrained import build_network
from emotalk.training.settings import TrainingSettings


def prepare_network(settings: TrainingSettings, device: torch.device) -> tuple[EmoTalk, dict[str, str]]:
    """Network on a device, and what the sources of its encoders turned out to be.

    Raises
    ------
    WeightsError
        If an encoder cannot be loaded, or has fewer layers than are to be frozen.
    """
    torch.manual_seed(settings.seed)
    network, resolved = build_network(settings.content_encoder, settings.emotion_encoder)
    network.to(device)
    freeze(network.audio_encoder_cont, settings.freeze.content_encoder)
    freeze(network.audio_encoder_emo, settings.freeze.emotion_encoder)
    network.recompute_layers(settings.gradient_checkpointing)
    if settings.compile:
        network.compile_layers()
    return network, resolved
