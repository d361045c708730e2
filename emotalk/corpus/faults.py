"""What can be wrong with a recording, and what is done about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(eq=False)
class Fault(Exception):  # noqa: N818  (an entry of the catalogue, not an error of the program)
    """A fault of one recording.

    Attributes
    ----------
    code
        Its name, `wrong_width` for example; `docs/own-data.md` lists all of them. What is done about it is fixed
        (`FIXED_POLICIES`), or a setting in section `faults` of the configuration.
    found
        What was found and what the rule is, with the numbers.
    is_final
        Whether the recording cannot be used, whatever the policy: nothing is left to keep or to repair.
    """

    code: str
    found: str
    is_final: bool = False

    def __str__(self) -> str:
        # What it quotes, a file's name for example, may be no text that a table can hold.
        return f"{self.code}: {self.found}".encode("utf-8", "backslashreplace").decode()


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
) | {"duplicate_stem": "repair", "unknown_label": "keep", "channel_order": "keep"}
"""What is done about faults that leave no choice; the others' policies are settings."""


@dataclass(frozen=True)
class Rules:
    """What counts as a fault, and the policy of each: `exclude`, `repair` or `keep`.

    Attributes
    ----------
    policies
        Policy by code.
    max_frame_difference
        Frames by which track and audio may differ in length.
    min_frames
        Frames of the shortest usable recording.
    max_minutes
        Length of the longest usable recording.
    max_offset, min_confidence
        Frames by which motion may lie apart from audio, and how sure the audit must be to call it a fault.
    """

    policies: Mapping[str, str]
    max_frame_difference: int
    min_frames: int
    max_minutes: float
    max_offset: float
    min_confidence: float

    @classmethod
    def of(cls, index: Mapping[str, Any], faults: Mapping[str, str]) -> Self:
        """Rules as the sections `index` and `faults` of a configuration set them."""
        return cls(policies=FIXED_POLICIES | dict(faults), **index)

    def repairs(self, code: str) -> bool:
        """Whether this fault is to be repaired."""
        return self.policies[code] == "repair"


_STATUS = {"keep": "ok", "repair": "repaired", "exclude": "excluded"}
_WORSE = ("ok", "repaired", "excluded")


def judge(row: dict[str, Any], faults: Iterable[Fault], rules: Rules) -> None:
    """Add faults to a recording's row: its reasons, and the status that they leave it."""
    for fault in faults:
        policy = rules.policies[fault.code]
        status = _STATUS["exclude" if fault.is_final else policy]
        row["reasons"] = [*row["reasons"], str(fault)]
        row["status"] = max(row["status"], status, key=_WORSE.index)


def code_of(reason: str) -> str:
    """Code that a reason starts with."""
    return reason.partition(":")[0]
