"""Shards: parts of a corpus that several jobs prepare."""

import zlib


def shard_of(recording_id: str, shards: int) -> int:
    """Shard that a recording belongs to, whatever else is there."""
    return zlib.crc32(recording_id.encode()) % shards


def shard_name(corpus: str, shard: int, shards: int) -> str:
    """How the file of a corpus's shard is called, without its suffix: as the corpus, if there is one shard."""
    return corpus if shards == 1 else f"{corpus}.{shard + 1}-of-{shards}"
