"""Running average of the parameters (EMA)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.swa_utils import get_ema_multi_avg_fn


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
