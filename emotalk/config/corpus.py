"""Settings of the corpus stages: index, smooth, slice, pair."""

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from emotalk.config.section import PathSetting, Section

ExcludeOrKeep = Literal["exclude", "keep"]
HeldOut = list[str | int] | Annotated[float, Field(ge=0, le=0.5)] | Literal["none"]


def normalize_subject(name: str | int) -> str:
    """A subject's name without the zeros before a number: actor 7 may be written 7 or, as in file names, 07."""
    text = unicodedata.normalize("NFC", str(name))
    return text.lstrip("0") or "0" if text.isdigit() else text


_GROUPS = ("subject", "emotion", "intensity", "statement", "repetition")


def _check_subject(pattern: str) -> str:
    """Refuse a pattern of names that cannot be compiled or has no group for the subject."""
    if pattern in ("one", "folder"):
        return pattern
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"{pattern!r} is neither `one` nor `folder` nor a regular expression ({error})") from None
    if "subject" not in groups or groups.keys() - set(_GROUPS):
        raise ValueError(
            f"{pattern!r} is neither `one` nor `folder`, and as a regular expression it needs a group (?P<subject>…); "
            f"other groups may be {', '.join(_GROUPS[1:])}"
        )
    return pattern


class SourceSettings(Section):
    """Where the files of a corpus are, and how they are read."""

    layout: Literal["auto", "ravdess", "hdtf", "generic"] = Field(
        "auto",
        description="How files are found and named. `ravdess` and `hdtf`: as in 3D-ETF, in any subfolders. `generic`: "
        "any wav or flac and the npy or csv of the same name in the same folder; the folder is the subject. `auto`: "
        "by the name of the corpus.",
    )
    audio: PathSetting | None = Field(
        None, description="Folder of the audio, if it is not `<data>/<corpus>/audio` (`generic`: `<data>/<corpus>`)."
    )
    tracks: PathSetting | None = Field(
        None,
        description="Folder of the tracks, if it is not `<data>/<corpus>/blendshape` (`generic`: `<data>/<corpus>`).",
    )
    table: PathSetting | None = Field(
        None,
        description="A csv or parquet file that lists the recordings instead: columns `wav` and `track` (paths, "
        "absolute or below the two folders), and as far as known `recording_id`, `subject`, `emotion`, `intensity` (1 "
        "or 2), `statement`, `repetition`.",
    )
    video: PathSetting | None = Field(
        None,
        description="Folder of videos that rule `capture` makes audio and tracks from (docs/capture.md).",
    )
    subject: Annotated[str, AfterValidator(_check_subject)] = Field(
        "folder",
        description="Who speaks in a `generic` corpus. `one`: everything is one person. `folder`: the first folder "
        "level is the person, and files without a folder are one person. Otherwise a regular expression of the file "
        "name without its ending, such as `(?P<subject>[^_]+)_(?P<emotion>[^_]+)_.*`, with the groups subject, "
        "emotion, intensity, statement, repetition.",
    )
    scale: float = Field(1, gt=0, description="Value in the tracks that means a coefficient of 1: 100 for percentages.")
    channels: Literal["arkit", "mediapipe", "livelink"] | list[str] = Field(
        "arkit",
        description="Column order of npy tracks: `arkit` (the 52 names in alphabetical order), `mediapipe` "
        "(`_neutral` first, no tongueOut), `livelink` (Live Link Face, with or without its 9 rotations), or a list of "
        "names. Captures with a header name their columns.",
    )
    fps: float = Field(
        30,
        ge=10,
        le=240,
        description="Frames per second of npy tracks; rates other than 30 are low-passed and resampled. Live Link "
        "captures contain their times.",
    )


class CaptureSettings(Section):
    """Capture of coefficients from videos."""

    model: PathSetting = Field(
        "resources/face_landmarker.task", description="MediaPipe's face landmark model (resources/README.md)."
    )
    on_cut: Literal["divide", "exclude"] = Field(
        "divide",
        description="What is done with a video that has a cut to another scene: `divide` makes a recording of each "
        "scene, `exclude` excludes the video.",
    )


class DemoSettings(Section):
    """The synthetic demo corpus."""

    actors: int = Field(
        6,
        ge=3,
        le=24,
        description="Acting speakers; each adds 30 recordings (about a minute). `split.RAVDESS` sets who is held out.",
    )


class IssueSettings(Section):
    """Policies for issues of recordings where there is a choice."""

    duplicate_content: ExcludeOrKeep = Field(
        "exclude",
        description="Audio or motion equal byte for byte to that of an earlier recording. One speaker could be in "
        "training and test under two names.",
    )
    truncated_wav: ExcludeOrKeep = Field(
        "exclude",
        description="A wav that is shorter than its header says: an interrupted copy. `keep`: the samples that exist "
        "are used.",
    )
    silent_wav: ExcludeOrKeep = Field(
        "exclude",
        description="Audio whose down-mix never exceeds 0.001 of full scale; also two channels that cancel each other.",
    )
    clipped_wav: ExcludeOrKeep = Field(
        "keep",
        description="More than 0.1 % of the samples at full scale, or samples of a float file above it, which are "
        "clipped. RAVDESS has some such recordings. A file that reaches 10 times full scale is always excluded.",
    )
    unsupported_rate: ExcludeOrKeep = Field(
        "exclude",
        description="Fewer than 16,000 samples per second, less than the network needs. `keep`: it is resampled. "
        "Above 384,000, below 30, or with more than 64 channels, a file is always excluded.",
    )
    out_of_range: ExcludeOrKeep = Field(
        "exclude",
        description="Coefficients below -0.5 or above 1.5, such as percentages. Small negative values are normal.",
    )
    constant_track: ExcludeOrKeep = Field("exclude", description="Motion that never changes.")
    track_gap: Literal["repair", "exclude"] = Field(
        "repair",
        description="Rows of a capture in which no face was detected, or that are missing. `repair`: interpolated "
        "linearly, if they are at most a quarter of it; else excluded.",
    )
    time_order: Literal["repair", "exclude"] = Field(
        "repair",
        description="Rows of a capture that repeat a time or go back in time. `repair`: they are dropped, if they are "
        "at most 2 % of it; else excluded.",
    )
    track_rate_mismatch: Literal["exclude", "repair"] = Field(
        "exclude",
        description="A track whose length fits its audio at another usual frame rate (24, 25, 48, 50, 60, 90, 100, "
        "120). `repair`: resampled from that rate.",
    )
    frame_mismatch: Literal["repair", "exclude"] = Field(
        "repair",
        description="Track and audio of different lengths: the track longer, or shorter by more than a frame. "
        "`repair`: both are cut to the common length, if the difference is at most `index.max_frame_difference`; else "
        "excluded.",
    )
    av_offset: Literal["keep", "repair", "exclude"] = Field(
        "keep",
        description="Motion that is late or early relative to its audio (`index.max_offset`, `index.min_confidence`). "
        "`repair`: shifted by whole frames.",
    )


FIXED_POLICIES = dict.fromkeys(
    (
        "orphan_wav",
        "orphan_track",
        "unknown_name",
        "unreadable_wav",
        "empty_wav",
        "unreadable_track",
        "pickled_track",
        "wrong_dims",
        "wrong_width",
        "non_finite",
        "too_short",
        "too_long",
    ),
    "exclude",
) | {"duplicate_stem": "repair", "unknown_label": "keep", "channel_order": "keep", "no_tongue": "keep"}
"""Policies of issues that leave no choice; those of the others are settings."""


class IndexSettings(Section):
    """What counts as a usable recording."""

    max_frame_difference: int = Field(
        2,
        ge=0,
        description="Frames (1/30 s) by which track and audio may differ in length. Both are cut to the common "
        "length; a larger difference excludes the recording.",
    )
    min_frames: int = Field(15, ge=2, description="Frames of the shortest usable recording (15 are half a second).")
    max_minutes: float = Field(
        60,
        gt=0,
        description="Minutes of the longest usable recording. In hours of one file, audio and motion drift apart; "
        "memory grows with the longest recording, not with their number.",
    )
    max_offset: float = Field(
        3, ge=0, description="Frames (1/30 s) by which motion may be late or early before it is an `av_offset`."
    )
    min_confidence: float = Field(
        0.3,
        ge=0,
        description="Confidence of the measured offset below which it is reported, but not an issue. It is the "
        "difference of the two highest correlations of loudness with mouth opening; two unrelated recordings of a few "
        "seconds reach 0.15.",
    )
    issues: IssueSettings = Field(
        IssueSettings(),
        description="What is done about issues of a recording where there is a choice: `exclude` leaves the recording "
        "out, `repair` repairs it as described, `keep` uses it as it is; each is recorded. docs/own-data.md lists all "
        "issues; `strict` stops the run at the first exclusion.",
    )

    def policy(self, code: str) -> str:
        """Policy of an issue: `exclude`, `repair` or `keep`."""
        return FIXED_POLICIES[code] if code in FIXED_POLICIES else getattr(self.issues, code)


class SmoothSettings(Section):
    """Savitzky-Golay smoothing of the tracks along time."""

    enabled: bool | Literal["captured"] = Field(
        "captured",
        description="Whether tracks are smoothed; `captured`: those that rule `capture` makes from videos, as the "
        "makers of 3D-ETF did.",
    )
    window: int = Field(5, ge=3, description="Frames of one fit, an odd number.")
    order: int = Field(2, ge=0, description="Degree of the fitted polynomial, below `window`.")
    clip_negatives: bool = Field(
        False,
        description="Whether negative values become 0. They are normal in 3D-ETF, and the network learns them. Works "
        "only with `enabled`.",
    )

    @model_validator(mode="after")
    def _check(self) -> "SmoothSettings":
        if self.window % 2 == 0:
            raise ValueError(f"window: {self.window} is even; a fit has a frame in its middle, so it must be odd")
        if self.order >= self.window:
            raise ValueError(f"order: {self.order} must be below window, which is {self.window}")
        if self.clip_negatives and not self.enabled:
            raise ValueError("clip_negatives: works only where enabled is not false")
        return self

    def is_enabled(self, is_captured: bool) -> bool:
        """Whether the tracks of a corpus are smoothed."""
        return is_captured if self.enabled == "captured" else self.enabled


class SliceSettings(Section):
    """Cutting of recordings into clips."""

    max_frames: int = Field(
        300,
        ge=30,
        multiple_of=3,
        description="Frames of the longest clip, a multiple of 3 so that audio and motion are cut at the same "
        "instant. Memory of a training step grows with it. RAVDESS recordings (at most about 160 frames) should stay "
        "whole: parts of one cannot be paired.",
    )


class SplitSettings(Section):
    """Held-out subjects, recordings or times of a corpus."""

    by: Literal["auto", "subject", "recording", "time"] = Field(
        "auto",
        description="What is held out: whole subjects, whole recordings, or the end of each recording (`time`), with "
        "a gap of one clip between splits. `auto`: subjects if there are three or more, else recordings if there are "
        "three or more, else time. Lists name subjects, or recordings with `by: recording`.",
    )
    validation: HeldOut = Field(0.1, description="Validation split: a list of names, a fraction, or `none`.")
    test: HeldOut = Field(
        0.1,
        description="Test split: a list of names, a fraction, or `none`. Without a test split nothing is evaluated.",
    )

    @model_validator(mode="after")
    def _check(self) -> "SplitSettings":
        if self.by == "time" and (isinstance(self.validation, list) or isinstance(self.test, list)):
            raise ValueError("by: with time, validation and test must be fractions or none, not lists of names")
        if isinstance(self.validation, list) and isinstance(self.test, list):
            both = set(map(normalize_subject, self.validation)) & set(map(normalize_subject, self.test))
            if both:
                raise ValueError(f"{', '.join(sorted(both))} cannot be in both validation and test")
        return self


DEFAULT_SPLITS: dict[str, dict[str, object]] = {
    "RAVDESS": {"validation": [21, 22], "test": [23, 24]},
    "HDTF": {"validation": 0.05, "test": 0.05},
}
"""Splits of the corpora of 3D-ETF; published comparisons hold out these actors."""


class PairSettings(Section):
    """How clips become training examples."""

    strategy: Literal["pseudo", "random"] = Field(
        "pseudo",
        description="`pseudo`: pseudo-pairs of one actor and one intensity (paper, section 3.1), all other clips "
        "alone. `random`: random pairs of clips, half as many as there are clips, as in the public training report.",
    )
    calm: Literal["neutral", "ignored"] = Field(
        "neutral",
        description="Class of RAVDESS's calm in the classification loss; the classifier has no such class, and "
        "neither the paper nor the released code specifies it.",
    )
    unlabelled_intensity: int = Field(
        0,
        ge=0,
        le=1,
        description="Intensity index (0 normal, 1 strong) of recordings without one (HDTF). Neither the paper nor the "
        "released code specifies it; the training report uses 1 for all clips.",
    )
    unlabelled_subject: int = Field(
        0,
        ge=0,
        le=23,
        description="Subject index of recordings of unknown speakers and of the corpora in `shared_slot`. Neither the "
        "paper nor the released code specifies it for HDTF; the training report uses 0 for all clips.",
    )
    shared_slot: list[str] = Field(
        ["HDTF"],
        description="Corpora whose speakers share the subject index `unlabelled_subject`. In other corpora, each "
        "training speaker has an index of its own; the network has 24.",
    )
