"""Checkpoint files: written atomically with a checksum file, and loaded without unpickling code."""

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

from emotalk.device import available_memory_bytes
from emotalk.errors import TrainingError, WeightsError
from emotalk.files import PARTIAL
from emotalk.model.weights import as_weight
from emotalk.provenance import file_digest

_LOG = logging.getLogger(__name__)
CHECKSUM = ".sha256"
USE_PREVIOUS = (
    "Move the newest .pth file of the run's folder elsewhere and run the same command: the previous checkpoint is used."
)
"""Remedy for a checkpoint that cannot be used."""


class _HashedFile:
    """File that computes the digest of the written data; the data on disk may differ after a disk error."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically: to a temporary file that is then renamed.

    Raises
    ------
    TrainingError
        If writing fails. The partial files are removed.
    """
    partial, checksum = path.with_name(path.name + PARTIAL), checksum_path(path)
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
    except (OSError, RuntimeError) as error:  # torch converts an OSError of the file to a RuntimeError.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
            checksum.unlink(missing_ok=True)
        reason = error if isinstance(error, OSError) else error.__context__ or error
        raise TrainingError(
            f"Cannot write the checkpoint {path}: {str(reason).partition(chr(10))[0]}. Earlier checkpoints are "
            "unchanged. Free disk space or make the folder writable, then run the same command to continue training."
        ) from None
    with suppress(OSError):  # Some network file systems cannot flush folders.
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush a folder to disk, which makes a rename durable."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def checksum_path(path: Path) -> Path:
    """Path of a checkpoint's checksum file, which `sha256sum --check` can read."""
    return path.with_name(path.name + CHECKSUM)


def read_verified(path: Path) -> dict[str, Any]:
    """Verify a checkpoint's checksum, if it has one, and load it, memory-mapped.

    Raises
    ------
    TrainingError
        If the checksum differs, the file cannot be read, or :func:`read_checkpoint` fails.
    """
    checksum = checksum_path(path)
    if not checksum.is_file():  # For example if only the .pth files were copied.
        _LOG.warning("%s has no checksum file %s: only its values are checked.", path, checksum.name)
        return read_checkpoint(path)
    try:
        expected, digest = checksum.read_text(encoding="ascii", errors="replace").split(" ")[0], file_digest(path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be read ({error.strerror}).") from None
    if digest != expected:
        raise TrainingError(
            f"{path} is damaged: its SHA-256 is {digest[:12]}…, but {checksum.name} contains {expected[:12]}…."
        )
    return read_checkpoint(path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint, memory-mapped, so that only the accessed tensors are read.

    Raises
    ------
    TrainingError
        If the file is missing, damaged, contains code, is not a checkpoint, or contains a parameter that `as_weight`
        rejects.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError:  # Its message recommends weights_only=False, which is unsafe.
        raise TrainingError(f"{path} is damaged or contains pickled code; it was not loaded.") from None
    except Exception as error:  # torch raises many exception types for damaged files.
        raise TrainingError(f"{path} is not a readable checkpoint ({str(error).partition(chr(10))[0]}).") from None
    if not isinstance(content, dict) or not {"epoch", "step", "identity", "model"} <= content.keys():
        raise TrainingError(f"{path} is not a checkpoint of this program.")
    try:
        for parameters in (content["model"], (content.get("average") or {"weights": {}})["weights"]):
            for name, value in parameters.items():
                as_weight(name, value, path)
    except WeightsError as error:
        raise TrainingError(str(error)) from None
    return content


_HEADROOM = 1.2
"""Required free memory for a copy, as a multiple of its size; the page cache needs some memory for writing."""


class BackgroundWriter:
    """Writes checkpoints in a background thread, one at a time.

    Parameters
    ----------
    write
        Called in the thread with a copy of the submitted content. If host memory is too small for a copy, it is called
        with the content itself, and `submit` blocks.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._pending: Future[None] | None = None
        # Reused for the next checkpoint: allocating new pages takes longer than copying.
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
        """Wait for the previous write, then start to write this content.

        Raises
        ------
        TrainingError
            If the previous write failed.
        """
        self.wait()
        if self._copy is None and _HEADROOM * _count_bytes(content) > available_memory_bytes():
            _LOG.info("Not enough host memory for a copy of the checkpoint: training waits until it is written.")
            self._write(content)
            return
        self._copy = _copy_to_host(content, self._copy)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._pending = self._thread.submit(self._write, self._copy)

    def wait(self) -> None:
        """Wait until the pending write is complete.

        Raises
        ------
        TrainingError
            If writing failed.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def check(self) -> None:
        """Raise the error of the last write, if it has finished with one; does not block."""
        if self._pending is not None and self._pending.done():
            self.wait()


def _copy_to_host(value: Any, buffer: Any) -> Any:
    """Copy all tensors of nested dicts and lists to host memory; reuses an earlier copy as buffer where shapes match.

    Copies from a GPU are asynchronous: synchronize before reading them.
    """
    if isinstance(value, Tensor):
        if not isinstance(buffer, Tensor) or (buffer.shape, buffer.dtype) != (value.shape, value.dtype):
            buffer = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        return buffer.copy_(value.detach(), non_blocking=True)
    if isinstance(value, dict):
        buffers = buffer if isinstance(buffer, dict) else {}
        return {key: _copy_to_host(item, buffers.get(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = buffer[: len(value)] if isinstance(buffer, list | tuple) else ()
        return type(value)(_copy_to_host(*pair) for pair in zip_longest(value, items))
    return value


def _count_bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(_count_bytes, value.values()))
    return sum(map(_count_bytes, value)) if isinstance(value, list | tuple) else 0
