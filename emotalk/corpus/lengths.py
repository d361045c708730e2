"""Lengths of audio and of motion, and what their difference tells."""

from collections.abc import Iterator
from dataclasses import dataclass

from emotalk.corpus.faults import Fault, Rules
from emotalk.timing import FPS

_USUAL_RATES = (24, 25, 48, 50, 60, 90, 100, 120)


@dataclass(frozen=True)
class Lengths:
    """Frames of audio and of motion, from where both begin."""

    audio: int
    track: int

    @property
    def common(self) -> int:
        """Frames that both have."""
        return max(0, min(self.audio, self.track))

    @property
    def is_usual(self) -> bool:
        """Whether the track is as long as its audio or one frame shorter (DOMAIN.md, section 1)."""
        return self.audio - 1 <= self.track <= self.audio


def length_faults(length: Lengths, rules: Rules) -> Iterator[Fault]:
    """What is wrong with the lengths of a recording."""
    found = f"the track has {length.track} frames, the audio {length.audio}"
    if abs(length.track - length.audio) > rules.max_frame_difference:
        rule = f"at most {rules.max_frame_difference} frames of difference are tolerated"
        yield Fault("frame_mismatch", f"{found}; {rule}", is_final=True)
    elif not length.is_usual:
        yield Fault("frame_mismatch", f"{found}; both are cut to {length.common}")
    if length.common < rules.min_frames:
        rule = f"the shortest usable recording has {rules.min_frames}"
        yield Fault("too_short", f"{length.common} frames; {rule}", is_final=True)
    if length.common > rules.max_minutes * 60 * FPS:
        minutes = length.common / (60 * FPS)
        yield Fault("too_long", f"{minutes:.1f} minutes; the longest usable recording has {rules.max_minutes:g}")


def other_rate(num_frames: int, seconds: float, tolerance: int) -> int | None:
    """Frame rate that would make a track as long as its audio, where 30 does not and another usual one does."""

    def difference(fps: int) -> float:
        return abs(num_frames / fps - seconds) * FPS

    nearest = min(_USUAL_RATES, key=difference)
    return nearest if difference(FPS) > tolerance + 1 and difference(nearest) <= tolerance else None
