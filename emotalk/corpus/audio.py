"""Reading of recorded speech: headers alone, or 16 kHz mono waveforms."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from emotalk.timing import SAMPLING_RATE


@dataclass(frozen=True)
class AudioHeader:
    """What an audio file says of itself: samples a second, channels, samples a channel."""

    sampling_rate: int
    num_channels: int
    num_samples: int


def read_header(path: str | Path) -> AudioHeader:
    """Read an audio file's header without decoding its samples.

    Raises
    ------
    soundfile.LibsndfileError
        If the file is no audio that libsndfile knows.
    """
    info = soundfile.info(str(path))
    return AudioHeader(info.samplerate, info.channels, info.frames)


def read_waveform(path: str | Path) -> np.ndarray:
    """Read speech as (N,) float32 at 16 kHz: channels are averaged, other rates are resampled.

    soxr's high-quality setting is what `librosa.load` uses by default.

    Raises
    ------
    soundfile.LibsndfileError
        If the file cannot be decoded.
    """
    samples, sampling_rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    waveform = samples.mean(axis=1)
    if sampling_rate == SAMPLING_RATE:
        return waveform
    return soxr.resample(waveform, sampling_rate, SAMPLING_RATE, quality="HQ")
