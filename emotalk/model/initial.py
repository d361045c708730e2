"""Initial weights of training: weights of a whole network, or pretrained weights of its encoders."""

import json
import logging
from pathlib import Path

import torch
from torch import nn

from emotalk.config.training import InitialWeights, ModelSettings
from emotalk.errors import WeightsError
from emotalk.model.card import read_network_config, weights_file
from emotalk.model.network import EmoTalk
from emotalk.model.pretrained import encoder_digest, fetch_encoder
from emotalk.model.weights import compare, load_matching, read_state
from emotalk.provenance import file_digest
from emotalk.subjects import NUM_RELEASED_SLOTS

_LOG = logging.getLogger(__name__)
_ENCODERS = "audio_encoder_"


def load_initial(initial: InitialWeights, num_slots: int = NUM_RELEASED_SLOTS) -> EmoTalk:
    """Build a network with initial weights; other parameters are random, from torch's global generator.

    Parameters
    ----------
    initial
        The file (a released `.pth`, a `.safetensors` file or one of our cards) and options of loading. The encoder
        sizes are read from the card beside the file; without a card they are the released ones.
    num_slots
        Minimum number of subject slots. Slots that the file does not have are initialized with the mean of its slots.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, its parameters do not match the network, or a parameter has a wrong type or
        is not finite.
    """
    source = str(initial.source)
    path, prefix = weights_file(Path(source)), _ENCODERS if initial.parts == "encoders" else ""
    state = {name: value for name, value in read_state(path).items() if name.startswith(prefix)}
    network = EmoTalk.from_configs(*read_network_config(Path(source)))
    mismatch = compare(network, state, prefix)
    if initial.strict and mismatch:
        raise WeightsError(
            f"{source} does not match the network: {mismatch}. The encoder sizes are read from the card beside the "
            "weights. To load only the matching parameters, set train.init_weights.strict to false."
        )
    if mismatch:
        _LOG.warning("Only the matching parameters of %s are loaded: %s.", source, mismatch)
    if not load_matching(network, state, mismatch, source):
        raise WeightsError(
            f"{source} contains no parameter that matches the network. Set train.init_weights.source to weights."
        )
    if num_slots > network.num_slots:
        _add_subjects(network, num_slots - network.num_slots)
    if initial.new_subjects:
        _average_subjects(network)
    return network


@torch.no_grad()
def _add_subjects(network: EmoTalk, count: int) -> None:
    """Add subjects whose embeddings, the columns of the layer's weight, are the mean of the others."""
    layer = network.obj_vector_person
    added = layer.weight.mean(dim=1, keepdim=True).expand(-1, count)
    layer.weight = nn.Parameter(torch.cat([layer.weight, added], dim=1))
    layer.in_features += count


@torch.no_grad()
def _average_subjects(network: EmoTalk) -> None:
    """Set the embeddings of all subjects to their mean."""
    weight = network.obj_vector_person.weight
    weight.copy_(weight.mean(dim=1, keepdim=True).expand_as(weight))


def fetch_initial_weights(model: ModelSettings, initial: InitialWeights, out: str | Path) -> None:
    """Check that the initial weights are available; encoders on the Hugging Face Hub are downloaded to its cache.

    This runs before the long stages of the workflow; training reads the cache.

    Parameters
    ----------
    out
        JSON file for the digest of each encoder, or of the initial weights that replace them.

    Raises
    ------
    WeightsError
        If a file or folder is missing, or the hub cannot be reached and the encoder is not in its cache.
    """
    digests = {}
    if initial.source is not None:
        digests["init_weights"] = weights_digest(initial.source)
    else:
        for name, encoder in (("content", model.content_encoder), ("emotion", model.emotion_encoder)):
            fetch_encoder(encoder)
            digests[name] = encoder_digest(encoder)
            _LOG.info("The %s encoder is available: %s (%s)", name, encoder.source, digests[name])
    Path(out).write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")


def weights_digest(source: str) -> str:
    """Return the SHA-256 of the file that contains the tensors of weights.

    Raises
    ------
    WeightsError
        If the file does not exist.
    """
    path = weights_file(Path(source))
    if not path.is_file():
        raise WeightsError(
            f"File {path} does not exist (train.init_weights). Set a .pth, a .safetensors or a card (.json)."
        )
    return file_digest(path)
