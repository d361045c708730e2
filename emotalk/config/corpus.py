"""Settings of the corpus stages: capture, index, smooth, slice, pair."""

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from emotalk.config.section import PathSetting, Section

ExcludeOrKeep = Literal["exclude", "keep"]
HeldOut = list[str | int] | Annotated[float, Field(ge=0, le=0.5)] | Literal["none"]


def normalize_subject(name: str | int) -> str:
    """Return the name of a subject without leading zeros: subject 7 may also be written 07, as in file names."""
    text = unicodedata.normalize("NFC", str(name))
    return text.lstrip("0") or "0" if text.isdigit() else text


_GROUPS = ("subject", "emotion", "intensity", "statement", "repetition")


def _check_subject(pattern: str) -> str:
    """Check that a pattern of file names can be compiled and has a group for the subject."""
    if pattern in ("one", "folder"):
        return pattern
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"{pattern!r} is not `one`, `folder` or a valid regular expression ({error})") from None
    if "subject" not in groups or groups.keys() - set(_GROUPS):
        raise ValueError(
            f"{pattern!r} is not `one` or `folder`, and as a regular expression it needs a group (?P<subject>…); other "
            f"allowed groups are {', '.join(_GROUPS[1:])}"
        )
    return pattern


class SourceSettings(Section):
    """Location and layout of the files of a corpus."""

    layout: Literal["auto", "ravdess", "hdtf", "generic"] = Field(
        "auto",
        description="Rules for file names. `ravdess` and `hdtf`: as in 3D-ETF, in any subfolders. `generic`: any "
        "supported audio (docs/own-data.md) with an npy or csv of the same name; `subject` sets who speaks. `auto`: "
        "chosen by the name of the corpus.",
    )
    audio: PathSetting | None = Field(
        None, description="Folder of the audio; default: `<data>/<corpus>/audio` (`generic`: `<data>/<corpus>`)."
    )
    tracks: PathSetting | None = Field(
        None,
        description="Folder of the tracks; default: `<data>/<corpus>/blendshape` (`generic`: `<data>/<corpus>`).",
    )
    table: PathSetting | None = Field(
        None,
        description="A csv or parquet file that lists the recordings instead: columns `wav` and `track` (paths, "
        "absolute or relative to the two folders), and optionally `recording_id`, `subject`, `emotion`, `intensity` "
        "(1 or 2), `statement`, `repetition`.",
    )
    video: PathSetting | None = Field(
        None, description="Folder of videos, from which rule `capture` creates audio and tracks (docs/capture.md)."
    )
    subject: Annotated[str, AfterValidator(_check_subject)] = Field(
        "folder",
        description="Subject of the recordings of a `generic` corpus. `one`: one subject for all. `folder`: the first "
        "folder level is the subject, and all files without a folder are one subject. Otherwise a regular expression "
        "for the file name without suffix, such as `(?P<subject>[^_]+)_(?P<emotion>[^_]+)_.*`, with the groups "
        "subject, emotion, intensity, statement, repetition.",
    )
    scale: float = Field(
        1, gt=0, description="Value in the tracks for a coefficient of 1, for example 100 for percentages."
    )
    channels: Literal["arkit", "mediapipe", "livelink"] | list[str] = Field(
        "arkit",
        description="Column order of npy tracks: `arkit` (the 52 names in alphabetical order), `mediapipe` "
        "(`_neutral` first, no tongueOut), `livelink` (Live Link Face, with or without its 9 rotations), or a list of "
        "names. Not used for csv files, whose columns are found by name.",
    )
    fps: float = Field(
        30,
        ge=10,
        le=240,
        description="Frames per second of npy tracks; other rates than 30 are low-pass filtered and resampled. Not "
        "used for takes of Live Link Face, which contain times.",
    )


class CaptureSettings(Section):
    """Capture of coefficients from videos."""

    model: PathSetting = Field(
        "resources/face_landmarker.task", description="MediaPipe's face landmark model (resources/README.md)."
    )
    on_cut: Literal["divide", "exclude"] = Field(
        "divide",
        description="Handling of videos with cuts between scenes: `divide` creates a recording per scene, `exclude` "
        "excludes the video.",
    )


class DemoSettings(Section):
    """The synthetic demo corpus."""

    actors: int = Field(
        6,
        ge=3,
        le=24,
        description="Number of subjects with emotions; each has 30 recordings (about a minute). `split.RAVDESS` sets "
        "the held-out subjects.",
    )


class IssueSettings(Section):
    """Policies for issues of recordings that can be configured."""

    duplicate_content: ExcludeOrKeep = Field(
        "exclude",
        description="Audio or motion equal byte for byte to that of an earlier recording. One speaker could be in "
        "training and test under two names.",
    )
    truncated_wav: ExcludeOrKeep = Field(
        "exclude",
        description="A wav that is shorter than stated in its header, for example after an interrupted copy. `keep`: "
        "the existing samples are used.",
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
        "Files with more than 384,000 or fewer than 30 samples per second, or more than 64 channels, are always "
        "excluded.",
    )
    out_of_range: ExcludeOrKeep = Field(
        "exclude",
        description="Coefficients below -0.5 or above 1.5, such as percentages. Small negative values are normal.",
    )
    constant_track: ExcludeOrKeep = Field("exclude", description="Motion that never changes.")
    track_gap: Literal["repair", "exclude"] = Field(
        "repair",
        description="Missing rows of a take or capture, or rows without a face. `repair`: interpolated linearly if "
        "they are at most a quarter; else excluded.",
    )
    time_order: Literal["repair", "exclude"] = Field(
        "repair",
        description="Rows of a Live Link take whose times do not increase. `repair`: they are dropped if they are at "
        "most 2 %; else excluded.",
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
"""Policies of issues that cannot be configured."""


class IndexSettings(Section):
    """Checks and limits of usable recordings."""

    max_frame_difference: int = Field(
        2,
        ge=0,
        description="Maximum difference in length of track and audio, in frames (1/30 s). Both are cut to the common "
        "length; a recording with a larger difference is excluded.",
    )
    min_frames: int = Field(15, ge=2, description="Frames of the shortest usable recording (15 are half a second).")
    max_minutes: float = Field(
        60,
        gt=0,
        description="Minutes of the longest usable recording. In very long files, audio and motion drift apart, and "
        "memory grows with the longest recording.",
    )
    max_offset: float = Field(
        3, ge=0, description="Maximum offset of motion relative to audio, in frames (1/30 s); more is an `av_offset`."
    )
    min_confidence: float = Field(
        0.3,
        ge=0,
        description="Minimum confidence of a measured offset; below it, the offset is reported, but is not an issue. "
        "The confidence is the difference of the two highest correlations of loudness with mouth opening; for "
        "unrelated audio and motion of a few seconds it is up to 0.15.",
    )
    issues: IssueSettings = Field(
        IssueSettings(),
        description="Policies for issues of recordings: `exclude` excludes the recording, `repair` repairs it as "
        "described, `keep` uses it unchanged; all are listed in the index. docs/own-data.md lists all issues; `strict` "
        "stops the run if a recording is excluded.",
    )

    def policy(self, code: str) -> str:
        """Return the policy of an issue: `exclude`, `repair` or `keep`."""
        return FIXED_POLICIES[code] if code in FIXED_POLICIES else getattr(self.issues, code)


class SmoothSettings(Section):
    """Savitzky-Golay smoothing of the tracks along time."""

    enabled: bool | Literal["captured"] = Field(
        "captured",
        description="Whether tracks are smoothed. `captured`: only tracks that rule `capture` creates from videos, "
        "because tracks of 3D-ETF are smoothed already.",
    )
    window: int = Field(5, ge=3, description="Window in frames, an odd number.")
    order: int = Field(2, ge=0, description="Degree of the fitted polynomial, below `window`.")
    clip_negatives: bool = Field(
        False,
        description="Whether negative values are set to 0. They are normal in 3D-ETF, and the network learns them. "
        "Effective only with `enabled`.",
    )

    @model_validator(mode="after")
    def _check(self) -> "SmoothSettings":
        if self.window % 2 == 0:
            raise ValueError(f"window: {self.window} is even; it must be odd")
        if self.order >= self.window:
            raise ValueError(f"order: {self.order} must be below window, which is {self.window}")
        if self.clip_negatives and not self.enabled:
            raise ValueError("clip_negatives: cannot be used if enabled is false")
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
        description="Maximum frames of a clip, a multiple of 3 so that audio and motion are cut at the same time. "
        "Memory of a training step grows with it. RAVDESS recordings (at most about 160 frames) should not be cut, "
        "because parts of a recording cannot be paired.",
    )


class SplitSettings(Section):
    """Held-out subjects, recordings or time spans of a corpus."""

    by: Literal["auto", "subject", "recording", "time"] = Field(
        "auto",
        description="Unit of the split: whole subjects, whole recordings, or the end of each recording (`time`), with "
        "a gap of one clip between splits. `auto`: subjects if there are at least three, else recordings if there are "
        "at least three, else time.",
    )
    validation: HeldOut = Field(
        0.1, description="Validation split: a fraction, `none`, or a list of subjects (recordings if `by: recording`)."
    )
    test: HeldOut = Field(
        0.1, description="Test split, as `validation`. Without a test split, the evaluation has no results."
    )

    @model_validator(mode="after")
    def _check(self) -> "SplitSettings":
        if self.by == "time" and (isinstance(self.validation, list) or isinstance(self.test, list)):
            raise ValueError("by: with time, validation and test must be fractions or none, not lists of names")
        if isinstance(self.validation, list) and isinstance(self.test, list):
            both = set(map(normalize_subject, self.validation)) & set(map(normalize_subject, self.test))
            if both:
                raise ValueError(f"{', '.join(sorted(both))} must not be in both validation and test")
        return self


DEFAULT_SPLITS: dict[str, dict[str, object]] = {
    "RAVDESS": {"validation": [21, 22], "test": [23, 24]},
    "HDTF": {"validation": 0.05, "test": 0.05},
}
"""Splits of the corpora of 3D-ETF, with the held-out actors of published comparisons."""


class PairSettings(Section):
    """Pairing of clips to training examples."""

    strategy: Literal["pseudo", "random"] = Field(
        "pseudo",
        description="`pseudo`: pseudo-pairs of one subject and one intensity (paper, section 3.1), and all other clips "
        "as single clips. `random`: random pairs, half as many as clips, as in the public training report.",
    )
    calm: Literal["neutral", "ignored"] = Field(
        "neutral",
        description="Class of RAVDESS's calm in the classification loss. The classifier has no class calm, and neither "
        "the paper nor the released code specifies its handling.",
    )
    unlabelled_intensity: int = Field(
        0,
        ge=0,
        le=1,
        description="Intensity index (0 normal, 1 strong) of recordings without an intensity (HDTF). Neither the paper "
        "nor the released code specifies it; the training report uses 1 for all clips.",
    )
    unlabelled_subject: int = Field(
        0,
        ge=0,
        description="Subject index of recordings of unknown speakers and of the corpora in `shared_slot_corpora`. "
        "Neither the paper nor the released code specifies it for HDTF; the training report uses 0 for all clips.",
    )
    shared_slot_corpora: list[str] = Field(
        ["HDTF"],
        description="Corpora whose speakers share the subject index `unlabelled_subject`. In other corpora, each "
        "training speaker has an index of its own: RAVDESS's actors their number minus 1, others a free one. "
        "`model.num_subject_slots` is the number of indices.",
    )
