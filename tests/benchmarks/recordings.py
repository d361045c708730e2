"""Synthetic recordings with the lengths of 3D-ETF, for benchmarks of data preparation."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from tests.benchmarks.lengths import HDTF_FRAMES, ravdess_lengths

RAVDESS_PART = 1440 / 1619
_RAVDESS_SIZE = 1440
_BASE_S = 600


def corpora(num_recordings: int) -> dict[str, int]:
    """Number of recordings of each corpus; several copies of RAVDESS, whose naming scheme has 1,440 names."""
    num_acted = round(num_recordings * RAVDESS_PART)
    sizes = {f"R{i}": min(_RAVDESS_SIZE, num_acted - i * _RAVDESS_SIZE) for i in range(-(-num_acted // _RAVDESS_SIZE))}
    return sizes | {"HDTF": num_recordings - num_acted}


def write_recordings(folder: Path, num_recordings: int, rate: int) -> float:
    """Write wav and npy files; returns the duration of the audio in hours."""
    rng = np.random.default_rng(0)
    loudness = 0.02 + 0.2 * np.abs(np.sin(np.arange(_BASE_S * rate) * 2.1 * np.pi / rate))
    noise = (loudness * rng.standard_normal(_BASE_S * rate)).clip(-0.95, 0.95).astype(np.float32)
    motion = np.cumsum(rng.normal(0, 0.02, (_BASE_S * 30, 52)), axis=0).astype(np.float32)
    motion = 0.5 + 0.4 * np.sin(motion)
    frames = 0
    for number, (corpus, stem, length) in enumerate(_plan(num_recordings)):
        for part in ("audio", "blendshape"):
            (folder / corpus / part).mkdir(parents=True, exist_ok=True)
        first = int(rng.integers(len(motion) - length - 1))
        offset = first * rate // 30 + int(rng.integers(rate // 30))
        waveform = noise[offset : offset + -(-length * rate // 30)].copy()
        waveform[:2] = np.divide(divmod(number, 10_000), 16_384)  # Makes every recording unique.
        soundfile.write(folder / corpus / "audio" / f"{stem}.wav", waveform, rate, subtype="PCM_16")
        track = motion[first : first + length] * np.float32(1 - 1e-6 * number)
        np.save(folder / corpus / "blendshape" / f"{stem}.npy", track)
        frames += length
    return frames / 30 / 3600


def _plan(num_recordings: int) -> Iterator[tuple[str, str, int]]:
    """Corpus, file stem and number of frames of each recording."""
    for corpus, size in corpora(num_recordings).items():
        if corpus == "HDTF":
            scales = np.geomspace(0.3, 2.5, max(size, 1))
            lengths = (HDTF_FRAMES * scales / scales.mean()).astype(int)
            yield from ((corpus, f"WDA_Speaker{i}x_000", int(length)) for i, length in enumerate(lengths))
        else:
            yield from zip([corpus] * size, _ravdess_stems(), ravdess_lengths(size), strict=False)


def _ravdess_stems() -> Iterator[str]:
    for actor in range(1, 25):
        for emotion in range(1, 9):
            for intensity in (1, 2) if emotion > 1 else (1,):
                for statement in (1, 2):
                    for repetition in (1, 2):
                        yield f"01-01-{emotion:02}-{intensity:02}-{statement:02}-{repetition:02}-{actor:02}"
