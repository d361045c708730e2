"""Motion of the demo corpus: mouth from articulation, upper face from emotion."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.demo.definition import DemoDefinition, Emotion, to_face
from emotalk.demo.speech import CONTROL_RATE, Utterance, Voice
from emotalk.timing import FPS

_JITTER = 0.006
_BLINK = np.array([0.3, 0.9, 1.0, 0.7, 0.3])
_BLINK_FACE = 0.8 * to_face({"eyeBlink": 1.0})


def animate(
    utterance: Utterance,
    definition: DemoDefinition,
    voice: Voice,
    emotion: Emotion,
    rng: np.random.Generator,
    *,
    num_frames: int,
) -> np.ndarray:
    """Create the track (T, 52) float32 of an utterance, with emotion, slow variation, blinks and jitter.

    As in captured tracks, jitter gives many small negative values.
    """
    times = np.arange(num_frames) / FPS * CONTROL_RATE
    columns = [np.interp(times, np.arange(len(column)), column) for column in utterance.articulation.T]
    articulation = np.stack(columns, axis=1)
    articulation[:, 0] *= emotion.jaw
    sway = 1 + 0.6 * gaussian_filter1d(rng.standard_normal(num_frames), 10, mode="nearest")
    ramp = np.clip(np.arange(num_frames) / 8 + 0.4, 0, 1)
    track = voice.gain * (articulation @ definition.mouth + (ramp * sway)[:, None] * emotion.face)
    track += _blinks(num_frames, rng)[:, None] * _BLINK_FACE
    track = track.clip(0, 1) + _JITTER * rng.standard_normal((num_frames, NUM_CHANNELS))
    return track.astype(np.float32)


def _blinks(num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the eyelid closure (T,) of blinks every two to six seconds."""
    closure = np.zeros(num_frames + len(_BLINK))
    frame = int(rng.integers(10, 120))
    while frame < num_frames:
        closure[frame : frame + len(_BLINK)] = _BLINK
        frame += int(rng.integers(60, 180))
    return closure[:num_frames]
