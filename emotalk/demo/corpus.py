"""Writing the demo corpus: RAVDESS and HDTF in the layout of 3D-ETF."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from emotalk.data.clips import to_int16
from emotalk.demo.definition import DemoDefinition, Emotion, read_definition
from emotalk.demo.face import animate
from emotalk.demo.speech import Voice, articulate, synthesize
from emotalk.emotions import RAVDESS_EMOTIONS
from emotalk.progress import progress
from emotalk.timing import SAMPLING_RATE, frames_in

_LOG = logging.getLogger(__name__)
_STRONG_FACTOR = 1.4


@dataclass(frozen=True)
class DemoRecording:
    """Specification of one recording: name, speaker, content and emotion."""

    corpus: str
    stem: str
    speaker: str
    phonemes: list[str]
    emotion: Emotion


def write_demo_corpus(definition: str | Path, out: str | Path, *, actors: int, seed: int) -> None:
    """Write `RAVDESS/` (30 recordings per actor) and `HDTF/` below `out`, each with `audio/` and `blendshape/`.

    Parameters
    ----------
    definition
        `resources/demo.yaml`.
    actors
        Number of actors; each has both sentences with every emotion and intensity.
    seed
        Seed of all random choices; those of a recording depend only on the seed and its name.
    """
    content = read_definition(definition)
    recordings = [*_ravdess_recordings(content, actors), *_hdtf_recordings(content, seed)]
    for recording in progress(recordings, total=len(recordings), what="Synthesizing", unit="recordings"):
        _write_recording(Path(out) / recording.corpus, recording, content, seed)
    _LOG.info("Demo corpus: %d recordings in %s", len(recordings), out)


def _ravdess_recordings(definition: DemoDefinition, actors: int) -> Iterator[DemoRecording]:
    """Yield recordings like those of RAVDESS; neutral has no strong intensity."""
    for actor in range(1, actors + 1):
        for code, word in enumerate(RAVDESS_EMOTIONS, start=1):
            for intensity in (1, 2) if word != "neutral" else (1,):
                emotion = definition.emotions[word] if intensity == 1 else _strong_emotion(definition, word)
                for statement, phonemes in definition.statements.items():
                    stem = f"01-01-{code:02d}-{intensity:02d}-{statement:02d}-01-{actor:02d}"
                    yield DemoRecording("RAVDESS", stem, f"{actor:02d}", phonemes, emotion)


def _hdtf_recordings(definition: DemoDefinition, seed: int) -> Iterator[DemoRecording]:
    """Yield recordings like those of HDTF, with random syllables; some are long."""
    for speaker, lengths_s in definition.talking_heads.items():
        for number, length_s in enumerate(lengths_s):
            stem = f"{speaker}_{number:03d}"
            phonemes = _random_phonemes(definition, length_s, _create_rng(seed, stem))
            yield DemoRecording("HDTF", stem, speaker, phonemes, definition.emotions["neutral"])


def _random_phonemes(definition: DemoDefinition, length_s: float, rng: np.random.Generator) -> list[str]:
    """Draw random syllables and pauses with a total duration of about `length_s`."""
    phonemes, milliseconds = ["SIL"], definition.phonemes["SIL"][0]
    while milliseconds < 1000 * length_s:
        syllable = [str(rng.choice(definition.onsets)), str(rng.choice(definition.nuclei))]
        syllable += ["SIL", "SIL"] if rng.random() < 0.12 else []
        phonemes += syllable
        milliseconds += sum(definition.phonemes[name][0] for name in syllable)
    return [*phonemes, "SIL"]


def _strong_emotion(definition: DemoDefinition, word: str) -> Emotion:
    """Create the strong emotion by scaling all differences from neutral."""
    neutral, emotion = definition.emotions["neutral"], definition.emotions[word]
    values = {name: (getattr(neutral, name), getattr(emotion, name)) for name in Emotion.__dataclass_fields__}
    return Emotion(**{name: start + _STRONG_FACTOR * (end - start) for name, (start, end) in values.items()})


def _draw_voice(speaker: str, seed: int) -> Voice:
    """Draw the voice of a speaker, low or high with equal probability."""
    rng = _create_rng(seed, speaker)
    is_high = rng.random() < 0.5
    return Voice(
        pitch_hz=rng.uniform(175, 215) if is_high else rng.uniform(100, 130),
        tract=rng.uniform(1.06, 1.14) if is_high else rng.uniform(0.94, 1.02),
        rate=rng.uniform(0.92, 1.08),
        gain=rng.uniform(0.88, 1.12),
    )


def _write_recording(folder: Path, recording: DemoRecording, definition: DemoDefinition, seed: int) -> None:
    rng = _create_rng(seed, recording.stem)
    voice = _draw_voice(recording.speaker, seed)
    utterance = articulate(recording.phonemes, definition, voice, recording.emotion, rng)
    waveform = synthesize(utterance, voice, recording.emotion, rng)
    num_frames = frames_in(len(waveform))
    track = animate(utterance, definition, voice, recording.emotion, rng, num_frames=num_frames)
    audio, motion = folder / "audio", folder / "blendshape"
    audio.mkdir(parents=True, exist_ok=True)
    motion.mkdir(parents=True, exist_ok=True)
    soundfile.write(audio / f"{recording.stem}.wav", to_int16(waveform), SAMPLING_RATE, subtype="PCM_16")
    np.save(motion / f"{recording.stem}.npy", track, allow_pickle=False)


def _create_rng(seed: int, name: str) -> np.random.Generator:
    """Create a generator for a recording or speaker, independent of all others."""
    return np.random.default_rng([seed, *name.encode()])
