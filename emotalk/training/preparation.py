"""Preparation of a network for training: built from a seed, partly frozen, and set to trade time for memory."""

import torch

from emotalk.model.freezing import freeze
from emotalk.model.initial import network_from
from emotalk.model.network import EmoTalk
from emotalk.model.pretrained import build_network
from emotalk.training.settings import TrainingSettings


def prepare_network(settings: TrainingSettings, device: torch.device) -> tuple[EmoTalk, dict[str, str]]:
    """Network on a device, and what the sources of its weights turned out to be.

    Raises
    ------
    WeightsError
        If an encoder or the initial weights cannot be loaded, or fewer layers are there than are to be frozen.
    """
    torch.manual_seed(settings.seed)
    initial = settings.init_weights
    if initial.source is None:
        network, resolved = build_network(settings.content_encoder, settings.emotion_encoder)
    else:
        only = initial.parts == "encoders"
        network, digest = network_from(initial.source, encoders_only=only, strict=initial.strict)
        resolved = {"init_weights": digest}
    network.to(device)
    freeze(network.audio_encoder_cont, settings.freeze.content_encoder)
    freeze(network.audio_encoder_emo, settings.freeze.emotion_encoder)
    network.recompute_layers(settings.gradient_checkpointing)
    if settings.compile:
        network.compile_layers()
    return network, resolved
