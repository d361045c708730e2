"""Adapter of rule smooth."""

import json

from emotalk.config.corpus import SmoothSettings
from emotalk.data.parts import group_by_corpus, join_parquet
from emotalk.data.smoothing import smooth_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    corpora, outputs = snakemake.params.corpora, snakemake.output.tracks
    smoothing = SmoothSettings(**json.loads(snakemake.params.smooth))
    for corpus, out, parts in zip(corpora, outputs, group_by_corpus(snakemake.input.parts, len(corpora)), strict=True):
        if parts:
            join_parquet(parts, out)
        else:
            settings = smoothing if smoothing.is_enabled(corpus in snakemake.params.captured) else None
            recordings, threads = snakemake.input.recordings, snakemake.threads
            smooth_corpus(recordings, out, corpus=corpus, settings=settings, threads=threads)
