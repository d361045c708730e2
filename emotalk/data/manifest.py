"""The manifest: the examples of all epochs, one row per example, fixed before training starts."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.config.corpus import PairSettings, SplitSettings
from emotalk.data.clips import ClipStore
from emotalk.data.pairing import NO_CLIP, Examples, PseudoPairSampler, RandomPairSampler, Sampler
from emotalk.data.splits import SPLITS, split_clips, split_unit
from emotalk.data.subject_slots import assign_slots
from emotalk.emotions import UNLABELLED, emotion_class
from emotalk.errors import CorpusError, TrainingError
from emotalk.files import atomic_path
from emotalk.progress import progress
from emotalk.subjects import NUM_RELEASED_SLOTS

_LOG = logging.getLogger(__name__)

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("audio_c1e2", pa.string(), nullable=False),
        pa.field("audio_c2e1", pa.string()),
        pa.field("track_c1e1", pa.string()),
        pa.field("track_c2e2", pa.string()),
        pa.field("subject", pa.int8(), nullable=False),
        pa.field("intensity", pa.int8(), nullable=False),
        pa.field("emotion_e1", pa.int8(), nullable=False),
        pa.field("emotion_e2", pa.int8(), nullable=False),
        pa.field("num_frames", pa.int32(), nullable=False),
    ]
)
"""Training epochs count from 1; validation and test are drawn once, as epoch 0. Audio and track columns are clip ids.
`subject` and `intensity` are input indices of the network, emotions are classes of its classifier (-1: none).
`num_frames` is the total length of the reconstructions of the example."""

_FILE_SCHEMA = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if pa.types.is_string(field.type) else field
        for field in MANIFEST_SCHEMA
    ]
)
"""The same columns with dictionary encoding: each clip id is stored once per epoch."""
_MAX_DICTIONARY_BYTES = 1 << 28
_NOTES = "emotalk"
"""Key of the metadata of the file: held-out names, warnings and subject slots, as JSON."""

REPORT_INTENSITY, REPORT_SUBJECT = 1, 0
"""Indices of intensity and subject of all examples in the training report."""


def write_manifest(
    clips: Sequence[str | Path],
    out: str | Path,
    *,
    settings: PairSettings,
    split: Mapping[str, SplitSettings],
    epochs: int,
    seed: int,
    num_slots: int = NUM_RELEASED_SLOTS,
) -> None:
    """Write the examples of all epochs, with the held-out names and warnings as metadata.

    Validation and test rows come first, then the training epochs in order. Each epoch has its own seed, so increasing
    `epochs` does not change earlier rows. The result does not depend on the number of clip files.

    Parameters
    ----------
    split
        Held-out subjects of each corpus.
    num_slots
        Number of subject slots of the network.

    Raises
    ------
    CorpusError
        If there is no training example, or a held-out name does not exist.
    """
    labels = ClipStore(clips).metadata().to_pandas().sort_values("clip_id", ignore_index=True)
    table = _add_conditioning(labels, settings)
    table["split"], held_out = _assign_splits(table, split, seed)
    table["subject_index"], slots = assign_slots(table, settings, num_slots)
    if settings.strategy == "random":
        table, slots = table.assign(intensity_index=REPORT_INTENSITY, subject_index=REPORT_SUBJECT), {}
    samplers = {
        name: _create_sampler(settings.strategy, table, name, members)
        for name in SPLITS
        if len(members := np.flatnonzero(table["split"] == name))
    }
    warnings = list(_warnings(table, samplers, held_out, num_slots))
    _log_splits(table, samplers, held_out, warnings)
    if slots:
        _LOG.info("Subject slots: %s", ", ".join(f"{name} {slot}" for name, slot in slots.items()))
    if "train" not in samplers:
        raise CorpusError(
            "There are no training clips: 'split' holds out everything. Hold out fewer names or smaller fractions."
        )
    ids = pa.array(table["clip_id"].to_numpy(object), pa.string())
    epochs_by_split = [(name, 0) for name in SPLITS[1:] if name in samplers] + [("train", 1 + i) for i in range(epochs)]
    with (
        atomic_path(out) as partial,
        pq.ParquetWriter(
            partial, _FILE_SCHEMA, store_schema=False, dictionary_pagesize_limit=_MAX_DICTIONARY_BYTES
        ) as writer,
    ):
        notes = {"held_out": held_out, "warnings": warnings, "slots": slots}
        writer.add_key_value_metadata({_NOTES: json.dumps(notes)})
        for name, epoch in progress(epochs_by_split, total=len(epochs_by_split), what="Pairing", unit="epochs"):
            examples = samplers[name].draw(np.random.default_rng([seed, SPLITS.index(name), epoch]))
            if len(examples.kind):
                writer.write_table(_manifest_rows(table, ids, examples, name, epoch))
            elif name == "train":
                raise CorpusError("There is only one training clip, and random pairs need two. Add recordings.")


def _add_conditioning(table: pd.DataFrame, settings: PairSettings) -> pd.DataFrame:
    """Add the indices of intensity and emotion and the length of each clip."""
    classes = {label: emotion_class(label, calm=settings.calm) for label in table["emotion"].dropna().unique()}
    return table.assign(
        intensity_index=(table["intensity"] - 1).fillna(settings.unlabelled_intensity).astype("int8"),
        emotion_index=table["emotion"].map(classes).fillna(UNLABELLED).astype("int8"),
        num_frames=table["stop_frame"] - table["start_frame"],
    )


def _assign_splits(
    table: pd.DataFrame, split: Mapping[str, SplitSettings], seed: int
) -> tuple[pd.Series, dict[str, dict[str, Any]]]:
    """Return the split of each clip, and for each corpus the unit of the split and the held-out names."""
    assigned = pd.Series(None, index=table.index, dtype=object)
    held_out = {}
    for corpus, rows in table.groupby("corpus"):
        settings = split[str(corpus)]
        unit = split_unit(rows, settings)
        assigned[rows.index] = split_clips(rows, settings, corpus=str(corpus), seed=seed)
        names = rows["recording_id" if unit == "recording" else "subject"].fillna("unknown")
        held_out[str(corpus)] = {"by": unit} | {
            name: sorted(names[assigned[rows.index] == name].unique()) for name in SPLITS[1:]
        }
    return assigned, held_out


def _warnings(
    table: pd.DataFrame,
    samplers: Mapping[str, Sampler],
    held_out: Mapping[str, Mapping[str, Any]],
    num_slots: int,
) -> Iterator[str]:
    """Yield problems of the splits and pairs, each with a remedy."""
    for name in SPLITS[1:]:
        if name not in samplers:
            effect = "the model cannot be evaluated" if name == "test" else "no best epoch can be chosen"
            yield f"There is no {name} split: {effect}. To create one, hold out data with 'split'."
    for corpus, split in held_out.items():
        if split["by"] != "subject" and (split["validation"] or split["test"]):
            yield (
                f"{corpus} is split by {split['by']}, so training and held-out splits have the same speakers: the "
                "metrics do not measure performance on new speakers. A split by subject needs more speakers."
            )
    counts = table["split"].value_counts()
    if counts.get("train", 0) < counts.get("test", 0):
        yield f"There are fewer training clips ({counts.get('train', 0)}) than test clips ({counts['test']})."
    train = samplers.get("train")
    if isinstance(train, PseudoPairSampler) and not train.num_combinations:
        yield (
            "There are no pseudo-pairs, so the network does not learn to separate emotion from content. Pseudo-pairs "
            "need a speaker with the same sentences in several emotions, and labels of emotion and sentence."
        )
    if num_slots > NUM_RELEASED_SLOTS:
        yield (
            f"The network has {num_slots} subject slots, and the released one {NUM_RELEASED_SLOTS}: the released "
            "code cannot load the weights; the commands of this program can."
        )


def _create_sampler(strategy: str, table: pd.DataFrame, split: str, members: np.ndarray) -> Sampler:
    """Create the sampler of a split; the test split always has pseudo-pairs, so that it has every clip once."""
    return RandomPairSampler(members) if strategy == "random" and split != "test" else PseudoPairSampler(table, members)


def _manifest_rows(table: pd.DataFrame, ids: pa.Array, examples: Examples, split: str, epoch: int) -> pa.Table:
    """Create the manifest rows of one split and epoch; `ids` are the clip ids."""
    emotion = table["emotion_index"].to_numpy()
    frames = table["num_frames"].to_numpy()
    main, partner = examples.audio_c1e2, examples.audio_c2e1
    is_self = partner == NO_CLIP

    def to_ids(rows: np.ndarray) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(rows, pa.int32(), mask=rows == NO_CLIP), ids)

    def length(rows: np.ndarray) -> np.ndarray:
        return np.where(rows == NO_CLIP, 0, frames[rows])

    columns = {
        "split": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(main), np.int32)), [split]),
        "epoch": np.full(len(main), epoch),
        "position": np.arange(len(main)),
        "kind": pa.array(examples.kind).dictionary_encode(),
        "audio_c1e2": to_ids(main),
        "audio_c2e1": to_ids(partner),
        "track_c1e1": to_ids(examples.track_c1e1),
        "track_c2e2": to_ids(examples.track_c2e2),
        "subject": table["subject_index"].to_numpy()[main],
        "intensity": table["intensity_index"].to_numpy()[main],
        "emotion_e1": np.where(is_self, UNLABELLED, emotion[partner]),
        "emotion_e2": emotion[main],
        "num_frames": length(main) + length(examples.track_c1e1) + length(examples.track_c2e2),
    }
    return pa.table(columns).cast(_FILE_SCHEMA)


def _log_splits(
    table: pd.DataFrame,
    samplers: Mapping[str, Sampler],
    held_out: Mapping[str, Mapping[str, Any]],
    warnings: Sequence[str],
) -> None:
    """Log the number of clips in each split, the held-out names and the warnings."""
    for name, sampler in samplers.items():
        counts = table.loc[table["split"] == name, "corpus"].value_counts().sort_index()
        extra = (
            f"; {sampler.num_combinations} pseudo-pair combinations" if isinstance(sampler, PseudoPairSampler) else ""
        )
        _LOG.info("%s: %s%s", name, ", ".join(f"{count} clips of {corpus}" for corpus, count in counts.items()), extra)
    for corpus, split in held_out.items():
        names = "; ".join(f"{name} {', '.join(split[name][:10]) or 'none'}" for name in SPLITS[1:])
        _LOG.info("%s, split by %s: %s", corpus, split["by"], names)
    for warning in warnings:
        _LOG.warning("%s", warning)


AUDIO_COLUMNS = ("audio_c1e2", "audio_c2e1")
"""Columns with the clips whose audio an example uses."""
Example = dict[str, Any]
"""A row of the manifest, with the columns of `MANIFEST_SCHEMA`."""


class Manifest:
    """Reader of the manifest; reads one epoch at a time."""

    def __init__(self, manifest: str | Path) -> None:
        self._path = manifest

    def _table(self, split: str, epoch: int) -> pa.Table:
        return pq.read_table(self._path, filters=[("split", "=", split), ("epoch", "=", epoch)])

    def examples(self, split: str, epoch: int = 0) -> list[Example]:
        """Return the examples of a training epoch (from 1), or of validation or test (epoch 0); may be empty."""
        return self._table(split, epoch).to_pylist()

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Return columns of validation, test and the first training epoch."""
        return pq.read_table(self._path, columns=list(names), filters=[("epoch", "<=", 1)]).to_pandas()

    def training_clips(self) -> list[str]:
        """Return the sorted ids of all clips whose audio is in the first training epoch."""
        columns = self._table("train", 1).select(AUDIO_COLUMNS)
        return sorted({clip for column in columns.itercolumns() for clip in column.to_pylist() if clip})

    def training_subjects(self) -> list[int]:
        """Return the sorted subject indices of the training examples."""
        return sorted(set(self._table("train", 1).column("subject").to_pylist()))

    def num_epochs(self) -> int:
        """Return the number of training epochs.

        Raises
        ------
        TrainingError
            If there are none.
        """
        epochs = pq.read_table(self._path, columns=["epoch"], filters=[("split", "=", "train")]).column("epoch")
        if not len(epochs):
            raise TrainingError(f"{self._path} has no training examples. Run the same command with --forcerun pair.")
        return max(epochs.to_pylist())

    @property
    def notes(self) -> dict[str, Any]:
        """Metadata of the file.

        `held_out` has for each corpus `by`, and the names in `validation` and `test`; `warnings` are sentences; `slots`
        has the subject index of each training speaker with a slot of its own, by `<corpus>/<subject>`.
        """
        metadata = pq.read_metadata(self._path).metadata or {}
        return {"held_out": {}, "warnings": [], "slots": {}} | json.loads(metadata.get(_NOTES.encode(), b"{}"))

    def digest(self) -> str:
        """Compute a digest of the first training epoch and validation, which does not depend on `epochs`."""
        rows = [self.examples("train", 1), self.examples("validation")]
        return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
