"""Detection of non-finite losses and gradients without a device synchronization at every step."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from emotalk.data.manifest import Example
from emotalk.errors import TrainingError
from emotalk.training.distributed import SINGLE_PROCESS, ProcessGroup


class NonFiniteError(TrainingError):
    """A loss or a gradient is NaN or infinite."""


class _Record(NamedTuple):
    kind: str
    values: dict[str, Tensor]
    examples: Sequence[Example]


class FiniteGuard:
    """Records losses and gradients on the device, and checks them only occasionally.

    After the first non-finite value, `found_nonfinite` makes the optimizer skip all updates, so that a late check does
    no harm.

    Parameters
    ----------
    device
        Device of the values.
    group
        Data-parallel processes, each with its own guard.
    """

    def __init__(self, device: torch.device, group: ProcessGroup = SINGLE_PROCESS) -> None:
        self._group = group
        self.found_nonfinite = torch.zeros((), device=device)
        """1.0 after a non-finite value, else 0.0; scalar tensor on the device."""
        self._records: list[_Record] = []

    def record_losses(self, losses: dict[str, Tensor], examples: Sequence[Example]) -> None:
        """Record the losses of a batch; `loss` is the weighted sum of the others."""
        losses = {name: value.detach() for name, value in losses.items()}
        self._update_flag(losses["loss"])
        self._records.append(_Record("loss", losses, examples))

    def record_gradient(self, norm: Tensor, examples: Sequence[Example], *, may_overflow: bool = False) -> None:
        """Record the gradient norm of a step.

        Parameters
        ----------
        may_overflow
            Whether overflow is acceptable, as in fp16, where the gradient scaler then lowers the loss scale.
        """
        if not may_overflow:
            self._update_flag(norm)
        self._records.append(_Record("gradient", {"norm": norm}, examples))

    def _update_flag(self, value: Tensor) -> None:
        self.found_nonfinite = torch.maximum(self.found_nonfinite, (~value.isfinite()).float())

    def synchronize(self) -> None:
        """Set `found_nonfinite` in all processes if it is set in one."""
        if self._group.size > 1:
            self._group.all_reduce_sum([self.found_nonfinite])
            self.found_nonfinite.clamp_(max=1)

    def check(self, *, overflows: bool = False) -> None:
        """Synchronize with the device and check all records since the last check; all processes call it together.

        Parameters
        ----------
        overflows
            Whether the gradients overflow at any loss scale.

        Raises
        ------
        NonFiniteError
            If a value is not finite; names the clips of the first batch with a non-finite loss in any process, else of
            the first step with a non-finite gradient.
        """
        records, self._records = self._records, []
        if overflows or self.found_nonfinite.item():
            # Losses first: a non-finite loss makes the gradients of all processes non-finite.
            own = sorted(filter(None, map(_read_if_nonfinite, records)), key=lambda issue: issue[0] != "loss")[:1]
            issues = [issue for issues in self._group.all_gather(own) for issue in issues]
            kind, values, examples = min(issues, key=lambda issue: issue[0] != "loss")
            raise NonFiniteError(_format_message(kind, values, examples))


def _read_if_nonfinite(record: _Record) -> tuple[str, dict[str, float], Sequence[Example]] | None:
    """Values of a record as numbers, or None if all are finite."""
    values = {name: value.item() for name, value in record.values.items()}
    return None if all(map(math.isfinite, values.values())) else (record.kind, values, record.examples)


def _format_message(kind: str, values: dict[str, float], examples: Sequence[Example]) -> str:
    clips = sorted({example[name] for example in examples for name in ("audio_c1e2", "audio_c2e1")} - {None})
    details = ", ".join(f"{name} {value:g}" for name, value in values.items())
    return (
        f"The {kind} is not finite ({details}) on a batch with the clips {', '.join(clips)}. The optimizer step was "
        "skipped. Check these clips, lower train.learning_rate, set train.clip_norm, or set train.precision to fp32."
    )
