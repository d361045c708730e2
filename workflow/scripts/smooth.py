"""Adapter of rule smooth."""

from pathlib import Path

from emotalk.corpus.smoothing import Smoothing, smooth_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    for corpus, tracks in zip(params.corpora, snakemake.output.tracks, strict=True):
        smooth_corpus(
            snakemake.input.recordings,
            tracks,
            corpus=corpus,
            smoothing=Smoothing(params.enabled, params.window, params.order, params.clip_negatives),
            threads=snakemake.threads,
            shard=params.shard,
            shards=params.shards,
            earlier=Path(params.earlier) / Path(tracks).name,
        )
