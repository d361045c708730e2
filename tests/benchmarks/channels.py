"""How the channels of tracks move: `python -m tests.benchmarks.channels FOLDER`.

Lowest and highest value of each channel over all tracks below a folder, and how left and right go together.
"""

import argparse
from pathlib import Path

import numpy as np

from emotalk.blendshapes import CHANNELS
from tests.benchmarks.tables import Row, show


def rows_of(tracks: np.ndarray) -> list[Row]:
    """A row per channel of (T, 52) tracks; rows without a face do not count."""
    seen = tracks[~np.isnan(tracks).any(axis=1)]
    return sorted((_row(name, seen) for name in CHANNELS), key=len)  # The last one names the columns of the table.


def _row(name: str, tracks: np.ndarray) -> Row:
    channel = tracks[:, CHANNELS.index(name)]
    row: Row = {
        "channel": name,
        "mean": float(channel.mean()),
        "low": float(channel.min()),
        "high": float(channel.max()),
    }
    right = name.removesuffix("Left") + "Right"
    if name.endswith("Left") and right in CHANNELS:
        row["correlation_with_right"] = float(np.corrcoef(channel, tracks[:, CHANNELS.index(right)])[0, 1])
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    show(rows_of(np.concatenate([np.load(path) for path in sorted(given.folder.rglob("*.npy"))])))
