"""Lengths of a recording's audio and track: their common length, their issues, and the frame rate that fits."""

from collections.abc import Iterator
from dataclasses import dataclass

from emotalk.config.corpus import IndexSettings
from emotalk.errors import Issue
from emotalk.timing import FPS

_USUAL_FRAME_RATES = (24, 25, 48, 50, 60, 90, 100, 120)


@dataclass(frozen=True)
class Lengths:
    """Numbers of frames of audio and track, and the delay of the motion in frames, if it is to be repaired."""

    audio: int
    track: int
    shift: int

    @property
    def common(self) -> int:
        """Number of frames that audio and track have in common after the shift."""
        return max(0, min(self.audio - max(0, -self.shift), self.track - max(0, self.shift)))

    @property
    def is_usual(self) -> bool:
        """Whether the track is as long as the audio or one frame shorter (docs/method.md, section "Data")."""
        return self.audio - 1 <= self.track <= self.audio


def length_issues(lengths: Lengths, settings: IndexSettings, *, extra_frames: int = 0) -> Iterator[Issue]:
    """Yield issues of the lengths; the track may be up to `extra_frames` longer, even beyond the settings' limit."""
    message = f"the track has {lengths.track} frames, the audio {lengths.audio}"
    difference = lengths.track - lengths.audio
    if not -settings.max_frame_difference <= difference <= max(settings.max_frame_difference, extra_frames):
        rule = f"the largest allowed difference is {settings.max_frame_difference} frames"
        yield Issue("frame_mismatch", f"{message}; {rule}", always_excludes=True)
    elif not lengths.is_usual:
        yield Issue("frame_mismatch", f"{message}; both are cut to {lengths.common} frames")
    if lengths.common < settings.min_frames:
        rule = f"the minimum is {settings.min_frames}"
        yield Issue("too_short", f"{lengths.common} frames; {rule}", always_excludes=True)
    if lengths.common > settings.max_minutes * 60 * FPS:
        minutes = lengths.common / (60 * FPS)
        yield Issue("too_long", f"{minutes:.1f} minutes; the maximum is {settings.max_minutes:g}")


def matching_frame_rate(num_frames: int, seconds: float, tolerance: int) -> int | None:
    """Return the usual frame rate at which a track is as long as its audio; None if 30 fits or no rate does."""

    def difference(fps: int) -> float:
        return abs(num_frames / fps - seconds) * FPS

    nearest = min(_USUAL_FRAME_RATES, key=difference)
    return nearest if difference(FPS) > tolerance + 1 and difference(nearest) <= tolerance else None
