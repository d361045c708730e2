"""Means of losses over examples."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from emotalk.training.processes import Processes


class Means:
    """Means over examples, summed where the losses are: reading them is the only wait for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: Mapping[str, Tensor], count: int) -> None:
        """Add means over `count` examples."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().double() * count
        self._count += count

    def tensors(self) -> dict[str, Tensor]:
        """Means over all examples added, where the values were."""
        return {name: value / self._count for name, value in self._sums.items()}

    def read(self) -> dict[str, float]:
        """Means over all examples added, as numbers."""
        return {name: value.item() for name, value in self.tensors().items()}

    def of_all(self, processes: Processes) -> "Means":
        """Means over the examples of all processes."""
        total = Means()
        for state in processes.gather(self.state()):
            for name, value in state["sums"].items():
                total._sums[name] = total._sums.get(name, 0) + value
            total._count += state["count"]
        return total

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of an epoch that has begun."""
        return {"sums": {name: value.cpu() for name, value in self._sums.items()}, "count": self._count}

    @classmethod
    def restored(cls, state: Mapping[str, Any], device: torch.device) -> "Means":
        """Continue from a checkpoint's state."""
        means = cls()
        means._sums = {name: value.to(device) for name, value in state["sums"].items()}
        means._count = state["count"]
        return means
