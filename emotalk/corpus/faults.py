"""What can be wrong with a recording: each fault has a code, and what was found is told with its numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from emotalk.blendshapes import NUM_CHANNELS
from emotalk.corpus.audio import AudioHeader, read_header


@dataclass(eq=False)
class Fault(Exception):  # noqa: N818  (an entry of the catalogue, not an error of the program)
    """A fault of one recording.

    Attributes
    ----------
    code
        Its name in the catalogue, `wrong_width` for example.
    found
        What was found and what the rule is, with the numbers.
    """

    code: str
    found: str

    def __str__(self) -> str:
        return f"{self.code}: {self.found}"


def inspect_wav(path: Path) -> AudioHeader:
    """Header of a usable wav.

    Raises
    ------
    Fault
        `unreadable_wav` or `empty_wav`.
    """
    try:
        header = read_header(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise Fault("unreadable_wav", f"{path.name} is no audio that libsndfile reads ({error})") from None
    if header.num_samples == 0:
        raise Fault("empty_wav", f"{path.name} holds no sample")
    return header


def read_track(path: Path) -> np.ndarray:
    """Track of a usable npy as (T, 52) float32.

    The file is data, never code: pickled arrays are refused.

    Raises
    ------
    Fault
        `unreadable_track`, `wrong_dims`, `wrong_width` or `non_finite`.
    """
    try:
        track = np.load(path, allow_pickle=False)
        if not isinstance(track, np.ndarray):
            raise ValueError("an npz archive, not an npy array")
        with np.errstate(over="ignore"):  # What overflows is reported as not finite.
            values = track.astype(np.float32, casting="same_kind" if track.dtype.kind == "f" else "safe")
    except Exception as error:  # What numpy raises for damaged files is no closed set.
        raise Fault("unreadable_track", f"{path.name} is no npy array of numbers ({error})") from None
    if values.ndim != 2:
        raise Fault("wrong_dims", f"{path.name} has shape {track.shape}; a track is (frames, {NUM_CHANNELS})")
    if values.shape[1] != NUM_CHANNELS:
        raise Fault("wrong_width", f"{path.name} has {values.shape[1]} channels; a track has {NUM_CHANNELS}")
    if not np.isfinite(values).all():
        frame, channel = np.argwhere(~np.isfinite(values))[0]
        count = np.count_nonzero(~np.isfinite(values))
        found = (
            f"{path.name} holds {count} values that are NaN or infinite, the first at frame {frame}, channel {channel}"
        )
        raise Fault("non_finite", found)
    return values
