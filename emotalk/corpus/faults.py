"""What can be wrong with a recording, and what is done about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from emotalk.config.corpus import IndexSettings


@dataclass(eq=False)
class Fault(Exception):  # noqa: N818  (an entry of the catalogue, not an error of the program)
    """A fault of one recording.

    Attributes
    ----------
    code
        Its name, `wrong_width` for example; `docs/own-data.md` lists all of them. What is done about it is fixed
        (`FIXED_POLICIES`), or a setting in section `index.issues` of the configuration.
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


_STATUS = {"keep": "ok", "repair": "repaired", "exclude": "excluded"}
_WORSE = ("ok", "repaired", "excluded")


def judge(row: dict[str, Any], faults: Iterable[Fault], settings: IndexSettings) -> None:
    """Add faults to a recording's row: its reasons, and the status that they leave it."""
    for fault in faults:
        policy = settings.policy(fault.code)
        status = _STATUS["exclude" if fault.is_final else policy]
        row["reasons"] = [*row["reasons"], str(fault)]
        row["status"] = max(row["status"], status, key=_WORSE.index)


def code_of(reason: str) -> str:
    """Code that a reason starts with."""
    return reason.partition(":")[0]
