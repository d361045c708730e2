"""Adapter of rule slice."""

from pathlib import Path

from emotalk.corpus.slicing import slice_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    for corpus, tracks, clips in zip(params.corpora, snakemake.input.tracks, snakemake.output.clips, strict=True):
        slice_corpus(
            snakemake.input.recordings,
            tracks,
            clips,
            corpus=corpus,
            max_frames=params.max_frames,
            threads=snakemake.threads,
            shard=params.shard,
            shards=params.shards,
            earlier=Path(params.earlier) / Path(clips).name,
        )
