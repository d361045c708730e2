"""A checkpoint's file, with a checksum beside it that is made while writing. The file is data, never code."""

import hashlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import BufferedWriter
from itertools import zip_longest
from pathlib import Path
from pickle import UnpicklingError
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from emotalk.device import free_memory
from emotalk.errors import TrainingError, WeightsError
from emotalk.files import PARTIAL
from emotalk.model.weights import as_weight
from emotalk.provenance import file_digest

CHECKSUM = ".sha256"


class _HashedFile:
    """File that knows the digest of what it was given to write, which need not be what the disk holds."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write beside, and rename; at any moment a file of this name is complete.

    Raises
    ------
    TrainingError
        If the disk does not take it. Nothing is left of the attempt.
    """
    partial, checksum = path.with_name(path.name + PARTIAL), checksum_of(path)
    try:
        with open(partial, "wb") as file:
            hashed = _HashedFile(file)
            torch.save(content, hashed)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        with open(checksum, "w", encoding="ascii") as file:
            file.write(f"{hashed.digest.hexdigest()}  {path.name}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch's writer turns what the disk says into a RuntimeError.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
            checksum.unlink(missing_ok=True)
        reason = error if isinstance(error, OSError) else error.__context__ or error
        raise TrainingError(
            f"The checkpoint {path} could not be written: {str(reason).partition(chr(10))[0]}. The ones before it are "
            "as they were. Make room, or make the folder writable, and run the command again: training continues."
        ) from None


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def checksum_of(path: Path) -> Path:
    """Where a checkpoint's checksum stands, in the form that `sha256sum --check` reads."""
    return path.with_name(path.name + CHECKSUM)


def read_verified(path: Path) -> dict[str, Any]:
    """Content of a checkpoint that agrees with the checksum beside it, mapped into memory.

    Raises
    ------
    TrainingError
        If it does not agree, there is no checksum, or :func:`read_checkpoint` refuses it.
    """
    checksum = checksum_of(path)
    if not checksum.is_file():
        raise TrainingError(f"{path} has no checksum {checksum.name} beside it.")
    expected, found = checksum.read_text(encoding="ascii", errors="replace").split(" ")[0], file_digest(path)
    if found != expected:
        raise TrainingError(f"{path} is damaged: its SHA-256 is {found[:12]}…, {checksum.name} says {expected[:12]}….")
    return read_checkpoint(path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Content of a checkpoint, mapped into memory: only what is used is read.

    Raises
    ------
    TrainingError
        If it is missing, damaged, more than data, no checkpoint, or holds a parameter that `as_weight` refuses.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError:  # Its text advises to load the file all the same.
        raise TrainingError(f"{path} holds more than data, or is damaged; it is not loaded.") from None
    except Exception as error:  # What torch raises for damaged files is no closed set.
        raise TrainingError(f"{path} is no readable checkpoint ({str(error).partition(chr(10))[0]}).") from None
    if not isinstance(content, dict) or not {"epoch", "step", "identity", "model"} <= content.keys():
        raise TrainingError(f"{path} is no checkpoint of this program.")
    try:
        for parameters in (content["model"], (content.get("average") or {"weights": {}})["weights"]):
            for name, value in parameters.items():
                as_weight(name, value, path)
    except WeightsError as error:
        raise TrainingError(str(error)) from None
    return content


_LOG = logging.getLogger(__name__)
_HEADROOM = 1.2
"""Memory that must be free for a copy, as a multiple of it: the system wants some to write from."""


class BackgroundWriter:
    """Writes one thing after the other in a thread of its own.

    Parameters
    ----------
    write
        Called with a copy of what is submitted, or with the thing itself where host memory has no room for a copy; then
        training waits.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._pending: Future[None] | None = None
        # Kept for the next time: on a fresh one the system spends longer finding pages than copying.
        self._copy: dict[str, Any] | None = None

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            self.wait()

    def submit(self, content: dict[str, Any]) -> None:
        """Write this, once what was submitted before is written.

        Raises
        ------
        TrainingError
            If that failed.
        """
        self.wait()
        if self._copy is None and _HEADROOM * _num_bytes(content) > free_memory():
            _LOG.info("Host memory has no room for a copy of the checkpoint: training waits until it is written.")
            self._write(content)
            return
        self._copy = _copied(content, self._copy)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._pending = self._thread.submit(self._write, self._copy)

    def wait(self) -> None:
        """Wait until all is written.

        Raises
        ------
        TrainingError
            If it failed.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def check(self) -> None:
        """Raise what the last writing raised, if it has ended."""
        if self._pending is not None and self._pending.done():
            self.wait()


def _copied(value: Any, place: Any) -> Any:
    """Nested dicts and lists with every tensor copied to host memory, where it fits in the place of an earlier copy.

    Copies from a GPU are under way when this returns.
    """
    if isinstance(value, Tensor):
        if not isinstance(place, Tensor) or (place.shape, place.dtype) != (value.shape, value.dtype):
            place = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        return place.copy_(value.detach(), non_blocking=True)
    if isinstance(value, dict):
        places = place if isinstance(place, dict) else {}
        return {key: _copied(each, places.get(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        before = place[: len(value)] if isinstance(place, list | tuple) else ()
        return type(value)(_copied(*pair) for pair in zip_longest(value, before))
    return value


def _num_bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(_num_bytes, value.values()))
    return sum(map(_num_bytes, value)) if isinstance(value, list | tuple) else 0
