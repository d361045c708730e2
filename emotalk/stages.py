"""Versions of the stages. Raise a version by hand when the result of the stage changes; earlier results become stale.

Do not raise it for a changed message, a renamed function or a faster computation of the same result. `tests/golden`
compares the results of all stages with stored ones and names the stage whose version must be raised. The version of
`train` is part of the identity of a run: if it is raised, all runs start from the beginning.
"""

STAGE_VERSIONS = {
    "demo_corpus": 1,
    "index": 1,
    "smooth": 1,
    "slice": 1,
    "pair": 1,
    "encoders": 1,
    "train": 1,
    "extract": 4,
    "evaluate": 3,
    "check": 1,
    "data_page": 2,
    "report": 2,
    "predict": 1,
}
