"""Emotion labels of RAVDESS with their synonyms, and the emotion classes of the released network's classifier."""

import unicodedata

RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""Emotion codes 01 to 08 of RAVDESS (Livingstone & Russo 2018)."""

_EMOTION_WORDS = {
    "neutral": "neutral normal none 中性 平静中性 中立",
    "calm": "calm relaxed 平静 冷静",
    "happy": "happy happiness joy joyful amused amusement 高兴 快乐 开心 喜悦",
    "sad": "sad sadness sorrow 悲伤 伤心 难过",
    "angry": "angry anger mad 生气 愤怒",
    "fearful": "fearful fear afraid scared 害怕 恐惧",
    "disgust": "disgust disgusted 厌恶 恶心",
    "surprised": "surprised surprise 惊讶 吃惊",
}
"""Emotion labels of RAVDESS and their synonyms."""
_EMOTIONS = {word: emotion for emotion, words in _EMOTION_WORDS.items() for word in words.split()}

EMOTIONS = ("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
"""Classes of the emotion encoder's classifier, in the order of its logits, in the words of RAVDESS. The released code
says `fear` and `surprise`, and has no class for `calm`."""

UNLABELLED = -1
"""Class index of a clip without a usable emotion label; such clips have no classification loss."""


def parse_emotion(word: str) -> str | None:
    """Convert an English or Chinese emotion word to the label of RAVDESS; None if unknown."""
    return _EMOTIONS.get(unicodedata.normalize("NFC", word).strip().lower())


def require_emotion(word: str) -> str:
    """Convert an emotion word to the label of RAVDESS.

    Raises
    ------
    ValueError
        If the word is unknown.
    """
    if (emotion := parse_emotion(word)) is None:
        raise ValueError(f"{word} is not an emotion; use one of {', '.join(RAVDESS_EMOTIONS)}")
    return emotion


def emotion_class(label: str | None, *, calm: str) -> int:
    """Return the class index of a corpus's emotion label, or `UNLABELLED`.

    Parameters
    ----------
    label
        One of `RAVDESS_EMOTIONS`; None if the corpus has no labels.
    calm
        How "calm", which is not a class, is treated: "neutral" or "ignored". Neither the paper nor the released code
        specifies it.
    """
    if label == "calm" and calm == "neutral":
        label = "neutral"
    return EMOTIONS.index(label) if label in EMOTIONS else UNLABELLED
