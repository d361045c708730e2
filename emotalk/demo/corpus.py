"""Writing of the demo corpus: both halves of the 3D-ETF layout."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from emotalk.data.names import RAVDESS_EMOTIONS
from emotalk.data.samples import to_int16
from emotalk.demo.face import animate
from emotalk.demo.recipe import Emotion, Recipe, read_recipe
from emotalk.demo.speech import Voice, articulate, synthesise
from emotalk.progress import progress
from emotalk.timing import SAMPLING_RATE, frames_in

_LOG = logging.getLogger(__name__)
_STRONG = 1.4


@dataclass(frozen=True)
class Take:
    """One recording to make: where it goes, who speaks, what, and how."""

    corpus: str
    stem: str
    speaker: str
    phonemes: list[str]
    emotion: Emotion


def write_demo_corpus(recipe: str | Path, out: str | Path, *, actors: int, seed: int) -> None:
    """Write `RAVDESS/` (30 recordings an actor) and `HDTF/` below `out`, each with `audio/` and `blendshape/`.

    Parameters
    ----------
    recipe
        `resources/demo.yaml`.
    actors
        Number of actors, each speaking both sentences with every emotion and intensity.
    seed
        Decides every random choice; a recording's own choices depend on the seed and its name only.
    """
    content = read_recipe(recipe)
    takes = [*_acted(content, actors), *_talking(content, seed)]
    for take in progress(takes, total=len(takes), what="Synthesising", unit="recordings"):
        _write_recording(Path(out) / take.corpus, take, content, seed)
    _LOG.info("Demo corpus: %d recordings in %s", len(takes), out)


def _acted(recipe: Recipe, actors: int) -> Iterator[Take]:
    """RAVDESS-like takes: neutral has no strong intensity."""
    for actor in range(1, actors + 1):
        for code, word in enumerate(RAVDESS_EMOTIONS, start=1):
            for intensity in (1, 2) if word != "neutral" else (1,):
                emotion = recipe.emotions[word] if intensity == 1 else _stronger(recipe, word)
                for statement, phonemes in recipe.statements.items():
                    stem = f"01-01-{code:02d}-{intensity:02d}-{statement:02d}-01-{actor:02d}"
                    yield Take("RAVDESS", stem, f"{actor:02d}", phonemes, emotion)


def _talking(recipe: Recipe, seed: int) -> Iterator[Take]:
    """HDTF-like takes of random syllables, some of them long."""
    for speaker, lengths_s in recipe.talking_heads.items():
        for number, length_s in enumerate(lengths_s):
            stem = f"{speaker}_{number:03d}"
            phonemes = _babble(recipe, length_s, _draws(seed, stem))
            yield Take("HDTF", stem, speaker, phonemes, recipe.emotions["neutral"])


def _babble(recipe: Recipe, length_s: float, rng: np.random.Generator) -> list[str]:
    """Phonemes of random syllables and pauses that last about `length_s`."""
    phonemes, milliseconds = ["SIL"], recipe.phonemes["SIL"][0]
    while milliseconds < 1000 * length_s:
        syllable = [str(rng.choice(recipe.onsets)), str(rng.choice(recipe.nuclei))]
        syllable += ["SIL", "SIL"] if rng.random() < 0.12 else []
        phonemes += syllable
        milliseconds += sum(recipe.phonemes[name][0] for name in syllable)
    return [*phonemes, "SIL"]


def _stronger(recipe: Recipe, word: str) -> Emotion:
    """The emotion at strong intensity: further from neutral in every way."""
    neutral, emotion = recipe.emotions["neutral"], recipe.emotions[word]
    names = Emotion.__dataclass_fields__
    return Emotion(
        **{name: getattr(neutral, name) + _STRONG * (getattr(emotion, name) - getattr(neutral, name)) for name in names}
    )


def _voice(speaker: str, seed: int) -> Voice:
    """A speaker's voice: half of them low, half high."""
    rng = _draws(seed, speaker)
    is_high = rng.random() < 0.5
    return Voice(
        pitch_hz=rng.uniform(175, 215) if is_high else rng.uniform(100, 130),
        tract=rng.uniform(1.06, 1.14) if is_high else rng.uniform(0.94, 1.02),
        rate=rng.uniform(0.92, 1.08),
        gain=rng.uniform(0.88, 1.12),
    )


def _write_recording(folder: Path, take: Take, recipe: Recipe, seed: int) -> None:
    rng = _draws(seed, take.stem)
    voice = _voice(take.speaker, seed)
    utterance = articulate(take.phonemes, recipe, voice, take.emotion, rng)
    waveform = synthesise(utterance, voice, take.emotion, rng)
    num_frames = frames_in(len(waveform))
    track = animate(utterance, recipe, voice, take.emotion, rng, num_frames=num_frames)
    audio, motion = folder / "audio", folder / "blendshape"
    audio.mkdir(parents=True, exist_ok=True)
    motion.mkdir(parents=True, exist_ok=True)
    soundfile.write(audio / f"{take.stem}.wav", to_int16(waveform), SAMPLING_RATE, subtype="PCM_16")
    np.save(motion / f"{take.stem}.npy", track, allow_pickle=False)


def _draws(seed: int, name: str) -> np.random.Generator:
    """Random choices of a recording or a speaker, which do not depend on what else is made."""
    return np.random.default_rng([seed, *name.encode()])
