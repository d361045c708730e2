"""Lengths of audio and of motion, and what their difference tells."""

from collections.abc import Iterator
from dataclasses import dataclass

from emotalk.config.corpus import IndexSettings
from emotalk.corpus.faults import Fault
from emotalk.timing import FPS

_USUAL_RATES = (24, 25, 48, 50, 60, 90, 100, 120)


@dataclass(frozen=True)
class Lengths:
    """Frames of audio and of motion, and by how many the motion is late, if that is to be mended."""

    audio: int
    track: int
    shift: int

    @property
    def common(self) -> int:
        """Frames that both have, from where both begin."""
        return max(0, min(self.audio - max(0, -self.shift), self.track - max(0, self.shift)))

    @property
    def is_usual(self) -> bool:
        """Whether the track is as long as its audio or one frame shorter (DOMAIN.md, section 1)."""
        return self.audio - 1 <= self.track <= self.audio


def length_faults(lengths: Lengths, settings: IndexSettings) -> Iterator[Fault]:
    """What is wrong with the lengths of a recording."""
    found = f"the track has {lengths.track} frames, the audio {lengths.audio}"
    if abs(lengths.track - lengths.audio) > settings.max_frame_difference:
        rule = f"at most {settings.max_frame_difference} frames of difference are tolerated"
        yield Fault("frame_mismatch", f"{found}; {rule}", is_final=True)
    elif not lengths.is_usual:
        yield Fault("frame_mismatch", f"{found}; both are cut to {lengths.common}")
    if lengths.common < settings.min_frames:
        rule = f"the shortest usable recording has {settings.min_frames}"
        yield Fault("too_short", f"{lengths.common} frames; {rule}", is_final=True)
    if lengths.common > settings.max_minutes * 60 * FPS:
        minutes = lengths.common / (60 * FPS)
        yield Fault("too_long", f"{minutes:.1f} minutes; the longest usable recording has {settings.max_minutes:g}")


def other_rate(num_frames: int, seconds: float, tolerance: int) -> int | None:
    """Frame rate that would make a track as long as its audio, where 30 does not and another usual one does."""

    def difference(fps: int) -> float:
        return abs(num_frames / fps - seconds) * FPS

    nearest = min(_USUAL_RATES, key=difference)
    return nearest if difference(FPS) > tolerance + 1 and difference(nearest) <= tolerance else None
