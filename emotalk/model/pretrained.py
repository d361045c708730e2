"""Where the two encoders come from: a model hub, a local folder, or small random ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import PreTrainedModel, Wav2Vec2Config
from transformers.utils import logging as library_logging

from emotalk.config.training import RANDOM, EncoderSettings
from emotalk.errors import WeightsError
from emotalk.model.encoders import EmotionEncoder, SpeechEncoder
from emotalk.model.network import EmoTalk
from emotalk.provenance import file_digest

Encoder = TypeVar("Encoder", bound=PreTrainedModel)

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
"""Configuration of both encoders of the released network (DOMAIN.md, section 4)."""

_UNUSED = ("lm_head", "masked_spec_embed")


def build_network(content: EncoderSettings, emotion: EncoderSettings) -> EmoTalk:
    """Network with the given encoders; the rest is random, from torch's global generator.

    Raises
    ------
    WeightsError
        If an encoder cannot be found or read, or lacks a parameter.
    """
    return EmoTalk(load_encoder(SpeechEncoder, content), load_encoder(EmotionEncoder, emotion))


def encoder_digest(wanted: EncoderSettings) -> str:
    """What an encoder's source turns out to be: a commit of the hub, digests of a folder's weights, or "random".

    Raises
    ------
    WeightsError
        If it cannot be found.
    """
    if wanted.source == RANDOM:
        return RANDOM
    folder = Path(wanted.source)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
        return f"SHA-256 {' '.join(map(file_digest, files))}"
    try:
        config = Wav2Vec2Config.from_pretrained(wanted.source, revision=wanted.revision or "main")
    except Exception as error:  # What the hub's client raises is no closed set.
        raise WeightsError(_cannot_load(wanted, False, error)) from None
    return f"commit {config._commit_hash}"


def load_encoder(kind: type[Encoder], wanted: EncoderSettings) -> Encoder:
    """Encoder of a kind from its source; only an id of the hub may touch the network.

    Raises
    ------
    WeightsError
        If it cannot be found or read, or lacks a parameter.
    """
    if wanted.source == RANDOM:
        return _random(kind, wanted.sizes)
    is_local = Path(wanted.source).is_dir()
    try:
        with _silent_library():
            loaded: Any = kind.from_pretrained(
                wanted.source,
                revision=wanted.revision or "main",
                local_files_only=is_local,
                dtype=torch.float32,
                attn_implementation="sdpa",
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # What the loaders raise for damaged files is no closed set.
        raise WeightsError(_cannot_load(wanted, is_local, error)) from None
    encoder, info = loaded
    absent = [*info["missing_keys"], *(mismatch[0] for mismatch in info["mismatched_keys"])]
    absent = sorted(name for name in absent if not any(part in name for part in _UNUSED))
    if absent:
        raise WeightsError(
            f"{wanted.source} lacks {len(absent)} parameters of the {kind.__name__}, or has them in another shape, "
            f"{absent[0]} first. It would start them at random, so it is refused; give a matching encoder."
        )
    return encoder


@contextmanager
def _silent_library() -> Iterator[None]:
    """Without the library's progress bar and its table of parameters that differ: `load_encoder` says what matters."""
    verbosity, has_bar = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    library_logging.set_verbosity_error()
    library_logging.disable_progress_bar()
    try:
        yield
    finally:
        library_logging.set_verbosity(verbosity)
        if has_bar:
            library_logging.enable_progress_bar()


def _random(kind: type[Encoder], sizes: Mapping[str, Any]) -> Encoder:
    unknown = sorted(sizes.keys() - Wav2Vec2Config().to_dict().keys())
    if unknown:
        raise WeightsError(f"{', '.join(unknown)} under 'sizes' is no wav2vec2 configuration value. See config.yaml.")
    try:
        return kind(Wav2Vec2Config(**sizes))
    except WeightsError:
        raise
    except Exception as error:  # Each layer checks its sizes in its own way.
        raise WeightsError(f"The 'sizes' of the random {kind.__name__} do not fit together: {error}") from None


def _cannot_load(wanted: EncoderSettings, is_local: bool, error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    if is_local:
        return f"The folder {wanted.source} is no wav2vec2 encoder: {first_line}"
    return (
        f"There is no folder {wanted.source}, and the model hub did not give it either: {first_line} "
        "Without hub access, download the encoder elsewhere and set 'source' to its folder (see resources/README.md)."
    )
