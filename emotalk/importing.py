"""Which copy of this package the processes that this one starts import."""

import os
from pathlib import Path


def let_children_import_this_package() -> None:
    """Let them find it before any that is installed; scripts of a workflow and torchrun's processes would not."""
    here = str(Path(__file__).parents[1])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, dict.fromkeys([here, *before])))
