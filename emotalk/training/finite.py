"""Detection of losses and gradients that are not finite, without waiting for the device at every step."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from emotalk.data.manifest import Example
from emotalk.errors import TrainingError
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup


class NonFiniteError(TrainingError):
    """A loss or a gradient was not finite."""


class _Seen(NamedTuple):
    what: str
    values: dict[str, Tensor]
    examples: Sequence[Example]


class FiniteGuard:
    """Watches losses and gradients where they are computed, and reads what it saw only now and then.

    From the first value on that is not finite, `broken` tells the optimizer to leave everything as it is, so that
    reading later loses nothing.

    Parameters
    ----------
    device
        Where the values are.
    group
        Processes that share the steps, each with a guard of its own.
    """

    def __init__(self, device: torch.device, group: ProcessGroup = SINGLE_PROCESS) -> None:
        self._group = group
        self.broken = torch.zeros((), device=device)
        """1 once a value was not finite, else 0."""
        self._seen: list[_Seen] = []

    def watch_losses(self, losses: dict[str, Tensor], examples: Sequence[Example]) -> None:
        """Note the losses of a batch; `loss` is their sum."""
        losses = {name: value.detach() for name, value in losses.items()}
        self._watch(losses["loss"])
        self._seen.append(_Seen("loss", losses, examples))

    def watch_gradient(self, norm: Tensor, examples: Sequence[Example], *, may_overflow: bool = False) -> None:
        """Note the norm of a step's gradient.

        Parameters
        ----------
        may_overflow
            Whether one that is not finite is no issue yet, as in fp16, where the scale of the loss is lowered first.
        """
        if not may_overflow:
            self._watch(norm)
        self._seen.append(_Seen("gradient", {"norm": norm}, examples))

    def _watch(self, value: Tensor) -> None:
        self.broken = torch.maximum(self.broken, (~value.isfinite()).float())

    def share(self) -> None:
        """Be broken if the guard of another process is."""
        if self._group.size > 1:
            self._group.all_reduce_sum([self.broken])
            self.broken.clamp_(max=1)

    def check(self, *, overflows: bool = False) -> None:
        """Wait for the device and look at what was seen since the last check; all processes do so together.

        Parameters
        ----------
        overflows
            Whether gradients that may overflow now and then do so whatever is done about it.

        Raises
        ------
        NonFiniteError
            If a value was not finite; names the clips of the first such batch, or else step, of any process.
        """
        seen, self._seen = self._seen, []
        if overflows or self.broken.item():
            # A loss that is not finite makes the gradients of all processes so.
            mine = sorted(filter(None, map(_fault, seen)), key=lambda issue: issue[0] != "loss")[:1]
            issues = [issue for each in self._group.all_gather(mine) for issue in each]
            what, found, examples = min(issues, key=lambda issue: issue[0] != "loss")
            raise NonFiniteError(_message(what, found, examples))


def _fault(seen: _Seen) -> tuple[str, dict[str, float], Sequence[Example]] | None:
    """What was seen, as numbers, if it is not finite."""
    found = {name: value.item() for name, value in seen.values.items()}
    return None if all(map(math.isfinite, found.values())) else (seen.what, found, seen.examples)


def _message(what: str, found: dict[str, float], examples: Sequence[Example]) -> str:
    clips = sorted({example[name] for example in examples for name in ("audio_c1e2", "audio_c2e1")} - {None})
    values = ", ".join(f"{name} {value:g}" for name, value in found.items())
    return (
        f"The {what} is not finite ({values}) on a batch with the clips {', '.join(clips)}. Nothing was updated by it. "
        "Look at these clips, lower train.learning_rate, set train.clip_norm, or set train.precision to fp32."
    )
