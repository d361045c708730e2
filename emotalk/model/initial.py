"""Weights that training begins from: a whole network's, or those of its encoders."""

import json
import logging
from pathlib import Path

import torch

from emotalk.config.training import InitialWeights, ModelSettings
from emotalk.errors import WeightsError
from emotalk.model.card import configs_for, weights_file
from emotalk.model.network import EmoTalk
from emotalk.model.pretrained import encoder_digest, fetch_encoder
from emotalk.model.weights import compare, load_matching, read_state
from emotalk.provenance import file_digest

_LOG = logging.getLogger(__name__)
_ENCODERS = "audio_encoder_"


def load_initial(initial: InitialWeights) -> EmoTalk:
    """Network initialized from a file of weights; other parameters are random, from torch's global generator.

    Parameters
    ----------
    initial
        The file, a released `.pth`, a `.safetensors` file or one of our cards, and how it is loaded. Sizes are those of
        the card beside it, else the released ones.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, does not fit, or nothing in it does, or a parameter is of a wrong type or not
        finite.
    """
    source = str(initial.source)
    path, prefix = weights_file(Path(source)), _ENCODERS if initial.parts == "encoders" else ""
    state = {name: value for name, value in read_state(path).items() if name.startswith(prefix)}
    network = EmoTalk.from_configs(*configs_for(Path(source)))
    mismatch = compare(network, state, prefix)
    if initial.strict and mismatch:
        raise WeightsError(
            f"{source} does not fit the network: {mismatch}. Sizes come from the card beside the weights. To take what "
            "fits, set train.init_weights.strict to false."
        )
    if mismatch:
        _LOG.warning("Of %s only what fits is taken: %s.", source, mismatch)
    if not load_matching(network, state, mismatch, source):
        raise WeightsError(f"{source} holds nothing that fits the network.")
    if initial.new_subjects:
        _average_subjects(network)
    return network


@torch.no_grad()
def _average_subjects(network: EmoTalk) -> None:
    """Set each subject's embedding, a column of the layer's weight, to the mean of all."""
    weight = network.obj_vector_person.weight
    weight.copy_(weight.mean(dim=1, keepdim=True).expand_as(weight))


def fetch_starting_weights(model: ModelSettings, initial: InitialWeights, out: str | Path) -> None:
    """Check that the weights that training starts from are available; encoders of the hub are downloaded to its cache.

    Called before anything else takes time; training reads the cache.

    Parameters
    ----------
    out
        JSON file for the digest of each encoder, or of the initial weights that replace them.

    Raises
    ------
    WeightsError
        If a file or folder is missing, or the hub cannot be reached and its cache lacks the encoder.
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
    """SHA-256 of the file that weights lie in.

    Raises
    ------
    WeightsError
        If there is no such file.
    """
    path = weights_file(Path(source))
    if not path.is_file():
        raise WeightsError(
            f"There is no file {path} (train.init_weights). Give a .pth, a .safetensors or a card (.json)."
        )
    return file_digest(path)
