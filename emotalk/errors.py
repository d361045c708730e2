"""Errors of the package: each says what is wrong, what the rule is and what to do."""


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


class CaptureError(EmoTalkError):
    """Videos cannot be captured."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A signal asked to stop, and everything is saved."""
