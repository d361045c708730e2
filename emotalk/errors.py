"""Errors of the package: each says what is wrong, what the rule is and what to do."""

from dataclasses import dataclass


class EmoTalkError(Exception):
    """Root of all errors that the package raises for a user's input."""


class ConfigError(EmoTalkError):
    """A setting is unknown, of the wrong type or out of its range."""


class CorpusError(EmoTalkError):
    """Recordings, clips or manifests cannot be used."""


class WeightsError(EmoTalkError):
    """Weights are missing, damaged or do not fit the network."""


class TrainingError(EmoTalkError):
    """Training cannot start or must not go on."""


class EvaluationError(EmoTalkError):
    """Predictions cannot be scored, or a model falls short of what the configuration asks."""


class FormatError(EmoTalkError):
    """A file of motion is not what its name says, or has no place for what is to be written."""


class ExportError(EmoTalkError):
    """A network cannot be written for other programs, or what was written computes something else."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A signal asked to stop, and everything is saved."""


@dataclass(eq=False)
class Issue(Exception):  # noqa: N818  (an entry of the catalogue, not an error of the program)
    """A issue of one recording.

    Attributes
    ----------
    code
        Its name, `wrong_width` for example; `docs/own-data.md` lists all of them. What is done about it is fixed
        (`FIXED_POLICIES`), or a setting in section `index.issues` of the configuration.
    found
        What was found and what the rule is, with the numbers.
    always_excludes
        Whether the recording cannot be used, whatever the policy: nothing is left to keep or to repair.
    """

    code: str
    found: str
    always_excludes: bool = False

    def __str__(self) -> str:
        # What it quotes, a file's name for example, may be no text that a table can hold.
        return f"{self.code}: {self.found}".encode("utf-8", "backslashreplace").decode()
