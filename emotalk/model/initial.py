"""Weights that training begins from: a whole network's, or those of its encoders."""

import logging
from pathlib import Path

from emotalk.errors import WeightsError
from emotalk.model.network import EmoTalk
from emotalk.model.weights import compare, configs_for, read_state, take_what_fits, weights_file
from emotalk.provenance import file_digest

_LOG = logging.getLogger(__name__)
_ENCODERS = "audio_encoder_"


def load_initial(source: str, *, encoders_only: bool, strict: bool) -> EmoTalk:
    """Network that begins from weights; what they do not give is random, from torch's global generator.

    Parameters
    ----------
    source
        A released `.pth`, a `.safetensors` file, or one of our cards. Sizes are those of the card beside it, else the
        released ones.
    encoders_only
        Whether only the encoders are taken, and the rest of the file is not looked at.
    strict
        Whether weights that do not fit in every parameter are refused. Else what fits is taken and the rest logged.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, does not fit, or nothing in it does, or a parameter is of a wrong type or not
        finite.
    """
    path, prefix = weights_file(Path(source)), _ENCODERS if encoders_only else ""
    state = {name: value for name, value in read_state(path).items() if name.startswith(prefix)}
    network = EmoTalk.from_configs(*configs_for(Path(source)))
    mismatch = compare(network, state, prefix)
    if strict and mismatch:
        raise WeightsError(
            f"{source} does not fit the network: {mismatch}. Sizes come from the card beside the weights. To take what "
            "fits, set train.init_weights.strict to false."
        )
    if mismatch:
        _LOG.warning("Of %s only what fits is taken: %s.", source, mismatch)
    if not take_what_fits(network, state, mismatch, source):
        raise WeightsError(f"{source} holds nothing that fits the network.")
    return network


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
