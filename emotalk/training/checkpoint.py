"""Checkpoints: what a run needs to continue, written so that the last good one is never lost."""

import os
import random
import re
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from emotalk.errors import TrainingError

_NAME = re.compile(r"emotalk_model_epoch(\d+)_.*\.pth")
_FINISHED = "finished"


class CheckpointFolder:
    """Checkpoints of one run, named `emotalk_model_epoch<N>_<time>.pth`; the newest is the one of the highest epoch."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        folder.mkdir(parents=True, exist_ok=True)

    def newest(self) -> Path | None:
        """Checkpoint of the highest epoch, or None."""
        return max(self._all(), key=_epoch, default=None)

    def _all(self) -> list[Path]:
        return [path for path in self.path.iterdir() if _NAME.fullmatch(path.name)]

    def starting_point(self, epochs: int, manner: str) -> Path | None:
        """Checkpoint to continue from on the way to `epochs`, or None to begin.

        A run that has finished and is asked for again begins anew: it was forced. So does one that is asked for fewer
        epochs than it has had. One whose `epochs` were raised continues, and one that is asked for in another manner
        is finished already.

        Parameters
        ----------
        manner
            Settings that decide how a run is computed and not what.
        """
        mark, newest = self.path / _FINISHED, self.newest()
        last = _epoch(newest) if newest else 0
        if last > epochs or (last == epochs and mark.exists() and mark.read_text(encoding="utf-8") == manner):
            for path in self._all():
                path.unlink()
        mark.unlink(missing_ok=True)
        return self.newest()

    def save(self, epoch: int, content: dict[str, Any]) -> Path:
        """Write the checkpoint of an epoch beside and rename it, then remove the older ones."""
        older = self._all()
        path = self.path / f"emotalk_model_epoch{epoch}_{time.strftime('%Y%m%dT%H%M%S')}.pth"
        partial = path.with_suffix(".partial")
        with open(partial, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        for old in older:
            if old != path:
                old.unlink()
        return path

    def finish(self, out: Path, manner: str) -> None:
        """Give the last checkpoint out as the finished run, without a second copy where the disk allows."""
        newest = self.newest()
        assert newest is not None, "a run ends with a checkpoint"
        out.unlink(missing_ok=True)
        try:
            os.link(newest, out)
        except OSError:
            shutil.copyfile(newest, out)
        (self.path / _FINISHED).write_text(manner, encoding="utf-8")


def _epoch(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Content of a checkpoint. The file is data, never code.

    Raises
    ------
    TrainingError
        If it is missing, damaged or no checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # What torch raises for damaged files is no closed set.
        raise TrainingError(
            f"{path} is no readable checkpoint ({str(error).partition(chr(10))[0]}). "
            "Remove it: training then continues from an older one beside it, or begins."
        ) from None
    if not isinstance(content, dict) or "epoch" not in content:
        raise TrainingError(f"{path} is no checkpoint of this program. Remove it, or give another.")
    return content


def random_states() -> dict[str, Any]:
    """States of all random generators that training draws from."""
    return {
        "python": random.getstate(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put all random generators back; a run moved to another number of GPUs keeps those that it has."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(states["torch"])
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)
