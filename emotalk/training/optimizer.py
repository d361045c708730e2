"""Updates of the parameters: Adam, the loss scale of fp16, sums over processes, no update by values not finite."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from emotalk.data.manifest import Example
from emotalk.errors import TrainingError
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from emotalk.training.finite import FiniteGuard


class Optimizer:
    """Gathers gradients and applies them.

    Parameters
    ----------
    parameters
        What trains; frozen parameters are not among them.
    learning_rate
        Step size of Adam.
    guard
        Knows whether a value was not finite.
    moments
        How Adam's moments are kept: "fp32" or "8bit".
    precision
        What the losses are computed in; "fp16" scales them so that small gradients do not vanish.
    clip_norm
        Greatest norm of a gradient, or None.
    group
        Processes that share the steps; each calls `update` after the gradients of its share.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        learning_rate: float,
        guard: FiniteGuard,
        *,
        moments: str,
        precision: str,
        clip_norm: float | None = None,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._parameters, self._clip_norm, self._group = parameters, clip_norm, group
        self.optimizer = _make_optimizer(parameters, learning_rate, moments)
        self._scaler = torch.amp.GradScaler(guard.broken.device.type, enabled=precision == "fp16")
        self._scaler.scale(guard.broken)  # It begins with what it scales first, which a process may never have.
        self.guard = guard
        self._can_skip_on_device = moments == "fp32"

    def set_learning_rate(self, learning_rate: float) -> None:
        """Change the step size."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def zero_grad(self) -> None:
        """Clear all gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        if self._scaler.is_enabled():
            # The scaler leaves out updates whose gradients are not finite: this makes it leave out all that follow.
            loss = loss * torch.where(self.guard.broken > 0, torch.nan, 1.0)
        self._scaler.scale(loss).backward()

    def update(self, examples: Sequence[Example]) -> None:
        """Apply the gradients, unless a value was not finite; only 8-bit moments wait for the device to know.

        Parameters
        ----------
        examples
            Those that the gradients come from, to name them if they are not finite.
        """
        self._share_gradients()
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if self._scaler.is_enabled():
            self._scaler.unscale_(self.optimizer)
            self.guard.watch_gradient(self._clip(gradients), examples, may_overflow=True)
            self._scaler.step(self.optimizer)
            self._scaler.update()
            return
        self.guard.watch_gradient(self._clip(gradients), examples)
        if self._can_skip_on_device:
            self.optimizer.found_inf = self.guard.broken  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not self.guard.broken.item():
            self.optimizer.step()

    def _clip(self, gradients: list[Tensor]) -> Tensor:
        norm = get_total_norm(gradients)
        if self._clip_norm is not None:
            clip_grads_with_norm_(self._parameters, self._clip_norm, norm)
        return norm

    def _share_gradients(self) -> None:
        """Sum the gradients of all processes.

        torch's DistributedDataParallel averages over processes, and all of them must use the same parameters equally
        often. Here shares are unlike, or empty, and layerdrop leaves out other layers in each. A parameter that no
        process used keeps no gradient, as with one process, so that Adam leaves it alone.
        """
        if self._group.size == 1:
            return
        used = torch.tensor(
            [parameter.grad is not None for parameter in self._parameters],
            dtype=torch.float32,
            device=self.guard.broken.device,
        )
        self._group.all_reduce_sum([used])
        self.guard.share()
        for parameter, uses in zip(self._parameters, used.tolist(), strict=True):
            if uses and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._group.all_reduce_sum([parameter.grad for parameter in self._parameters if parameter.grad is not None])

    def check(self) -> None:
        """Wait for the device and look whether everything was finite.

        Raises
        ------
        NonFiniteError
            If it was not.
        """
        # A scale below 1 has been lowered more often than an overflow can explain.
        self.guard.check(overflows=self._scaler.is_enabled() and self._scaler.get_scale() < 1)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's state.

        Raises
        ------
        TrainingError
            If a moment has another shape than its parameter, or is not finite.
        """
        for number, moments in state["optimizer"]["state"].items():
            for name, moment in moments.items():
                _check_moment(f"{name} of parameter {number}", moment, self._parameters[number])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # A run that comes from a device with another precision has none.
            self._scaler.load_state_dict(state["scaler"])


def _check_moment(name: str, moment: Any, parameter: Parameter) -> None:
    if isinstance(moment, Tensor) and moment.dim():
        # Moments of 8 bits are stored in blocks.
        if moment.is_floating_point() and moment.numel() > 1 and not moment.isfinite().all():
            raise TrainingError(f"The checkpoint's optimizer state has values in {name} that are NaN or infinite.")
        if name.startswith("exp_avg") and moment.shape != parameter.shape:
            shapes = f"{tuple(moment.shape)} instead of {tuple(parameter.shape)}"
            raise TrainingError(f"The checkpoint's optimizer state has shape {shapes} in {name}.")


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


class WeightAverage:
    """Exponential average of parameters over the steps.

    Parameters
    ----------
    parameters
        What trains, by name.
    decay
        Share of the average that a step keeps. Of the n-th update it is at most (1 + n) / (10 + n), so that the
        parameters that training began from are forgotten early.
    """

    def __init__(self, parameters: Mapping[str, Parameter], decay: float) -> None:
        self._names, self._parameters = list(parameters), list(parameters.values())
        self._averages: list[Tensor] = [parameter.detach().clone() for parameter in self._parameters]
        self._decay, self._count = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters of a step."""
        self._count += 1
        decay = min(self._decay, (1 + self._count) / (10 + self._count))
        get_ema_multi_avg_fn(decay)(self._averages, [parameter.detach() for parameter in self._parameters], None)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Context in which the network computes with the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self._parameters, self._averages, strict=True):
            held = parameter.clone()
            parameter.copy_(average)
            average.copy_(held)

    def state(self) -> dict[str, object]:
        """What a checkpoint keeps."""
        return {"weights": dict(zip(self._names, self._averages, strict=True)), "count": self._count}

    def restore(self, state: Mapping[str, object]) -> None:
        """Continue from a checkpoint's state."""
        weights, self._count = state["weights"], state["count"]  # type: ignore[assignment]
        for name, average in zip(self._names, self._averages, strict=True):
            average.copy_(weights[name])  # type: ignore[index]
