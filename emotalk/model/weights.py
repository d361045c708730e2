"""Weights in the released form: names, files, strict loading."""

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
from emotalk.model.card import configs_for, weights_file
from emotalk.model.network import EmoTalk

_LOG = logging.getLogger(__name__)
_WEIGHT_NORM = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
"""Today's torch names of the weight-normed convolution, and the released ones."""


def released_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's state under the names of the released checkpoint."""
    return {_renamed(name, _WEIGHT_NORM): value for name, value in state.items()}


def current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released state under the names of today's torch."""
    back = {old: new for new, old in _WEIGHT_NORM.items()}
    return {_renamed(name, back): value for name, value in state.items()}


def _renamed(name: str, suffixes: Mapping[str, str]) -> str:
    for old, new in suffixes.items():
        if name.endswith(f"pos_conv_embed.conv.{old}"):
            return name.removesuffix(old) + new
    return name


def load_weights(
    path: str | Path, device: str | torch.device = "cpu", encoder: Mapping[str, Any] | None = None
) -> EmoTalk:
    """Load an EmoTalk network for use.

    Parameters
    ----------
    path
        A released `.pth`, a `.safetensors` file, or one of our `.json` cards (its weights lie beside it).
    device
        Where the network goes.
    encoder
        wav2vec2 configuration values of both encoders. By default those of the card beside the file, else the released
        sizes (wav2vec2-large).

    Raises
    ------
    WeightsError
        If the file is missing or damaged, lacks a parameter, or holds one of another shape, of another type than
        floating-point numbers, or with values that are NaN or infinite.
    """
    configs = configs_for(Path(path), encoder)
    path = weights_file(Path(path))
    state = read_state(path)
    network = EmoTalk.empty(*configs)
    ignored = load_strict(network, state, str(path))
    if ignored:
        _LOG.warning("%s holds %d entries that the network does not have: %s", path, len(ignored), ", ".join(ignored))
    return network.to(device).eval()


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a weights file by name. The file is data, never code.

    They are mapped from the disk where the file's form allows this: memory is taken when they are looked at, and no
    copy of them is made.

    Raises
    ------
    WeightsError
        If there is no such file, or it is no file of tensors.
    """
    if not path.is_file():
        raise WeightsError(
            f"There is no file {path}. Give a .pth, a .safetensors or a card (.json) beside its weights."
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, "cpu", weights_only=True, mmap=_can_be_mapped(path))
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is no readable weights file: {error}") from None
    except UnpicklingError:  # Its text advises to load the file all the same.
        raise WeightsError(f"{path} holds more than tensors, or is damaged; it is not loaded.") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} is no table of tensors. A training checkpoint becomes weights by rule 'extract'.")
    return state


def _can_be_mapped(path: Path) -> bool:
    """Whether torch can map the file: not those of before 2020, which are no zip archives, nor compressed ones."""
    try:
        with ZipFile(path) as archive:
            return all(entry.compress_type == ZIP_STORED for entry in archive.infolist())
    except (BadZipFile, NotImplementedError, ValueError):
        return False


class Mismatch(NamedTuple):
    """How a state differs from what a network has, by names of parameters."""

    missing: list[str]
    unexpected: list[str]
    shape_mismatch: list[str]
    """In another shape."""

    def __bool__(self) -> bool:
        return any(self[:])

    def __str__(self) -> str:
        kinds = ((self.missing, "missing"), (self.unexpected, "unexpected"), (self.shape_mismatch, "of another shape"))
        return "; ".join(f"{len(names)} parameters are {what} ({_first(names)})" for names, what in kinds if names)


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def compare(network: EmoTalk, state: Mapping[str, Tensor], prefix: str = "") -> Mismatch:
    """How a state under either names differs from the network's parameters whose names begin with `prefix`."""
    wanted = {name: value for name, value in released_names(network.state_dict()).items() if name.startswith(prefix)}
    given = released_names(state)
    return Mismatch(
        missing=[name for name in wanted if name not in given],
        unexpected=[name for name in given if name not in wanted],
        shape_mismatch=[name for name in wanted if name in given and given[name].shape != wanted[name].shape],
    )


def load_strict(network: EmoTalk, state: Mapping[str, Tensor], source: str | Path) -> list[str]:
    """Let a state, under either names, become the parameters of a network, every one of them. Nothing is copied.

    Returns
    -------
    list of str
        Names in `state` that the network does not have; they are left out.

    Raises
    ------
    WeightsError
        If a parameter is missing, or is none that `as_weight` takes.
    """
    mismatch = compare(network, state)
    if mismatch.missing or mismatch.shape_mismatch:
        raise WeightsError(
            f"{source} does not fit the network: {mismatch}. Encoder sizes come from the card beside the weights; for "
            "weights without a card pass them as 'encoder'."
        )
    load_matching(network, state, mismatch, source, assign=True)
    return mismatch.unexpected


def load_matching(
    network: EmoTalk, state: Mapping[str, Tensor], mismatch: Mismatch, source: str | Path, *, assign: bool = False
) -> int:
    """Put the parameters of a state that fit into a network.

    Parameters
    ----------
    mismatch
        What `compare` says of them.
    source
        Where they come from, for errors.
    assign
        Whether the tensors become the network's own, instead of being copied into those that it has.

    Returns
    -------
    int
        How many they are.

    Raises
    ------
    WeightsError
        If one of them is none that `as_weight` takes.
    """
    left_out = {*mismatch.unexpected, *mismatch.shape_mismatch}
    fitting = {
        name: as_weight(name, value, source) for name, value in released_names(state).items() if name not in left_out
    }
    network.load_state_dict(current_names(fitting), strict=False, assign=assign)
    return len(fitting)


def as_weight(name: str, value: Tensor, source: str | Path) -> Tensor:
    """A parameter as float32; other floating-point types are converted.

    Raises
    ------
    WeightsError
        If it is of another type, or holds values that are NaN or infinite.
    """
    if not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise WeightsError(
            f"Tensor {name} in {source} is of type {kind}, and weights must be floating-point numbers; save it as "
            "float32."
        )
    weight = value.detach().to(torch.float32).contiguous()
    if weight.numel() and not torch.isfinite(torch.stack(weight.aminmax())).all():
        raise WeightsError(
            f"Tensor {name} in {source} holds values that are NaN or infinite in float32, and a network with them "
            "predicts nothing; take weights from another file, or from an earlier checkpoint."
        )
    return weight


def save_weights(network: EmoTalk, folder: Path, name: str) -> None:
    """Write `<name>.pth` and `<name>.safetensors` under the released names.

    Each is written beside and then renamed, so that a file of this name is always complete.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in released_names(network.state_dict()).items()}
    with atomic_path(folder / f"{name}.pth") as partial:
        torch.save(state, partial)
        mode = partial.stat().st_mode
    with atomic_path(folder / f"{name}.safetensors") as partial:
        save_file(state, partial)
        partial.chmod(mode)  # What safetensors writes can be read by its owner alone.
