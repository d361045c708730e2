"""Motion with its own times, as other programs record and play it."""

from dataclasses import dataclass, replace

import numpy as np

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.errors import FormatError
from emotalk.timing import FPS, resample

ROTATIONS = tuple(f"{part}{axis}" for part in ("head", "leftEye", "rightEye") for axis in ("Yaw", "Pitch", "Roll"))
"""Rotations that captures have beside the 52 coefficients."""


_RATES = (1, 240)


def rate_of(seconds: np.ndarray) -> int:
    """Frames a second of increasing times; 30 for a single one.

    Raises
    ------
    FormatError
        If times do not go on, or not as frames a second do (milliseconds, for example).
    """
    if not len(seconds) or not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise FormatError("its times do not go on")
    rate = 1 / float(np.median(np.diff(seconds))) if len(seconds) > 1 else FPS
    if not _RATES[0] <= round(rate) <= _RATES[1]:
        raise FormatError(f"its times make {rate:.3g} frames a second; they must be in seconds")
    return round(rate)


@dataclass(frozen=True)
class Motion:
    """Coefficients at points in time.

    Attributes
    ----------
    seconds : (N,) float64
        Since the first, increasing.
    values : (N, 52) float32
        In the order of EmoTalk's tracks; NaN where no face was seen.
    rate
        Frames a second that were meant, though single ones may be late or missing.
    rotations : (N, 9) float32
        Of `ROTATIONS`, zeros where unknown.
    start_s
        Time of day of the first, in seconds.
    """

    seconds: np.ndarray
    values: np.ndarray
    rate: int
    rotations: np.ndarray
    start_s: float = 0.0

    @classmethod
    def of_track(cls, track: np.ndarray, rate: int = FPS) -> "Motion":
        """Motion of a (T, 52) track with even frames."""
        rotations = np.zeros((len(track), len(ROTATIONS)), np.float32)
        return cls(np.arange(len(track)) / rate, track.astype(np.float32), rate, rotations)

    @property
    def is_seen(self) -> np.ndarray:
        """Where there is a face, (N,) bool."""
        return ~np.isnan(self.values).any(axis=1)

    def bridged(self) -> "Motion":
        """The same without gaps: where no face was seen, the straight line from before to after."""
        seen = self.is_seen
        if seen.all():
            return self
        everything = np.concatenate([self.values, self.rotations], axis=1)
        columns = [np.interp(self.seconds, self.seconds[seen], column[seen]) for column in everything.T]
        whole = np.stack(columns, axis=1).astype(np.float32)
        return replace(self, values=whole[:, :NUM_CHANNELS], rotations=whole[:, NUM_CHANNELS:])

    def at(self, rate: int) -> "Motion":
        """The same at even times, `rate` frames a second; a low-pass keeps what is too fast from folding back."""
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

    def clamped(self) -> "Motion":
        """Coefficients within 0 and 1, as engines expect them."""
        return replace(self, values=self.values.clip(0, 1))
