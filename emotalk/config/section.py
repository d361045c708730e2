"""Base class of the sections of the configuration, and paths."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

_VARIABLE = re.compile(r"\$\{?\w+\}?")


class Section(BaseModel):
    """Section of the configuration. Unknown settings are errors, and values are not converted to other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _expand(path: str) -> str:
    """Expand `~` and environment variables in a path."""
    expanded = str(Path(os.path.expandvars(path)).expanduser())
    if not path.strip() or "\0" in path or "\n" in path:
        raise ValueError(f"{path!r} is not a path")
    unset = _VARIABLE.search(expanded)
    if unset and not Path(expanded).exists():
        raise ValueError(f"the environment variable {unset[0]} of {path} is not set")
    return expanded


PathSetting = Annotated[str, AfterValidator(_expand)]
"""Path with `~` and environment variables expanded."""
