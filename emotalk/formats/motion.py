"""Motion with timestamps, the common representation of all file formats."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.errors import FormatError
from emotalk.formats.channels import ROTATIONS
from emotalk.timing import FPS, MAX_FRAME_RATE, as_frame_rate, nearest_frame_rate, resample


def estimate_frame_rate(seconds: np.ndarray) -> Fraction:
    """Estimate the frame rate from increasing times: a whole number or 23.976, 29.97 or 59.94; 30 for a single frame.

    Long intervals are gaps, and are not used.

    Raises
    ------
    FormatError
        If times do not increase, or are not in seconds.
    """
    if not len(seconds) or not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise FormatError("its times do not increase")
    if len(seconds) == 1:
        return Fraction(FPS)
    intervals = np.diff(seconds)
    rate = 1 / float(intervals[intervals < 1.5 * np.median(intervals)].mean())
    if not 1 <= round(rate) <= MAX_FRAME_RATE:
        raise FormatError(f"its times give {rate:.3g} frames per second; times must be in seconds")
    return nearest_frame_rate(rate)


@dataclass(frozen=True)
class Motion:
    """Coefficients with timestamps.

    Attributes
    ----------
    seconds : (N,) float64
        Increasing; the first may be later than 0, for example if no face was detected at the start.
    values : (N, 52) float32
        In the order of `CHANNELS`; NaN where no face was detected.
    rate
        Nominal frames per second; frames may be late or missing.
    rotations : (N, 9) float32
        In the order of `ROTATIONS`; 0 where unknown.
    start_s
        Time of day at 0 seconds, in seconds.
    missing
        Channels that are missing in the file; their values are 0.
    num_dropped
        Number of rows that were dropped because their times do not increase.
    """

    seconds: np.ndarray
    values: np.ndarray
    rate: Fraction
    rotations: np.ndarray
    start_s: float = 0.0
    missing: tuple[str, ...] = ()
    num_dropped: int = 0

    @classmethod
    def from_track(
        cls, track: np.ndarray, rate: float | Fraction = FPS, *, seconds: np.ndarray | None = None
    ) -> "Motion":
        """Create motion from a (T, 52) track with equidistant frames, or with times `seconds`."""
        rotations = np.zeros((len(track), len(ROTATIONS)), np.float32)
        times = np.arange(len(track)) / float(rate) if seconds is None else seconds
        return cls(times, track.astype(np.float32), as_frame_rate(rate), rotations)

    @property
    def has_face(self) -> np.ndarray:
        """Whether each row has a face, (N,) bool."""
        return ~np.isnan(self.values).any(axis=1)

    def without_gaps(self) -> "Motion":
        """Interpolate rows without a face linearly from their neighbours."""
        has_face = self.has_face
        if has_face.all():
            return self
        channels = np.concatenate([self.values, self.rotations], axis=1)
        columns = [np.interp(self.seconds, self.seconds[has_face], column[has_face]) for column in channels.T]
        filled = np.stack(columns, axis=1).astype(np.float32)
        return replace(self, values=filled[:, :NUM_CHANNELS], rotations=filled[:, NUM_CHANNELS:])

    def resampled(self, rate: float | str | Fraction) -> "Motion":
        """Resample to equidistant times from 0 at `rate` frames per second, with a low-pass filter against aliasing.

        Times before the first row have the values of the first row.
        """
        filled, rate = self.without_gaps(), as_frame_rate(rate)
        equidistant = np.arange(len(self.seconds)) / float(rate)
        if rate == self.rate and np.allclose(self.seconds, equidistant, atol=0.5e-3):
            return filled
        own_rate = float(self.rate)
        grid = np.arange(int(self.seconds[-1] * own_rate + 1e-6) + 1) / own_rate
        channels = np.concatenate([filled.values, filled.rotations], axis=1)
        frames = np.stack([np.interp(grid, self.seconds, column) for column in channels.T], axis=1)
        if rate != self.rate:
            frames = resample(frames.astype(np.float32), self.rate, rate)
        frames = frames.astype(np.float32)
        times = np.arange(len(frames)) / float(rate)
        return Motion(times, frames[:, :NUM_CHANNELS], rate, frames[:, NUM_CHANNELS:], self.start_s)

    def scaled(self, scale: float) -> "Motion":
        """Divide all values by `scale`."""
        return self if scale == 1 else replace(self, values=self.values / np.float32(scale))

    def clamped(self) -> "Motion":
        """Clamp coefficients to [0, 1], the range that engines expect."""
        return replace(self, values=self.values.clip(0, 1))
