"""Means of losses over examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from emotalk.training.distributed import ProcessGroup


class Means:
    """Means over examples, summed where the losses are: reading them is the only wait for the device.

    All values are summed in one tensor: a GPU is asked for few and large things.
    """

    def __init__(self) -> None:
        self._names: Sequence[str] = ()
        self._sums: Tensor | None = None
        self._count = 0

    def add(self, values: Mapping[str, Tensor], count: int) -> None:
        """Add means over `count` examples; the names are the same each time."""
        if not values:
            return
        self._names = self._names or list(values)
        sums = torch.stack([values[name].detach() for name in self._names]).double() * count
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += count

    def tensors(self) -> dict[str, Tensor]:
        """Means over all examples added, where the values were."""
        if self._sums is None:
            return {}
        return dict(zip(self._names, (self._sums / self._count).unbind(), strict=True))

    def read(self) -> dict[str, float]:
        """Means over all examples added, as numbers."""
        if self._sums is None:
            return {}
        return dict(zip(self._names, (self._sums / self._count).tolist(), strict=True))

    def over_all(self, group: ProcessGroup) -> "Means":
        """Means over the examples of all processes."""
        total = Means()
        for state in group.all_gather(self.state()):
            if state["names"]:
                total._names = state["names"]
                total._sums = state["sums"] if total._sums is None else total._sums + state["sums"]
                total._count += state["count"]
        return total

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of an epoch that has begun."""
        sums = None if self._sums is None else self._sums.cpu()
        return {"names": list(self._names), "sums": sums, "count": self._count}

    @classmethod
    def restored(cls, state: Mapping[str, Any], device: torch.device) -> "Means":
        """Continue from a checkpoint's state."""
        means = cls()
        means._names, means._count = state["names"], state["count"]
        means._sums = None if state["sums"] is None else state["sums"].to(device)
        return means
