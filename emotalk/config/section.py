"""What all sections of the configuration share."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

_VARIABLE = re.compile(r"\$\{?\w+\}?")


class Section(BaseModel):
    """A section of the configuration: unknown settings are refused, and no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _expand(path: str) -> str:
    """A path with `~` and variables of the environment replaced."""
    expanded = str(Path(os.path.expandvars(path)).expanduser())
    if not path.strip() or "\0" in path or "\n" in path:
        raise ValueError(f"{path!r} is not a path")
    unset = _VARIABLE.search(expanded)
    if unset and not Path(expanded).exists():
        raise ValueError(f"the environment variable {unset[0]} of {path} is not set")
    return expanded


PathSetting = Annotated[str, AfterValidator(_expand)]
"""A path in which `~` and environment variables are expanded."""
