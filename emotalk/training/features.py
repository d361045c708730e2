"""Cached features: outputs of the frozen convolutional stacks for all clips, computed once and stored on disk."""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotalk.data.clips import ClipStore, from_int16
from emotalk.errors import TrainingError
from emotalk.files import PARTIAL
from emotalk.model.encoders import SpeechEncoder
from emotalk.model.network import EmoTalk
from emotalk.model.sequences import speech_batch
from emotalk.progress import progress

_LOG = logging.getLogger(__name__)
_GIB = 2**30


class FeatureStore:
    """Memory-mapped features of clips by id.

    Parameters
    ----------
    path
        File with the concatenated features of all clips, (sum of lengths, C) float32.
    clip_ids
        Ids of the clips, in the order of the file.
    lengths
        Number of feature frames of each clip.
    """

    def __init__(self, path: Path, clip_ids: Sequence[str], lengths: Sequence[int]) -> None:
        self._frames = np.load(path, mmap_mode="r", allow_pickle=False)
        stops = np.cumsum(lengths)
        self._spans = dict(zip(clip_ids, zip(stops - lengths, stops, strict=True), strict=True))

    def __getitem__(self, clip_id: str) -> np.ndarray:
        """Features of a clip, (L, C) float32 at 50 Hz."""
        start, stop = self._spans[clip_id]
        return self._frames[start:stop]


def load_cached_features(network: EmoTalk, store: ClipStore, folder: Path) -> tuple[FeatureStore, FeatureStore]:
    """Load the features for the content and the emotion encoder; computes those that are not on disk yet.

    Encoders with equal convolutional stacks (fine-tuned versions of one model) share one store. Files of other clips or
    stacks are kept, as other runs may use them; their size is logged.

    Raises
    ------
    TrainingError
        If the disk is too small.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{_digest(encoder, store)}.npy" for encoder in network.speech_encoders]
    if other_paths := sorted(set(folder.glob("*.npy")) - set(paths)):
        size = sum(path.stat().st_size for path in other_paths) / _GIB
        _LOG.info(
            "%s contains %d files of other clips or encoders (%.2f GiB); delete them if no other run uses them.",
            folder,
            len(other_paths),
            size,
        )
    clip_ids = sorted(store.metadata()["clip_id"].to_pylist())
    stores: dict[Path, FeatureStore] = {}
    for encoder, path in zip(network.speech_encoders, paths, strict=True):
        if path in stores:
            continue
        lengths = [encoder.conv_frames.count(len(store[clip_id].waveform)) for clip_id in clip_ids]
        if not path.exists():
            _write(path, encoder, store, clip_ids, lengths)
        stores[path] = FeatureStore(path, clip_ids, lengths)
    content, emotion = (stores[path] for path in paths)
    return content, emotion


def _digest(encoder: SpeechEncoder, store: ClipStore) -> str:
    digest = hashlib.sha256(store.digest().encode())
    digest.update(repr((encoder.conv_frames, encoder.config.feat_extract_activation)).encode())
    for parameter in encoder.feature_extractor.parameters():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _write(
    path: Path, encoder: SpeechEncoder, store: ClipStore, clip_ids: Sequence[str], lengths: Sequence[int]
) -> None:
    shape = (sum(lengths), encoder.config.conv_dim[-1])
    size, free = 4 * shape[0] * shape[1], shutil.disk_usage(path.parent).free
    if size > free:
        raise TrainingError(
            f"train.cache_features needs {size / _GIB:.1f} GiB in {path.parent}, but only {free / _GIB:.1f} GiB are "
            "free. Free disk space, or set train.cache_features to false."
        )
    partial = path.with_name(path.name + PARTIAL)
    frames = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
    device = next(encoder.parameters()).device
    start = 0
    items = zip(clip_ids, lengths, strict=True)
    for clip_id, length in progress(items, total=len(clip_ids), what="Caching features", unit="clips"):
        waveform = speech_batch([from_int16(store[clip_id].waveform)])
        frames[start : start + length] = encoder.conv_features(waveform.to(device))[0].cpu().numpy()
        start += length
    frames.flush()
    partial.replace(path)
    _LOG.info("%s: features of %d clips, %.2f GiB", path, len(clip_ids), size / _GIB)
