"""Settings of evaluation and prediction."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from emotalk.config.section import PathSetting, Section
from emotalk.emotions import require_emotion
from emotalk.timing import as_frame_rate

SubjectIndex = Annotated[int, Field(ge=0)]


def _check_frame_rate(rate: float | str) -> float | str:
    as_frame_rate(rate)
    return rate


EmotionWord = Annotated[str, AfterValidator(require_emotion)]
"""Emotion label of RAVDESS, set in any spelling that `parse_emotion` knows."""
FrameRate = Annotated[float | str, AfterValidator(_check_frame_rate)]
"""Frames per second, a number or a fraction as text; `as_frame_rate` converts it."""


class EvaluateSettings(Section):
    """Evaluation on the test split."""

    subject: Literal["mean", "own"] | SubjectIndex = Field(
        "mean",
        description="Subject for predictions of test clips: `mean` of the training subjects, the `own` slot of the "
        "clip's subject (untrained for a held-out subject), or an index.",
    )
    basis: PathSetting | None = Field(
        None,
        description="Blendshape basis for errors in millimetres on its vertices, an npz file or a folder of OBJ files "
        "as docs/metrics.md describes; null for none.",
    )
    mm_per_unit: float = Field(
        1, gt=0, description="Millimetres per unit of the basis: 10 for centimetres, 1000 for metres."
    )
    bootstrap_draws: int = Field(
        1000, ge=100, description="Number of bootstrap samples over clips for the 95 % intervals."
    )
    required_improvement: Annotated[float, Field(le=1)] | None = Field(
        None,
        description="Minimum fraction by which the mouth error of the model is below that of the mean face; otherwise "
        "`snakemake all` fails. null: no requirement.",
    )


class PredictSettings(Section):
    """Prediction of new recordings with rule `predict`; equivalent to the command `emotalk predict`."""

    audio: PathSetting | None = Field(
        None, description="Folder of audio and video files to predict, including its subfolders; or one file."
    )
    weights: PathSetting | None = Field(
        None,
        description="Weights file, card or folder, for example the released `EmoTalk.pth`; null for those of this run.",
    )
    emotion: EmotionWord | None = Field(
        None,
        description="Name of an emotion in the training data: `neutral`, `calm`, `happy`, `sad`, `angry`, `fearful`, "
        "`disgust` or `surprised`; null for each recording's own emotion.",
    )
    emotion_from: PathSetting | None = Field(
        None,
        description="Emotion reference, a recording; null for each recording's own emotion.",
    )
    strength: float = Field(
        1,
        ge=0,
        le=1,
        description="Share of `emotion` or `emotion_from`; the rest is each recording's own emotion.",
    )
    intensity: Literal["normal", "strong"] = Field("normal", description="Intensity of the emotion.")
    subject: SubjectIndex | str = Field(
        "mean", description="Subject: the `mean` of the training subjects, an index, or the name of a training speaker."
    )
    smooth: bool = Field(
        False, description="Whether to smooth predictions as in the released demo (Savitzky-Golay, window 5, order 2)."
    )
    blink_seed: int | None = Field(
        None,
        description="Seed of synthetic blinks that replace the predicted eyelids, as in the released demo; null for "
        "none.",
    )
    formats: Annotated[list[Literal["npy", "livelink", "arkit-csv", "json"]], Field(min_length=1)] = Field(
        ["npy"], description="Formats to write, see docs/engines.md."
    )
    fps: FrameRate | None = Field(
        None,
        description="Frames per second of all formats but npy, which always has 30; a number or a fraction such as "
        "`30000/1001`. null: 30.",
    )
    window_s: float = Field(
        30,
        ge=10,
        description="Seconds that the network processes at once; longer recordings are predicted in overlapping "
        "windows.",
    )

    @model_validator(mode="after")
    def _check_emotion_source(self) -> Self:
        if self.emotion and self.emotion_from:
            raise ValueError("'emotion' and 'emotion_from' exclude each other; set one of them")
        if self.strength != 1 and not (self.emotion or self.emotion_from):
            raise ValueError("'strength' needs 'emotion' or 'emotion_from'")
        return self
