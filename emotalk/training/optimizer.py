"""Parameter updates: Adam, loss scaling for fp16, gradient reduction over processes, skipping non-finite gradients."""

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
from emotalk.training.checkpoint_file import USE_PREVIOUS
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from emotalk.training.finite import FiniteGuard


class Optimizer:
    """Accumulates gradients and updates the parameters.

    Parameters
    ----------
    parameters
        Trainable parameters by name.
    learning_rate
        Learning rate of Adam.
    guard
        Detects non-finite values.
    moments
        Data type of Adam's moments: "fp32" or "8bit".
    precision
        Precision of the forward pass; with "fp16" losses are scaled, so that small gradients do not underflow.
    clip_norm
        Maximum norm of the gradient, or None.
    group
        Data-parallel processes; each calls `update` after the backward passes of its share.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        learning_rate: float,
        guard: FiniteGuard,
        *,
        moments: str,
        precision: str,
        clip_norm: float | None = None,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._names, self._parameters = list(parameters), list(parameters.values())
        self._clip_norm, self._group = clip_norm, group
        self.optimizer = _make_optimizer(self._parameters, learning_rate, moments)
        self._scaler = torch.amp.GradScaler(guard.found_nonfinite.device.type, enabled=precision == "fp16")
        # The scaler is initialised by its first call, and a process may have no batch to scale.
        self._scaler.scale(guard.found_nonfinite)
        self.guard = guard
        self._can_skip_on_device = moments == "fp32"

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the next updates."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def zero_grad(self) -> None:
        """Clear all gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of a loss."""
        if self._scaler.is_enabled():
            # The scaler skips updates with non-finite gradients: NaN makes it skip all later ones, too.
            loss = loss * torch.where(self.guard.found_nonfinite > 0, torch.nan, 1.0)
        self._scaler.scale(loss).backward()

    def update(self, examples: Sequence[Example]) -> None:
        """Update the parameters, unless a value was not finite; synchronizes with the device for 8-bit moments only.

        Parameters
        ----------
        examples
            Examples of the gradients, for the error message if these are not finite.
        """
        self._reduce_gradients()
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if self._scaler.is_enabled():
            self._scaler.unscale_(self.optimizer)
            self.guard.record_gradient(self._clip(gradients), examples, may_overflow=True)
            self._scaler.step(self.optimizer)
            self._scaler.update()
            return
        self.guard.record_gradient(self._clip(gradients), examples)
        if self._can_skip_on_device:
            self.optimizer.found_inf = self.guard.found_nonfinite  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not self.guard.found_nonfinite.item():
            self.optimizer.step()

    def _clip(self, gradients: list[Tensor]) -> Tensor:
        norm = get_total_norm(gradients)
        if self._clip_norm is not None:
            clip_grads_with_norm_(self._parameters, self._clip_norm, norm)
        return norm

    def _reduce_gradients(self) -> None:
        """Sum the gradients over all processes.

        DistributedDataParallel is not used: it averages over processes, and requires that all processes use the same
        parameters equally often. Here the shares differ or are empty, and layerdrop skips different layers in each
        process. A parameter that no process used has no gradient, as with one process, so that Adam does not update it.
        """
        if self._group.size == 1:
            return
        used = torch.tensor(
            [parameter.grad is not None for parameter in self._parameters],
            dtype=torch.float32,
            device=self.guard.found_nonfinite.device,
        )
        self._group.all_reduce_sum([used])
        self.guard.synchronize()
        for parameter, uses in zip(self._parameters, used.tolist(), strict=True):
            if uses and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._group.all_reduce_sum([parameter.grad for parameter in self._parameters if parameter.grad is not None])

    def check(self) -> None:
        """Synchronize with the device and check that all values are finite.

        Raises
        ------
        NonFiniteError
            If a value is not finite.
        """
        # Occasional overflows do not lower the scale below 1.
        self.guard.check(overflows=self._scaler.is_enabled() and self._scaler.get_scale() < 1)

    def state(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore from the state of a checkpoint.

        Raises
        ------
        TrainingError
            If a moment is not finite, or has another type or shape than its parameter.
        """
        for number, moments in state["optimizer"]["state"].items():
            if number < len(self._parameters):
                for name, moment in moments.items():
                    _check_moment(f"{name} of {self._names[number]}", moment, self._parameters[number])
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, ValueError) as error:
            raise TrainingError(
                f"The checkpoint's optimizer state does not match the network: {error}. {USE_PREVIOUS}"
            ) from None
        if state["scaler"]:  # Empty if the run continues from a precision other than fp16.
            self._scaler.load_state_dict(state["scaler"])


def _check_moment(name: str, moment: Any, parameter: Parameter) -> None:
    if not isinstance(moment, Tensor):
        return
    if moment.is_floating_point() and not moment.isfinite().all():
        raise TrainingError(f"The checkpoint's optimizer state has NaN or infinite values in {name}. {USE_PREVIOUS}")
    # Only for fp32: 8-bit moments are stored in blocks of another shape and have other names.
    if name.startswith("exp_avg"):
        _check_like(f"{name} in the checkpoint's optimizer state", moment, parameter)


def _check_like(name: str, value: Tensor, parameter: Parameter) -> None:
    """Check that a tensor of a checkpoint has the type and shape of the parameter to which it belongs."""
    if (value.dtype, value.shape) != (parameter.dtype, parameter.shape):
        theirs, ours = (
            f"type {str(x.dtype).removeprefix('torch.')} and shape {tuple(x.shape)}" for x in (value, parameter)
        )
        raise TrainingError(f"{name} has {theirs} instead of {ours}. {USE_PREVIOUS}")


def _make_optimizer(parameters: Sequence[Parameter], learning_rate: float, moments: str) -> torch.optim.Optimizer:
    if moments == "fp32":
        return torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    try:
        from bitsandbytes.optim import Adam8bit
    except ImportError:
        raise TrainingError(
            "train.optimizer_state is 8bit, which needs bitsandbytes: pip install -c requirements.lock -e '.[8bit]', "
            "or set train.optimizer_state to fp32."
        ) from None
    return Adam8bit(parameters, lr=learning_rate)


class WeightAverage:
    """Exponential moving average (EMA) of parameters over the steps.

    Parameters
    ----------
    parameters
        Trainable parameters by name.
    decay
        Decay per step. It is limited to (1 + n) / (10 + n) in the n-th update, so that the initial parameters have
        little influence.
    """

    def __init__(self, parameters: Mapping[str, Parameter], decay: float) -> None:
        self._names, self._parameters = list(parameters), list(parameters.values())
        self._averages: list[Tensor] = [parameter.detach().clone() for parameter in self._parameters]
        self._decay, self._count = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Update the average after a step."""
        self._count += 1
        decay = min(self._decay, (1 + self._count) / (10 + self._count))
        get_ema_multi_avg_fn(decay)(self._averages, [parameter.detach() for parameter in self._parameters], None)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the network has the averaged parameters."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self._parameters, self._averages, strict=True):
            current = parameter.clone()
            parameter.copy_(average)
            average.copy_(current)

    def state(self) -> dict[str, object]:
        """State for a checkpoint."""
        return {"weights": dict(zip(self._names, self._averages, strict=True)), "count": self._count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore from the state of a checkpoint.

        Raises
        ------
        TrainingError
            If an average is missing, or has another type or shape than its parameter.
        """
        weights, self._count = state["weights"], state["count"]
        for name, parameter, average in zip(self._names, self._parameters, self._averages, strict=True):
            if name not in weights:
                raise TrainingError(f"The checkpoint has no average of {name}. {USE_PREVIOUS}")
            _check_like(f"The average of {name} in the checkpoint", weights[name], parameter)
            average.copy_(weights[name])
