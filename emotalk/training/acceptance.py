"""Acceptance: the workflow has taken a finished run over.

A run that was accepted and is asked for again was forced, and begins anew. One that finished while the workflow died is
asked for again, too, and must not: so the mark is set by the workflow and not by the job. Imports nothing heavy: the
workflow calls this itself.
"""

from pathlib import Path

FINISHED, ACCEPTED = "finished", "accepted"


def accept_finished(folder: str | Path) -> None:
    """Mark the finished runs below a training folder as accepted.

    Nothing is marked where the workflow took the finished run away again, as it does if the job fails at its very end.
    """
    if (Path(folder) / "checkpoint.pth").exists():
        for mark in Path(folder).glob(f"checkpoints/*/{FINISHED}"):
            mark.replace(mark.with_name(ACCEPTED))
