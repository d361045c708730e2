"""Errors of the package; each message states the problem, the rule and the remedy."""

from dataclasses import dataclass


class EmoTalkError(Exception):
    """Base class of all errors that are caused by the user's input."""


class ConfigError(EmoTalkError):
    """A setting is unknown, has the wrong type or is out of range."""


class CorpusError(EmoTalkError):
    """Recordings, clips or manifests cannot be used."""


class WeightsError(EmoTalkError):
    """Weights are missing, damaged or do not match the network."""


class TrainingError(EmoTalkError):
    """Training cannot start or must not continue."""


class EvaluationError(EmoTalkError):
    """Predictions cannot be evaluated, or the model is below the required improvement."""


class PredictionError(EmoTalkError):
    """A recording, emotion or speaker of a prediction does not exist or cannot be used."""


class FormatError(EmoTalkError):
    """A motion file does not match its format, or the format cannot store the motion."""


class OutputError(EmoTalkError):
    """A file cannot be written, or would be overwritten."""


class CaptureError(EmoTalkError):
    """Videos cannot be captured."""


class ExportError(EmoTalkError):
    """A network cannot be exported, or the export computes other values."""


class Interrupted(Exception):  # noqa: N818 - not an error
    """The process was stopped by a signal after saving its state."""


@dataclass(eq=False)
class Issue(Exception):  # noqa: N818  (a property of the data, not an error of the program)
    """An issue of one recording.

    Attributes
    ----------
    code
        Name of the issue, for example `wrong_width`; `docs/own-data.md` lists all codes. Its policy is fixed
        (`FIXED_POLICIES`) or a setting in section `index.issues` of the configuration.
    description
        The problem and the rule, with the numbers.
    always_excludes
        If true, the recording is excluded under every policy, because it cannot be kept or repaired.
    """

    code: str
    description: str
    always_excludes: bool = False

    def __str__(self) -> str:
        # Quoted file names may contain bytes that are not valid UTF-8, which a Parquet table cannot store.
        return f"{self.code}: {self.description}".encode("utf-8", "backslashreplace").decode()
