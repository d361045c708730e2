"""The guard against losses that are not finite, which does not wait for the device at every step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from emotalk.errors import TrainingError


class FiniteGuard:
    """Watches losses where they are computed, and reads what it saw only now and then.

    From the first loss that is not finite on, `broken` tells the optimizer to leave everything as it is, so that
    reading later loses nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self.broken = torch.zeros((), device=device)
        """1 once a loss was not finite, else 0."""
        self._seen: list[tuple[dict[str, Tensor], Sequence[str]]] = []

    def watch(self, losses: dict[str, Tensor], clip_ids: Sequence[str]) -> None:
        """Note the losses of a batch."""
        losses = {name: value.detach() for name, value in losses.items()}
        self.broken = torch.maximum(self.broken, (~losses["loss"].isfinite()).float())
        self._seen.append((losses, clip_ids))

    def check(self) -> None:
        """Wait for the device and look at the losses since the last check.

        Raises
        ------
        TrainingError
            If one was not finite; names the clips of the first such batch.
        """
        if self.broken.item():
            for losses, clip_ids in self._seen:
                if not losses["loss"].isfinite():
                    found = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
                    raise TrainingError(
                        f"The loss is not finite ({found}) on a batch with the clips {', '.join(clip_ids)}. Nothing "
                        "was updated by it. Look at these clips, lower train.learning_rate, or set train.precision to "
                        "fp32."
                    )
        self._seen.clear()
