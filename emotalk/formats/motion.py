"""Motion with its own times, as other programs record and play it."""

from dataclasses import dataclass, replace

import numpy as np

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.errors import FormatError
from emotalk.formats.channels import ROTATIONS
from emotalk.timing import FPS, resample

_RATES = (1, 240)


def rate_of(seconds: np.ndarray) -> int:
    """Frames per second of increasing times; 30 for a single one.

    Raises
    ------
    FormatError
        If times do not increase, or are not in seconds.
    """
    if not len(seconds) or not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise FormatError("its times do not increase")
    rate = 1 / float(np.median(np.diff(seconds))) if len(seconds) > 1 else FPS
    if not _RATES[0] <= round(rate) <= _RATES[1]:
        raise FormatError(f"its times mean {rate:.3g} frames per second; they must be in seconds")
    return round(rate)


@dataclass(frozen=True)
class Motion:
    """Coefficients at points in time.

    Attributes
    ----------
    seconds : (N,) float64
        Increasing; the first may be later than 0, as where no face was detected at the beginning.
    values : (N, 52) float32
        In the order of EmoTalk's tracks; NaN where no face was detected.
    rate
        Nominal frames per second; single frames may be late or missing.
    rotations : (N, 9) float32
        Of `ROTATIONS`, zeros where unknown.
    start_s
        Time of day at 0 seconds.
    missing
        Channels that the file does not have; they are 0.
    num_dropped
        Rows that were dropped, because they were repeated or went back in time.
    """

    seconds: np.ndarray
    values: np.ndarray
    rate: int
    rotations: np.ndarray
    start_s: float = 0.0
    missing: tuple[str, ...] = ()
    num_dropped: int = 0

    @classmethod
    def from_track(cls, track: np.ndarray, rate: int = FPS, *, seconds: np.ndarray | None = None) -> "Motion":
        """Motion of a (T, 52) track with even frames, or with frames at given times."""
        rotations = np.zeros((len(track), len(ROTATIONS)), np.float32)
        times = np.arange(len(track)) / rate if seconds is None else seconds
        return cls(times, track.astype(np.float32), rate, rotations)

    @property
    def is_seen(self) -> np.ndarray:
        """Rows with a face, (N,) bool."""
        return ~np.isnan(self.values).any(axis=1)

    def bridged(self) -> "Motion":
        """The same without gaps: linear between the rows before and after those without a face."""
        seen = self.is_seen
        if seen.all():
            return self
        everything = np.concatenate([self.values, self.rotations], axis=1)
        columns = [np.interp(self.seconds, self.seconds[seen], column[seen]) for column in everything.T]
        whole = np.stack(columns, axis=1).astype(np.float32)
        return replace(self, values=whole[:, :NUM_CHANNELS], rotations=whole[:, NUM_CHANNELS:])

    def at(self, rate: int) -> "Motion":
        """The same at even times from 0, `rate` frames per second, low-passed against aliasing.

        Before its first row the motion is that of the first row.
        """
        whole = self.bridged()
        even = np.arange(len(self.seconds)) / rate
        if rate == self.rate and np.allclose(self.seconds, even, atol=0.5e-3):
            return whole
        grid = np.arange(int(self.seconds[-1] * self.rate + 1e-6) + 1) / self.rate
        everything = np.concatenate([whole.values, whole.rotations], axis=1)
        frames = np.stack([np.interp(grid, self.seconds, column) for column in everything.T], axis=1)
        if rate != self.rate:
            frames = resample(frames.astype(np.float32), self.rate, rate)
        frames = frames.astype(np.float32)
        times = np.arange(len(frames)) / rate
        return Motion(times, frames[:, :NUM_CHANNELS], rate, frames[:, NUM_CHANNELS:], self.start_s)

    def scaled(self, scale: float) -> "Motion":
        """Values divided by the value that means 1."""
        return self if scale == 1 else replace(self, values=self.values / np.float32(scale))

    def clamped(self) -> "Motion":
        """Coefficients within 0 and 1, as engines expect them."""
        return replace(self, values=self.values.clip(0, 1))
