"""Subject slots: the network's input for the speaking style, with an index for each training speaker."""

from collections.abc import Sequence

import numpy as np

from emotalk.errors import EmoTalkError

NUM_RELEASED_SLOTS = 24
"""Subject slots of the released network, one for each actor of RAVDESS."""
MAX_SUBJECT_SLOTS = 128
"""Most subject slots of a larger network, because the manifest stores the index as int8."""


def check_index(index: int, count: int, name: str) -> int:
    """Check that an index is in [0, `count`), and return it as int.

    Raises
    ------
    EmoTalkError
        If it is not.
    """
    if not 0 <= index < count:
        raise EmoTalkError(f"{name} is {index}; the network has the indices 0 to {count - 1}.")
    return int(index)


def mean_subject(subjects: Sequence[int], num_slots: int = NUM_RELEASED_SLOTS) -> list[float]:
    """Return the weights of the equal mixture of some subjects, which is used for subjects without training data."""
    return [(index in subjects) / len(subjects) for index in range(num_slots)]


def subject_weights(subject: int | Sequence[float], num_slots: int = NUM_RELEASED_SLOTS) -> list[float]:
    """Return the weights of all subjects: one-hot for an index; a mixture is returned unchanged.

    Raises
    ------
    EmoTalkError
        If the index is out of range, or the mixture has another number of weights.
    """
    if isinstance(subject, int | np.integer):
        checked = check_index(subject, num_slots, "subject")
        return [float(index == checked) for index in range(num_slots)]
    if len(subject) != num_slots:
        raise EmoTalkError(f"The mixture of subjects has {len(subject)} weights; the network has {num_slots} subjects.")
    return [float(weight) for weight in subject]
