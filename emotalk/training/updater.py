"""Updates of the parameters: Adam, the scaling that fp16 needs, and what is left undone when a loss is not finite."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from emotalk.errors import TrainingError
from emotalk.training.guard import FiniteGuard


class Updater:
    """Gathers gradients and applies them.

    Parameters
    ----------
    parameters
        What trains; frozen parameters are not among them.
    learning_rate
        Step size of Adam.
    guard
        Knows whether a loss was not finite.
    moments
        How Adam's moments are kept: "fp32" or "8bit".
    precision
        What the losses are computed in; "fp16" scales them so that small gradients do not vanish.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        learning_rate: float,
        guard: FiniteGuard,
        *,
        moments: str,
        precision: str,
    ) -> None:
        self.optimizer = _make_optimizer(parameters, learning_rate, moments)
        self._scaler = torch.amp.GradScaler(guard.broken.device.type, enabled=precision == "fp16")
        self.guard = guard
        self._can_skip_on_device = moments == "fp32"

    def set_learning_rate(self, learning_rate: float) -> None:
        """Change the step size."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def begin(self) -> None:
        """Forget all gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        if self._scaler.is_enabled():
            # The scaler leaves out updates whose gradients are not finite: this makes it leave out all that follow.
            loss = loss * torch.where(self.guard.broken > 0, torch.nan, 1.0)
        self._scaler.scale(loss).backward()

    def update(self) -> None:
        """Apply the gradients, unless a loss was not finite; only 8-bit moments wait for the device to know."""
        if self._scaler.is_enabled():
            self._scaler.step(self.optimizer)
            self._scaler.update()
        elif self._can_skip_on_device:
            self.optimizer.found_inf = self.guard.broken  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not self.guard.broken.item():
            self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])


def _make_optimizer(parameters: Sequence[Parameter], learning_rate: float, moments: str) -> torch.optim.Optimizer:
    if moments == "fp32":
        return torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    try:
        from bitsandbytes.optim import Adam8bit
    except ImportError:
        raise TrainingError(
            "train.optimizer_state is 8bit, which needs bitsandbytes: pip install -c requirements.lock -e '.[8bit]'. "
            "Or set it to fp32."
        ) from None
    return Adam8bit(parameters, lr=learning_rate)
