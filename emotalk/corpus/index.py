"""Index: what lies in the folders, pairs of wav and npy, and the faults of each, as one table."""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emotalk.corpus.faults import Fault, inspect_wav, read_track
from emotalk.corpus.names import NAMING, pairing_key
from emotalk.corpus.recordings import RECORDINGS
from emotalk.errors import CorpusError
from emotalk.progress import progress
from emotalk.provenance import file_digest
from emotalk.timing import frames_in

_LOG = logging.getLogger(__name__)
_FOLDERS = {"audio": ".wav", "blendshape": ".npy"}


@dataclass(frozen=True)
class Found:
    """Files of one stem: a wav and its track, or one of them alone."""

    corpus: str
    recording_id: str
    wav: Path | None
    track: Path | None


def index_corpora(
    data: str | Path,
    out: str | Path,
    *,
    corpora: Sequence[str],
    max_frame_difference: int,
    min_frames: int,
    strict: bool,
    threads: int = 1,
) -> None:
    """Write the table of all recordings below `data`, in the layout `<corpus>/{audio,blendshape}/<stem>.{wav,npy}`.

    Raises
    ------
    CorpusError
        If a folder is missing, if nothing is usable, or, with `strict`, if anything is excluded.
    """
    found = [item for corpus in corpora for item in find_recordings(Path(data), corpus)]

    def row(item: Found) -> dict[str, Any]:
        return inspect_recording(item, max_frame_difference=max_frame_difference, min_frames=min_frames)

    with ThreadPoolExecutor(threads) as pool:
        rows = list(progress(pool.map(row, found), total=len(found), what="Indexing", unit="recordings"))
    _tell(rows, corpora)
    _refuse(rows, Path(data), strict)
    pq.write_table(pa.Table.from_pylist(rows, schema=RECORDINGS), out)


def find_recordings(data: Path, corpus: str) -> list[Found]:
    """Every stem found in the corpus's two folders, sorted, each wav beside the track of the same stem.

    Raises
    ------
    CorpusError
        If one of the two folders does not exist.
    """
    wavs, tracks = (_files(data / corpus / folder, suffix) for folder, suffix in _FOLDERS.items())
    pairs = {stem: (wavs[stem], tracks[stem]) for stem in wavs.keys() & tracks.keys()}
    lone_tracks = {pairing_key(corpus, stem): stem for stem in sorted(tracks.keys() - pairs.keys())}
    for stem in sorted(wavs.keys() - pairs.keys()):
        partner = lone_tracks.pop(pairing_key(corpus, stem), None)
        if partner is not None:
            pairs[partner] = (wavs.pop(stem), tracks[partner])
    lone = {stem: (wavs.get(stem), tracks.get(stem)) for stem in wavs.keys() | tracks.keys() if stem not in pairs}
    return [Found(corpus, stem, *files) for stem, files in sorted((pairs | lone).items())]


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise CorpusError(
            f"There is no folder {folder}. A corpus holds audio/<stem>.wav and blendshape/<stem>.npy; "
            "set 'data' to the folder above the corpora, and 'corpora' to those that you have."
        )
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() == suffix}


def inspect_recording(item: Found, *, max_frame_difference: int, min_frames: int) -> dict[str, Any]:
    """Row of the table for one stem: what its name and files say, and whether it can be used."""
    row: dict[str, Any] = {
        "corpus": item.corpus,
        "recording_id": item.recording_id,
        "wav_path": item.wav and str(item.wav),
        "track_path": item.track and str(item.track),
        "status": "ok",
        "reasons": [],
    }
    faults = []
    for read in (_read_name, _read_audio, _read_motion):
        try:
            read(item, row)
        except Fault as fault:
            faults.append(fault)
    if not faults:
        try:
            _compare_lengths(row, max_frame_difference, min_frames)
        except Fault as fault:
            faults.append(fault)
    if faults:
        row |= {"status": "excluded", "reasons": [str(fault) for fault in faults]}
    return row


def _read_name(item: Found, row: dict[str, Any]) -> None:
    name = NAMING[item.corpus](item.recording_id)
    if name is None:
        raise Fault("unknown_name", f"{item.recording_id} does not follow the naming of {item.corpus}")
    row |= asdict(name)


def _read_audio(item: Found, row: dict[str, Any]) -> None:
    if item.wav is None:
        raise Fault("orphan_track", f"there is no {item.recording_id}.wav beside the track")
    row["wav_sha256"] = _digest(item.wav, "unreadable_wav")
    header = inspect_wav(item.wav)
    row |= {
        "sampling_rate": header.sampling_rate,
        "num_audio_channels": header.num_channels,
        "num_samples": header.num_samples,
        "duration_s": header.num_samples / header.sampling_rate,
    }


def _read_motion(item: Found, row: dict[str, Any]) -> None:
    if item.track is None:
        raise Fault("orphan_wav", f"there is no {item.recording_id}.npy beside the audio")
    row["track_sha256"] = _digest(item.track, "unreadable_track")
    row["num_track_frames"] = len(read_track(item.track))


def _digest(path: Path, code: str) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise Fault(code, f"{path.name} cannot be read ({error.strerror})") from None


def _compare_lengths(row: dict[str, Any], max_frame_difference: int, min_frames: int) -> None:
    """Fill in the common length; a track as long as its audio or one frame shorter is the normal case."""
    num_audio_frames = frames_in(row["num_samples"], row["sampling_rate"])
    num_track_frames = row["num_track_frames"]
    found = f"the track has {num_track_frames} frames, the audio {num_audio_frames}"
    if abs(num_track_frames - num_audio_frames) > max_frame_difference:
        raise Fault("frame_mismatch", f"{found}; at most {max_frame_difference} frames of difference are tolerated")
    num_frames = min(num_track_frames, num_audio_frames)
    if num_frames < min_frames:
        raise Fault("too_short", f"{num_frames} frames; the shortest usable recording has {min_frames}")
    row["num_frames"] = num_frames
    if not num_audio_frames - 1 <= num_track_frames <= num_audio_frames:
        row |= {"status": "repaired", "reasons": [f"frame_mismatch: {found}; both cut to {num_frames}"]}


def _tell(rows: list[dict[str, Any]], corpora: Sequence[str]) -> None:
    """Log counts by corpus and status, and the first names of each kind of fault."""
    for corpus in corpora:
        status = Counter(row["status"] for row in rows if row["corpus"] == corpus)
        _LOG.info("%s: %s", corpus, ", ".join(f"{count} {name}" for name, count in sorted(status.items())) or "empty")
    names: dict[str, list[str]] = {}
    for row in rows:
        for reason in row["reasons"]:
            names.setdefault(reason.partition(":")[0], []).append(row["recording_id"])
    for code, ids in sorted(names.items()):
        _LOG.info("  %-16s %5d  %s%s", code, len(ids), ", ".join(ids[:3]), ", …" if len(ids) > 3 else "")


def _refuse(rows: list[dict[str, Any]], data: Path, strict: bool) -> None:
    """Stop where nothing is usable, or where `strict` forbids that anything is left out."""
    excluded = [row for row in rows if row["status"] == "excluded"]
    first = "; ".join(f"{row['recording_id']}: {', '.join(row['reasons'])}" for row in excluded[:5])
    if len(excluded) == len(rows):
        said = (
            f"all {len(rows)} are excluded, the first for these reasons: {first}" if rows else "no wav and no npy file"
        )
        raise CorpusError(f"Nothing below {data} can be used: {said}.")
    if strict and excluded:
        raise CorpusError(f"{len(excluded)} of {len(rows)} recordings are excluded and 'strict' is set: {first}.")
