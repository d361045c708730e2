"""Versions of what each stage computes: raised by hand when its result changes, so that results of before are stale.

Only the result counts: a message, a progress line, a renamed function or a faster way to the same numbers leave the
version as it is. `tests/golden` compares the results of all stages with stored ones, and names the stage whose version
is to be raised. The version of `train` is part of a run's identity: raising it starts all runs anew.
"""

STAGE_VERSIONS = {
    "demo_corpus": 1,
    "index": 1,
    "smooth": 1,
    "slice": 1,
    "pair": 1,
    "encoders": 1,
    "train": 1,
    "extract": 1,
    "evaluate": 1,
    "check": 1,
    "data_page": 1,
    "report": 1,
    "predict": 1,
}
