"""The guard against losses and gradients that are not finite, which does not wait for the device at every step."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from emotalk.errors import TrainingError
from emotalk.training.processes import Processes
from emotalk.training.schedule import Example


class NonFiniteError(TrainingError):
    """A loss or a gradient was not finite.

    Attributes
    ----------
    examples
        Of the step, or of the one batch, that it was seen in.
    found
        Losses of that batch, or the norm of the step's gradient.
    """

    def __init__(self, message: str, examples: Sequence[Example], found: dict[str, float]) -> None:
        super().__init__(message)
        self.examples, self.found = examples, found


class _Seen(NamedTuple):
    what: str
    values: dict[str, Tensor]
    examples: Sequence[Example]


class FiniteGuard:
    """Watches losses and gradients where they are computed, and reads what it saw only now and then.

    From the first value on that is not finite, `broken` tells the optimizer to leave everything as it is, so that
    reading later loses nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self.broken = torch.zeros((), device=device)
        """1 once a value was not finite, else 0."""
        self._seen: list[_Seen] = []

    def watch_losses(self, losses: dict[str, Tensor], examples: Sequence[Example]) -> None:
        """Note the losses of a batch; `loss` is their sum."""
        losses = {name: value.detach() for name, value in losses.items()}
        self._watch(losses["loss"])
        self._seen.append(_Seen("loss", losses, examples))

    def watch_gradient(self, norm: Tensor, examples: Sequence[Example]) -> None:
        """Note the norm of a step's gradient."""
        self._watch(norm)
        self._seen.append(_Seen("gradient", {"norm": norm}, examples))

    def _watch(self, value: Tensor) -> None:
        self.broken = torch.maximum(self.broken, (~value.isfinite()).float())

    def share(self, processes: Processes) -> None:
        """Be broken if the guard of another process is."""
        processes.add_up([self.broken])
        self.broken.clamp_(max=1)

    def check(self) -> None:
        """Wait for the device and look at what was seen since the last check.

        Raises
        ------
        NonFiniteError
            If a value was not finite; names the clips of the first such batch or step.
        """
        seen, self._seen = self._seen, []
        if self.broken.item():
            for what, values, examples in seen:
                found = {name: value.item() for name, value in values.items()}
                if not torch.tensor(list(found.values())).isfinite().all():
                    raise NonFiniteError(_message(what, found, examples), examples, found)
            raise TrainingError("A loss or gradient in another process of this run is not finite; its log names it.")


def _message(what: str, found: dict[str, float], examples: Sequence[Example]) -> str:
    clips = sorted({example[name] for example in examples for name in ("audio_c1e2", "audio_c2e1")} - {None})
    values = ", ".join(f"{name} {value:g}" for name, value in found.items())
    return (
        f"The {what} is not finite ({values}) on a batch with the clips {', '.join(clips)}. Nothing was updated by it. "
        "Look at these clips, lower train.learning_rate, set train.clip_norm, or set train.precision to fp32."
    )
