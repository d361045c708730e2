"""Weights files with the released parameter names, and strict loading."""

import logging
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from emotalk.errors import WeightsError
from emotalk.files import atomic_path
from emotalk.model.card import read_network_config, weights_file
from emotalk.model.network import EmoTalk

_LOG = logging.getLogger(__name__)
_WEIGHT_NORM = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
"""Parameter names of the positional convolution in current torch, and the released ones."""


def to_released_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of the network to the names of the released checkpoint."""
    return {_rename(name, _WEIGHT_NORM): value for name, value in state.items()}


def to_torch_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename released parameters to the names of current torch."""
    to_torch = {released: current for current, released in _WEIGHT_NORM.items()}
    return {_rename(name, to_torch): value for name, value in state.items()}


def _rename(name: str, suffixes: Mapping[str, str]) -> str:
    for old, new in suffixes.items():
        if name.endswith(f"pos_conv_embed.conv.{old}"):
            return name.removesuffix(old) + new
    return name


def load_weights(
    path: str | Path, device: str | torch.device = "cpu", encoder: Mapping[str, Any] | None = None
) -> EmoTalk:
    """Load an EmoTalk network for inference.

    Parameters
    ----------
    path
        A released `.pth`, a `.safetensors` file, or one of our `.json` cards beside its weights.
    device
        Device of the network.
    encoder
        wav2vec2 configuration values of both encoders; by default the values of the card beside the file, or the
        released sizes (wav2vec2-large) without a card.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or a parameter is missing, has another shape, is not floating-point or
        contains NaN or infinite values.
    """
    config = read_network_config(Path(path), encoder)
    path = weights_file(Path(path))
    state = read_state(path)
    network = EmoTalk.empty(*config)
    ignored = load_strict(network, state, str(path))
    if ignored:
        _LOG.warning("%s: ignoring %d entries that are not in the network: %s", path, len(ignored), ", ".join(ignored))
    return network.to(device).eval()


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file by name, without executing code from the file.

    The file is memory-mapped if its format allows it.

    Raises
    ------
    WeightsError
        If the file does not exist, or does not contain tensors only.
    """
    if not path.is_file():
        raise WeightsError(
            f"File {path} does not exist. Set a .pth, a .safetensors or a card (.json) beside its weights."
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, "cpu", weights_only=True, mmap=_can_be_mapped(path))
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read as a weights file: {error}") from None
    except UnpicklingError:  # torch's message suggests to disable the check.
        raise WeightsError(f"{path} is damaged or contains other objects than tensors; it is not loaded.") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(
            f"{path} is not a dictionary of tensors. Rule 'extract' converts a training checkpoint to weights."
        )
    return state


def _can_be_mapped(path: Path) -> bool:
    """Whether torch can memory-map the file: a zip archive (files before 2020 are not) without compression."""
    try:
        with ZipFile(path) as archive:
            return all(entry.compress_type == ZIP_STORED for entry in archive.infolist())
    except (BadZipFile, NotImplementedError, ValueError):
        return False


class Mismatch(NamedTuple):
    """Parameter names that differ between a state and a network."""

    missing: list[str]
    unexpected: list[str]
    shape_mismatch: list[str]

    def __bool__(self) -> bool:
        return any(self[:])

    def __str__(self) -> str:
        kinds = ((self.missing, "missing"), (self.unexpected, "unexpected"), (self.shape_mismatch, "of another shape"))
        return "; ".join(
            f"{len(names)} parameters are {kind} ({_first_names(names)})" for names, kind in kinds if names
        )


def _first_names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def compare(network: EmoTalk, state: Mapping[str, Tensor], prefix: str = "") -> Mismatch:
    """Compare a state, with released or current names, to the parameters of a network that begin with `prefix`."""
    expected = to_released_names(network.state_dict())
    expected = {name: value for name, value in expected.items() if name.startswith(prefix)}
    actual = to_released_names(state)
    return Mismatch(
        missing=[name for name in expected if name not in actual],
        unexpected=[name for name in actual if name not in expected],
        shape_mismatch=[name for name in expected if name in actual and actual[name].shape != expected[name].shape],
    )


def load_strict(network: EmoTalk, state: Mapping[str, Tensor], source: str | Path) -> list[str]:
    """Load all parameters of a network from a state, with released or current names, without copying tensors.

    Returns
    -------
    list of str
        Ignored names in `state`, which the network does not have.

    Raises
    ------
    WeightsError
        If a parameter is missing or has another shape, or `as_weight` rejects it.
    """
    mismatch = compare(network, state)
    if mismatch.missing or mismatch.shape_mismatch:
        raise WeightsError(
            f"{source} does not match the network: {mismatch}. The encoder sizes are read from the card: copy the card "
            "(.json) that was written with the weights beside them, or pass the sizes to load_weights as 'encoder'."
        )
    load_matching(network, state, mismatch, source, assign=True)
    return mismatch.unexpected


def load_matching(
    network: EmoTalk, state: Mapping[str, Tensor], mismatch: Mismatch, source: str | Path, *, assign: bool = False
) -> int:
    """Load the parameters of a state that match the network.

    Parameters
    ----------
    mismatch
        Result of `compare`.
    source
        Name of the source, for error messages.
    assign
        If true, the tensors replace the parameters of the network; else their values are copied.

    Returns
    -------
    int
        Number of loaded parameters.

    Raises
    ------
    WeightsError
        If `as_weight` rejects a parameter.
    """
    ignored = {*mismatch.unexpected, *mismatch.shape_mismatch}
    matching = {
        name: as_weight(name, value, source) for name, value in to_released_names(state).items() if name not in ignored
    }
    network.load_state_dict(to_torch_names(matching), strict=False, assign=assign)
    return len(matching)


def as_weight(name: str, value: Tensor, source: str | Path) -> Tensor:
    """Convert a floating-point parameter to float32.

    Raises
    ------
    WeightsError
        If it has another type, or contains NaN or infinite values.
    """
    if not value.is_floating_point():
        dtype = str(value.dtype).removeprefix("torch.")
        raise WeightsError(
            f"Tensor {name} in {source} has type {dtype}; weights must be floating-point numbers. Save it as float32."
        )
    weight = value.detach().to(torch.float32).contiguous()
    if weight.numel() and not torch.isfinite(torch.stack(weight.aminmax())).all():
        raise WeightsError(
            f"Tensor {name} in {source} contains NaN or infinite values in float32, so that predictions would be NaN. "
            "Use weights from another file or from an earlier checkpoint."
        )
    return weight


def save_weights(network: EmoTalk, folder: Path, name: str) -> None:
    """Write `<name>.pth` and `<name>.safetensors` atomically, with the released parameter names."""
    state = {key: value.detach().cpu().contiguous() for key, value in to_released_names(network.state_dict()).items()}
    with atomic_path(folder / f"{name}.pth") as partial:
        torch.save(state, partial)
        mode = partial.stat().st_mode
    with atomic_path(folder / f"{name}.safetensors") as partial:
        save_file(state, partial)
        partial.chmod(mode)  # safetensors makes its files readable by the owner only.
