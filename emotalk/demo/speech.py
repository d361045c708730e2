"""Audio of the demo corpus: articulation over time, and a source-filter voice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfilt

from emotalk.demo.definition import ARTICULATION, SOUND, DemoDefinition, Emotion
from emotalk.timing import SAMPLING_RATE

CONTROL_RATE = 200
"""Control points of articulation per second."""

_BANDWIDTHS_HZ = (80.0, 110.0, 160.0)
_HIGHEST_HARMONIC_HZ = 5000.0
_COARTICULATION_S = 0.022
_HISS_HZ, _BURST_HZ = (4000, 7000), (1500, 4000)


@dataclass(frozen=True)
class Voice:
    """Voice of a speaker.

    Attributes
    ----------
    pitch_hz
        Mean fundamental frequency.
    tract
        Factor of the formant frequencies.
    rate
        Factor of the speaking rate.
    gain
        Factor of the motion of the face.
    """

    pitch_hz: float
    tract: float
    rate: float
    gain: float


@dataclass(frozen=True)
class Utterance:
    """Articulation over time, at `CONTROL_RATE`.

    Attributes
    ----------
    sound : (N, 6)
        `SOUND`: formants in Hz and source amplitudes.
    articulation : (N, 6)
        `ARTICULATION`, 0 to 1.
    """

    sound: np.ndarray
    articulation: np.ndarray

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return len(self.sound) / CONTROL_RATE


def articulate(
    phonemes: Sequence[str], definition: DemoDefinition, voice: Voice, emotion: Emotion, rng: np.random.Generator
) -> Utterance:
    """Interpolate smoothly between the targets of the phonemes, with random durations."""
    durations = np.array([definition.phonemes[name][0] for name in phonemes]) / 1000
    durations *= rng.uniform(0.85, 1.15, len(phonemes)) / (voice.rate * emotion.rate)
    targets = np.stack([definition.phonemes[name][1] for name in phonemes])
    centres = np.cumsum(durations) - durations / 2
    times = np.arange(round(durations.sum() * CONTROL_RATE)) / CONTROL_RATE
    path = np.stack([np.interp(times, centres, column) for column in targets.T], axis=1)
    path = gaussian_filter1d(path, _COARTICULATION_S * CONTROL_RATE, axis=0)
    return Utterance(path[:, : len(SOUND)], path[:, len(SOUND) :][:, : len(ARTICULATION)])


def synthesize(utterance: Utterance, voice: Voice, emotion: Emotion, rng: np.random.Generator) -> np.ndarray:
    """Synthesize audio (N,) float32 at 16 kHz: harmonics weighted by formants, and two bands of noise."""
    num_samples = round(utterance.duration_s * SAMPLING_RATE)
    formants, (voicing, hiss, burst) = voice.tract * utterance.sound[:, :3], utterance.sound[:, 3:].T
    pitch = _pitch(len(utterance.sound), voice, emotion, rng)
    noise = rng.standard_normal(num_samples)
    audio = _to_samples(voicing, num_samples) * _harmonics(formants, pitch, emotion.brightness, num_samples)
    audio += 0.25 * _to_samples(hiss, num_samples) * _band(noise, _HISS_HZ)
    audio += 0.25 * _to_samples(burst, num_samples) * _band(noise, _BURST_HZ)
    return (0.06 * emotion.loudness * audio + 2e-4 * rng.standard_normal(num_samples)).astype(np.float32)


def _to_samples(control: np.ndarray, num_samples: int) -> np.ndarray:
    """Interpolate values at control points to audio samples."""
    return np.interp(np.arange(num_samples) * CONTROL_RATE / SAMPLING_RATE, np.arange(len(control)), control)


def _pitch(num_points: int, voice: Voice, emotion: Emotion, rng: np.random.Generator) -> np.ndarray:
    """Draw the fundamental frequency in Hz at the control points: falling, with slow random accents."""
    accents = gaussian_filter1d(rng.standard_normal(num_points), 0.12 * CONTROL_RATE)
    semitones = emotion.range * accents / np.abs(accents).max() - np.linspace(0, 2, num_points)
    return voice.pitch_hz * emotion.pitch * 2 ** (semitones / 12)


def _harmonics(formants: np.ndarray, pitch: np.ndarray, brightness: float, num_samples: int) -> np.ndarray:
    """Sum the harmonics below 5 kHz with the gain of the formants, normalized to unit variance."""
    phase = 2 * np.pi * np.cumsum(_to_samples(pitch, num_samples)) / SAMPLING_RATE
    audio = np.zeros(num_samples)
    for number in range(1, int(_HIGHEST_HARMONIC_HZ / pitch.min()) + 1):
        frequency = number * pitch
        gain = np.prod([_resonance(frequency, *pair) for pair in zip(formants.T, _BANDWIDTHS_HZ, strict=True)], axis=0)
        tilt = 10 ** ((brightness - 6) * np.log2(frequency / 100) / 20)
        audio += _to_samples(gain * tilt * (frequency < _HIGHEST_HARMONIC_HZ), num_samples) * np.sin(number * phase)
    return audio / audio.std()


def _resonance(frequency: np.ndarray, formant: np.ndarray, bandwidth: float) -> np.ndarray:
    """Gain of a two-pole resonator, 1 at frequency 0."""
    ratio = frequency / formant
    return 1 / np.sqrt((1 - ratio**2) ** 2 + (frequency * bandwidth / formant**2) ** 2)


def _band(noise: np.ndarray, band_hz: tuple[int, int]) -> np.ndarray:
    filtered = sosfilt(butter(2, band_hz, "bandpass", fs=SAMPLING_RATE, output="sos"), noise)
    return filtered / filtered.std()
