"""Adapter of rule smooth."""

from emotalk.corpus.smoothing import smooth_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    for corpus, tracks in zip(snakemake.params.corpora, snakemake.output.tracks, strict=True):
        smooth_corpus(
            snakemake.input.recordings,
            tracks,
            corpus=corpus,
            enabled=snakemake.params.enabled,
            window=snakemake.params.window,
            order=snakemake.params.order,
            clip_negatives=snakemake.params.clip_negatives,
        )
