"""The manifest: the whole training schedule, one row an example, decided before training starts."""

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
from emotalk.data.names import NUM_ACTORS
from emotalk.data.pairing import NO_CLIP, Examples, PseudoPairs, RandomPairs
from emotalk.data.splits import SPLITS, split_clips, split_unit
from emotalk.emotions import UNLABELLED, emotion_class
from emotalk.errors import CorpusError, TrainingError
from emotalk.progress import progress

_LOG = logging.getLogger(__name__)

MANIFEST = pa.schema(
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
"""Training epochs count from 1; validation and test are drawn once, as epoch 0. Clips stand by their ids. `subject` and
`intensity` are the indices that the network sees, the emotions are classes of its head (-1: none). `num_frames` is the
length of all tracks that the example reconstructs."""

_WRITTEN = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if pa.types.is_string(field.type) else field
        for field in MANIFEST
    ]
)
"""The same columns, as they are written: each clip's id once in an epoch, and numbers that stand for it."""
_LARGEST_DICTIONARY = 1 << 28
_NOTES = "emotalk"
"""Key of the file's metadata: who is held out, and warnings, as JSON."""

REPORT_INTENSITY, REPORT_SUBJECT = 1, 0
"""The training report gives every example these indices of intensity and subject."""


def write_manifest(
    clips: Sequence[str | Path],
    out: str | Path,
    *,
    settings: PairSettings,
    split: Mapping[str, SplitSettings],
    epochs: int,
    seed: int,
) -> None:
    """Write the examples of all epochs, and with them who is held out and warnings that matter.

    Validation and test rows come first, then the training epochs in turn, each drawn from its own seed: raising
    `epochs` leaves all earlier rows as they are. Into how many files the clips are divided changes nothing.

    Parameters
    ----------
    split
        Held-out subjects of each corpus.

    Raises
    ------
    CorpusError
        If no training example can be made, or a name that is held out does not exist.
    """
    labels = ClipStore(clips).labels().to_pandas().sort_values("clip_id", ignore_index=True)
    table = _with_indices(labels, settings)
    table["split"], held_out = _assign(table, split, seed)
    if settings.strategy == "random":
        table = table.assign(intensity_index=REPORT_INTENSITY, subject_index=REPORT_SUBJECT)
    pairs = {
        name: _pairs(settings.strategy, table, name, members)
        for name in SPLITS
        if len(members := np.flatnonzero(table["split"] == name))
    }
    warnings = list(_warnings(table, pairs, held_out))
    _log_splits(table, pairs, held_out, warnings)
    if "train" not in pairs:
        raise CorpusError("No clip is left for training: every subject is held out for validation or test by 'split'.")
    ids = pa.array(table["clip_id"].to_numpy(object), pa.string())
    schedule = [(name, 0) for name in SPLITS[1:] if name in pairs] + [("train", 1 + i) for i in range(epochs)]
    with pq.ParquetWriter(out, _WRITTEN, store_schema=False, dictionary_pagesize_limit=_LARGEST_DICTIONARY) as writer:
        writer.add_key_value_metadata({_NOTES: json.dumps({"held_out": held_out, "warnings": warnings})})
        for name, epoch in progress(schedule, total=len(schedule), what="Pairing", unit="epochs"):
            examples = pairs[name].draw(np.random.default_rng([seed, SPLITS.index(name), epoch]))
            if len(examples.kind):
                writer.write_table(_rows(table, ids, examples, (name, epoch)))
            elif name == "train":
                raise CorpusError("One training clip makes no random pair; pair.strategy 'random' needs two.")


def _with_indices(table: pd.DataFrame, settings: PairSettings) -> pd.DataFrame:
    """Add the network's conditioning of each clip, indices of intensity, subject and emotion, and its length."""
    number = pd.to_numeric(table["subject"], errors="coerce").where(table["intensity"].notna())
    number = number.where(number.between(1, NUM_ACTORS))
    classes = {label: emotion_class(label, calm=settings.calm) for label in table["emotion"].dropna().unique()}
    return table.assign(
        intensity_index=(table["intensity"] - 1).fillna(settings.unlabelled_intensity).astype("int8"),
        subject_index=(number - 1).fillna(settings.unlabelled_subject).astype("int8"),
        emotion_index=table["emotion"].map(classes).fillna(UNLABELLED).astype("int8"),
        num_frames=table["stop_frame"] - table["start_frame"],
    )


def _assign(
    table: pd.DataFrame, split: Mapping[str, SplitSettings], seed: int
) -> tuple[pd.Series, dict[str, dict[str, Any]]]:
    """Split of each clip, and for each corpus what it is split by and the names in each held-out split."""
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
    table: pd.DataFrame, pairs: Mapping[str, PseudoPairs | RandomPairs], held_out: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """What a user should know before training, each with what to do."""
    for name in SPLITS[1:]:
        if name not in pairs:
            use = "the model cannot be evaluated" if name == "test" else "no best epoch can be chosen"
            yield f"There is no {name} split: {use}. Hold data out by 'split' if you need it."
    for corpus, split in held_out.items():
        if split["by"] != "subject" and (split["validation"] or split["test"]):
            yield (
                f"{corpus} is split by {split['by']}, so the same speakers are in training and in the held-out splits: "
                "scores do not say how well new speakers are predicted. More speakers allow a split by subject."
            )
    counts = table["split"].value_counts()
    if counts.get("train", 0) < counts.get("test", 0):
        yield f"There are fewer training clips ({counts.get('train', 0)}) than test clips ({counts['test']})."
    train = pairs.get("train")
    if isinstance(train, PseudoPairs) and not train.num_combinations:
        yield (
            "There are no pseudo-pairs, so emotion is not separated from content: that needs one speaker who says the "
            "same sentences with several emotions, with labels of emotion and sentence."
        )


def _pairs(strategy: str, table: pd.DataFrame, split: str, members: np.ndarray) -> PseudoPairs | RandomPairs:
    """How examples are drawn. Tests hold every clip once, as pseudo-pairs, whatever the training examples."""
    return RandomPairs(members) if strategy == "random" and split != "test" else PseudoPairs(table, members)


def _rows(table: pd.DataFrame, ids: pa.Array, examples: Examples, part: tuple[str, int]) -> pa.Table:
    """Manifest rows of one split and epoch; `ids` are those of the clips."""
    split, epoch = part
    emotion = table["emotion_index"].to_numpy()
    frames = table["num_frames"].to_numpy()
    main, donor = examples.audio_c1e2, examples.audio_c2e1
    is_self = donor == NO_CLIP

    def named(part: np.ndarray) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(part, pa.int32(), mask=part == NO_CLIP), ids)

    def length(part: np.ndarray) -> np.ndarray:
        return np.where(part == NO_CLIP, 0, frames[part])

    columns = {
        "split": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(main), np.int32)), [split]),
        "epoch": np.full(len(main), epoch),
        "position": np.arange(len(main)),
        "kind": pa.array(examples.kind).dictionary_encode(),
        "audio_c1e2": named(main),
        "audio_c2e1": named(donor),
        "track_c1e1": named(examples.track_c1e1),
        "track_c2e2": named(examples.track_c2e2),
        "subject": table["subject_index"].to_numpy()[main],
        "intensity": table["intensity_index"].to_numpy()[main],
        "emotion_e1": np.where(is_self, UNLABELLED, emotion[donor]),
        "emotion_e2": emotion[main],
        "num_frames": length(main) + length(examples.track_c1e1) + length(examples.track_c2e2),
    }
    return pa.table(columns).cast(_WRITTEN)


def _log_splits(
    table: pd.DataFrame,
    pairs: Mapping[str, PseudoPairs | RandomPairs],
    held_out: Mapping[str, Mapping[str, Any]],
    warnings: Sequence[str],
) -> None:
    """Log the clips of each split, the held-out names and the warnings."""
    for name, drawn in pairs.items():
        counts = table.loc[table["split"] == name, "corpus"].value_counts().sort_index()
        extra = f"; {drawn.num_combinations} pseudo-pair combinations" if isinstance(drawn, PseudoPairs) else ""
        _LOG.info("%s: %s%s", name, ", ".join(f"{count} clips of {corpus}" for corpus, count in counts.items()), extra)
    for corpus, split in held_out.items():
        names = "; ".join(f"{name} {', '.join(split[name][:10]) or 'none'}" for name in SPLITS[1:])
        _LOG.info("%s, split by %s: %s", corpus, split["by"], names)
    for warning in warnings:
        _LOG.warning("%s", warning)


Example = dict[str, Any]
"""A row of the manifest; `emotalk.data.manifest` describes its columns."""


class Manifest:
    """The manifest's epochs, read one at a time."""

    def __init__(self, manifest: str | Path) -> None:
        self._path = manifest

    def _table(self, split: str, epoch: int) -> pa.Table:
        return pq.read_table(self._path, filters=[("split", "=", split), ("epoch", "=", epoch)])

    def examples(self, split: str, epoch: int = 0) -> list[Example]:
        """Examples of a training epoch (counted from 1), or of validation or test (epoch 0); may be empty."""
        return self._table(split, epoch).to_pylist()

    def training_clips(self) -> list[str]:
        """Ids of all clips that the first training epoch hears, sorted."""
        columns = self._table("train", 1).select(["audio_c1e2", "audio_c2e1"])
        return sorted({clip for column in columns.itercolumns() for clip in column.to_pylist() if clip})

    def training_subjects(self) -> list[int]:
        """Subject indices that training sees, sorted."""
        return sorted(set(self._table("train", 1).column("subject").to_pylist()))

    def num_epochs(self) -> int:
        """Training epochs that the manifest holds.

        Raises
        ------
        TrainingError
            If there is none.
        """
        epochs = pq.read_table(self._path, columns=["epoch"], filters=[("split", "=", "train")]).column("epoch")
        if not len(epochs):
            raise TrainingError(f"{self._path} holds no training example. Make it again with --forcerun pair.")
        return max(epochs.to_pylist())

    @property
    def notes(self) -> dict[str, Any]:
        """`held_out`: for each corpus what it is split `by` and the names in `validation` and `test`; `warnings`."""
        metadata = pq.read_metadata(self._path).metadata or {}
        return json.loads(metadata.get(_NOTES.encode(), b'{"held_out": {}, "warnings": []}'))

    def digest(self) -> str:
        """Digest of the first training epoch and of validation, which more epochs leave as they are."""
        rows = [self.examples("train", 1), self.examples("validation")]
        return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
