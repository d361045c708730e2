"""Where the two encoders come from: a model hub, a local folder, or small random ones.

transformers knows how files on the hub are named, split and fetched; its models are only a pattern for reading them. It
takes seconds to import, and is imported for a folder or the hub alone.
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
from emotalk.provenance import file_digest

Encoder = TypeVar("Encoder", SpeechEncoder, EmotionEncoder)

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
"""Names of files of weights on the hub, the preferred form first."""
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
    from transformers import Wav2Vec2Config

    try:
        config = Wav2Vec2Config.from_pretrained(wanted.source, revision=wanted.revision or "main")
    except Exception as error:  # What the hub's client raises is no closed set.
        raise WeightsError(_cannot_load(wanted, False, error)) from None
    return f"commit {config._commit_hash}"


def fetch_encoder(encoder: EncoderSettings) -> None:
    """Download an encoder of the hub into its cache; of a local folder check that its files exist.

    Raises
    ------
    WeightsError
        If the folder lacks a file, or the hub cannot be reached and its cache lacks the encoder.
    """
    if encoder.source == RANDOM:
        return
    folder = Path(encoder.source)
    if folder.is_dir():
        if not (folder / "config.json").is_file() or not any(folder.glob(pattern) for pattern in _WEIGHTS):
            raise WeightsError(f"The folder {folder} has no config.json or no weights ({' or '.join(_WEIGHTS)}).")
        return
    from huggingface_hub import HfApi, snapshot_download

    options: dict[str, Any] = {"repo_id": encoder.source, "revision": encoder.revision}
    try:
        files = HfApi().model_info(**options).siblings or ()  # Without the retries of other calls.
        names = [file.rfilename for file in files]
        weights = next(
            (pattern for pattern in _WEIGHTS if any(PurePath(name).match(pattern) for name in names)), "*.bin"
        )
        snapshot_download(**options, allow_patterns=["config.json", weights, f"{weights}.index.json"])
    except Exception as error:  # What the hub's client raises is no closed set.
        try:
            snapshot_download(**options, local_files_only=True)
        except Exception:
            raise WeightsError(_cannot_load(encoder, False, error)) from None


def load_encoder(kind: type[Encoder], wanted: EncoderSettings) -> Encoder:
    """Encoder of a kind from its source; only an id of the hub may touch the network.

    Raises
    ------
    WeightsError
        If it cannot be found or read, has a configuration that is not supported, or lacks a parameter.
    """
    if wanted.source == RANDOM:
        return _random(kind, wanted.sizes)
    is_local = Path(wanted.source).is_dir()
    try:
        with _silent_library():
            config, state, absent = _read(kind, wanted, is_local)
    except WeightsError:
        raise
    except Exception as error:  # What the loaders raise for damaged files is no closed set.
        raise WeightsError(_cannot_load(wanted, is_local, error)) from None
    absent = sorted(name for name in absent if not any(part in name for part in _UNUSED))
    if absent:
        raise WeightsError(
            f"{wanted.source} lacks {len(absent)} parameters of the {kind.__name__}, or has them in another shape, "
            f"{absent[0]} first. It would start them at random, so it is refused; give a matching encoder."
        )
    with torch.device("meta"):
        encoder = kind(config)
    encoder.load_state_dict(state, assign=True)
    return encoder


def _read(
    kind: type[nn.Module], wanted: EncoderSettings, is_local: bool
) -> tuple[EncoderConfig, dict[str, Tensor], list[str]]:
    """Configuration, parameters, and names of those that were not there and are random."""
    from transformers import Wav2Vec2Config

    where = {"revision": wanted.revision or "main", "local_files_only": is_local}
    values, _ = Wav2Vec2Config.get_config_dict(wanted.source, **where)
    if not values:
        raise FileNotFoundError("it has no config.json.")
    config = EncoderConfig.from_values(values, f"The encoder {wanted.source}")
    model, info = _pattern(kind).from_pretrained(
        wanted.source,
        **where,
        config=Wav2Vec2Config(**config.model_dump()),  # What was checked, and nothing else of the file.
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    absent = [*info["missing_keys"], *(mismatch[0] for mismatch in info["mismatched_keys"])]
    return config, model.state_dict(), absent


def _pattern(kind: type[nn.Module]) -> Any:
    """A model of the library whose parameters have the names of ours."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model, Wav2Vec2PreTrainedModel

    class Speech(Wav2Vec2Model):
        def __init__(self, config: Wav2Vec2Config) -> None:
            super().__init__(config)
            self.lm_head = nn.Linear(config.hidden_size, VOCABULARY)
            self.post_init()

    class Emotion(Wav2Vec2PreTrainedModel):
        def __init__(self, config: Wav2Vec2Config) -> None:
            super().__init__(config)
            self.wav2vec2 = Speech(config)
            self.classifier = EmotionClassifier(config)
            self.post_init()

    return Speech if kind is SpeechEncoder else Emotion


@contextmanager
def _silent_library() -> Iterator[None]:
    """Without the library's progress bar and its table of parameters that differ: `load_encoder` says what matters."""
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


def _random(kind: type[Encoder], sizes: Mapping[str, Any]) -> Encoder:
    known = [name for name, field in EncoderConfig.model_fields.items() if not field.exclude]
    if unknown := sorted(sizes.keys() - set(known)):
        raise WeightsError(
            f"{', '.join(unknown)} under 'sizes' is no configuration value of an encoder. These are: "
            f"{', '.join(known)}."
        )
    return kind(EncoderConfig.from_values(sizes, f"'sizes' of the random {kind.__name__}"))


def _cannot_load(wanted: EncoderSettings, is_local: bool, error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0].rstrip(".")
    if is_local:
        return f"The folder {wanted.source} is not a wav2vec2 encoder: {first_line}."
    return (
        f"There is no folder {wanted.source}, and it cannot be downloaded from the model hub: {first_line}. "
        "Without hub access, copy the encoder from another machine and set model.content_encoder.source or "
        "model.emotion_encoder.source to its folder (resources/README.md), set the environment variable HF_ENDPOINT to "
        "a mirror, or start from the released EmoTalk.pth by train.init_weights."
    )
