"""Emotions: the classes of the released network's classifier, and how corpus labels map to them."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""Classes of the emotion encoder's head, in the order of its logits."""

UNLABELLED = -1
"""Class index of a clip without a usable emotion label; it carries no classification loss."""

_CLASSES = {name: name for name in EMOTIONS} | {"fearful": "fear", "surprised": "surprise"}


def emotion_class(label: str | None, *, calm: str) -> int:
    """Class index of a corpus's emotion word, or `UNLABELLED`.

    Parameters
    ----------
    label
        RAVDESS emotion word or the head's own; None where the corpus has no labels.
    calm
        What "calm", which the head does not know, counts as: "neutral" or "ignored". Neither the paper nor the
        released code says.
    """
    if label == "calm":
        label = "neutral" if calm == "neutral" else None
    return EMOTIONS.index(_CLASSES[label]) if label in _CLASSES else UNLABELLED
