"""Loading of the two encoders from the Hugging Face Hub or a local folder, and random encoders.

Files are read with transformers, which handles their names, formats and download; its models are not used otherwise.
transformers takes seconds to import, and is imported only for a folder or the hub.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from emotalk.config.training import RANDOM, EncoderSettings
from emotalk.errors import WeightsError
from emotalk.model.encoder_config import EncoderConfig
from emotalk.model.encoders import VOCABULARY, EmotionClassifier, EmotionEncoder, SpeechEncoder
from emotalk.model.network import EmoTalk
from emotalk.model.weights import as_weight
from emotalk.provenance import file_digest
from emotalk.subjects import NUM_RELEASED_SLOTS

Encoder = TypeVar("Encoder", SpeechEncoder, EmotionEncoder)

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
"""Patterns of weights files on the hub, the preferred format first."""
_UNUSED = ("lm_head", "masked_spec_embed")


def build_network(content: EncoderSettings, emotion: EncoderSettings, num_slots: int = NUM_RELEASED_SLOTS) -> EmoTalk:
    """Build a network with the given encoders; other parameters are random, from torch's global generator.

    Raises
    ------
    WeightsError
        If an encoder cannot be found or read, or has missing parameters.
    """
    return EmoTalk(load_encoder(SpeechEncoder, content), load_encoder(EmotionEncoder, emotion), num_slots)


def encoder_digest(settings: EncoderSettings) -> str:
    """Return the identity of an encoder: a commit of the hub, digests of the weights in a folder, or "random".

    Raises
    ------
    WeightsError
        If the encoder cannot be found.
    """
    if settings.source == RANDOM:
        return RANDOM
    folder = Path(settings.source)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
        return f"SHA-256 {' '.join(map(file_digest, files))}"
    from transformers import Wav2Vec2Config

    try:
        config = Wav2Vec2Config.from_pretrained(settings.source, revision=settings.revision or "main")
    except Exception as error:  # The client of the hub raises exceptions of many types.
        raise WeightsError(_load_error(settings, False, error)) from None
    return f"commit {config._commit_hash}"


def fetch_encoder(settings: EncoderSettings) -> None:
    """Download an encoder from the hub to its cache; for a local folder, check that its files exist.

    Raises
    ------
    WeightsError
        If a file is missing in the folder, or the hub cannot be reached and the encoder is not in its cache.
    """
    if settings.source == RANDOM:
        return
    folder = Path(settings.source)
    if folder.is_dir():
        if not (folder / "config.json").is_file() or not any(folder.glob(pattern) for pattern in _WEIGHTS):
            raise WeightsError(f"The folder {folder} has no config.json or no weights ({' or '.join(_WEIGHTS)}).")
        return
    from huggingface_hub import HfApi, snapshot_download

    options: dict[str, Any] = {"repo_id": settings.source, "revision": settings.revision}
    try:
        files = HfApi().model_info(**options).siblings or ()  # This call does not retry.
        names = [file.rfilename for file in files]
        weights = next(
            (pattern for pattern in _WEIGHTS if any(PurePath(name).match(pattern) for name in names)), "*.bin"
        )
        snapshot_download(**options, allow_patterns=["config.json", weights, f"{weights}.index.json"])
    except Exception as error:  # The client of the hub raises exceptions of many types.
        try:
            snapshot_download(**options, local_files_only=True)
        except Exception:
            raise WeightsError(_load_error(settings, False, error)) from None


def load_encoder(encoder_class: type[Encoder], settings: EncoderSettings) -> Encoder:
    """Load an encoder from its source; the network is accessed only for an id of the hub.

    Raises
    ------
    WeightsError
        If the encoder cannot be found or read, its configuration is not supported, or parameters are missing.
    """
    if settings.source == RANDOM:
        return _make_random(encoder_class, settings.sizes)
    is_local = Path(settings.source).is_dir()
    try:
        with _quiet_transformers():
            config, state, missing = _read(encoder_class, settings, is_local)
    except WeightsError:
        raise
    except Exception as error:  # The loaders raise exceptions of many types for damaged files.
        raise WeightsError(_load_error(settings, is_local, error)) from None
    missing = sorted(name for name in missing if not any(part in name for part in _UNUSED))
    if missing:
        raise WeightsError(
            f"{settings.source}: {len(missing)} parameters of the {encoder_class.__name__} are missing or have another "
            f"shape, the first is {missing[0]}. They would be random; set an encoder of the same architecture."
        )
    with torch.device("meta"):
        encoder = encoder_class(config)
    state = {name: as_weight(name, value, settings.source) for name, value in state.items()}
    encoder.load_state_dict(state, assign=True)
    return encoder


def _read(
    encoder_class: type[nn.Module], settings: EncoderSettings, is_local: bool
) -> tuple[EncoderConfig, dict[str, Tensor], list[str]]:
    """Read the configuration, the parameters, and the names of parameters that are missing in the file and random."""
    from transformers import Wav2Vec2Config

    location = {"revision": settings.revision or "main", "local_files_only": is_local}
    values, _ = Wav2Vec2Config.get_config_dict(settings.source, **location)
    if not values:
        raise FileNotFoundError("it has no config.json.")
    config = EncoderConfig.from_values(values, f"The encoder {settings.source}")
    model, info = _transformers_class(encoder_class).from_pretrained(
        settings.source,
        **location,
        config=Wav2Vec2Config(**config.model_dump()),  # Only validated values, not the whole file.
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    missing = [*info["missing_keys"], *(mismatch[0] for mismatch in info["mismatched_keys"])]
    return config, model.state_dict(), missing


def _transformers_class(encoder_class: type[nn.Module]) -> Any:
    """Define a model of transformers with the parameter names of `encoder_class`."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model, Wav2Vec2PreTrainedModel

    class SpeechModel(Wav2Vec2Model):
        def __init__(self, config: Wav2Vec2Config) -> None:
            super().__init__(config)
            self.lm_head = nn.Linear(config.hidden_size, VOCABULARY)
            self.post_init()

    class EmotionModel(Wav2Vec2PreTrainedModel):
        def __init__(self, config: Wav2Vec2Config) -> None:
            super().__init__(config)
            self.wav2vec2 = SpeechModel(config)
            self.classifier = EmotionClassifier(config)
            self.post_init()

    return SpeechModel if encoder_class is SpeechEncoder else EmotionModel


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Disable the progress bar and the log of transformers; `load_encoder` reports missing parameters itself."""
    from transformers.utils import logging

    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()


def _make_random(encoder_class: type[Encoder], sizes: Mapping[str, Any]) -> Encoder:
    known = [name for name, field in EncoderConfig.model_fields.items() if not field.exclude]
    if unknown := sorted(sizes.keys() - set(known)):
        raise WeightsError(
            f"{', '.join(unknown)} under 'sizes' is not a configuration value of an encoder. Valid names are: "
            f"{', '.join(known)}."
        )
    return encoder_class(EncoderConfig.from_values(sizes, f"'sizes' of the random {encoder_class.__name__}"))


def _load_error(settings: EncoderSettings, is_local: bool, error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0].rstrip(".")
    if is_local:
        return f"The folder {settings.source} is not a wav2vec2 encoder: {first_line}."
    return (
        f"Folder {settings.source} does not exist, and it cannot be downloaded from the Hugging Face Hub: "
        f"{first_line}. Without access, copy the encoder from another machine and set model.content_encoder.source or "
        "model.emotion_encoder.source to its folder (resources/README.md), set the environment variable HF_ENDPOINT to "
        "a mirror, or start from the released EmoTalk.pth with train.init_weights."
    )
