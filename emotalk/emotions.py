"""Emotion classes of the released network's classifier, and their mapping from corpus labels."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""Classes of the emotion encoder's classifier, in the order of its logits."""

UNLABELLED = -1
"""Class index of a clip without a usable emotion label; such clips have no classification loss."""

_CLASSES = {name: name for name in EMOTIONS} | {"fearful": "fear", "surprised": "surprise"}


def emotion_class(label: str | None, *, calm: str) -> int:
    """Return the class index of a corpus's emotion label, or `UNLABELLED`.

    Parameters
    ----------
    label
        Emotion label of RAVDESS or of `EMOTIONS`; None if the corpus has no labels.
    calm
        How "calm", which is not a class, is treated: "neutral" or "ignored". Neither the paper nor the released code
        specifies it.
    """
    if label == "calm":
        label = "neutral" if calm == "neutral" else None
    return EMOTIONS.index(_CLASSES[label]) if label in _CLASSES else UNLABELLED
