"""Emotion words: those of RAVDESS, everywhere in the package and its pages; and the classes of the released network."""

EMOTION_WORDS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""Emotions 01 to 08 of RAVDESS (Livingstone & Russo 2018)."""

EMOTIONS = ("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
"""Classes of the emotion encoder's classifier, in the order of its logits. The released code says `fear` and `surprise`
for `fearful` and `surprised`, and has no class for `calm`."""

UNLABELLED = -1
"""Class index of a clip without a usable emotion label; such clips have no classification loss."""


def emotion_class(label: str | None, *, calm: str) -> int:
    """Return the class index of a clip's emotion label, or `UNLABELLED`.

    Parameters
    ----------
    label
        One of `EMOTION_WORDS`; None if the corpus has no labels.
    calm
        How "calm", which is not a class, is treated: "neutral" or "ignored". Neither the paper nor the released code
        specifies it.
    """
    if label == "calm" and calm == "neutral":
        label = "neutral"
    return EMOTIONS.index(label) if label in EMOTIONS else UNLABELLED
