"""Shards: parts of a corpus that several jobs prepare."""

import zlib
from pathlib import Path


def shard_of(recording_id: str, shards: int) -> int:
    """Shard that a recording belongs to, whatever else is there."""
    return zlib.crc32(recording_id.encode()) % shards


def shard_name(corpus: str, shard: int, shards: int) -> str:
    """How the file of a corpus's shard is called, without its suffix: as the corpus, if there is one shard."""
    return corpus if shards == 1 else f"{corpus}.{shard + 1}-of-{shards}"


def corpus_of(path: str | Path) -> str:
    """Corpus that a shard's file belongs to; names of corpora hold no dot."""
    return Path(path).name.partition(".")[0]
