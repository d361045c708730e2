"""What the header of a wav file promises: libsndfile reads a half-copied file as if it were a short one."""

import os
import struct
from pathlib import Path

_UNKNOWN = (0, 0xFFFFFFFF, 0x7FFFFFFF)
"""Lengths that programs write which do not know the end when they begin (a pipe, a recorder that was switched off)."""
_MOST_CHUNKS = 1000


def missing_bytes(path: Path) -> int:
    """How many bytes of samples a RIFF wav promises and does not have; 0 for every other file.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        for _ in range(_MOST_CHUNKS):
            chunk = file.read(8)
            if len(chunk) < 8:
                return 0
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                return 0 if length in _UNKNOWN else max(0, file.tell() + length - size)
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0
